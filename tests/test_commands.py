"""The console scripts: help that a newcomer understands, a sentence and exit code 2 for what cannot be, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
import pytest

COMMANDS = 'idc_data', 'idc_features', 'idc_train', 'idc_caption', 'idc_score'
ROOT = Path(__file__).parents[1]


def run(
    command, *argv, cwd=None
):  # the installed script, or what it would do where the project is not installed
    script = Path(sys.executable).with_name(command)
    env = os.environ | dict(
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        OMP_NUM_THREADS='1',
    )
    start = (
        [str(script)]
        if script.exists()
        else [
            sys.executable,
            '-c',
            f'import sys; from idc_nb.commands import {command} as c; sys.argv[0] = {command!r}; sys.exit(c())',
        ]
    )
    return subprocess.run(
        [*start, *map(str, argv)], capture_output=True, text=True, timeout=600, cwd=cwd, env=env
    )


def test_scripts_are_declared():
    tomllib = pytest.importorskip('tomllib')
    declared = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['scripts']
    assert declared == {c: f'idc_nb.lab.commands:{c}' for c in COMMANDS}
    for c in COMMANDS:
        assert f'{c}=idc_nb.lab.commands:{c}' in (ROOT / 'settings.ini').read_text()


@pytest.mark.parametrize('command', COMMANDS)
def test_help(command):
    done = run(command, '--help')
    assert done.returncode == 0 and 'example:' in done.stdout and command in done.stdout, (
        done.stderr
    )


@pytest.mark.parametrize(
    'argv',
    [
        ('idc_data',),
        ('idc_data', 'x', '--scenes', 'many'),
        ('idc_data', 'nowhere', '--describe'),
        ('idc_features', 'nowhere'),
        ('idc_train', '--data', 'nowhere'),
        ('idc_train', '--data', 'nowhere', '--preset', 'huge'),
        ('idc_caption', 'one.png'),
        ('idc_caption', 'a.png', 'b.png'),
        ('idc_caption', '--list', 'nowhere.txt'),
        ('idc_score', 'a.json', 'b.json'),
    ],
    ids=' '.join,
)
def test_mistakes_get_a_sentence(argv, tmp_path):
    done = run(*argv, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.strip() and 'Traceback' not in done.stderr, (
        done.stderr
    )
    assert not list(tmp_path.iterdir())


def test_score(tmp_path):
    for name, x in dict(
        refs={'1': ['a red cube'], '2': ['no change']}, said={'1': 'a red cube', '2': 'no change'}
    ).items():
        (tmp_path / f'{name}.json').write_text(json.dumps(x))
    done = run('idc_score', 'refs.json', 'said.json', '--no-meteor', '--json', cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)['BLEU-1'] == pytest.approx(100)

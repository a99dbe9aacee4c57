"""The console scripts: help that a newcomer understands, a sentence and code 2 for mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path
import pytest
from idc_nb.lab import commands

COMMANDS = {c: 'commands' for c in ('idc_data', 'idc_features', 'idc_train')}
COMMANDS |= dict(idc_caption='commands', idc_score='commands', idc_evaluate='evaluate')
ROOT = Path(__file__).parents[1]


def test_scripts_are_declared():
    tomllib = pytest.importorskip('tomllib')
    declared = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['scripts']
    assert declared == {c: f'idc_nb.lab.{module}:{c}' for c, module in COMMANDS.items()}
    for c, module in COMMANDS.items():
        assert f'{c}=idc_nb.lab.{module}:{c}' in (ROOT / 'settings.ini').read_text()


@pytest.mark.parametrize('command', COMMANDS)
def test_help(command):  # of the script that is installed
    script = Path(sys.executable).with_name(command)
    env = os.environ | dict(
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    )
    done = subprocess.run([script, '--help'], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0 and 'example:' in done.stdout and command in done.stdout, (
        done.stderr
    )


MISTAKES = [
    'idc_data',
    'idc_data x --scenes many',
    'idc_data nowhere --describe',
    'idc_features nowhere',
    'idc_train --data nowhere',
    'idc_train --data nowhere --preset huge',
    'idc_caption one.png',
    'idc_caption a.png b.png',
    'idc_caption --list nowhere.txt',
    'idc_score a.json b.json',
]


@pytest.mark.parametrize('line', MISTAKES)
def test_mistakes_get_a_sentence(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, *argv = line.split()
    code = getattr(commands, command)(argv)
    said = capsys.readouterr().err
    assert code == 2 and said.strip() and 'Traceback' not in said, said
    assert not list(tmp_path.iterdir())


def test_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('refs.json').write_text(json.dumps({'1': ['a red cube'], '2': ['no change']}))
    Path('said.json').write_text(json.dumps({'1': 'a red cube', '2': 'no change'}))
    assert commands.idc_score(['refs.json', 'said.json', '--no-meteor', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['BLEU-1'] == pytest.approx(100)

"""The console scripts: help that a newcomer understands, a sentence and code 2 for mistakes."""

import json
import os
import re
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


def test_birds_from_photos_to_a_captioner(tmp_path, monkeypatch, capsys):
    from idc_nb.captioner import load_captioner
    from idc_nb.gic import bird_grids
    from idc_nb.pairs import lesson_data
    from idc_nb.world.bird_words import lesson_birds

    birds = lesson_birds()
    store, clevr = bird_grids(birds).folder, lesson_data()
    monkeypatch.chdir(tmp_path)
    common = ['--features', str(store), '--accelerator', 'cpu', '--batch', '4', '--steps', '1']
    train = ['--data', str(birds), *common]
    assert commands.idc_train([*train, '--preset', 'paper_cub']) == 0
    assert commands.idc_train([*train, '--preset', 'paper_birds']) == 0
    assert 'starting from runs/paper_cub_0/pretrain' in capsys.readouterr().out
    assert commands.idc_train([*train, '--preset', 'paper_birds', '--stage', 'finetune']) == 0
    c = load_captioner('runs/paper_birds_0/captioner.safetensors')
    assert c.about['max_len'] == 80 and c.about['judge'] is False
    capsys.readouterr()
    for data, preset, words in (
        (birds, 'tiny', 'holds birds, preset tiny reads CLEVR-Change'),
        (birds, 'paper_clevr', 'holds birds'),
        (clevr, 'paper_birds', 'birds_to_words, beside it .* found CLEVR-Change'),
        (clevr, 'paper_cub', 'reads birds: expected .*cub'),
    ):
        assert commands.idc_train(['--data', str(data), *common, '--preset', preset]) == 2
        assert re.search(words, capsys.readouterr().err)
    assert commands.idc_train([*train, '--preset', 'paper_cub', '--stage', 'finetune']) == 2

"""Presets and shipped models by name in a terminal: each finds its data, or says what it reads."""

import re
from idc_nb.lab import commands


def test_birds_from_the_terminal(two, ask):
    code, (line,), _ = ask(*two, '--checkpoint', 'mini_birds')
    assert code == 0 and 'animal' in line['caption'] and 'change' not in line


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

"""`python -m idc_nb.lab.on_device` on the CPU: it ends in time or on a signal, and goes on."""

import os
import signal
from dataclasses import replace
import pytest
import torch
from idc_nb.captioner import load_captioner
from idc_nb.lab import on_device
from idc_nb.lab.files import read_json
from idc_nb.lab.recipe import CHECKPOINT
from idc_nb.lab.store import lesson_store
from idc_nb.pairs import lesson_data
from idc_nb.training import TrainConfig

STEPS = dict(gic=TrainConfig(3, 8, 1e-3), finetune=TrainConfig(4, 8, 1e-3, captions=3))


@pytest.fixture
def run_train(tmp_path, monkeypatch):  # (more arguments, folder) -> exit code
    small = replace(CHECKPOINT, model=dict(dim=24, ff=40), judge_steps=2, **STEPS)
    monkeypatch.setattr(on_device, 'CHECKPOINT', small)
    made = lesson_data(), lesson_store(), {}
    monkeypatch.setattr(on_device, 'prepare', lambda recipe, device: made)

    def run(*argv, folder='out'):
        return on_device.main(['--device', 'cpu', '--out', str(tmp_path / folder), *argv])

    return run


def weights(path):
    return torch.cat([p.detach().flatten() for p in load_captioner(path).model.parameters()])


def test_it_goes_on_after_its_minutes_and_after_signals(run_train, tmp_path, monkeypatch, capsys):
    handler = signal.getsignal(signal.SIGINT)  # of a background process: it ignores the signal
    assert run_train(folder='whole') == 0
    assert 'gic: 3 steps of 8' in capsys.readouterr().out
    assert run_train('--minutes', '1e-9') == 0
    assert 'step 1 of 3 (gic) after 1e-09 minutes: the same command' in capsys.readouterr().out
    plain = on_device.DeviceStage.take_step
    for number in (signal.SIGINT, signal.SIGTERM):
        sent = []

        def step(self, kind):
            plain(self, kind)
            if not sent:
                sent.append(os.kill(os.getpid(), number))

        monkeypatch.setattr(on_device.DeviceStage, 'take_step', step)
        if number == signal.SIGINT:
            assert run_train() == 130
            assert 'step 2 of 3 (gic); the same command goes on' in capsys.readouterr().err
        else:
            with pytest.raises(SystemExit, match='143'):
                run_train()  # behind the last step of a stage: it ends behind the next one
    monkeypatch.setattr(on_device.DeviceStage, 'take_step', plain)
    assert read_json(tmp_path / 'out/on_device.json')['stopped']['stage'] == 'finetune'
    assert run_train() == 0 and 'figures and captioner' in capsys.readouterr().out
    figures = read_json(tmp_path / 'out/on_device.json')
    assert [s['steps'] for s in figures['stages'].values()] == [3, 4] and figures['machine']
    whole, part = (weights(tmp_path / f / 'captioner.safetensors') for f in ('whole', 'out'))
    assert torch.equal(whole, part)
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_it_refuses(run_train, tmp_path, capsys):
    assert run_train('--minutes', '1e-9') == 0
    assert run_train('--seed', '1') == 2
    assert 'on_device.ckpt is of a training with other seed' in capsys.readouterr().err
    (tmp_path / 'out/on_device.ckpt').write_bytes(b'broken')
    assert run_train() == 2 and 'on_device.ckpt is no checkpoint' in capsys.readouterr().err
    assert run_train('--device', 'nowhere', folder='other') == 2
    assert "cannot train on device 'nowhere' here" in capsys.readouterr().err
    for wrong in (['--minutes', '0'], ['--share', '2'], ['--share', '0']):
        with pytest.raises(SystemExit, match='2'):
            run_train(*wrong)
    assert not (tmp_path / 'other').exists()


def test_a_share_of_a_recipe():
    small = on_device.share_of(CHECKPOINT, 0.01)
    assert small.name == 'checkpoint_0.01' and small.n_scenes == 482
    assert small.gic.steps == 70 and small.finetune.steps == 314 and small.judge_steps == 10
    assert on_device.share_of(CHECKPOINT, 1) is CHECKPOINT

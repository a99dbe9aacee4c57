"""Two processes (Lightning's DDP, gloo, CPU) train as one does on the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
import pytest
import torch

HERE = Path(__file__).parent


def start(out, world):
    env = os.environ | dict(
        OMP_NUM_THREADS='1',
        PYTHONPATH=os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get('PYTHONPATH', '')]),
    )
    return subprocess.Popen(
        [sys.executable, HERE / 'ddp_run.py', out, str(world)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    out = {w: tmp_path_factory.mktemp(f'world{w}') for w in (1, 2)}
    started = [start(out[w], w) for w in (1, 2)]
    for p in started:
        said, _ = p.communicate(timeout=600)
        assert p.returncode == 0, said[-3000:]
    return out


def load(path):
    return torch.load(path, weights_only=True)


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize('name', ['words', 'mlm', 'mvcl'])
def test_gradients_are_those_of_one_process(runs, name):
    one, *two = (
        load(runs[1] / f'{name}_grad_0.pt'),
        *(load(runs[2] / f'{name}_grad_{r}.pt') for r in (0, 1)),
    )
    size = torch.cat([g.flatten() for g in one.values()]).norm()
    for grads in two:
        assert grads.keys() == one.keys()
        for k in one:
            torch.testing.assert_close(grads[k], one[k], rtol=0, atol=1e-5 * size.item(), msg=k)


@pytest.mark.parametrize('name', ['words', 'mlm', 'mvcl'])
def test_trained_weights(runs, name):
    one, *two = load(runs[1] / f'{name}_0.pt'), *(load(runs[2] / f'{name}_{r}.pt') for r in (0, 1))
    for k in one:
        assert torch.equal(two[0][k], two[1][k]), k  # the ranks hold the same model, bit for bit
        torch.testing.assert_close(two[0][k], one[k], rtol=0, atol=1e-3, msg=k)


def test_steps_are_shared_and_dice_differ(runs):
    one, *two = (
        read(runs[1] / 'words_watch_0.json'),
        *(read(runs[2] / f'words_watch_{r}.json') for r in (0, 1)),
    )
    assert one['tasks'] == [[None, s, 6] for s in range(4)] and all(
        t['tasks'] == [[None, s, 3] for s in range(4)] for t in two
    )
    assert two[0]['dice'] == one['dice'] and not set(two[0]['dice']) & set(two[1]['dice'])


def test_one_task_on_all_ranks(runs):
    one, *two = (
        read(runs[1] / 'mix_watch_0.json')['tasks'],
        *(read(runs[2] / f'mix_watch_{r}.json')['tasks'] for r in (0, 1)),
    )
    assert {t for t, *_ in one} == {'mlm', 'mvcl', 'fda'}
    for t in two:
        assert t == [[task, step, n // 2] for task, step, n in one]


def test_validation_loses_and_doubles_nothing(runs):
    one, *two = read(runs[1] / 'said_0.json'), *(read(runs[2] / f'said_{r}.json') for r in (0, 1))
    assert len(one) == 7 and two[0] == two[1] and two[0].keys() == one.keys()
    assert read(runs[2] / 'best_0.json') == read(runs[2] / 'best_1.json')
    assert abs(read(runs[1] / 'best_0.json')[0] - read(runs[2] / 'best_0.json')[0]) < 1e-6


def test_negatives_of_other_ranks(runs):
    one = load(runs[1] / 'contrast_0.pt')
    for r in (0, 1):
        torch.testing.assert_close(load(runs[2] / f'contrast_{r}.pt'), one, rtol=1e-5, atol=1e-6)

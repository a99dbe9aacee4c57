"""Two processes (Lightning's DDP, gloo, CPU) train as one does on the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
import pytest
import torch

HERE = Path(__file__).parent


def start_two(out):
    path = [str(HERE.parent), str(HERE), os.environ.get('PYTHONPATH', '')]
    return subprocess.Popen(
        [sys.executable, HERE / 'ddp_run.py', out, '2'],
        env=os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope='module')
def folders(tmp_path_factory):  # what one process wrote, and what two wrote
    from ddp_run import train_all

    one, two = (tmp_path_factory.mktemp(name) for name in ('one', 'two'))
    p = start_two(two)
    try:
        train_all(one, 1)
        printed, _ = p.communicate(timeout=600)
    finally:
        p.kill()
    assert p.returncode == 0, printed[-3000:]
    return one, two


@pytest.fixture
def load(folders):
    "load(name): what one process wrote, what the first and what the second of two wrote."
    one, two = folders

    def load(name, kind='pt'):
        paths = one / f'{name}_0.{kind}', two / f'{name}_0.{kind}', two / f'{name}_1.{kind}'
        if kind == 'pt':
            return [torch.load(path, weights_only=True) for path in paths]
        return [json.loads(path.read_text()) for path in paths]

    return load


@pytest.mark.parametrize('name', ['words', 'mlm', 'mvcl'])
def test_gradients_are_those_of_one_process(load, name):
    one, *two = load(f'{name}_grad')
    size = torch.cat([g.flatten() for g in one.values()]).norm().item()
    for grads in two:
        assert grads.keys() == one.keys()
        for k in one:
            torch.testing.assert_close(grads[k], one[k], rtol=0, atol=1e-5 * size, msg=k)


@pytest.mark.parametrize('name', ['words', 'mlm', 'mvcl'])
def test_trained_weights(load, name):
    one, first, second = load(name)
    for k in one:
        assert torch.equal(first[k], second[k]), k  # the ranks hold the same model to the bit
        torch.testing.assert_close(first[k], one[k], rtol=0, atol=1e-3, msg=k)


def test_steps_are_shared_and_dice_differ(load):
    one, first, second = load('words_watch', 'json')
    assert one['tasks'] == [[None, step, 6] for step in range(4)]
    for rank in (first, second):
        assert rank['tasks'] == [[None, step, 3] for step in range(4)]
    assert first['dice'] == one['dice']
    assert not set(first['dice']) & set(second['dice'])


def test_one_task_on_all_ranks(load):
    one, first, second = (watch['tasks'] for watch in load('mix_watch', 'json'))
    assert {task for task, *_ in one} == {'mlm', 'mvcl', 'fda'}
    halves = [[task, step, n // 2] for task, step, n in one]
    assert first == halves and second == halves


def test_validation_loses_and_doubles_nothing(load):
    one, first, second = load('said', 'json')
    assert len(one) == 7 and first == second and first.keys() == one.keys()
    one, first, second = load('best', 'json')
    assert first == second
    assert abs(one[0] - first[0]) < 1e-6


def test_negatives_of_other_ranks(load):
    one, *two = load('contrast')
    for grad in two:
        torch.testing.assert_close(grad, one, rtol=1e-5, atol=1e-6)

"""SIGKILL at random moments: start, kill, start again, until the end is reached; then compare with a run that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def start(what, folder, *more):
    env = os.environ | dict(
        OMP_NUM_THREADS='1',
        PYTHONPATH=os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get('PYTHONPATH', '')]),
    )
    return subprocess.Popen(
        [sys.executable, str(HERE / 'kill_run.py'), what, str(folder), *map(str, more)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def whole(what, folder, *more):  # let it end
    p = start(what, folder, *more)
    said = p.communicate(timeout=1800)[0]
    assert p.returncode == 0, said[-3000:]


def killed(what, folder, kills, ticks, seed, *more):
    "Kill `kills` times, each a random moment after one of the first `ticks` steps, then let it end. -> kills that hit a running process"
    rng, hit = random.Random(seed), 0
    for _ in range(kills):
        p, left, clock, step = start(what, folder, *more), rng.randrange(ticks), time.time(), 0.1
        for line in p.stdout:
            if line == 'tick\n':
                if left == 0:
                    break
                left, step, clock = left - 1, time.time() - clock, time.time()
        time.sleep(rng.random() * min(step, 2))
        p.send_signal(signal.SIGKILL)
        rest = p.communicate()[0]
        hit += p.returncode == -9
        assert p.returncode in (0, -9), rest[-3000:]
    whole(what, folder, *more)
    return hit


def assert_same(what, alone, hit):  # AssertionError where they differ
    import json
    import numpy as np
    import torch

    if what == 'train':
        a, b = (torch.load(f / 'run' / 'last.ckpt', weights_only=True) for f in (alone, hit))
        assert a['global_step'] == b['global_step']
        for k in a['state_dict']:
            assert torch.equal(a['state_dict'][k], b['state_dict'][k]), k
        assert str(a['optimizer_states']) == str(b['optimizer_states'])
        assert a['callbacks'] == b['callbacks']
        best = [torch.load(f / 'run' / 'best.ckpt', weights_only=True) for f in (alone, hit)]
        assert (
            best[0]['global_step'] == best[1]['global_step']
            and best[0]['score'] == best[1]['score']
        )
        for k in best[0]['state_dict']:
            assert torch.equal(best[0]['state_dict'][k], best[1]['state_dict'][k]), k
        assert not list((hit / 'run').glob('*.part')), 'half a file was left behind'
    else:
        for f in (alone, hit):
            assert sorted(p.name for p in (f / 'store').iterdir()) == ['grids.npy', 'index.json']
        assert np.array_equal(
            np.load(alone / 'store' / 'grids.npy'), np.load(hit / 'store' / 'grids.npy')
        )
        assert json.loads((alone / 'store/index.json').read_text()) == json.loads(
            (hit / 'store/index.json').read_text()
        )

"""SIGKILL at random moments: start, kill, start again, until the end is reached.

Then compare with a run that was left alone.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
import numpy as np
import torch

HERE = Path(__file__).parent


class Runner:
    "Starts runs of kill_run.py, one after the other; ends with the `with`."

    def __enter__(self):
        path = [str(HERE.parent), str(HERE), os.environ.get('PYTHONPATH', '')]
        self.process = subprocess.Popen(
            [sys.executable, HERE / 'kill_run.py'],
            env=os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def start(self, *run):
        self.printed = []
        self.process.stdin.write(' '.join(map(str, run)) + '\n')
        self.process.stdin.flush()
        self.pid = int(self.wait_for('pid').split()[1])

    def wait_for(self, *words) -> str:  # the next line that begins with one of them
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith(words):
                return line
        raise AssertionError(''.join(self.printed)[-3000:])

    def end(self) -> int:  # exit code of the run
        return int(self.wait_for('ended').split()[1])

    def whole(self, *run):  # let it end
        self.start(*run)
        assert self.end() == 0, ''.join(self.printed)[-3000:]

    def kill_at(self, rng, ticks) -> int:  # exit code of a run that is killed, if it still runs
        seconds, last = 0.1, time.monotonic()  # of a step; when the last one began
        for _ in range(1 + rng.randrange(ticks)):
            line = self.wait_for('tick', 'ended')
            if line.startswith('ended'):
                return int(line.split()[1])
            seconds, last = time.monotonic() - last, time.monotonic()
        time.sleep(rng.random() * min(seconds, 2))
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def killed(self, *run, kills, ticks, seed) -> int:  # how many kills hit a running process
        """Kill `kills` times, each at a random moment after one of the first `ticks` steps, then
        let it end."""
        rng = random.Random(seed)
        codes = []
        for _ in range(kills):
            self.start(*run)
            codes.append(self.kill_at(rng, ticks))
            assert codes[-1] in (0, -9), ''.join(self.printed)[-3000:]
        self.whole(*run)
        return codes.count(-9)


def assert_same_weights(a, b):
    assert a['global_step'] == b['global_step']
    assert a['state_dict'].keys() == b['state_dict'].keys()
    for name, weight in a['state_dict'].items():
        assert torch.equal(weight, b['state_dict'][name]), name


def assert_same_training(alone, hit):
    a, b = (torch.load(f / 'run/last.ckpt', weights_only=True) for f in (alone, hit))
    assert_same_weights(a, b)
    assert str(a['optimizer_states']) == str(b['optimizer_states'])
    assert a['callbacks'] == b['callbacks']
    a, b = (torch.load(f / 'run/best.ckpt', weights_only=True) for f in (alone, hit))
    assert_same_weights(a, b)
    assert a['score'] == b['score']
    assert not list((hit / 'run').glob('*.part')), 'half a file was left behind'


def assert_same_features(alone, hit):
    for folder in (alone, hit):
        names = sorted(p.name for p in (folder / 'store').iterdir())
        assert names == ['grids.npy', 'index.json']
    a, b = (np.load(f / 'store/grids.npy') for f in (alone, hit))
    assert np.array_equal(a, b)
    a, b = (json.loads((f / 'store/index.json').read_text()) for f in (alone, hit))
    assert a == b


def content(folder):  # {path below the folder: bytes}
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def assert_same_files(alone, hit):
    a, b = content(alone), content(hit)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    assert not [name for name in a if a[name] != b[name]]


#: What a run of kill_run.py leaves behind -> how it is compared.
ASSERT_SAME = dict(
    train=assert_same_training,
    features=assert_same_features,
    render=assert_same_files,
    score=assert_same_files,
)

"""What kills.py kills. Each line of the standard input is a run: `train FOLDER STEPS` or
`features FOLDER PICTURES`.

A run is a process of its own (a fork, so that nobody waits for the imports again). It prints
`pid N` first, `tick` at each step, and `ended CODE` when it is over; CODE is -9 if it was killed.
"""

import os
import sys
import traceback
from pathlib import Path
import lightning as L
import numpy as np
import timm
import torch
from PIL import Image
from idc_nb.finetune import Validate
from idc_nb.lab import store
from idc_nb.metrics import caption_score
from idc_nb.training import fit
from made_up import finetuning, made_up

torch.set_num_threads(1)


class Tick(L.Callback):
    def on_train_batch_start(self, *_):
        print('tick', flush=True)


def train(folder, steps):
    triplets, features, vocab = made_up(folder / 'store')
    stage, batches = finetuning(triplets, features, vocab, steps, dropout=0.2)
    score = caption_score(triplets[:3], features, vocab, max_len=8)
    fit(
        stage,
        batches,
        folder / 'run',
        save_every=3,
        callbacks=[Tick(), Validate(score, folder / 'run', every=20)],
        accelerator='cpu',
        enable_progress_bar=False,
    )


def make_pictures(folder, n):
    folder.mkdir(parents=True)
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 256, (224, 224, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f'{i:03}.png')


def features(folder, n):
    pictures = folder / 'pictures'
    if not pictures.exists():
        make_pictures(pictures, n)
    grids = store._grids

    def ticking_grids(*args):
        print('tick', flush=True)
        return grids(*args)

    store._grids = ticking_grids
    store.BLOCK = 8  # more places to be killed at
    store.extract_features(sorted(pictures.iterdir()), folder / 'store', workers=1)


def run(what, folder, size) -> int:  # exit code
    try:
        dict(train=train, features=features)[what](Path(folder), int(size))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == '__main__':
    print('ready', timm.__version__, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(f'pid {os.getpid()}', flush=True)
            code = run(*line.split())
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        status = os.waitpid(pid, 0)[1]
        print(f'ended {os.waitstatus_to_exitcode(status)}', flush=True)

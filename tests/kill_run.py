"""What kills.py kills. Each line of the standard input is a run: `train FOLDER STEPS`,
`features FOLDER PICTURES`, `render FOLDER SCENES` or `score FOLDER PAIRS`.

A run is a process of its own (a fork, so that nobody waits for the imports again). It prints
`pid N` first, `tick` at each step, and `ended CODE` when it is over; CODE is -9 if it was killed.
"""

import contextlib
import io
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
from idc_nb.lab import java, store
from idc_nb.lab.evaluate import idc_evaluate
from idc_nb.lab.files import write_whole
from idc_nb.metrics import caption_score
from idc_nb.pairs import lesson_data
from idc_nb.training import fit
from idc_nb.world import mini
from made_up import finetuning, made_up

torch.set_num_threads(1)


class Tick(L.Callback):
    def on_train_batch_start(self, *_):
        print('tick', flush=True)


def ticking(work):  # the same function, which says when it begins
    def ticks(*args, **options):
        print('tick', file=sys.__stdout__, flush=True)
        return work(*args, **options)

    return ticks


def train_for(folder, steps):
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
    store._grids = ticking(store._grids)
    store.BLOCK = 8  # more places to be killed at
    store.extract_features(sorted(pictures.iterdir()), folder / 'store', workers=1)


make_record = mini.make_record


def ticking_record(*args, **options):  # a module's own function, so that it can be sent
    return ticking(make_record)(*args, **options)


def render(folder, scenes):
    mini.make_record = ticking_record
    mini.make_mini_clevr(folder / 'made', scenes, workers=2, size=(96, 64))


def score(folder, pairs):  # the test split of the lessons, which has so many
    java._talk, said = ticking(java._talk), io.StringIO()
    options = '--split', 'test', '--json', '--out', str(folder / 'said.jsonl')
    with contextlib.redirect_stdout(said):
        code = idc_evaluate(['mini_clevr', '--data', str(lesson_data()), *options])
    assert code == 0 and f'"n": {pairs}' in said.getvalue()
    text = said.getvalue().replace(str(folder), '')
    write_whole(folder / 'scores.json', lambda part: part.write_text(text))


RUNS = dict(train=train_for, features=features, render=render, score=score)


def run(what, folder, size) -> int:  # exit code
    try:
        RUNS[what](Path(folder), int(size))
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

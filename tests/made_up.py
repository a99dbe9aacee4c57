"""A feature store, triplets and stages of made-up numbers, for tests that train without pictures."""

import json
from pathlib import Path
import numpy as np
import torch
from idc_nb.finetune import Finetuning
from idc_nb.lab.store import FeatureStore
from idc_nb.inputs import ModelConfig
from idc_nb.model import DifferenceModel
from idc_nb.pairs import Triplet
from idc_nb.training import PairBatches, TrainConfig
from idc_nb.vocab import Vocab

WORDS = 'the small large red blue ball cube has gone appeared moved'.split()


def made_up(
    folder, pairs=30, channels=16, seed=0
):  # -> triplets, store, vocab; captions of 2 to 9 words
    folder, rng = Path(folder), np.random.default_rng(seed)
    triplets = [
        Triplet(
            f't{i}',
            f'a{i}',
            f'b{i}',
            tuple(' '.join(rng.choice(WORDS, rng.integers(2, 10))) for _ in range(3)),
            'distractor' if i % 3 == 0 else 'color',
        )
        for i in range(pairs)
    ]
    if not (folder / 'index.json').exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / 'grids.npy', rng.normal(size=(2 * pairs, 49, channels)).astype(np.float16))
        (folder / 'index.json').write_text(
            json.dumps(
                dict(backbone='made up', names=[n for t in triplets for n in (t.img1, t.img2)])
            )
        )
    return triplets, FeatureStore(folder), Vocab(sorted(WORDS))


def config(vocab, channels=16, **more):
    return ModelConfig(
        channels, len(vocab), **dict(dim=24, heads=4, ff=40, cross_layers=1, dropout=0.0) | more
    )


def finetuning(triplets, store, vocab, steps, batch=6, dropout=0.0, seed=0):  # -> stage, batches
    torch.manual_seed(seed)
    stage = Finetuning(
        DifferenceModel(config(vocab, dropout=dropout)),
        TrainConfig(steps, batch, 2e-3, warmup=3, captions=2, seed=seed),
    )
    return stage, PairBatches(triplets, store, vocab, batch, steps, seed, captions=2)

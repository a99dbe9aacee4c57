"""A feature store, triplets and stages of random numbers, for tests that train without pictures.

Also a picture of random pixels.
"""

import json
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from idc_nb.finetune import Finetuning
from idc_nb.inputs import ModelConfig
from idc_nb.lab.store import FeatureStore
from idc_nb.model import DifferenceModel
from idc_nb.pairs import Triplet
from idc_nb.training import PairBatches, TrainConfig
from idc_nb.vocab import Vocab

WORDS = 'the small large red blue ball cube has gone appeared moved'.split()


def made_up(folder, pairs=30, channels=16, seed=0) -> tuple:  # triplets, store, vocabulary
    "Each pair has three captions of 2 to 9 words; every third pair is a distractor."
    folder = Path(folder)
    rng = np.random.default_rng(seed)
    triplets = []
    for i in range(pairs):
        captions = tuple(' '.join(rng.choice(WORDS, rng.integers(2, 10))) for _ in range(3))
        kind = 'distractor' if i % 3 == 0 else 'color'
        triplets.append(Triplet(f't{i}', f'a{i}', f'b{i}', captions, kind))
    if not (folder / 'index.json').exists():
        folder.mkdir(parents=True, exist_ok=True)
        grids = rng.normal(size=(2 * pairs, 49, channels)).astype(np.float16)
        np.save(folder / 'grids.npy', grids)
        names = [name for t in triplets for name in (t.img1, t.img2)]
        (folder / 'index.json').write_text(json.dumps(dict(backbone='made up', names=names)))
    return triplets, FeatureStore(folder), Vocab(sorted(WORDS))


def config(vocab, channels=16, **more) -> ModelConfig:
    sizes = dict(dim=24, heads=4, ff=40, cross_layers=1, dropout=0.0)
    return ModelConfig(channels, len(vocab), **sizes | more)


def finetuning(triplets, store, vocab, steps, batch=6, dropout=0.0, seed=0):  # -> stage, batches
    torch.manual_seed(seed)
    c = TrainConfig(steps, batch, 2e-3, warmup=3, captions=2, seed=seed)
    stage = Finetuning(DifferenceModel(config(vocab, dropout=dropout)), c)
    return stage, PairBatches(triplets, store, vocab, batch, steps, seed, captions=2)


def picture(path, seed=0) -> str:  # the path
    "Write 40 x 30 random pixels."
    x = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x).save(path)
    return str(path)

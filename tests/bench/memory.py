"""Peak memory of an epoch as large as CLEVR-Change's -> results/memory.json. A sparse made-up store of 2048 numbers a cell; the model is one linear map."""

import datetime
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from idc_nb.demo import machine
from idc_nb.lab.store import FeatureStore
from idc_nb.pairs import Triplet
from idc_nb.training import PairBatches, Stage, TrainConfig, fit
from idc_nb.vocab import Vocab
from idc_nb.lab.files import write_json

WORDS = 'the small large red blue ball cube has gone appeared moved'.split()


class Smallest(Stage):  # nothing of a model but one map, so that what is measured is the rest
    def loss(self, batch):
        said = self.model(batch['img1'][:, 0].float() - batch['img2'][:, 0].float())
        return torch.nn.functional.cross_entropy(said, batch['changed']), {}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB, on Linux


def measure(ids=33_830, steps=338, batch=200):
    folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    names = [n for i in range(ids) for n in (f'a{i}', f'b{i}', f'c{i}')]
    np.lib.format.open_memmap(
        folder / 'grids.npy', mode='w+', dtype=np.float16, shape=(len(names), 49, 2048)
    )
    (folder / 'index.json').write_text(json.dumps(dict(backbone='made up', names=names)))
    six = lambda: tuple(' '.join(rng.choice(WORDS, rng.integers(6, 14))) for _ in range(6))
    triplets = [
        Triplet(f'{k}{i}', f'a{i}', f'{w}{i}', six(), k)
        for i in range(ids)
        for w, k in (('b', 'color'), ('c', 'distractor'))
    ]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start, before = time.time(), peak()
    stage = Smallest(torch.nn.Linear(2048, 2), TrainConfig(steps, batch, 1e-3))
    fit(
        stage,
        PairBatches(triplets, FeatureStore(folder), Vocab(WORDS), batch, steps),
        folder / 'run',
        accelerator='cpu',
        enable_progress_bar=False,
    )
    return dict(
        pairs=len(triplets),
        images=len(names),
        steps=steps,
        batch=batch,
        store_gb=round(len(names) * 49 * 2048 * 2 / 1e9, 1),
        gb_before=round(before, 2),
        peak_gb=round(peak(), 2),
        seconds=round(time.time() - start, 1),
    )


if __name__ == '__main__':
    out = measure(steps=int(sys.argv[1]) if len(sys.argv) > 1 else 338)
    print(out)
    write_json(
        ROOT / 'results' / 'memory.json',
        out | dict(seed=0, machine=machine(), date=str(datetime.date.today())),
        indent=1,
    )

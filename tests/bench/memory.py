"""Peak memory of an epoch as large as that of CLEVR-Change -> results/memory.json.

The store is a sparse file of made-up features, 2048 numbers a cell. The model is one linear map, so
that what is measured is all the rest. Run: python tests/bench/memory.py [steps]
"""

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
from idc_nb.lab.files import write_json
from idc_nb.lab.store import FeatureStore
from idc_nb.pairs import Triplet
from idc_nb.training import PairBatches, Stage, TrainConfig, fit
from idc_nb.vocab import Vocab

WORDS = 'the small large red blue ball cube has gone appeared moved'.split()
STATUS, RESET = Path('/proc/self/status'), Path('/proc/self/clear_refs')


class Smallest(Stage):
    "A model of one linear map: do the two images differ?"

    def loss(self, batch):
        logits = self.model(batch['img1'][:, 0].float() - batch['img2'][:, 0].float())
        return torch.nn.functional.cross_entropy(logits, batch['changed']), {}


def reset_peak():  # from here on `peak` counts anew; only Linux can
    if RESET.exists():
        RESET.write_text('5')


def peak() -> float:  # GB of memory that this process held at the highest
    if not STATUS.exists():
        unit = 1e9 if sys.platform == 'darwin' else 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1e6


def make_triplets(ids) -> list:  # two pairs an id, six captions of 6 to 13 words each
    rng = np.random.default_rng(0)
    words = np.array(WORDS)[rng.integers(len(WORDS), size=(2 * ids, 6, 13))].tolist()
    lengths = rng.integers(6, 14, size=(2 * ids, 6)).tolist()
    triplets = []
    for i in range(ids):
        for k, (letter, kind) in enumerate([('b', 'color'), ('c', 'distractor')]):
            drawn = zip(words[2 * i + k], lengths[2 * i + k])
            captions = tuple(' '.join(w[:n]) for w, n in drawn)
            triplets.append(Triplet(f'{kind}{i}', f'a{i}', f'{letter}{i}', captions, kind))
    return triplets


def make_store(folder, ids) -> FeatureStore:  # three images an id; the numbers are zeros
    names = [f'{letter}{i}' for i in range(ids) for letter in 'abc']
    shape = len(names), 49, 2048
    np.lib.format.open_memmap(folder / 'grids.npy', mode='w+', dtype=np.float16, shape=shape)
    (folder / 'index.json').write_text(json.dumps(dict(backbone='made up', names=names)))
    return FeatureStore(folder)


def measure(ids=33_830, steps=338, batch=200) -> dict:
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        triplets, store = make_triplets(ids), make_store(folder, ids)
        torch.set_num_threads(1)
        torch.manual_seed(0)
        reset_peak()
        start, before = time.time(), peak()
        stage = Smallest(torch.nn.Linear(2048, 2), TrainConfig(steps, batch, 1e-3))
        batches = PairBatches(triplets, store, Vocab(WORDS), batch, steps)
        fit(stage, batches, folder / 'run', accelerator='cpu', enable_progress_bar=False)
    return dict(
        pairs=len(triplets),
        images=len(store),
        steps=steps,
        batch=batch,
        store_gb=round(len(store) * 49 * 2048 * 2 / 1e9, 1),
        gb_before=round(before, 2),
        peak_gb=round(peak(), 2),
        seconds=round(time.time() - start, 1),
    )


if __name__ == '__main__':
    from idc_nb.demo import machine

    out = measure(steps=int(sys.argv[1]) if len(sys.argv) > 1 else 338)
    print(out)
    out |= dict(seed=0, machine=machine(), date=str(datetime.date.today()))
    write_json(ROOT / 'results' / 'memory.json', out, indent=1)

"""Time and memory of the negatives for a training split as large as that of CLEVR-Change.

That is 67,660 pairs of 6.2 captions each. Prints one line of JSON.

    python tests/bench/negatives.py [pairs] [--judge]

Captions come from sampled scenes; nothing is rendered, and sampling is not part of the time.
With `--judge`, `is_true` judges each candidate too.
"""

import json
import os
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from idc_nb.lab.caption_words import true_share
from idc_nb.negatives import build_negatives
from idc_nb.world.language import is_true, write_captions
from idc_nb.world.scenes import CHANGES, change, jitter, sample_scene


def describe_scene(i) -> list:  # of (captions, scenes): the change pair and the distractor pair
    rng, changed = np.random.default_rng([7, i]), None
    while changed is None:
        before = sample_scene(rng)
        changed = change(before, CHANGES[i % 5], rng)
    n = 6 + int(rng.random() < 0.2)  # captions, 6.2 on average
    pairs = []
    for scene in (changed, before):
        after = jitter(scene, rng)
        pairs.append((write_captions(before, after, rng, n), (before, after)))
    return pairs


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GB, on Linux


def measure(pairs, judged) -> dict:
    with ProcessPoolExecutor(2) as pool:
        described = list(pool.map(describe_scene, range(pairs // 2), chunksize=200))
    captions = [texts for two in described for texts, _ in two]
    scenes = [scenes for two in described for _, scenes in two]

    def is_true_of(i, text):
        return bool(is_true(text, *scenes[i]))

    before, start, cpu = peak(), time.time(), time.process_time()
    negatives = build_negatives(captions, true_of=is_true_of if judged else None)
    result = dict(
        pairs=len(captions),
        captions=sum(map(len, captions)),
        different=len({caption for texts in captions for caption in texts}),
        judged=judged,
        threads=os.environ.get('OMP_NUM_THREADS'),
        seconds=round(time.time() - start, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        peak_gb=round(peak(), 2),
        peak_gb_before=round(before, 2),
        kinds=Counter(negative.kind for of_pair in negatives for negative in of_pair),
    )
    if not judged:
        shares = true_share(dict(enumerate(negatives)), is_true_of)
        result['true'] = {kind: round(share, 4) for kind, share in shares.items()}
    return result


if __name__ == '__main__':
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    pairs = numbers[0] if numbers else 67_660
    print(json.dumps(measure(pairs, judged='--judge' in sys.argv)))

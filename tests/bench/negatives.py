"""Time and memory of the negatives for as many pairs as CLEVR-Change's training split has.

    python tests/bench/negatives.py [pairs] [--judge]    # prints one line of JSON

That is 67,660 pairs x 6.2 captions. Captions come from sampled scenes (nothing is rendered);
sampling them is not part of the time. `--judge` asks `is_true` too.
"""

import json, os, resource, sys, time
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from idc_nb.negatives import build_negatives, true_share
from idc_nb.world.language import write_captions, is_true
from idc_nb.world.scenes import CHANGES, change, jitter, sample_scene


def pair_of(i):  # captions and scenes of the change pair and the distractor pair of a scene
    rng, changed = np.random.default_rng([7, i]), None
    while changed is None:
        before = sample_scene(rng)
        changed = change(before, CHANGES[i % 5], rng)
    n = 6 + int(rng.random() < 0.2)  # 6.2 on average
    return [
        (write_captions(before, after, rng, n), (before, after))
        for after in (jitter(changed, rng), jitter(before, rng))
    ]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GB


if __name__ == '__main__':
    numbers = [a for a in sys.argv[1:] if a.isdigit()]
    pairs, judged = int(numbers[0]) if numbers else 67_660, '--judge' in sys.argv
    with ProcessPoolExecutor(2) as pool:
        made = [x for two in pool.map(pair_of, range(pairs // 2), chunksize=200) for x in two]
    said, scenes = [cs for cs, _ in made], [s for _, s in made]

    def true_of(i, text):
        return bool(is_true(text, *scenes[i]))

    before, start, cpu = peak(), time.time(), time.process_time()
    negatives = build_negatives(said, true_of=true_of if judged else None)
    result = dict(
        pairs=len(said),
        captions=sum(map(len, said)),
        different=len({c for cs in said for c in cs}),
        judged=judged,
        threads=os.environ.get('OMP_NUM_THREADS'),
        seconds=round(time.time() - start, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        peak_gb=round(peak(), 2),
        peak_gb_before=round(before, 2),
        kinds={},
    )
    for xs in negatives:
        for x in xs:
            result['kinds'][x.kind] = result['kinds'].get(x.kind, 0) + 1
    if not judged:
        result['true'] = {
            k: round(v, 4) for k, v in true_share(dict(enumerate(negatives)), true_of).items()
        }
    print(json.dumps(result))

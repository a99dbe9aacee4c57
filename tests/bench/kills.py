"""Twenty SIGKILLs over a short training and a feature extraction -> results/kills.json.

Run: python tests/bench/kills.py [kills] [seed]
"""

import datetime
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS), str(ROOT)]
from kills import ASSERT_SAME, Runner
from idc_nb.demo import machine
from idc_nb.lab.files import write_json


def measure(runner, what, n, size, ticks, seed) -> dict:
    folder = Path(tempfile.mkdtemp())
    alone, hit = folder / 'alone', folder / 'hit'
    runner.whole(what, alone, size)
    start = time.time()
    killed = runner.killed(what, hit, size, kills=n, ticks=ticks, seed=seed)
    ASSERT_SAME[what](alone, hit)
    seconds = round(time.time() - start, 1)
    return dict(killed=killed, identical=True, size=size, seconds=seconds)


if __name__ == '__main__':
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    out = dict(kills=kills, seed=seed, machine=machine(), date=str(datetime.date.today()))
    with Runner() as runner:
        out['train'] = measure(runner, 'train', kills // 2, 100, 8, seed)
        out['features'] = measure(runner, 'features', kills - kills // 2, 448, 3, seed)
    print(out)
    write_json(ROOT / 'results' / 'kills.json', out, indent=1)

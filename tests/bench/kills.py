"""A hundred SIGKILLs over rendering, features, a training and scoring -> results/kills.json.

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
    start = time.monotonic()
    killed = runner.killed(what, hit, size, kills=n, ticks=ticks, seed=seed)
    ASSERT_SAME[what](alone, hit)
    seconds = round(time.monotonic() - start, 1)
    return dict(killed=killed, identical=True, size=size, seconds=seconds)


#: What is killed -> its size, and the steps of a start among which the kill comes.
RUNS = dict(render=(160, 8), features=(640, 3), train=(200, 8), score=(10, 8))

if __name__ == '__main__':
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    out = dict(kills=0, seed=seed, machine=machine(), date=str(datetime.date.today()))
    with Runner() as runner:
        for i, (what, (size, ticks)) in enumerate(RUNS.items()):
            n = (kills + i) // len(RUNS)  # all together: `kills`
            out[what] = measure(runner, what, n, size, ticks, seed)
            print(what, out[what], flush=True)
            out['kills'] += out[what]['killed']
    write_json(ROOT / 'results' / 'kills.json', out, indent=1)

"""Twenty SIGKILLs over one short training and one feature extraction -> results/kills.json. Run: python tests/bench/kills.py [kills] [seed]"""

import datetime
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
from kills import assert_same, killed, whole
from idc_nb.demo import machine
from idc_nb.lab.files import write_json

kills, seed = (
    int(sys.argv[1]) if len(sys.argv) > 1 else 20,
    int(sys.argv[2]) if len(sys.argv) > 2 else 0,
)
out, tmp = (
    dict(kills=kills, seed=seed, machine=machine(), date=str(datetime.date.today())),
    Path(tempfile.mkdtemp()),
)
for what, n, size, ticks in (
    ('train', kills // 2, 100, 8),
    ('features', kills - kills // 2, 448, 3),
):
    whole(what, tmp / what / 'alone', size)
    start = time.time()
    hit = killed(what, tmp / what / 'hit', n, ticks, seed, size)
    assert_same(what, tmp / what / 'alone', tmp / what / 'hit')
    out[what] = dict(killed=hit, identical=True, size=size, seconds=round(time.time() - start, 1))
    print(what, out[what], flush=True)
    write_json(HERE.parents[1] / 'results' / 'kills.json', out, indent=1)

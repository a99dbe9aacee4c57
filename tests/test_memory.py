"""Memory does not grow with the data set: forty batches out of a store as large as CLEVR-Change's (20 GB, sparse)."""

import json
import os
import subprocess
import sys
from pathlib import Path
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    not sys.platform.startswith('linux'), reason='peak memory is read as Linux gives it'
)
def test_an_epoch_fits_into_two_gigabytes():
    code = "import sys, json; sys.path.insert(0, 'tests/bench'); from memory import measure; print(json.dumps(measure(steps=40)))"
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, env=env, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    m = json.loads(done.stdout.splitlines()[-1])
    assert m['store_gb'] > 20 and m['peak_gb'] - m['gb_before'] < 2, m

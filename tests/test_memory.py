"""Memory does not grow with the data set.

Twenty batches come out of a store as large as that of CLEVR-Change: 20 GB, a sparse file.
"""

import sys
import pytest
from bench.memory import measure


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux counts peaks anew')
def test_an_epoch_fits_into_memory():
    m = measure(steps=20)
    assert m['store_gb'] > 20
    assert m['peak_gb'] - m['gb_before'] < 0.8, m  # the twenty batches alone are 1.6 GB

"""A training and a feature extraction that are killed at random moments end as if left alone.

What they leave behind is the same to the bit.
"""

import os
import pytest
from kills import ASSERT_SAME, Runner


@pytest.fixture(scope='module')
def runner():
    with Runner() as runner:
        yield runner


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
@pytest.mark.parametrize('what, size', [('train', 40), ('features', 96)])
def test_killed(runner, what, size, tmp_path):
    alone, hit = tmp_path / 'alone', tmp_path / 'hit'
    runner.whole(what, alone, size)
    assert runner.killed(what, hit, size, kills=3, ticks=6, seed=0) == 3
    ASSERT_SAME[what](alone, hit)

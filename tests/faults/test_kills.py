"""Rendering, features, training and scoring that are killed at random moments end as if left alone.

What they leave behind is the same to the bit.
"""

import os
import zipfile
import pytest
from idc_nb.lab.checkpoints import newest_checkpoint
from kills import ASSERT_SAME, Runner


@pytest.fixture(scope='module')
def runner():
    with Runner() as runner:
        yield runner


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
@pytest.mark.parametrize('what, size', [('train', 40), ('features', 96), ('render', 24)])
def test_killed(runner, what, size, tmp_path):
    alone, hit = tmp_path / 'alone', tmp_path / 'hit'
    runner.whole(what, alone, size)
    assert runner.killed(what, hit, size, kills=3, ticks=6, seed=0) == 3
    ASSERT_SAME[what](alone, hit)


def test_the_newest_whole_checkpoint_is_used(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    oldest_first = [tmp_path / name for name in ('last.old', 'last.ckpt', 'last.new')]
    for path in oldest_first:
        with zipfile.ZipFile(path, 'w') as z:
            z.writestr('weights', path.name)
        assert newest_checkpoint(tmp_path) == path
    oldest_first[2].write_bytes(b'half')
    with pytest.warns(UserWarning, match='last.new is damaged'):
        assert newest_checkpoint(tmp_path) == oldest_first[1]

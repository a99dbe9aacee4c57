"""A training and a feature extraction that are killed at random moments end as if nothing had happened, bit for bit."""
import pytest
from kills import compare, killed, whole


@pytest.mark.parametrize('what, more', [('train', (40,)), ('features', ())])
def test_killed(what, more, tmp_path):
    seconds = whole(what, tmp_path / 'alone', *more)
    assert killed(what, tmp_path / 'hit', 3, seconds, 0, *more) >= 1
    compare(what, tmp_path / 'alone', tmp_path / 'hit')

"""A training and a feature extraction that are killed at random moments end as if nothing had happened, bit for bit."""

import pytest
from kills import assert_same, killed, whole


@pytest.mark.parametrize('what, size', [('train', 40), ('features', 96)])
def test_killed(what, size, tmp_path):
    whole(what, tmp_path / 'alone', size)
    assert killed(what, tmp_path / 'hit', 3, 6, 0, size) == 3
    assert_same(what, tmp_path / 'alone', tmp_path / 'hit')

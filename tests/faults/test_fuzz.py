"""The fuzzer itself: two seconds of it, and what it takes for a finding."""

import sys
import time
import pytest

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='measures its memory as Linux does')


def test_two_seconds_without_a_finding():
    from fuzz import fuzz

    tried, found = fuzz(2)
    assert tried > 3 and not found, found


def test_a_case_can_be_repeated():
    from fuzz import TARGETS, content_of

    names, seeds = list(TARGETS), {name: make() for name, (make, _, _) in TARGETS.items()}
    for case in range(20):
        assert content_of(case, 0, names, seeds) == content_of(case, 0, names, seeds)
    contents = {content_of(case, 0, names, seeds)[1] for case in range(20)}
    assert len(contents) > 15


def test_what_is_a_finding(tmp_path, monkeypatch):
    import fuzz

    def names_nothing(path):
        raise ValueError('it is broken')

    def names_the_file(path):
        raise ValueError(f'{path} is broken')

    def fills_the_memory(path):
        return bytearray(2**31)

    def never_ends(path):
        end = time.process_time() + 5
        while time.process_time() < end:
            pass

    monkeypatch.setattr(fuzz, 'SECONDS', 0.2)
    path = tmp_path / 'x'
    assert fuzz.attempt(names_the_file, path) is None and fuzz.attempt(str, path) is None
    assert fuzz.attempt(names_nothing, path).startswith('ValueError at test_fuzz.py')
    assert fuzz.attempt(fills_the_memory, path).startswith('MemoryError')
    assert fuzz.attempt(never_ends, path).startswith('Hang')

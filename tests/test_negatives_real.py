"""The builder of negatives on real sentences.

They lie outside the repository; the tests are skipped where they are missing.
"""

import json
from pathlib import Path
import numpy as np
import pytest
from idc_nb.lab.caption_words import clauses, tidy
from idc_nb.lab.sentence_parts import join_parts, read_parts, swap_animals
from idc_nb.negatives import confuse
from idc_nb.world.language import parse

DATA = Path(__file__).parents[2] / 'shared' / 'data'
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason='no ../shared/data here')


def read(name):
    return json.loads((DATA / name).read_text())


def real_changes():  # sentences on changes
    of_kind = read('clevr_change/caption_excerpts.json')['change']
    return [sentence for sentences in of_kind.values() for sentence in sentences]


def test_real_sentences_fall_into_parts_and_back():
    for s in real_changes():
        assert join_parts(**read_parts(s)) == s


def test_confusions_of_real_sentences_mean_something_else():
    rng = np.random.default_rng(0)
    for s in real_changes():
        for _ in range(20):
            new = confuse(s, ['the cube is gone'], ['there is no change'], rng)
            assert parse(new) is not None and parse(new) != parse(s), (s, new)


def test_every_real_description_of_birds_can_be_confused():
    d = read('birds_to_words/descriptions_excerpt.json')
    for s in (*d['readme_pair']['descriptions'], *d['tokenised_other'], *d['paper_figure']):
        new = swap_animals(s)
        assert new and clauses(new) != clauses(s) and swap_animals(new) == tidy(s)
        assert 'animal1' in new and 'animal2' in new

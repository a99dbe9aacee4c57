"""The shipped checkpoint on 30 real CLEVR-Change triplets, whose colour changes a person looked up and wrote down."""

import json
from pathlib import Path
import pytest
import idc_nb
from idc_nb.captioner import SHIPPED
from idc_nb.pairs import read_clevr_change
from idc_nb.world.language import parse

REAL = Path(__file__).parents[2] / 'shared' / 'data' / 'clevr_change'
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason='no ../shared/data/clevr_change here')
ANSWERS = json.loads((Path(__file__).parent / 'real_answers.json').read_text())


@pytest.fixture(scope='module')
def said():
    triplets = [
        t
        for s in ('train', 'val', 'test')
        for t in read_clevr_change(REAL, s, captioned=False, on_disk=True)
    ]
    assert len(triplets) == 60 and {t.kind for t in triplets} == {'color', 'distractor'}
    return list(
        zip(triplets, idc_nb.captions([(t.img1, t.img2) for t in triplets], with_change=True))
    )


def right_colour(triplet, sentence):
    parsed = parse(sentence)
    return (
        bool(parsed)
        and parsed.kind == 'color'
        and parsed.value == ANSWERS[triplet.id[-6:]]['became']
    )


def test_sentences_are_of_the_grammar(said):
    assert all(parse(sentence) for _, (sentence, _) in said)


def test_judging(said):
    right = {
        kind: [(p > 0.5) == t.changed for t, (_, p) in said if t.kind == kind]
        for kind in ('color', 'distractor')
    }
    assert sum(sum(r) / len(r) for r in right.values()) / 2 >= 0.75


def test_new_colour(said):
    changed = [right_colour(t, sentence) for t, (sentence, _) in said if t.changed]
    assert sum(changed) / len(changed) >= 0.40

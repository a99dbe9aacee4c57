"""Our grammar beside sentences and the vocabulary of the real CLEVR-Change.

They lie outside the repository; the tests are skipped where they are missing.
"""

import json
from pathlib import Path
import numpy as np
import pytest
from idc_nb.world.language import ATTRIBUTES, DISTRACTOR, ENDINGS, SAME, WORDS
from idc_nb.world.language import is_true, parse, put_into_words, write_captions
from idc_nb.world.scenes import CHANGES, change, jitter, sample_scene

FOLDER = Path(__file__).parents[2] / 'shared' / 'data' / 'clevr_change'
needs_real = pytest.mark.skipif(not FOLDER.exists(), reason='no ../shared/data/clevr_change')


def read(name):
    return json.loads((FOLDER / name).read_text()) if FOLDER.exists() else {}


def real():  # list of (kind, sentence)
    excerpts = read('caption_excerpts.json')
    of_kind = excerpts.get('change', {}) | {DISTRACTOR: excerpts.get('no_change', [])}
    return [(kind, sentence) for kind, sentences in of_kind.items() for sentence in sentences]


@needs_real
@pytest.mark.parametrize('kind,sentence', real())
def test_real_sentence_is_understood(kind, sentence):
    p = parse(sentence)
    assert p is not None and p.kind == kind
    if kind in ATTRIBUTES:
        assert p.value in ATTRIBUTES[kind]
    rng = np.random.default_rng(0)
    said = {put_into_words(p, rng) for _ in range(1000)}
    assert {parse(s) for s in said} == {p}
    if not (p.expression and p.expression.relation):
        assert sentence in said  # with a relation the wordings are too many to wait for


def assert_heard(expression, text):  # is each part of this name in the expression?
    words = set(text.split())
    assert (expression.size is not None) == bool({'small', 'tiny', 'large', 'big'} & words)
    assert (expression.shape is None) == bool({'thing', 'object'} & words)


@needs_real
@pytest.mark.parametrize('kind,sentence', real())
def test_every_part_of_a_real_sentence_is_heard(kind, sentence):
    e = parse(sentence).expression
    if e is None:
        return
    # the last "the" belongs to the other thing, if there is one
    name, the, rest = sentence.rpartition(' the ')
    if not the:
        name, rest = rest, ''
    assert_heard(e, name)
    assert (e.other is None) == (rest == '')
    if e.other:
        assert_heard(e.other, rest)
    assert (e.relation is not None) == bool(rest)
    assert e.relation is None or e.relation in name.split()


@needs_real
def test_endings_are_those_of_the_real_templates():
    d = read('caption_excerpts.json')
    for kind, texts in d['templates'].items():
        assert set(ENDINGS[kind]) == {t.removeprefix('the <c> ') for t in texts}
    assert set(SAME) == set(d['no_change'])


@needs_real
def test_vocabulary_is_the_real_one():
    special = {'<NULL>', '<UNK>', '<START>', '<END>'}
    assert set(WORDS) == set(read('transformer_vocab.json')) - special


def sample_pair(kind, rng):  # two scenes, or None where the change is impossible
    before = sample_scene(rng)
    after = before if kind == DISTRACTOR else change(before, kind, rng)
    return None if after is None else (before, jitter(after, rng))


@needs_real
def test_generated_sentences_use_real_words_only():
    vocab = set(read('transformer_vocab.json'))
    rng = np.random.default_rng(5)
    n = 0
    while n < 1200:
        pair = sample_pair((*CHANGES, DISTRACTOR)[n // 12 % 6], rng)
        if pair is None:
            continue
        for a, b in (pair, pair[::-1]):
            for c in write_captions(a, b, rng):
                assert set(c.split()) <= vocab and is_true(c, a, b), c
                n += 1

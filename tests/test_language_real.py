"""Our grammar against sentences and the vocabulary of the real CLEVR-Change, kept outside the repository; skipped where they are missing."""

import json
from pathlib import Path
import numpy as np, pytest
from idc_nb.world.language import (
    ATTRIBUTES,
    DISTRACTOR,
    ENDINGS,
    SAME,
    WORDS,
    write_captions,
    is_true,
    parse,
    put_into_words,
)
from idc_nb.world.scenes import CHANGES, change, jitter, sample_scene

FOLDER = Path(__file__).resolve().parents[2] / 'shared' / 'data' / 'clevr_change'
needs_real = pytest.mark.skipif(not FOLDER.exists(), reason='no ../shared/data/clevr_change')


def read(name):
    return json.loads((FOLDER / name).read_text()) if FOLDER.exists() else {}


def real():  # (kind, sentence)
    d = read('caption_excerpts.json')
    return [
        (k, s)
        for k, ss in (*d.get('change', {}).items(), (DISTRACTOR, d.get('no_change', [])))
        for s in ss
    ]


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


@needs_real
@pytest.mark.parametrize('kind,sentence', real())
def test_every_part_of_a_real_sentence_is_heard(kind, sentence):
    e = parse(sentence).expression
    if e is None:
        return
    name, the, rest = sentence.rpartition(
        ' the '
    )  # the last one belongs to the other thing, if there is one
    if not the:
        name, rest = rest, ''
    for x, text in ((e, name), (e.other, rest)):
        words = set(text.split())
        if x is None:
            assert not rest
            continue
        assert (x.size is not None) == bool({'small', 'tiny', 'large', 'big'} & words)
        assert (x.shape is None) == bool({'thing', 'object'} & words)
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


@needs_real
def test_generated_sentences_use_real_words_only():
    vocab, rng, n = set(read('transformer_vocab.json')), np.random.default_rng(5), 0
    while n < 1200:
        before = sample_scene(rng)
        kind = (*CHANGES, DISTRACTOR)[n // 12 % 6]
        after = before if kind == DISTRACTOR else change(before, kind, rng)
        if after is None:
            continue
        after = jitter(after, rng)
        for a, b in ((before, after), (after, before)):
            for c in write_captions(a, b, rng):
                assert set(c.split()) <= vocab and is_true(c, a, b), c
                n += 1

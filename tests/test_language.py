"""Speaking and reading are inverse for every meaning, and the judge accepts every string."""

import random
import string
import time
from dataclasses import replace
from itertools import product
import numpy as np
import pytest
from idc_nb.world import language
from idc_nb.world.language import ATTRIBUTES, RELATIONS, WORDS, Expression, Parsed
from idc_nb.world.language import is_true, parse, pick_word, put_into_words, write_captions
from idc_nb.world.scenes import CHANGES, Scene, change, sample_scene

NAMES = [Expression(*v) for v in product(*((None, *values) for values in ATTRIBUTES.values()))]
CHANGED_VALUES = [(k, v) for k in CHANGES for v in ATTRIBUTES.get(k, (None,))]


def test_inverse():
    rng = np.random.default_rng(0)
    assert len(NAMES) == 3 * 9 * 3 * 4
    for i, e in enumerate(NAMES):
        for kind, value in CHANGED_VALUES:
            related = replace(e, relation=pick_word(list(RELATIONS), rng), other=NAMES[-i])
            for p in Parsed(kind, e, value), Parsed(kind, related, value):
                assert parse(put_into_words(p, rng)) == p


@pytest.mark.parametrize(
    'text',
    [
        'red cube is gone',
        'the red big cube is gone',
        'the cube turned',
        'the cube turned large',
        'the cube left the ball is gone',
        'the cube is gone the ball is gone',
        'the cube is gone..',
    ],
)
def test_not_of_the_grammar(text):
    assert parse(text) is None


STRANGE = [
    *('', ' ', '.', '\n', '\x00', 'the'),
    'the ' * 5000,
    'the thing behind ' * 5000,
    'thing ' * 4999 + 'is gone',
    '(' * 1000,
    '\\d+ .*',
    '1 2 3.5e9 -7',
    'größer 方块 \U0001f600',
    '\ud800',
    '\u202egnorw',
    'ı' * 50,
    'İ',
    'the red cube is g\u0000one',
]


def test_any_string_gets_a_verdict():
    random.seed(0)
    before = sample_scene(np.random.default_rng(0))
    after = change(before, 'color', np.random.default_rng(0))
    words = [' '.join(random.choices(WORDS, k=9)) for _ in range(2000)]
    noise = [''.join(random.choices(string.printable, k=40)) for _ in range(500)]
    start = time.time()
    for text in STRANGE + words + noise:
        assert is_true(text, before, after).wrong == 'grammar', text
    assert time.time() - start < 5


def test_two_pairs_of_twins():
    "The thing that a relation names as the other one has a twin too."
    looks = 'large red metal cube', 'small blue rubber cube'
    directions = language.directions(Scene().camera)

    def thing(id, place, look):
        size, color, material, shape = look.split()
        x, y = place * directions['right'] + place / 2 * directions['behind']
        return language.Thing(id, shape, color, material, size, float(x), float(y), turn=20.0)

    places = zip((-3, -1, 1, 3), (0, 1, 1, 0))
    before = Scene(tuple(thing(i, place, looks[k]) for i, (place, k) in enumerate(places)))
    after = replace(before, things=before.things[1:])
    for caption in write_captions(before, after, np.random.default_rng(0)):
        e = parse(caption).expression
        assert e.relation in ('left', 'front') and e.other, caption
        assert is_true(caption, before, after).unique


def test_descriptions():
    rng = np.random.default_rng(3)
    for n in range(11):
        scene = sample_scene(rng, n) if n else Scene()
        for text in (language.write_description(scene, rng) for _ in range(20)):
            verdict = language.describes(text, scene)
            assert verdict and verdict.found == tuple(range(n))
            one_less = ' '.join(text.split()[4:])
            assert n == 0 or not language.describes(one_less, scene)
    scene = sample_scene(rng, 6)
    for _ in range(300):
        text = ' '.join(pick_word([*WORDS, 'xyz', '?'], rng) for _ in range(rng.integers(30)))
        verdict = language.describes(text, scene)
        assert not verdict and all(0 <= n <= 6 for n in verdict.right.values())

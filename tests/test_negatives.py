"""The negatives' builder: bad inputs, seeds, birds; the faults of a negatives file."""

import json
import numpy as np, pytest
from idc_nb.lab.caption_words import all_different, clauses, exchanges, same_meaning
from idc_nb.lab.caption_words import sample_bird_captions, sample_captions, word_kinds
from idc_nb.lab.negatives_files import NEGATIVE_KINDS, Negative, read_negatives
from idc_nb.lab.sentence_parts import join_parts, read_parts, swap_animals
from idc_nb.negatives import build_negatives, confuse, replace_words, swap_things, swap_value
from idc_nb.world.language import ATTRIBUTES, SAME, SYNONYMS, is_true

CAPTIONS, SCENES = sample_captions(100)
BIRDS = sample_bird_captions(500)


def words(caption):
    return caption.lower().replace('.', '').split()


@pytest.fixture(scope='module')
def negatives():
    return build_negatives(CAPTIONS)


def check(negatives, captions_of, n=6):
    assert list(negatives) == list(captions_of)
    for i, some in negatives.items():
        assert len(some) == len({x.text for x in some}) == n
        own = [words(caption) for caption in captions_of[i]]
        for x in some:
            assert x.kind in ('retrieve', 'replace', 'confuse')
            assert words(x.text) not in own, f'the positive is among the negatives of {i}'
            if x.kind != 'confuse':
                assert sorted(words(x.text)) not in map(sorted, own), f'{x.text!r} only turns words'


def test_six_different_sentences_that_are_no_captions(negatives):
    check(negatives, CAPTIONS)


def test_the_seed_decides(negatives):
    assert build_negatives(CAPTIONS) == negatives
    assert build_negatives(CAPTIONS, seed=1) != negatives
    assert build_negatives(list(CAPTIONS.values())) == list(negatives.values())


def test_a_judge_leaves_nothing_true():
    pure = build_negatives(CAPTIONS, true_of=lambda i, text: bool(is_true(text, *SCENES[i])))
    check(pure, CAPTIONS)
    for i, some in pure.items():
        assert not any(is_true(x.text, *SCENES[i]) for x in some)


def test_one_kind_and_its_reserve():
    few = build_negatives(CAPTIONS, n=4, kinds=('replace',))
    check(few, CAPTIONS, n=4)
    for i, some in few.items():
        expected = 'replace' if i.startswith('change') else 'retrieve'
        assert {x.kind for x in some} == {expected}


@pytest.mark.parametrize(
    'captions, options, message',
    [
        (CAPTIONS, dict(kinds=('swap',)), "unknown kind 'swap'"),
        ({'a': ['the cube is gone'], 'b': []}, {}, "pair 'b' has no caption"),
        ({'a': ['the cube is gone'], 'b': [' . ']}, {}, "pair 'b' has no caption"),
        (
            {'a': ['the cube is gone'], 'b': ['the ball is gone']},
            {},
            'of 6 negatives in 2 captions',
        ),
    ],
)
def test_bad_input_is_told(captions, options, message):
    with pytest.raises(ValueError, match=message):
        build_negatives(captions, **options)


def test_birds_get_negatives_too():
    for i, some in build_negatives(BIRDS).items():
        assert len(some) == 6
        own = [clauses(caption) for caption in BIRDS[i]]
        assert not any(clauses(x.text) in own for x in some)


def test_replaced_words_stay_in_their_kind_and_say_something_else():
    kind_of = {w: a for a in ATTRIBUTES for v in ATTRIBUTES[a] for w in SYNONYMS[v]}
    kind_of |= dict(thing='shape', object='shape')
    captions_of = sample_captions(400)[0].values()
    others = exchanges(word_kinds(all_different(captions_of)), same_meaning(list(captions_of)))
    rng = np.random.default_rng(0)
    for caption in all_different(captions_of):
        new = replace_words(caption, others, rng)
        if caption in SAME:
            assert new is None
            continue
        changed = [(v, w) for v, w in zip(words(caption), words(new), strict=True) if v != w]
        assert 1 <= len(changed) <= 3
        for v, w in changed:
            assert kind_of[v] == kind_of[w]
            assert not any({v, w} <= set(synonyms) for synonyms in SYNONYMS.values())


@pytest.mark.parametrize(
    'swap, old, new',
    [
        (swap_value, 'the big red cube turned blue', 'the big blue cube turned red'),
        (
            swap_value,
            'the metal cube behind the ball became matte',
            'the matte cube behind the ball became metal',
        ),
        (swap_value, 'the big cube turned blue', None),
        (
            swap_things,
            'the cube that is behind the ball is gone',
            'the ball that is behind the cube is gone',
        ),
        (swap_things, 'the cube is gone', None),
    ],
)
def test_confusions(swap, old, new):
    p = swap(read_parts(old), None)
    assert (p and join_parts(**p)) == new


def test_confuse_offers_all_that_fits():
    changes, sames, rng = ['the cube is gone'], ['nothing has changed'], np.random.default_rng(0)
    assert confuse('There is no change', changes, sames, rng) == 'the cube is gone'
    assert confuse('There is no change', [], sames, rng) is None
    caption = 'the red cube behind the ball turned blue'
    assert {confuse(caption, changes, sames, rng) for _ in range(50)} == {
        'the blue cube behind the ball turned red',
        'the ball behind the red cube turned blue',
        'the red cube in front of the ball turned blue',
        'nothing has changed',
    }


@pytest.mark.parametrize(
    'caption',
    [
        'animal1 and animal2 are brown',
        'animal1 is the same size as animal2',
        'both animals have red heads',
        'animal1 is red and animal2 is red',
    ],
)
def test_what_is_said_of_both_birds_cannot_be_confused(caption):
    assert swap_animals(caption) is None


GOOD = dict(img1='a', img2='b', sentences=['x'], neg_samples=['y', 'z'])
NO_SAMPLES = {k: v for k, v in GOOD.items() if k != 'neg_samples'}


@pytest.mark.parametrize(
    'lines, message',
    [
        ([GOOD, '{"img1": "a", '], 'train_neg_tfidf6.json, line 2: not JSON'),
        ([NO_SAMPLES], "line 1: no field 'neg_samples'; it has "),
        ([GOOD | dict(sentences='x')], "line 1: field 'sentences' should be a list of strings"),
        ([GOOD | dict(img1=3)], "line 1: field 'img1' should be a string"),
        ([GOOD | dict(neg_kinds=['retrieve'])], 'for each of the 2 neg_samples'),
        ([GOOD, GOOD | dict(neg_kinds=['retrieve', 'swap'])], 'line 2: '),
        ([GOOD | dict(neg_kinds=[['retrieve'], None])], "field 'neg_kinds' should be one of"),
        (['[]'], 'line 1: expected an object'),
    ],
)
def test_a_broken_line_is_named(tmp_path, lines, message):
    path = tmp_path / 'train_neg_tfidf6.json'
    path.write_text('\n'.join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    with pytest.raises(ValueError) as e:
        read_negatives(path)
    assert message in str(e.value)


def test_good_lines_and_a_missing_file(tmp_path):
    path = tmp_path / 'train_neg_tfidf6.json'
    path.write_text('\ufeff' + json.dumps(GOOD) + '\n\n', encoding='utf-8')
    (row,) = read_negatives(path)
    assert row.negatives == (Negative('y', None), Negative('z', None))
    path.write_text(json.dumps(GOOD | dict(neg_kinds=['retrieve', None])))
    assert read_negatives(path)[0].negatives[0] == Negative('y', NEGATIVE_KINDS[0])
    with pytest.raises(FileNotFoundError, match='none.json is missing'):
        read_negatives(tmp_path / 'none.json')

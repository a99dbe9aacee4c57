"""What must hold for any input: readers, vocabulary, masking, negatives, decoding."""

import json
import tempfile
from pathlib import Path
import pytest
import torch

pytest.importorskip('hypothesis')
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from idc_nb.decode import beam_search, greedy
from idc_nb.finetune import causal_mask, pack, query_mask
from idc_nb.inputs import ModelConfig
from idc_nb.lab.caption_words import tidy
from idc_nb.lab.files import read_lines, read_text
from idc_nb.lab.image_lists import read_list
from idc_nb.lab.other_pairs import content_words, likeness, read_pair_file
from idc_nb.lab.readers import tokenise
from idc_nb.lab.sentence_files import read_sentences
from idc_nb.mlm import mask_words
from idc_nb.model import DifferenceModel
from idc_nb.negatives import build_negatives
from idc_nb.vocab import BOS, EOS, MASK, PAD, SPECIALS, Vocab, load_vocab, pad_ids, save_vocab

settings.register_profile(
    'idc', max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile('idc')
words = st.text('abcdefghij', min_size=1, max_size=5)
sentences = st.lists(words, min_size=1, max_size=12).map(' '.join)
texts = st.text(max_size=60)


def write(content) -> Path:
    path = Path(tempfile.mkdtemp()) / 'x.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- readers


@given(texts, st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16', 'utf-32']))
def test_text_comes_back_in_any_unicode_encoding(text, encoding):
    assume('\0' not in text and '\ufeff' not in text)
    assert read_text(write(text.encode(encoding))) == text


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_with_a_sentence(raw):
    path = write(raw)
    for read in (read_text, read_lines, read_sentences, read_list, read_pair_file):
        try:
            read(path)
        except (ValueError, KeyError) as e:
            assert 'x.txt' in str(e) and '\n' not in str(e.args[0])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(
        ['id', 'img1', 'img2', 'caption', 'captions', 'sentences', 'candidate', 'references',
         'image_id', 'ImgId', 'candidates', 'annotations', 'split', 'kind', 'description']
    ), x, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
@settings(max_examples=300)
def test_any_json_is_read_or_refused_with_a_sentence(value):
    path = write(json.dumps(value))
    for read in (read_sentences, read_pair_file):
        try:
            read(path)
        except (ValueError, KeyError) as e:
            assert 'x.txt' in str(e)


@given(texts)
def test_to_tokenise_or_tidy_twice_changes_nothing(text):
    assert tokenise(tokenise(text)) == tokenise(text)
    assert tidy(tidy(text)) == tidy(text)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
def test_a_list_of_pairs_comes_back(pairs):
    for sign in ('\t', ','):
        assert read_list(write('\n'.join(sign.join(pair) for pair in pairs))) == pairs


# --- vocabulary


@given(st.lists(sentences, min_size=1, max_size=8))
def test_known_sentences_come_back_from_their_ids(some):
    vocab = Vocab.build(some)
    for sentence in some:
        ids = vocab.encode(sentence)
        assert (ids[0], ids[-1]) == (BOS, EOS) and vocab.decode(ids) == sentence
    path = Path(tempfile.mkdtemp()) / 'vocab.json'
    save_vocab(vocab, path)
    assert load_vocab(path).words == vocab.words


@given(st.lists(texts, min_size=1, max_size=5), texts, st.integers(4, 30))
def test_any_text_has_ids_within_the_length(some, other, max_len):
    vocab = Vocab.build(some)
    ids = vocab.encode(other, max_len)
    assert 2 <= len(ids) <= max_len and max(ids) < len(vocab)
    assert not {PAD, MASK} & set(ids) or set(SPECIALS) & set(other.lower().split())


@given(st.lists(st.lists(st.integers(6, 20), max_size=9), min_size=1, max_size=5))
def test_padding_adds_only_padding(rows):
    padded = pad_ids(rows)
    assert [[i for i in row if i != PAD] for row in padded.tolist()] == rows


# --- masking

captions = st.lists(st.lists(st.integers(6, 20), min_size=1, max_size=9), min_size=1, max_size=6)


@given(captions, st.floats(0.05, 1), st.integers(0, 99))
def test_covering_words_keeps_all_others(rows, share, seed):
    torch.manual_seed(seed)
    ids = pad_ids([[BOS, *row, EOS] for row in rows])
    masked, target = mask_words(ids, 21, share)
    asked = target >= 0
    assert (target[asked] == ids[asked]).all() and (masked[~asked] == ids[~asked]).all()
    assert not asked[ids == PAD].any() and not asked[ids == BOS].any()
    assert masked.max() < 21


@given(captions)
def test_no_word_sees_a_later_one(rows):
    ids = pad_ids([[BOS, *row, EOS] for row in rows])
    T = ids.shape[1]
    assert not causal_mask(T, 3)[:, 3:].triu(1).any() and causal_mask(T, 3)[:, :3].all()
    word, target, place, caption = pack(ids, 1)
    P = word.shape[1]
    assert sorted(target[0].tolist()) == sorted(ids[:, 1:][ids[:, 1:] != PAD].tolist())
    mask = query_mask(place, caption, 3)[0, 0]
    for query in range(2 * P):
        seen = mask[query, 3 : 3 + P].nonzero().flatten()
        assert (caption[0, seen] == caption[0, query % P]).all()
        assert (place[0, seen] <= place[0, query % P]).all()
        others = mask[query, 3 + P :].nonzero().flatten().tolist()
        assert others == ([query - P] if query >= P else [])


# --- negatives


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=15)
def test_no_caption_of_a_pair_is_its_negative(seed, n):
    from idc_nb.lab.caption_words import sample_bird_captions

    said = sample_bird_captions(40, seed)
    negatives = build_negatives(said, n, seed=seed)
    assert negatives == build_negatives(said, n, seed=seed)
    for id, some in negatives.items():
        assert len({x.text for x in some}) == n
        assert not {x.text for x in some} & {tidy(caption) for caption in said[id]}


@given(sentences, sentences)
def test_likeness_is_symmetric_and_a_sentence_is_like_itself(a, b):
    a, b = content_words(a), content_words(b)
    assert 0 <= likeness(a, b, {}) == likeness(b, a, {}) <= 1 == likeness(a, a, {})


# --- decoding


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 9))
@settings(max_examples=25)
def test_a_caption_begins_ends_and_does_not_depend_on_its_neighbours(seed, B, max_len):
    torch.manual_seed(seed)
    sizes = dict(dim=24, heads=4, ff=40, cross_layers=1, dropout=0.0)
    model = DifferenceModel(ModelConfig(8, 15, **sizes)).eval()
    img1, img2 = torch.randn(2, B, 49, 8)
    ids, p = greedy(model, img1, img2, max_len)
    assert ids.shape[1] <= max_len and (ids[:, 0] == BOS).all() and ((0 <= p) & (p <= 1)).all()
    for row in ids.tolist():
        if EOS in row:
            assert set(row[row.index(EOS) :]) == {EOS}
    alone, _ = greedy(model, img1[:1], img2[:1], max_len)
    assert Vocab(map(str, range(9))).decode(alone[0]) == Vocab(map(str, range(9))).decode(ids[0])
    beam, _, _ = beam_search(model, img1, img2, 1, 0.0, max_len)
    n = min(beam.shape[1], ids.shape[1])
    assert beam[:, :n].equal(ids[:, :n])

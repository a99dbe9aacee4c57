"""A [MASK] at every place against one question at a time: gradients, leaks, the judge."""

from types import SimpleNamespace
import pytest
import torch
import torch.nn.functional as F
from idc_nb.finetune import (
    causal_mask,
    judge_loss,
    masked_word_loss,
    pack,
    query_mask,
    query_word_loss,
)
from idc_nb.inputs import ModelConfig
from idc_nb.mlm import mask_words
from idc_nb.model import DifferenceModel
from idc_nb.vocab import BOS, EOS, MASK, PAD, pad_ids

LENGTHS = 4, 2, 5, 3, 0, 2  # words of three captions of each of two pairs


@pytest.fixture
def batch():  # a model, what it makes of two pairs (2,12,24), and six captions
    torch.manual_seed(0)
    config = ModelConfig(channels=11, vocab=13, dim=24, heads=3, ff=40, cells=5, dropout=0.0)
    model = DifferenceModel(config)
    images = model.images(torch.randn(2, 5, 11), torch.randn(2, 5, 11))
    ids = pad_ids([[BOS, *torch.randint(6, 13, (n,)).tolist(), EOS] for n in LENGTHS])
    return model, images, ids


def one_at_a_time(model, images, ids):  # loss of every word, asked alone after the words before it
    losses = []
    for row, caption in enumerate(ids):
        _, past = model.cross_encoder(images[row // 3 : row // 3 + 1])
        words = caption[caption != PAD]
        for t in range(1, len(words)):
            question = torch.cat([words[:t], torch.tensor([MASK])])[None]
            mask = causal_mask(t + 1, images.shape[1])
            h = model.read_text(model.embed.text(question), past, mask)
            losses.append(F.cross_entropy(model.word_head(h[0, -1]), words[t]))
    return torch.stack(losses).mean()


def test_gradients_agree(batch):
    model, images, ids = batch
    weights = [p for name, p in model.named_parameters() if 'judge' not in name]
    ours = query_word_loss(model, images, ids)[0]
    expected = one_at_a_time(model, images, ids)
    assert torch.allclose(ours, expected, atol=1e-5)
    ours = torch.autograd.grad(ours, weights, retain_graph=True)
    for a, b in zip(ours, torch.autograd.grad(expected, weights)):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize('loss', [query_word_loss, masked_word_loss])
def test_the_judges_vectors_come_in_the_order_of_the_pairs(batch, loss):
    model, images, ids = batch
    h, _ = model.cross_encoder(images)
    assert torch.allclose(loss(model, images, ids)[1], h[:, model.summaries], atol=1e-5)


def test_a_later_word_does_not_leak(batch):
    "Changing the last word of a caption is noticed by the [MASK] behind it, and by no other."
    model, images, ids = batch
    _, past = model.cross_encoder(images)

    def answers(word, place, caption):  # vectors of the [MASK]s, (B,P,d)
        words = model.embed.text(word, place)
        masks = model.embed.text(torch.full_like(word, MASK), place + 1)
        mask = query_mask(place, caption, images.shape[1])
        return model.read_text(torch.cat([words, masks], 1), past, mask)[:, word.shape[1] :]

    word, target, place, caption = pack(ids, 2)
    assert [len(row[row != PAD]) for row in target] == [14, 8]  # words and EOS of each pair
    other = word.clone()
    other[0, 4] = 6 if word[0, 4] > 6 else 7  # the last word of the first caption
    change = (answers(word, place, caption) - answers(other, place, caption)).abs().amax(2)
    assert change[0, 4] > 1e-4
    change[0, 4] = 0
    assert change.max() < 1e-6


def test_captions_in_one_row_cost_what_captions_in_rows_of_their_own_cost(batch):
    model, images, ids = batch
    losses = []
    for x in (images, images.repeat_interleave(3, 0)):
        torch.manual_seed(1)  # the same words are covered
        losses.append(masked_word_loss(model, x, ids)[0])
    assert torch.allclose(*losses, atol=1e-6)


def test_as_many_words_are_covered_as_asked(batch):
    model, images, ids = batch

    def every_word(ids, n_words, *_):
        return mask_words(ids, n_words, 1.0)

    losses = []
    for options in (dict(share=1.0), dict(cover=every_word)):
        torch.manual_seed(1)
        losses.append(masked_word_loss(model, images, ids, **options)[0])
    assert losses[0] == losses[1]


def test_each_pair_is_judged_alone():
    logits = torch.tensor([[2.0, 1], [0, 3], [1, 0]])
    fixed = SimpleNamespace(judge_logits=lambda h: h)
    loss, right = judge_loss(fixed, logits, torch.tensor([0, 1, 1]))
    costs = F.softplus(torch.tensor([-1.0, -3, 1]))  # log(1 + e^(wrong - right))
    assert torch.isclose(loss, costs.mean()) and torch.isclose(right, torch.tensor(2 / 3))


def test_words_of_long_captions_stay_in_order():
    words = [[BOS, *range(7, 7 + n)] for n in (3, 30, 11)]
    word, _, place, caption = pack(pad_ids([[*row, EOS] for row in words]), 1)
    assert word[0].tolist() == sum(words, [])
    assert place[0].tolist() == [t for row in words for t in range(len(row))]
    assert caption[0].tolist() == [k for k, row in enumerate(words) for _ in row]

"""More cases of the model than its lesson shows."""

import pytest
import torch
from torch import nn
from idc_nb.inputs import IMG2, ModelConfig, paper_config, tiny_config
from idc_nb.model import DifferenceModel, born_matching, other_image_mask


@pytest.fixture
def model():
    torch.manual_seed(0)
    c = ModelConfig(channels=11, vocab=13, dim=24, heads=3, ff=40, cells=5, dropout=0.0)
    return DifferenceModel(c).requires_grad_(False)


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(2, 5, 11), torch.randn(2, 5, 11)


def layer_parameters(d, f):
    attention = 4 * (d * d + d)
    feed_forward = (d * f + f) + (f * d + d)
    norms = 2 * 2 * d
    return attention + feed_forward + norms


def model_parameters(c):
    layers = c.single_layers + c.pair_layers + c.cross_layers
    embedding = c.vocab * c.dim + 7 * c.dim + (c.channels * c.dim + c.dim) + 2 * c.dim
    first_norms = 3 * 2 * c.dim
    heads = (c.dim * c.vocab + c.vocab) + (4 * c.dim + 2)
    return embedding + layers * layer_parameters(c.dim, c.ff) + first_norms + heads


@pytest.mark.parametrize(
    'config, millions', [(paper_config(), 16.90), (tiny_config(460, 76), 0.36)]
)
def test_number_of_parameters(config, millions):
    n = sum(p.numel() for p in DifferenceModel(config).parameters())
    assert n == model_parameters(config)
    assert round(n / 1e6, 2) == millions


def test_shapes_of_the_heads(model, images):
    h = model(*images, model.embed.text(torch.randint(6, 13, (2, 4))))
    assert h.shape == (2, 2 * 6 + 4, 24)
    assert model.word_head(h[:, 12:]).shape == (2, 4, 13)
    assert model.judge_logits(h).shape == (2, 2)
    torch.testing.assert_close(model.judge_logits(h[:, [0, 6]]), model.judge_logits(h))


def test_one_image(model, images):
    alone = model.perceive(images[0])
    assert model.images(images[0]).shape == (2, 5 + 2, 24)
    torch.testing.assert_close(alone[:, :6], model.perceive(*images)[:, :6])
    torch.testing.assert_close(alone[:, 6:], model.embed.summary(IMG2, 2))


def test_perception_shares_its_weights(model, images):
    model.embed.type_embedding.weight.zero_()  # else the type tells the images apart
    both = model.perceive(images[0], images[0])
    torch.testing.assert_close(both[:, :6], both[:, 6:])


def test_text_after_images(model, images):
    text = model.embed.text(torch.randint(6, 13, (2, 4)))
    mask = torch.ones(16, 16, dtype=torch.bool)
    mask[:12, 12:] = False  # images do not look at text
    whole, _ = model.cross_encoder(torch.cat([model.images(*images), text], 1), mask)
    h, past = model.read_images(*images)
    torch.testing.assert_close(h, whole[:, :12])
    torch.testing.assert_close(model.read_text(text, past, mask[12:]), whole[:, 12:])


def test_other_image_mask():
    mask = other_image_mask(2)
    assert mask[1].tolist() == [False] * 3 + [True] * 3  # a cell of image 1
    assert mask[4].tolist() == [True] * 3 + [False] * 3  # a cell of image 2
    assert mask[0].all() and mask[3].all()  # the summary tokens


def test_a_born_matcher_looks_at_its_equal(images):
    torch.manual_seed(0)
    c = ModelConfig(channels=11, vocab=13, dim=24, heads=3, cells=5, dropout=0.0, matcher=True)
    attention = DifferenceModel(c).requires_grad_(False).pair_encoder.layers[0].attention
    born_matching(attention, gain=5.0)
    x = nn.functional.layer_norm(torch.randn(1, 6, 24), (24,))
    weights = attention.weights(x, attention.keys_values(x)[0]).mean(1)  # (1,6,6)
    assert weights.argmax(-1).tolist() == [list(range(6))]
    keys, values = attention.keys_values(x)
    subtracted = -0.5 * attention.weights(x, keys) @ values  # (1,h,6,d/h)
    joined = subtracted.transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x, keys, values), joined)


def test_only_a_matcher_has_a_mask(model):
    assert model.pair_mask is None
    matcher = DifferenceModel(tiny_config(460, 76))
    assert torch.equal(matcher.pair_mask, other_image_mask(49))
    assert 'pair_mask' not in matcher.state_dict()

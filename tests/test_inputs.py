"""More cases of the input embedding than its lesson shows."""

import pytest
import torch
from idc_nb.inputs import IMG1, TEXT_CLS, InputEmbedding, ModelConfig, layer_norm, whiten


@pytest.fixture
def embed():
    torch.manual_seed(0)
    c = ModelConfig(channels=11, vocab=13, dim=8, heads=2, cells=5, dropout=0.0)
    return InputEmbedding(c).requires_grad_(False)


@pytest.fixture
def img():
    return torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(1))


def test_shapes(embed, img):
    assert embed.image(img).shape == (3, 1 + 5, 8)
    assert embed.text(torch.zeros(3, 4, dtype=int)).shape == (3, 4, 8)
    assert embed.summary(TEXT_CLS, 3).shape == (3, 1, 8)


def test_the_summary_token_is_first(embed, img):
    torch.testing.assert_close(embed.image(img)[:, :1], embed.summary(IMG1, 3))


def test_types_tell_the_images_apart(embed, img):
    first, second = embed.image(img), embed.image(img, second=True)
    assert not torch.allclose(first[:, 1:], second[:, 1:])


def test_given_positions(embed):
    ids = torch.tensor([[6, 7, 8, 9]])
    moved = embed.text(ids, torch.tensor([2, 3, 0, 1]))
    torch.testing.assert_close(moved[:, 2:], embed.text(ids.roll(2, 1))[:, :2])
    with pytest.raises(ValueError, match='a caption of 201 ids: expected at most 200'):
        embed.text(ids[:, :1], torch.tensor([200]))


def test_noise_only_in_training(img):
    c = ModelConfig(channels=11, vocab=13, dim=8, heads=2, cells=5, dropout=0.0, noise=0.1)
    embed = InputEmbedding(c)
    assert not torch.equal(embed.image(img), embed.image(img))
    embed.eval()
    assert torch.equal(embed.image(img), embed.image(img))


def test_exact_layer_norm_of_a_constant_row():
    assert layer_norm(7, exact=True)(torch.ones(1, 7)).abs().max() == 0


def test_whitening_gives_equal_components(embed):
    cells = 3 + torch.randn(40_000, 11) @ torch.randn(11, 11)  # correlated, off centre
    whiten(embed, cells, components=6)
    x = embed.project(embed.standardise(cells))
    assert abs(x.std() - 2.0) < 0.1 and x.mean(0).abs().max() < 0.1
    parts = torch.linalg.svdvals(x - x.mean(0)) / len(x) ** 0.5
    assert (parts[:6] / parts[0] - 1).abs().max() < 0.1
    assert parts[6] < 1e-3 * parts[0]

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


@pytest.mark.parametrize('dead', [0.0, 7.3, -1234.5])
def test_whitening_with_fewer_directions_than_components(dead):
    made = torch.randn(900, 6, generator=torch.Generator().manual_seed(2))
    made[:, 2], made[:, 4] = dead, 3 * made[:, 1]  # a dead channel, a repeated one
    embed = InputEmbedding(ModelConfig(6, vocab=13, dim=8, heads=2)).requires_grad_(False)
    whiten(embed, made)
    sizes = torch.linalg.svdvals(embed.project.weight)
    assert embed.project.weight.isfinite().all() and (sizes > 0.01).sum() == 4
    assert embed.project.weight[:, 2].abs().max() < 1e-6 and embed.std[2] == 1
    made[0, 2] += 1  # the dead channel wakes up in another picture
    assert (embed.project(embed.standardise(made[:1])).abs() < 20).all()


@pytest.mark.parametrize('cells', [torch.full((50, 11), 7.3), torch.zeros(9, 11)])
def test_cells_that_do_not_vary_cannot_be_whitened(embed, cells):
    with pytest.raises(ValueError, match='all cells are the same: expected a sample that varies'):
        whiten(embed, cells)


def test_whitening_a_few_cells(embed):
    whiten(embed, torch.randn(7, 11))
    assert embed.project.weight.isfinite().all() and embed.project.weight.any()

"""Covered cells, one at a time; what a covered cell holds; the head in both kinds of LayerNorm."""

from dataclasses import replace
import pytest, torch
import torch.nn.functional as F
from idc_nb.inputs import ModelConfig, tiny_config, whiten
from idc_nb.lab.left_out import cell_mse_loss
from idc_nb.lab.store import lesson_store
from idc_nb.mlm import read_pair
from idc_nb.model import DifferenceModel
from idc_nb.mvcl import CellHead, choose_cells, mask_cells, mvcl_loss, predict_cells

CONFIG = ModelConfig(channels=11, vocab=13, dim=8, heads=2, ff=12, cells=5, dropout=0.0)


@pytest.fixture
def small():
    torch.manual_seed(0)
    model, head = DifferenceModel(CONFIG).eval(), CellHead(CONFIG)
    for p in head.parameters():
        torch.nn.init.normal_(p)
    img1, img2, ids = torch.randn(3, 5, 11), torch.randn(3, 5, 11), torch.randint(6, 13, (3, 4))
    return model, head, img1, img2, ids


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_cells_are_chosen_by_the_generator():
    chosen = choose_cells(40, 11, generator=generator())
    assert chosen.shape == (40, 2, 11) and chosen.dtype == torch.bool
    assert torch.equal(chosen, choose_cells(40, 11, generator=generator()))


def test_a_covered_cell_holds_what_one_says():
    grid = torch.arange(24.0).view(2, 3, 4) + 1
    some = torch.tensor([[True, False, False], [False, True, True]])
    covered = mask_cells(grid, some, torch.zeros(4))
    assert torch.equal(covered[some], torch.zeros(3, 4))
    assert torch.equal(covered[~some], grid[~some])
    nothing = torch.tensor([7.0, 8, 9, 10])
    assert torch.equal(mask_cells(grid, some, nothing)[1, 2], nothing)


@pytest.mark.parametrize('exact', [False, True])
def test_the_head_is_its_formula(exact):
    torch.manual_seed(0)
    head = CellHead(replace(CONFIG, exact=exact))
    for p in head.parameters():
        torch.nn.init.normal_(p)
    h, W = 3 * torch.randn(2, 5, 8), torch.randn(8, 11)
    linear, _, norm = head.net
    x = F.gelu(h @ linear.weight.T + linear.bias)
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.std(-1, keepdim=True) if exact else x.pow(2).mean(-1, keepdim=True).sqrt())
    x = x * norm.weight + norm.bias
    expected = torch.einsum('dc,bnd->bnc', W, x) + head.bias
    assert torch.allclose(head(h, W), expected, atol=1e-3)
    assert (
        sum(p.numel() for p in head.parameters()) == 8 * 8 + 8 + 2 * 8 + 11
    )  # W is not among them


def test_one_covered_cell_at_a_time(small):
    model, head, img1, img2, ids = small
    chosen = choose_cells(3, 5, generator=generator())
    said, truth, others = predict_cells(model, head, img1, img2, ids, chosen)
    places = chosen.nonzero().tolist()  # pair, image, cell
    assert len(said) == len(truth) == len(places) and len(others) == 30 - len(places)
    for m, (b, image, n) in enumerate(places):
        grids = [img1[b : b + 1].clone(), img2[b : b + 1].clone()]
        assert torch.equal(truth[m], grids[image][0, n])  # nothing was whitened: the raw cell
        grids[image][0, chosen[b, image]] = 0.0
        h = read_pair(model, *grids, ids[b : b + 1])[0]
        start = 1 if image == 0 else 1 + 5 + 1  # [IMG1] cells [IMG2] cells
        expected = head(h[start + n], model.embed.project.weight)
        assert torch.allclose(said[m], expected, atol=1e-4)


def test_the_tied_weight_learns_through_the_head(small):
    model, head, img1, img2, ids = small
    W = model.embed.project.weight
    h = read_pair(model, img1, img2, ids)[:, 1:6].detach()
    (through_head,) = torch.autograd.grad(head(h, W).sum(), W)
    expected = head.net(h).detach().sum((0, 1))[:, None].expand(8, 11)
    assert torch.allclose(through_head, expected, atol=1e-3)


def test_whitened_cells_are_covered_by_the_mean_and_compared_standardised():
    store = lesson_store()
    c = tiny_config(store.grids.shape[2], 20)
    torch.manual_seed(0)
    model, head = DifferenceModel(c), CellHead(c)
    whiten(model.embed, store.sample_cells())
    cells, read = torch.tensor(store.grids[:20]).float(), []
    model.embed.project.register_forward_pre_hook(lambda _, x: read.append(x[0]))
    everything, ids = torch.ones(20, 2, 49, dtype=torch.bool), torch.full((20, 3), 7)
    with torch.no_grad():
        _, truth, _ = predict_cells(model, head, cells, cells, ids, everything)
    assert torch.stack(read).abs().max() < 1e-6  # what the projection read
    assert abs(truth.std() - 1) < 0.1 and abs(truth.mean()) < 0.1


def test_regression(small):
    model, head, img1, img2, ids = small
    chosen = choose_cells(3, 5, generator=generator())
    said, truth, _ = predict_cells(model, head, img1, img2, ids, chosen)
    loss, found = cell_mse_loss(model, head, img1, img2, ids, generator=generator())
    assert torch.allclose(loss, (said - truth).pow(2).mean())
    assert found == mvcl_loss(model, head, img1, img2, ids, generator=generator())[1]


def test_one_image_alone(small):
    model, head, img1, _, ids = small
    loss, _ = mvcl_loss(model, head, img1, None, ids, generator=generator())
    assert loss.isfinite()

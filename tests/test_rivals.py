"""Every system learns 32 pairs by heart, and trains without asking the processor for a number."""

import pytest
import torch
from idc_nb.lab.rival_runs import memorised, new_rival
from idc_nb.lab.store import lesson_store
from idc_nb.rivals import RIVALS
from idc_nb.vocab import BOS, EOS, PAD, Vocab

WORDS = Vocab('abcdefgh')


def batch(device='cpu', B=4, K=3, T=7, C=460):
    torch.manual_seed(0)
    grids = [torch.randn(B, 49, C).to(device) for _ in '12']
    ids = torch.randint(6, len(WORDS), (B * K, T))
    ids[:, 0], ids[:, -2], ids[:, -1] = BOS, EOS, PAD
    return *grids, ids.to(device), torch.tensor([1, 0] * (B // 2), device=device)


@pytest.mark.parametrize('name', RIVALS)
def test_learns_by_heart(name):
    torch.set_num_threads(1)
    assert memorised(name) >= 0.95


@pytest.mark.parametrize('name', RIVALS)
def test_loss_needs_no_number_on_the_way(name):
    "A meta tensor has no numbers and no processor beside it: a step could be recorded on a GPU."
    model = RIVALS[name](460, len(WORDS)).to('meta')
    loss, figures = model.loss(*batch('meta'))
    assert loss.shape == () and set(figures) == {'words', 'right'}
    loss.backward()


@pytest.mark.parametrize('name', RIVALS)
def test_shapes_gradients_and_seed(name):
    model = new_rival(name, lesson_store(), WORDS, seed=3)
    again = new_rival(name, lesson_store(), WORDS, seed=3)
    some = batch()
    losses = []
    for m in (model, again):
        torch.manual_seed(1)
        losses.append(m.loss(*some)[0])
    assert losses[0] == losses[1]
    losses[0].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    ids, maps, _ = model.eval().speak(*some[:2], max_len=6)
    assert maps.shape == (4, 2, 49) and ids.shape[0] == 4 and ids.shape[1] <= 6


@pytest.mark.parametrize('name', RIVALS)
def test_a_pair_is_read_alone(name):
    model = new_rival(name, lesson_store(), WORDS).eval()
    img1, img2, _, _ = batch()
    ids, maps, _ = model.speak(img1, img2, 6)
    _, alone, _ = model.speak(img1[:1], img2[:1], 6)
    assert torch.allclose(maps[:1], alone, atol=1e-5)

"""MLM, MVCL and its regression variant in exact mode: the released code's losses and gradients (skipped where its fixtures are missing)."""
import json
import numpy as np, pytest, torch
import torch.nn.functional as F
from safetensors.torch import load_file
from idc_nb.inputs import ModelConfig
from idc_nb.mlm import mlm_logits, read_pair, word_loss
from idc_nb.model import DifferenceModel
from idc_nb.mvcl import CellHead, cell_logits, predict_cells
from test_released import FIXTURES, close, our_name

pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason='no ../shared/fixtures here')

HEAD = {'feat_regress.bias': 'bias', 'feat_regress.net.0.weight': 'net.0.weight', 'feat_regress.net.0.bias': 'net.0.bias',
        'feat_regress.net.2.a_2': 'net.2.weight', 'feat_regress.net.2.b_2': 'net.2.bias'}
ELSEWHERE = 'aligner.', 'pooler.', 'classifier.'     # heads of tasks that are not asked here


@pytest.fixture(scope='module')
def pretrained():
    arrays = {k: torch.from_numpy(v) for k, v in np.load(FIXTURES / 'clver_pretrain.npz').items()}
    theirs = load_file(FIXTURES / 'clver_pretrain.state.safetensors')
    c = ModelConfig(channels=32, vocab=50, dim=64, heads=4, ff=128, cross_layers=3, cells=9, exact=True)
    model, head = DifferenceModel(c).eval(), CellHead(c).eval()
    head.load_state_dict({HEAD[k]: v for k, v in theirs.items() if k in HEAD})
    state, own = {our_name(k): v for k, v in theirs.items()}, model.state_dict()
    model.load_state_dict({**own, **{k: v for k, v in state.items() if k in own and not k.startswith('judge.')}})
    assert set(own) - set(state) <= {'embed.mean', 'embed.std', 'judge.weight', 'judge.bias'}
    assert torch.equal(theirs['feat_regress.weight'], theirs['img_project.0.weight'])
    return model, head, arrays


def check_gradients(model, head, loss, norms):
    "Every parameter of theirs: the norm of its gradient; 0 where the loss does not reach."
    model.zero_grad(); head.zero_grad()
    loss.backward()
    ours = dict(model.named_parameters()) | {f'head.{n}': p for n, p in head.named_parameters()}
    names, seen = json.loads((FIXTURES / 'meta.json').read_text())['clver_pretrain']['param_names'], set()
    assert len(names) == len(norms)
    for theirs, norm in zip(names, norms.tolist()):
        if theirs.startswith(ELSEWHERE): assert norm == 0; continue
        name = f'head.{HEAD[theirs]}' if theirs in HEAD else our_name(theirs)
        grad = ours[name].grad
        assert (0. if grad is None else grad.norm().item()) == pytest.approx(norm, rel=1e-4, abs=1e-4), theirs
        seen.add(name)
    assert {n for n in ours if not n.startswith('judge.')} == seen       # none of ours is left out


def test_mlm(pretrained):
    model, head, a = pretrained
    images = [a['mlm_in_img1'], a['mlm_in_img2']]
    wanted = a['mlm_in_cap_label'] >= 0
    for i, which in enumerate(('img1', 'img2')):
        close(model.single_encoder(model.embed.image(images[i], i == 1))[0], a[f'mlm_single_{which}'])
    close(model.images(*images), a['mlm_double'])
    close(read_pair(model, *images, a['mlm_in_cap']), a['mlm_encoder'])
    logits = mlm_logits(model, *images, a['mlm_in_cap'])
    close(logits[wanted], a['mlm_scores'])
    close(F.cross_entropy(logits[wanted], a['mlm_in_cap_label'][wanted], reduction='none'), a['mlm_loss'])
    loss = word_loss(logits, a['mlm_in_cap_label'])
    close(loss, a['mlm_loss_mean'])
    check_gradients(model, head, loss, a['mlm_grad_norms'])


def cells(pretrained):
    "The fixture's batch, uncovered, and what is to be covered: (B,2,N)."
    model, head, a = pretrained
    grids, chosen = (a[k].unflatten(1, (2, 9)) for k in ('mvm_in_img_label', 'mvm_in_img_mask'))
    for i in (0, 1): assert torch.equal(grids[:, i].masked_fill(chosen[:, i, :, None], 0.), a[f'mvm_in_img{i + 1}'])
    assert not (chosen[:, 0].any(1) & chosen[:, 1].any(1)).any()          # one image of each pair
    return predict_cells(model, head, grids[:, 0], grids[:, 1], a['mvm_in_cap'], chosen)


def test_mvcl(pretrained):
    model, head, a = pretrained
    said, truth, others = cells(pretrained)
    close(said, a['mvm_pred']); close(truth, a['mvm_target']); close(others, a['mvm_neg'])
    logits = cell_logits(said, truth, others, temperature=1.0)
    losses = F.cross_entropy(logits, torch.arange(len(logits)), reduction='none')
    close(losses, a['mvm_loss']); close(losses.mean(), a['mvm_loss_mean'])
    check_gradients(model, head, losses.mean(), a['mvm_grad_norms'])
    close(model.embed.project.weight.grad, a['mvm_grad_img_project_weight'])


def test_regression(pretrained):
    said, truth, _ = cells(pretrained)
    close(F.mse_loss(said, truth), pretrained[2]['mvm_l2_loss_mean'])

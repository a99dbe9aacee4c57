"""FDA and image-text matching give the released code's numbers (skipped where its fixtures are missing)."""
import sys
from pathlib import Path
import numpy as np, pytest, torch
from safetensors.torch import load_file
from idc_nb.fda import fda_similarities, fda_loss, match_loss, match_logits, ranking_loss, summaries
from idc_nb.inputs import ModelConfig
from idc_nb.model import DifferenceModel
sys.path.insert(0, str(Path(__file__).parent))
from test_released import FIXTURES, close, our_name

pytestmark = pytest.mark.skipif(not (FIXTURES / 'clver_pretrain.npz').is_file(), reason='no ../shared/fixtures here')
TEMPERATURE = 0.7  # of the fixture
HEADS = dict(itm_a='pooler', itm_b='aligner')


@pytest.fixture(scope='module')
def weights(): return load_file(FIXTURES / 'clver_pretrain.state.safetensors')


@pytest.fixture(scope='module')
def arrays(): return {k: torch.from_numpy(v) for k, v in np.load(FIXTURES / 'clver_pretrain.npz').items()}


@pytest.fixture()
def model(weights):
    model = DifferenceModel(ModelConfig(channels=32, vocab=50, dim=64, heads=4, ff=128, cross_layers=3, cells=9, exact=True)).eval()
    own = model.state_dict()
    state = {our_name(k): v for k, v in weights.items() if not k.startswith('pooler')}   # there it is a head of matching
    missing, _ = model.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    assert set(missing) == {'embed.mean', 'embed.std', 'judge.weight', 'judge.bias'}
    return model


def pairs(a, task, *names): return [a[f'{task}_in_{n}'] for n in ('img1', 'img2', *names)]


def test_summaries(model, arrays):
    img1, img2, ids = pairs(arrays, 'fda', 'caps')
    h1, h2, cls = summaries(model, model.images(img1, img2).repeat_interleave(7, 0), ids.flatten(0, 1))
    close((h1 + h2) / 2, arrays['fda_img_cls'])
    close(cls, arrays['fda_text_cls'])


def test_similarities(model, arrays):
    sims = fda_similarities(model, *pairs(arrays, 'fda', 'caps'))
    close(sims, arrays['fda_sims'])
    close(sims[:, 0].mean(), arrays['fda_pos_sim'])
    close(sims[:, 1:].mean(), arrays['fda_neg_sim'])
    assert (ranking_loss(sims, 1.)[0] - arrays['fda_loss']).abs() > 0.01, 'the fixture would not notice the temperature'


def test_fda_loss_and_gradients(model, arrays, weights):
    import json
    loss, first = fda_loss(model, *pairs(arrays, 'fda', 'caps'), TEMPERATURE)
    close(loss, arrays['fda_loss']); assert float(first) == float(arrays['fda_acc'])
    loss.backward()
    names = json.loads((FIXTURES / 'meta.json').read_text())['clver_pretrain']['param_names']
    params, checked = dict(model.named_parameters()), 0
    for name, norm in zip(names, arrays['fda_grad_norms'].tolist()):
        p = params.get(our_name(name)) if not name.startswith('pooler') else None
        if p is None: assert norm == 0 or name.split('.')[0] in ('pooler', 'aligner', 'feat_regress'), name; continue
        own = 0. if p.grad is None else p.grad.norm().item()
        assert own == pytest.approx(norm, rel=1e-4, abs=1e-4 * 1e-2), name
        checked += 1
    assert checked > 90


@pytest.mark.parametrize('task', HEADS)
def test_matching(model, arrays, weights, task):
    head = torch.nn.Linear(3 * 64, 2)
    head.load_state_dict({k: weights[f'{HEADS[task]}.0.{k}'] for k in ('weight', 'bias')})
    img1, img2, ids, aligned = pairs(arrays, task, 'cap', 'align_label')
    close(match_logits(model, head, img1, img2, ids), arrays[f'{task}_scores'])
    close(match_loss(model, head, img1, img2, ids, aligned[:, 0])[0], arrays[f'{task}_loss'].mean())

"""The model in its exact mode gives the released code's numbers (skipped where its fixtures are missing)."""
from pathlib import Path
import numpy as np, pytest, torch
import torch.nn.functional as F
from safetensors.torch import load_file
from idc_nb.inputs import ModelConfig
from idc_nb.model import DifferenceModel

FIXTURES = Path(__file__).parents[2] / 'shared' / 'fixtures'
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason='no ../shared/fixtures here')

NAMES = {'word_embedding.': 'embed.word_embedding.', 'img_project.0.': 'embed.project.',
         'position_encoding.type_pe.': 'embed.type_embedding.', 'position_encoding.layernorm.': 'embed.norm.',
         'single_img_encoder.': 'single_encoder.', 'double_img_encoder.': 'pair_encoder.', 'encoder.': 'cross_encoder.',
         'output_layer.': 'word_head.', 'pooler.0.': 'judge.'}
PARTS = {'.attn.q_linear.': '.attention.query.', '.attn.k_linear.': '.attention.key.', '.attn.v_linear.': '.attention.value.',
         '.attn.out.': '.attention.out.', '.feed_forward.w_1.': '.ff.0.', '.feed_forward.w_2.': '.ff.3.',
         '.sublayer.0.norm.': '.norm1.', '.sublayer.1.norm.': '.norm2.', '.a_2': '.weight', '.b_2': '.bias'}


def our_name(theirs):
    for old, new in NAMES.items():
        if theirs.startswith(old):
            theirs = new + theirs[len(old):]
            break
    for old, new in PARTS.items(): theirs = theirs.replace(old, new)
    return theirs


@pytest.fixture(scope='module')
def released():
    arrays = {k: torch.from_numpy(v) for k, v in np.load(FIXTURES / 'clver_finetune.npz').items()}
    state = {our_name(k): v for k, v in load_file(FIXTURES / 'clver_finetune.state.safetensors').items()}
    c = ModelConfig(channels=32, vocab=50, dim=64, heads=4, ff=128, cross_layers=3, cells=9, exact=True)
    model = DifferenceModel(c).eval()
    own = model.state_dict()
    model.load_state_dict({**own, **{k: v for k, v in state.items() if k in own}})
    assert set(own) - set(state) == {'embed.mean', 'embed.std'}
    return model, arrays


def close(a, b): torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_pair_encoder(released):
    model, a = released
    close(model.images(a['in_img1'], a['in_img2']), a['double'])


def test_finetuning_losses(released):
    from idc_nb.finetune import causal_mask
    model, a = released
    images = 2 * (1 + 9)
    h, past = model.read_images(a['in_img1'], a['in_img2'])
    text = model.read_text(model.embed.text(a['in_cap']), past, causal_mask(a['in_cap'].shape[1], images))
    close(torch.cat([h, text], 1), a['encoder'])
    wanted = a['in_cap_label'] >= 0
    scores = model.word_head(text[wanted])
    close(scores, a['mlm_scores'])
    close(F.cross_entropy(scores, a['in_cap_label'][wanted], reduction='none'), a['mlm_loss'])
    close(model.judge_logits(h), a['itm_scores'])


def test_greedy_ids(released):
    from idc_nb.decode import greedy
    model, a = released
    ids, _ = greedy(model, a['greedy_in_img1'], a['greedy_in_img2'], max_len=a['greedy_ids'].shape[1])
    theirs = a['greedy_ids']
    for mine, whole in zip(ids.tolist(), theirs.tolist()):  # theirs never stops: compare up to the first EOS
        end = whole.index(2) + 1 if 2 in whole else len(whole)
        assert mine[:end] == whole[:end]

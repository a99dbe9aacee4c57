"""Released checkpoints, also hostile ones, and the command that compares numbers.

All files are made here; test_released.py checks the authors' own numbers.
"""

import collections
import json
import os
import pickle
import runpy
import sys
import zipfile
from pathlib import Path
import numpy as np
import pytest
import torch
from idc_nb.fda import fda_similarities
from idc_nb.finetune import judge_loss
from idc_nb.inputs import ModelConfig
from idc_nb.lab import official as O
from idc_nb.vocab import BOS, EOS, PAD

CONFIG = dict(channels=32, vocab=50, dim=64, heads=4, ff=128, cells=9, exact=True)
PARTS = dict(
    clver_pretrain=(3, ('cells', 'match_a', 'match_b')),
    clver_finetune=(3, ('judge',)),
    bird_pretrain=(2, ('cells', 'match_a', 'classes')),
    cub_pretrain=(2, ('cells', 'match_a', 'match_b')),
)
PRE = ('cells', 'match_a')
SMALL = ModelConfig(8, 20, dim=16, heads=2, ff=16, cross_layers=1, exact=True)


def made_up(c, parts, seed=0, **other):  # a released model with random weights
    torch.manual_seed(seed)
    r = O.ReleasedModel(c, parts, **other)
    for name, p in r.named_parameters():
        torch.nn.init.normal_(p, std=0.2 if p.ndim == 1 else p.shape[-1] ** -0.5)
        if p.ndim == 1 and 'norm' in name and name.endswith('weight'):
            p.data += 1
    return r.eval()


def captions(g, B, L):  # ids (B,L): BOS, words, EOS, PAD
    ids = torch.randint(6, 50, (B, L), generator=g)
    ids[:, 0] = BOS
    for row, end in zip(ids, torch.randint(4, L, (B,), generator=g)):
        row[end] = EOS
        row[end + 1 :] = PAD
    return ids


def asked_captions(g, B, L):  # ids (B,L), targets (B,L): -1 where nothing is asked
    ids = captions(g, B, L)
    target = torch.where(torch.rand(B, L, generator=g) < 0.3, ids, -1)
    target[:, 1] = ids[:, 1]
    return ids, target


def images(g, task, B, single):  # one grid or two
    names = [f'{task}_in_img'] if single else [f'{task}_in_img1', f'{task}_in_img2']
    return {name: torch.rand(B, 9, 32, generator=g) for name in names}


def class_pairs(g):  # two pairs of photos; the first is of one class
    first, second = torch.randint(555, (2, 4, 1), generator=g)
    second[0] = first[0]
    same = (first == second).long()
    return dict(nabirds_in_class1=first, nabirds_in_class2=second, nabirds_in_label=same)


def pretrain_inputs(name, g):
    data = name.split('_')[0]
    L = dict(clver=14, bird=16, cub=12)[data]
    single = data == 'cub'
    N = 9 if single else 18  # cells of one image or of two
    a = {}
    for task in ('mlm', 'mvm', 'itm_a', 'itm_b'):
        if task == 'itm_b' and data == 'bird':
            continue
        ids, target = asked_captions(g, 3, L)
        a |= images(g, task, 3, single)
        a |= {f'{task}_in_cap': ids, f'{task}_in_cap_label': target}
        if task.startswith('itm'):
            a[f'{task}_in_align_label'] = torch.randint(2, (3, 1), generator=g)
    mask = torch.rand(3, N, generator=g) < 0.2
    mask[:, 0] = True
    a |= dict(mvm_in_img_mask=mask, mvm_in_img_label=torch.rand(3, N, 32, generator=g))
    a |= images(g, 'fda', 2, single)
    a['fda_in_caps'] = captions(g, 14, L).view(2, 7, L)
    if data == 'bird':
        a |= images(g, 'nabirds', 4, single)
        a |= class_pairs(g)
    if data == 'clver':
        a['adam_losses'] = torch.zeros(6)
    return a


def finetune_inputs(name, g, N):
    bird = name.startswith('bird')
    L = 20 if bird else 14
    ids, target = asked_captions(g, 3, L)
    a = dict(in_cap=ids, in_cap_label=target, greedy_ids=torch.zeros(4, L, dtype=torch.long))
    for k, B in dict(in_img1=3, in_img2=3, greedy_in_img1=4, greedy_in_img2=4).items():
        a[k] = torch.rand(B, N, 32, generator=g)
    if not bird:
        a['in_diff_label'] = torch.randint(2, (3, 1), generator=g)
    return a


def write_weights(folder):
    for name, (layers, parts) in PARTS.items():
        r = made_up(ModelConfig(**CONFIG, cross_layers=layers), parts, seed=layers)
        O.save_checkpoint(r, folder / f'{name}.state.safetensors')
    tiny = made_up(SMALL, PRE, step=10, batches=dict(mlm=7, mvm_contrst=1, fda=2))
    O.save_checkpoint(tiny, folder / 'tiny_checkpoint_10.pt')


def write_numbers(folder, name, weights, meta, g):  # one .npz, `meta` grows
    cells = 49 if '49' in name else 9
    r = O.load_checkpoint(folder / f'{weights}.state.safetensors', heads=4, cells=cells)
    if name == 'bird_finetune':
        r = O.start_finetuning(r, judge=False)
    parameters = dict(r.named_parameters())
    meta[name] = dict(
        cfg=dict(n_head=4, img_tokens=cells, fda_tmp=0.7),
        param_names=[theirs for theirs, ours in r.names().items() if ours in parameters],
    )
    (folder / 'meta.json').write_text(json.dumps(meta))
    pretrain = 'pretrain' in name
    inputs = pretrain_inputs(name, g) if pretrain else finetune_inputs(name, g, cells)
    np.savez(folder / f'{name}.npz', **inputs)
    inputs, out = O._case_rows(folder, name)
    np.savez(folder / f'{name}.npz', **{k: v.detach().numpy() for k, v in (inputs | out).items()})


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Files under all official names; their numbers are computed by our model of random weights."
    folder = tmp_path_factory.mktemp('numbers')
    write_weights(folder)
    g = torch.Generator().manual_seed(0)
    meta = {}
    for name, weights in O._WEIGHTS.items():
        write_numbers(folder, name, weights, meta, g)
    return folder


def copied(folder, tmp_path):  # the same files, which can be replaced
    for f in folder.iterdir():
        (tmp_path / f.name).symlink_to(f)
    return tmp_path


def said(capsys) -> list:  # lines
    return capsys.readouterr().out.splitlines()


REPORTED = [
    'bird_pretrain.npz/nabirds_contrast_loss',
    'bird_pretrain.npz/nabirds_grad_norms',
    'bird_pretrain.npz/itm_a_scores',
    'bird_finetune.npz/greedy_ids',
    'bird_finetune.npz/total_loss',
    'cub_pretrain.npz/mvm_grad_img_project_weight',
    'cub_pretrain.npz/fda_text_cls',
    'cub_pretrain.npz/itm_b_loss',
    'clver_finetune_49.npz/greedy_logits',
    'tiny_checkpoint_10.pt/feat_regress.weight',
    'clver_pretrain.npz/adam_final_output_bias',
]


def test_all_official_names(folder, capsys):
    assert O.main([str(folder)]) == 0
    lines = said(capsys)
    assert set(REPORTED) <= {line.split()[0] for line in lines}
    assert [line for line in lines if line.startswith('not checked')] == [
        f'not checked  {f}: not in {folder}' for f in ('atoms.npz', 'metrics.json')
    ]


LISTED = {  # array: shape, as the authors' numbers have it
    'bird_pretrain': dict(
        mlm_single_img1=(3, 10, 64),
        mlm_double=(3, 20, 64),
        mlm_encoder=(3, 37, 64),
        fda_sims=(2, 7),
        fda_img_cls=(14, 64),
        nabirds_class_logits=(8, 555),
        nabirds_match_logits=(4, 2),
        nabirds_class_labels=(8,),
        mlm_grad_norms=(89,),
        nabirds_grad_norms=(89,),
    ),
    'cub_pretrain': dict(
        mlm_single_img1=(3, 10, 64),
        mlm_double=(3, 11, 64),
        mlm_encoder=(3, 24, 64),
        itm_b_scores=(3, 2),
        mlm_grad_norms=(87,),
    ),
    'bird_finetune': dict(
        encoder=(3, 40, 64),
        double=(3, 20, 64),
        greedy_ids=(4, 20),
        greedy_logits=(4, 19, 50),
        grad_norms=(78,),
    ),
    'clver_finetune_49': dict(
        greedy_ids=(4, 14), greedy_logits=(4, 13, 50), grad_norms=(96,), itm_scores=(3, 2)
    ),
    'clver_pretrain': dict(
        mlm_grad_norms=(103,), adam_losses=(6,), mvm_grad_img_project_weight=(64, 32)
    ),
}


@pytest.mark.parametrize('name', LISTED)
def test_shapes_of_the_listed_arrays(folder, name):
    a = np.load(folder / f'{name}.npz')
    assert {k: a[k].shape for k in LISTED[name]} == LISTED[name]


WRONG = {  # one array of each file is made wrong
    'bird_pretrain': 'nabirds_match_loss',
    'cub_pretrain': 'mvm_neg',
    'bird_finetune': 'greedy_ids',
    'clver_finetune_49': 'itm_loss',
}


def test_a_difference_is_told(folder, tmp_path, capsys):
    copied(folder, tmp_path)
    for name, array in WRONG.items():
        a = dict(np.load(folder / f'{name}.npz'))
        a[array] = a[array] + (1 if a[array].dtype == np.int64 else np.float32(1e-2))
        (tmp_path / f'{name}.npz').unlink()
        np.savez(tmp_path / f'{name}.npz', **a)
    assert O.main([str(tmp_path)]) == 1
    differ = {line.split()[0] for line in said(capsys) if line.endswith('DIFFERS')}
    assert differ == {f'{name}.npz/{array}' for name, array in WRONG.items()}


def test_broken_numbers_are_told(folder, tmp_path, capsys):
    copied(folder, tmp_path)
    (tmp_path / 'cub_pretrain.npz').unlink()
    (tmp_path / 'cub_pretrain.npz').write_bytes((folder / 'cub_pretrain.npz').read_bytes()[:2000])
    (tmp_path / 'bird_pretrain.state.safetensors').unlink()
    for f in tmp_path.glob('clver_*'):  # are whole: nothing to tell of them
        f.unlink()
    assert O.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert 'cub_pretrain.npz (' in out
    assert 'not checked  bird_finetune.npz: ' in out


def test_no_folder(tmp_path, capsys):
    assert O.main([str(tmp_path / 'nowhere')]) == 2
    assert 'nowhere is not a folder' in capsys.readouterr().err
    assert O.main([str(tmp_path)]) == 2
    assert 'holds none of' in capsys.readouterr().err


@pytest.mark.filterwarnings('ignore:.*found in sys.modules')
def test_as_a_command(tmp_path, monkeypatch, capsys):  # as `python -m idc_nb.lab.official`
    monkeypatch.setattr(sys, 'argv', ['official', str(tmp_path / 'nowhere')])
    with pytest.raises(SystemExit) as e:
        runpy.run_module('idc_nb.lab.official', run_name='__main__')
    assert e.value.code == 2
    assert 'is not a folder' in capsys.readouterr().err


# --- checkpoints, whole and hostile


@pytest.fixture(scope='module')
def made_state():
    return made_up(SMALL, PRE, step=10).official_state()


@pytest.fixture
def state(made_state):  # a dict of its own for each test; no test writes into a tensor
    return made_state.copy()


def load(path):
    return O.load_checkpoint(path, heads=2)


def saved(tmp_path, whole):
    torch.save(whole, tmp_path / 'x.pt')
    return tmp_path / 'x.pt'


def pre(state, **other):  # the layout of pre-training
    batches = collections.defaultdict(int, mlm=3)
    return dict(global_step=10, model_state_dict=state, task_batch_num=batches) | other


def refused(path, *words):
    with pytest.raises(ValueError) as e:
        load(path)
    for w in (str(path), *words):
        assert w in str(e.value), e.value


def is_state(found, state):  # the same names, the same numbers
    return found.keys() == state.keys() and all(state[k].equal(v) for k, v in found.items())


def test_their_layout(tmp_path, state):
    r = load(saved(tmp_path, pre(state)))
    assert (r.step, r.batches, set(r.parts)) == (10, dict(mlm=3), set(PRE))
    assert r.model.config == SMALL and not r.training
    O.save_checkpoint(r, tmp_path / 'back.pt')
    whole = torch.load(tmp_path / 'back.pt', weights_only=False)  # our own file
    assert list(whole) == ['global_step', 'model_state_dict', 'task_batch_num']
    assert type(whole['task_batch_num']) is collections.defaultdict
    back = whole['model_state_dict']
    assert is_state(back, state)
    tied = back['feat_regress.weight'], back['img_project.0.weight']
    assert tied[0].data_ptr() == tied[1].data_ptr()


def test_bare_state_and_data_parallel_names(tmp_path, state):
    r = load(saved(tmp_path, {f'module.{k}': v for k, v in state.items()}))
    assert r.step is None and is_state(r.official_state(), state)


def test_half_precision_and_old_format(tmp_path, state):
    half = {k: v.half() for k, v in state.items()}
    torch.save(half, tmp_path / 'x.pt', _use_new_zipfile_serialization=False)
    assert load(tmp_path / 'x.pt').model.word_head.weight.dtype == torch.float32


def test_heads_must_divide(tmp_path, state):
    with pytest.raises(ValueError, match='not a multiple of heads'):
        O.load_checkpoint(saved(tmp_path, state), heads=3)


class Runs:
    def __init__(self, call, *args):
        self.what = call, args

    def __reduce__(self):
        return self.what


class Foreign:
    pass


BOMBS = dict(
    system=lambda p: Runs(os.system, f'touch {p}'),
    mkdir=lambda p: Runs(os.mkdir, str(p)),
    exec=lambda p: Runs(exec, f'open({str(p)!r}, "w")'),
    eval=lambda p: Runs(eval, f'open({str(p)!r}, "w")'),
    open=lambda p: Runs(open, str(p), 'w'),
    foreign=lambda p: Foreign(),
    factory=lambda p: collections.defaultdict(Foreign, mlm=1),
    method=lambda p: Runs(Path.touch, p),
)


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('bomb', BOMBS)
@pytest.mark.parametrize('place', ['state', 'batches', 'alone', 'plain'])
def test_nothing_is_run(tmp_path, state, bomb, place):
    flag = tmp_path / 'ran'
    x = BOMBS[bomb](flag)
    if place == 'plain':
        (tmp_path / 'x.pt').write_bytes(pickle.dumps(x))  # no zip around it
    elif place == 'alone':
        saved(tmp_path, x)
    elif place == 'batches':
        saved(tmp_path, pre(state, task_batch_num=x))
    else:
        saved(tmp_path, pre(dict(state, x=x)))
    refused(tmp_path / 'x.pt', 'without running code')
    assert {p.name for p in tmp_path.iterdir()} == {'x.pt'}  # no flag


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f'x{suffix}'
    O.save_checkpoint(made_up(SMALL, PRE, step=10), path)
    whole = path.read_bytes()
    for share in (0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path)


NO_CHECKPOINTS = [b'', b'hello', b'\x80\x02', b'PK\x03\x04' + bytes(50), b'{"a": 1}', bytes(1000)]


@pytest.mark.parametrize('content', NO_CHECKPOINTS)
@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
def test_not_a_checkpoint(tmp_path, content, suffix):
    (tmp_path / f'x{suffix}').write_bytes(content)
    refused(tmp_path / f'x{suffix}')


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / 'x.pt', tmp_path):
        with pytest.raises(FileNotFoundError, match='is missing: expected a checkpoint'):
            load(path)


def test_other_files(tmp_path):
    np.savez(tmp_path / 'x.pt', a=np.ones(3))
    (tmp_path / 'x.pt.npz').rename(tmp_path / 'x.pt')
    refused(tmp_path / 'x.pt')
    with zipfile.ZipFile(tmp_path / 'x.pt', 'w') as z:
        z.writestr('a', 'b')
    refused(tmp_path / 'x.pt')


ODD = {
    'a list': lambda s: [1],
    'a tensor': lambda s: torch.ones(3),
    'empty': lambda s: {},
    'no tensors': lambda s: dict(a=1),
    'state is a list': lambda s: pre([1]),
    'state of numbers': lambda s: pre(dict(a=1)),
    'other tensors': lambda s: dict(a=torch.ones(2)),
    'step is text': lambda s: pre(s, global_step='10'),
    'no step': lambda s: dict(model_state_dict=s),
    'batches of text': lambda s: pre(s, task_batch_num=dict(mlm='3')),
    'batches a list': lambda s: pre(s, task_batch_num=[1]),
    'whole numbers': lambda s: dict(s, **{'output_layer.bias': torch.ones(20, dtype=torch.long)}),
    'names of numbers': lambda s: {**s, 3: torch.ones(2)},
}


@pytest.mark.parametrize('odd', ODD)
def test_wrong_content(tmp_path, state, odd):
    refused(saved(tmp_path, ODD[odd](state)))


SHAPES = {  # what is changed -> words of the message
    'missing': ({'output_layer.bias': None}, ['missing output_layer.bias']),
    'missing layer part': (
        {'encoder.layers.0.attn.out.weight': None},
        ['missing encoder.layers.0.attn.out.weight'],
    ),
    'missing sizes': ({'word_embedding.weight': None}, ['no word_embedding.weight']),
    'missing positions': ({'position_encoding.pe': None}, ['missing position_encoding.pe']),
    'missing tie': ({'feat_regress.weight': None}, ['missing feat_regress.weight']),
    'surplus': ({'extra.weight': torch.ones(2)}, ['surplus extra.weight']),
    'surplus layer': (
        {'encoder.layers.7.attn.out.bias': torch.ones(16)},
        ['missing encoder.layers.1.', 'surplus encoder.layers.7.'],
    ),
    'layer without end': (
        {'encoder.layers.999999999.attn.out.bias': torch.ones(16)},
        ['surplus encoder.layers.999999999.'],
    ),
    'wrong shape': (
        {'output_layer.bias': torch.ones(19)},
        ['wrong shape output_layer.bias (19,) for (20,)'],
    ),
    'turned': ({'img_project.0.weight': torch.ones(8, 16)}, ['wrong shape', 'img_project.0']),
    'one dimension': (
        {'word_embedding.weight': torch.ones(16)},
        ['word_embedding.weight has shape (16,), expected 2 dimensions'],
    ),
    'odd pooler': (
        {'pooler.0.weight': torch.ones(2, 20)},
        ['pooler.0.weight has shape (2, 20)', '(2, 32) or (2, 48)'],
    ),
    'untied': (
        {'feat_regress.weight': torch.ones(16, 8)},
        ['feat_regress.weight differs from img_project.0.weight'],
    ),
    'not a number': (
        {'output_layer.bias': torch.full((20,), torch.nan)},
        ['output_layer.bias holds numbers that are not finite'],
    ),
    'other positions': (
        {'position_encoding.pe': torch.zeros(1, 200, 16)},
        ['position_encoding.pe is not'],
    ),
    'a shape larger than its data': (
        {'word_embedding.weight': torch.ones(1, 1).expand(10**9, 16)},
        ['word_embedding.weight', 'not a name with a whole tensor'],
    ),
    'wide': (
        {'word_embedding.weight': torch.ones(1, 200_000)},
        ['pooler.0.weight has shape (2, 48), expected (2, 400000)'],
    ),
    'wide, no heads': (
        {
            'word_embedding.weight': torch.ones(1, 200_000),
            'pooler.0.weight': None,
            'pooler.0.bias': None,
        },
        ['does not fit', 'wrong shape', 'img_project.0.bias (16,) for (200000,)'],
    ),
    'sparse': ({'output_layer.bias': torch.ones(20).to_sparse()}, ['output_layer.bias']),
}


@pytest.mark.parametrize('change', SHAPES)
def test_what_does_not_fit_is_named(tmp_path, state, change):
    new, words = SHAPES[change]
    changed = {k: v for k, v in (state | new).items() if v is not None}
    refused(saved(tmp_path, pre(changed)), *words)


def test_saving_leaves_nothing_half_written(tmp_path, monkeypatch):
    r = made_up(SMALL, PRE, step=1)
    O.save_checkpoint(r, tmp_path / 'x.pt')
    before = (tmp_path / 'x.pt').read_bytes()

    def full(whole, file):
        file.write(b'half')
        raise OSError('no space left')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError):
        O.save_checkpoint(r, tmp_path / 'x.pt')
    assert [p.name for p in tmp_path.iterdir()] == ['x.pt']
    assert (tmp_path / 'x.pt').read_bytes() == before


def test_what_their_code_cannot_hold(tmp_path):
    for options in (dict(), dict(exact=True, matcher=True)):
        r = O.ReleasedModel(ModelConfig(8, 20, dim=16, heads=2, **options))
        with pytest.raises(ValueError, match='exact=True and matcher=False'):
            O.save_checkpoint(r, tmp_path / 'x.pt')
    r = made_up(SMALL, PRE)
    r.model.embed.std[2] = 3
    with pytest.raises(ValueError, match='no place for the mean and deviation'):
        O.save_checkpoint(r, tmp_path / 'x.pt')
    assert not list(tmp_path.iterdir())


# --- what a file of numbers does not show


def test_judge_says_one_for_a_change():
    model = made_up(SMALL, ('judge',)).model
    torch.nn.init.zeros_(model.judge.weight)
    model.judge.bias.data = torch.tensor([0.0, 5.0])  # it finds a change in every pair
    h = torch.randn(3, 2, 16)
    for label, expected in ((1, 1.0), (0, 0.0)):
        loss, right = judge_loss(model, h, torch.full((3,), label))
        assert right == expected
        assert (loss < 0.1) == (label == 1), loss


def test_padding_is_hidden_from_fda_where_it_shall_not_be_seen():
    model = made_up(SMALL, ()).model
    g = torch.Generator().manual_seed(0)
    img1, img2 = torch.randn(2, 2, SMALL.cells, SMALL.channels, generator=g)
    ids = torch.randint(6, 20, (2, 3, 5), generator=g)
    ids[:, 1, 3:] = PAD
    longer = torch.nn.functional.pad(ids, (0, 4), value=PAD)
    with torch.no_grad():
        short = fda_similarities(model, img1, img2, ids, see_pad=False)
        padded = fda_similarities(model, img1, img2, longer, see_pad=False)
        seen = fda_similarities(model, img1, img2, longer, see_pad=True)
    torch.testing.assert_close(padded, short)
    assert not torch.allclose(seen, short)  # as in the released code

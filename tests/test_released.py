"""The model with the authors' weights gives the released code's numbers (skipped where its fixtures are missing)."""

from pathlib import Path
import numpy as np, pytest, torch
from idc_nb.decode import greedy
from idc_nb.lab.official import check_folder, load_checkpoint, main, start_finetuning
from idc_nb.vocab import EOS

FIXTURES = Path(__file__).parents[2] / 'shared' / 'fixtures'
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason='no ../shared/fixtures here')


@pytest.fixture(scope='module')
def rows():
    return check_folder(FIXTURES)


def test_every_number(rows):
    assert [r for r in rows[0] if not r.ok] == []
    names = {r.name for r in rows[0]}
    assert {
        'atoms.npz/pe512',
        'clver_pretrain.npz/adam_losses',
        'clver_finetune.npz/greedy_ids',
        'metrics.json/main/official/CIDErD',
    } <= names
    assert not [r for r in rows[0] if r.relative > 1e-4]


def test_nothing_that_lies_there_is_left_out(rows):
    assert [l for l in rows[1] if not l.endswith(f'not in {FIXTURES}')] == []
    listed = {
        f'{f.name}/{k}'
        for f in FIXTURES.glob('*.npz')
        for k in np.load(f)
        if '_in_' not in k and not k.startswith('in_')
    }
    assert {
        k for k in listed - {r.name for r in rows[0]} if not k.startswith('atoms.npz/')
    } == set()


def test_command(capsys):
    assert main([str(FIXTURES)]) == 0
    out = capsys.readouterr().out
    assert 'clver_finetune.npz/encoder' in out and ' 0 differ' in out and 'not checked  ' in out


def test_the_fast_decoder_says_the_same():
    a = {k: torch.from_numpy(v) for k, v in np.load(FIXTURES / 'clver_finetune.npz').items()}
    r = load_checkpoint(FIXTURES / 'clver_finetune.state.safetensors', heads=4, cells=9)
    ids, _ = greedy(
        r.model, a['greedy_in_img1'], a['greedy_in_img2'], max_len=a['greedy_ids'].shape[1]
    )
    for mine, whole in zip(
        ids.tolist(), a['greedy_ids'].tolist()
    ):  # theirs never stops: compare up to the first EOS
        end = whole.index(EOS) + 1 if EOS in whole else len(whole)
        assert mine[:end] == whole[:end]


def test_finetuning_starts_as_theirs():
    pre = load_checkpoint(FIXTURES / 'clver_pretrain.state.safetensors', heads=4, cells=9)
    fine = load_checkpoint(FIXTURES / 'clver_finetune.state.safetensors', heads=4, cells=9)
    a, b = start_finetuning(pre).official_state(), fine.official_state()
    assert {k for k in b if not a[k].equal(b[k])} == {'pooler.0.weight', 'pooler.0.bias'}

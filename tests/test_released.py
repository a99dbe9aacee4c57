"""With the authors' weights, our model gives the numbers of their released code.

The numbers lie outside the repository; the tests are skipped where they are missing.
"""

import contextlib
import io
from pathlib import Path
import numpy as np
import pytest
import torch
from idc_nb.decode import greedy
from idc_nb.lab import official
from idc_nb.vocab import EOS

FIXTURES = Path(__file__).parents[2] / 'shared' / 'fixtures'
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason='no ../shared/fixtures here')


@pytest.fixture(scope='module')
def run():
    "The command, run once: its exit code, what it printed, its rows, what it left out."
    check_folder = official.check_folder
    found = []

    def check_and_keep(folder):
        found.extend(check_folder(folder))
        return found

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(official, 'check_folder', check_and_keep)
        code = official.main([str(FIXTURES)])
    return code, out.getvalue(), *found


def test_every_number(run):
    rows = run[2]
    assert [r for r in rows if not r.ok] == []
    assert {
        'atoms.npz/pe512',
        'clver_pretrain.npz/adam_losses',
        'clver_finetune.npz/greedy_ids',
        'metrics.json/main/official/CIDErD',
    } <= {r.name for r in rows}
    assert [r for r in rows if r.relative > 1e-4] == []


def listed():  # names of the arrays that lie there and are no inputs
    names = {f'{f.name}/{k}' for f in FIXTURES.glob('*.npz') for k in np.load(f)}
    return {n for n in names if '_in_' not in n and '/in_' not in n}


def test_nothing_that_lies_there_is_left_out(run):
    rows, left = run[2:]
    assert [line for line in left if not line.endswith(f'not in {FIXTURES}')] == []
    unchecked = listed() - {r.name for r in rows}
    assert {name for name in unchecked if not name.startswith('atoms.npz/')} == set()


def test_command(run):
    code, out = run[:2]
    assert code == 0
    assert 'clver_finetune.npz/encoder' in out
    assert ' 0 differ' in out and 'not checked  ' in out


def test_the_fast_decoder_says_the_same():
    a = {k: torch.from_numpy(v) for k, v in np.load(FIXTURES / 'clver_finetune.npz').items()}
    path = FIXTURES / 'clver_finetune.state.safetensors'
    model = official.load_checkpoint(path, heads=4, cells=9).model
    theirs = a['greedy_ids']
    ids, _ = greedy(model, a['greedy_in_img1'], a['greedy_in_img2'], max_len=theirs.shape[1])
    for mine, whole in zip(ids.tolist(), theirs.tolist()):
        # theirs never stops: compare up to the first EOS
        end = whole.index(EOS) + 1 if EOS in whole else len(whole)
        assert mine[:end] == whole[:end]


def test_finetuning_starts_as_theirs():
    pre, fine = (
        official.load_checkpoint(FIXTURES / f'clver_{stage}.state.safetensors', heads=4, cells=9)
        for stage in ('pretrain', 'finetune')
    )
    ours, theirs = official.start_finetuning(pre).official_state(), fine.official_state()
    different = {k for k in theirs if not ours[k].equal(theirs[k])}
    assert different == {'pooler.0.weight', 'pooler.0.bias'}

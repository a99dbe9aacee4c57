"""The paper's CLEVR recipe by name, 20 steps of it -> results/recipe.json.

The data are made here, in the official layout; the features come from a resnet101 of random
weights. Run: python tests/bench/recipe.py [folder with the data of an earlier run]
"""

import contextlib
import datetime
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from idc_nb.demo import machine
from idc_nb.lab.commands import idc_data, idc_features, idc_train
from idc_nb.lab.files import write_json
from idc_nb.pretrain import TASKS, task_at_step

RECIPE = '--preset paper_clevr --backbone resnet101:random'
SHORTER = '--batch 4 --warmup 10 --pause-after 20 --say-every 1'


def run(command, *argv) -> str:  # what it printed
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert command([str(a) for a in argv]) == 0, out.getvalue()
    print(out.getvalue(), flush=True)
    return out.getvalue()


def make_data(folder):
    run(idc_data, folder, '--scenes', 12)
    shutil.rmtree(folder / 'again_images')  # what the real folder does not have
    (folder / 'scenes.json').unlink()
    (folder / 'settings.json').unlink()
    run(idc_features, folder, '--backbone', 'resnet101', '--made-up-weights', '--workers', 1)


def main():
    torch.set_num_threads(1)
    tmp = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    if not (tmp / 'mini').exists():
        make_data(tmp / 'mini')
    options = f'{RECIPE} {SHORTER}'.split()
    said = run(idc_train, '--data', tmp / 'mini', '--out', tmp / 'run', *options)
    # each step is of one task; only losses of the same task can be compared
    losses = {int(s): float(x) for s, x in re.findall(r'step (\d+) of .*loss ([\d.]+)', said)}
    mlm = [x for step, x in losses.items() if task_at_step(step - 1, TASKS) == 'mlm']
    first, last = np.mean(mlm[:5]), np.mean(mlm[-5:])
    print(f'{len(mlm)} MLM steps of 20: loss {first:.3f} in the first five, {last:.3f} in the last')
    assert last < first and 'to finish' in said
    out = dict(
        command=f'idc_train {RECIPE} {SHORTER}',
        seed=0,
        steps=len(losses),
        mlm_first_five=round(first, 3),
        mlm_last_five=round(last, 3),
        said=[line for line in said.splitlines() if line.startswith('step')],
        machine=machine(),
        date=str(datetime.date.today()),
    )
    write_json(ROOT / 'results' / 'recipe.json', out, indent=1)


if __name__ == '__main__':
    main()

"""The paper's CLEVR recipe by name on made data in the official layout: 20 steps -> results/recipe.json. Features of a resnet101 of made-up weights."""

import contextlib
import datetime
import io
import re
import sys
import tempfile
from pathlib import Path
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from idc_nb.lab.commands import idc_data, idc_features, idc_train
from idc_nb.demo import machine
from idc_nb.pretrain import TASKS, task_at_step
from idc_nb.lab.files import write_json

torch.set_num_threads(1)
tmp = Path(
    sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
)  # a folder with data and features of an earlier run, or a new one


def run(command, *argv):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert command([str(a) for a in argv]) == 0, out.getvalue()
    print(out.getvalue(), flush=True)
    return out.getvalue()


if not (tmp / 'mini').exists():
    run(idc_data, tmp / 'mini', '--scenes', 12)
    for extra in (
        'again_images',
        'scenes.json',
        'settings.json',
    ):  # what the real folder does not have
        p = tmp / 'mini' / extra
        if p.is_dir():
            [f.unlink() for f in p.iterdir()]
            p.rmdir()
        else:
            p.unlink()
    run(idc_features, tmp / 'mini', '--backbone', 'resnet101', '--made-up-weights', '--workers', 1)
said = run(
    idc_train,
    '--data',
    tmp / 'mini',
    '--preset',
    'paper_clevr',
    '--backbone',
    'resnet101:random',
    '--out',
    tmp / 'run',
    '--batch',
    4,
    '--warmup',
    10,
    '--pause-after',
    20,
    '--say-every',
    1,
)
says = {
    int(s): float(x) for s, x in re.findall(r'step (\d+) of .*loss ([\d.]+)', said)
}  # the loss of each step, of one task each
mlm = [x for s, x in says.items() if task_at_step(s - 1, TASKS) == 'mlm']
first, last = np.mean(mlm[:5]), np.mean(mlm[-5:])
print(f'{len(mlm)} MLM steps of 20: loss {first:.3f} in the first five, {last:.3f} in the last')
assert last < first and 'to finish' in said
write_json(
    ROOT / 'results' / 'recipe.json',
    dict(
        command='idc_train --preset paper_clevr --backbone resnet101:random --batch 4 --warmup 10 --pause-after 20 --say-every 1',
        seed=0,
        steps=len(says),
        mlm_first_five=round(first, 3),
        mlm_last_five=round(last, 3),
        said=[l for l in said.splitlines() if l.startswith('step')],
        machine=machine(),
        date=str(datetime.date.today()),
    ),
    indent=1,
)

"""The paper's CLEVR recipe by name on made data in the official layout: 20 steps -> results/recipe.json. Features of a resnet101 of made-up weights."""
import contextlib
import datetime
import io
import re
import sys
import tempfile
import time
from pathlib import Path
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from idc_nb.commands import idc_data, idc_features, idc_train
from idc_nb.demo import machine
from idc_nb.world.mini import write_json

torch.set_num_threads(1)
tmp, seconds = Path(tempfile.mkdtemp()), {}


def run(name, command, *argv):
    out, start = io.StringIO(), time.time()
    with contextlib.redirect_stdout(out): assert command([str(a) for a in argv]) == 0, out.getvalue()
    seconds[name] = round(time.time() - start, 1)
    print(out.getvalue(), flush=True)
    return out.getvalue()


run('data', idc_data, tmp / 'mini', '--scenes', 12)
for extra in ('again_images', 'scenes.json', 'settings.json'):                # what the real folder does not have
    p = tmp / 'mini' / extra
    if p.is_dir(): [f.unlink() for f in p.iterdir()]; p.rmdir()
    else: p.unlink()
run('features', idc_features, tmp / 'mini', '--backbone', 'resnet101', '--made-up-weights', '--workers', 1)
said = run('train', idc_train, '--data', tmp / 'mini', '--preset', 'paper_clevr', '--backbone', 'resnet101:random', '--out', tmp / 'run',
           '--batch', 4, '--warmup', 10, '--pause-after', 20, '--say-every', 5)
losses = [float(x) for x in re.findall(r'loss ([\d.]+)', said)]
print(losses)
assert losses[-1] < losses[0] and 'to finish' in said
write_json(ROOT / 'results' / 'recipe.json', dict(command='idc_train --preset paper_clevr --backbone resnet101:random --batch 4 --warmup 10 --pause-after 20',
           seed=0, said=[l for l in said.splitlines() if l.startswith('step')], seconds=seconds, machine=machine(), date=str(datetime.date.today())), indent=1)

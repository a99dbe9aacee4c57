"""Do models notice foreign pictures, and is a probability honest? -> results/depth.json.

The real pictures are not part of this project: they lie in ../shared/data. What is familiar is
taken from the shipped captioner, or from the grids of the demo if it keeps nothing of the kind.
"""

import datetime
import hashlib
import sys
from pathlib import Path
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / 'shared' / 'data'
sys.path.insert(0, str(ROOT))
from idc_nb.captioner import MODELS, SHIPPED, load_captioner
from idc_nb.expansion import expansion_data
from idc_nb.grid import get_backbone, to_pixels
from idc_nb.lab.calibration import calibration_error, fit_temperature, reliability, soften
from idc_nb.lab.familiar import learn_familiar
from idc_nb.lab.files import project_data, write_json
from idc_nb.lab.readers import read_birds_to_words
from idc_nb.lab.runs import caption_triplets, machine
from idc_nb.lab.store import FeatureStore, made_store
from idc_nb.pairs import lesson_data, read_clevr_change
from idc_nb.world.bird_words import lesson_birds
from idc_nb.world.mini import make_mini_clevr

#: Name -> pictures below ../shared/data
WORLDS = {
    'real CLEVR pictures': ('clevr_change/*images/*.png', 'cases/real_pairs/*.png'),
    'CUB photographs': ('cub/images/*/*.jpg',),
    'iNaturalist photographs': ('birds_to_words/*.jpg',),
}


def known():  # (`Familiar` of the shipped model, where it comes from)
    captioner = load_captioner(SHIPPED)
    if captioner.familiar:
        return captioner.familiar, 'the shipped captioner'
    store = FeatureStore(project_data() / 'demo' / 'features')
    return learn_familiar(store), f'{len(store):,} pictures of the demo'


def strangeness(familiar, paths) -> list:  # of float, one a picture
    net, found = get_backbone(), []
    with torch.inference_mode():
        for path in paths:
            found += familiar.strangeness(
                net(torch.from_numpy(to_pixels(path).copy())[None])
            ).tolist()
    return found


def row(strange) -> dict:
    q = np.quantile(strange, (0, 0.5, 1)).round(2).tolist()
    flagged = round(100 * float(np.mean(np.array(strange) > 1)), 1)
    return dict(pictures=len(strange), least=q[0], median=q[1], most=q[2]) | {'flagged %': flagged}


def made_scenes() -> list:  # 100 paths
    return sorted(lesson_data().glob('*images/*.png'))[:100]


def real_worlds(familiar) -> dict:  # {world: row}
    found = {}
    for world, patterns in WORLDS.items():
        paths = [p for pattern in patterns for p in sorted(REAL.glob(pattern))]
        found[world] = row(strangeness(familiar, paths))
    return found


def all_worlds(familiar) -> dict:  # {world: row}
    made = {'made scenes of another seed': row(strangeness(familiar, made_scenes()))}
    return made | real_worlds(familiar)


def of_birds() -> dict:  # what the shipped model of birds finds familiar
    path = MODELS['mini_birds']
    familiar, tsv = load_captioner(path).familiar, 'birds_to_words/birds-to-words-v1.0.tsv'
    splits = [read_birds_to_words(expansion_data() / tsv, s, on_disk=True) for s in ('val', 'test')]
    pictures = {
        'made birds of its val and test pairs': [
            p for s in splits for t in s for p in (t.img1, t.img2)
        ],
        'made birds of another seed': sorted(lesson_birds().glob('*/images/**/*.jpg')),
        'made scenes': made_scenes(),
    }
    found = {world: row(strangeness(familiar, some)) for world, some in pictures.items()}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sha256=digest, strangeness=found | real_worlds(familiar))


def calibration(scenes=400, seed=77) -> dict:  # of the shipped judge on new made pairs
    root = make_mini_clevr(project_data() / 'depth', scenes, seed)
    triplets = [t for s in ('train', 'val', 'test') for t in read_clevr_change(root, s)]
    captioner = load_captioner(SHIPPED)
    captioner.about.pop('temperature', None)
    p = torch.tensor([p for _, p in caption_triplets(captioner, triplets, made_store(root))])
    y = torch.tensor([int(t.changed) for t in triplets])
    scene = torch.arange(len(y)) // 2  # both pairs of a scene lie on the same side
    half, softened, temperatures = scene % 2 == 0, p.clone(), []
    for mine in (half, ~half):  # the temperature of each half is found on the other
        temperatures.append(round(fit_temperature(p[~mine], y[~mine]), 2))
        softened[mine] = soften(p[mine], temperatures[-1])
    out = dict(temperatures=temperatures, pairs=len(y))
    out['judged right %'] = round(100 * float(((p > 0.5) == y).float().mean()), 1)
    for when, q in dict(before=p, after=softened).items():
        loss = torch.nn.functional.binary_cross_entropy(q.clamp(1e-7, 1 - 1e-7), y.float())
        bins = [{k: round(v, 4) for k, v in r.items()} for r in reliability(q, y)]
        error = round(calibration_error(q, y), 4)
        out[when] = dict(error=error, cross_entropy=round(float(loss), 4), bins=bins)
    return out


if __name__ == '__main__':
    if not REAL.is_dir():
        sys.exit(f'{REAL} is missing: it holds the real pictures')
    familiar, source = known()
    about = dict(machine=machine(), date=str(datetime.date.today()), familiar=source)
    about['sha256'] = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    out = dict(about=about, strangeness=all_worlds(familiar), calibration=calibration())
    out['birds'] = of_birds()
    write_json(ROOT / 'results' / 'depth.json', out, indent=1)
    print(out)

"""What the shipped model says of 30 real CLEVR-Change scenes -> results/real_triplets.json.

The real samples are not part of this project: they lie in ../shared/data/clevr_change. A person
looked up what changed in each of their colour changes and wrote it to tests/real_answers.json.
"""

import datetime
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / 'shared' / 'data' / 'clevr_change'
sys.path.insert(0, str(ROOT))
import idc_nb
from idc_nb.captioner import SHIPPED
from idc_nb.demo import machine
from idc_nb.lab.files import write_json
from idc_nb.pairs import read_clevr_change
from idc_nb.world.language import parse

ANSWERS = json.loads((ROOT / 'tests' / 'real_answers.json').read_text())


def digest() -> str:  # of the shipped checkpoint: tells whether the answers are still its own
    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


def names_new_color(triplet, sentence) -> bool:  # of a colour change
    parsed = parse(sentence)
    if parsed is None or parsed.kind != 'color':
        return False
    return parsed.value == ANSWERS[triplet.id[-6:]]['became']


def ask_shipped_model() -> list:  # of dicts, one a pair
    "Both pairs of each real scene: what the shipped model says of them, and what is right of it."
    triplets = []
    for split in ('train', 'val', 'test'):
        triplets += read_clevr_change(REAL, split, captioned=False, on_disk=True)
    pairs = [(t.img1, t.img2) for t in triplets]
    answers = []
    for t, (sentence, p) in zip(triplets, idc_nb.captions(pairs, with_change=True)):
        answer = dict(id=t.id, kind=t.kind, sentence=sentence, p_change=round(p, 3))
        answer['judged_right'] = (p > 0.5) == t.changed
        if t.changed:
            answer['became'] = ANSWERS[t.id[-6:]]['became']
            answer['names_new_color'] = names_new_color(t, sentence)
        answers.append(answer)
    return answers


def count(answers) -> dict:  # of pairs; `judging` in per cent, changes and distractors weigh alike
    changes = [a for a in answers if a['kind'] != 'distractor']
    distractors = [a for a in answers if a['kind'] == 'distractor']
    right = {
        name: sum(a['judged_right'] for a in group)
        for name, group in [('changes', changes), ('distractors', distractors)]
    }
    judging = 50 * right['changes'] / len(changes) + 50 * right['distractors'] / len(distractors)
    return dict(
        changes=len(changes),
        distractors=len(distractors),
        changes_judged_right=right['changes'],
        distractors_judged_right=right['distractors'],
        judging=round(judging, 1),
        new_color_named=sum(a['names_new_color'] for a in changes),
    )


if __name__ == '__main__':
    if not REAL.is_dir():
        sys.exit(f'{REAL} is missing: it holds the real samples')
    answers = ask_shipped_model()
    about = dict(machine=machine(), date=str(datetime.date.today()), sha256=digest())
    out = dict(about=about, counts=count(answers), answers=answers)
    write_json(ROOT / 'results' / 'real_triplets.json', out, indent=1)
    print(out['counts'])

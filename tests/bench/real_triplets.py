"""What the shipped model says of 30 real CLEVR-Change scenes -> results/real_triplets.json.

The real samples are not part of this project: they lie in ../shared/data/clevr_change. A person
looked up what changed in each of their colour changes and wrote it to tests/real_answers.json.
Where `make rivals` has trained DUDA, its sentences stand beside ours; where not, those that the
file has are kept.
"""

import datetime
import hashlib
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / 'shared' / 'data' / 'clevr_change'
sys.path.insert(0, str(ROOT))
import idc_nb
from idc_nb.captioner import SHIPPED
from idc_nb.demo import machine
from idc_nb.lab.files import read_json, write_json
from idc_nb.lab.recipe import PLAIN
from idc_nb.lab.rival_runs import RIVAL_TRAINING, rival_data, say_pairs, train_rival
from idc_nb.lab.store import extract_features
from idc_nb.pairs import read_clevr_change
from idc_nb.world.language import parse

RIVAL = 'DUDA'
KEPT = ROOT / 'results' / 'real_triplets.json'
ANSWERS = json.loads((ROOT / 'tests' / 'real_answers.json').read_text())


def digest() -> str:  # of the shipped checkpoint: tells whether the answers are still its own
    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


def real_claims(triplet, sentence) -> dict:  # claim -> does it agree with what a person saw?
    "Of a colour change: its kind, the thing's colour and shape, and the new colour."
    said, kind = parse(sentence), triplet.kind
    claims = dict(kind=said is not None and said.kind == kind)
    if kind == 'color':
        seen = ANSWERS[triplet.id[-6:]]
        thing = said.expression if said else None
        claims |= {a: getattr(thing, a, None) == seen[a] for a in ('color', 'shape')}
        claims['became'] = claims['kind'] and said.value == seen['became']
    return claims


def real_triplets() -> list:  # both pairs of each real scene
    triplets = []
    for split in ('train', 'val', 'test'):
        triplets += read_clevr_change(REAL, split, captioned=False, on_disk=True)
    return triplets


def ask_shipped_model() -> list:  # of dicts, one a pair
    "Both pairs of each real scene: what the shipped model says of them, and what is right of it."
    triplets = real_triplets()
    pairs = [(t.img1, t.img2) for t in triplets]
    answers = []
    for t, (sentence, p) in zip(triplets, idc_nb.captions(pairs, with_change=True)):
        claims = real_claims(t, sentence)
        answer = dict(id=t.id, kind=t.kind, sentence=sentence, p_change=round(p, 3))
        answer['judged_right'] = (p > 0.5) == t.changed
        answer['score'] = sum(claims.values()) / len(claims)
        if t.changed:
            answer['became'] = ANSWERS[t.id[-6:]]['became']
            answer['names_new_color'] = claims['became']
        answers.append(answer)
    return answers


def ask_rival(name: str) -> list:  # a sentence for each of the `real_triplets`
    "What a system of `make rivals` says, trained with seed 0 at full jitter."
    folder = ROOT / 'runs' / f'rivals_{PLAIN.name}' / f'{name}_1_0'
    if not (folder / 'said.jsonl').exists():  # not trained, or not to its end
        print(f'{folder} holds no finished run of `make rivals`: the recorded sentences are kept')
        return [answer['rival'] for answer in read_json(KEPT)['answers']]
    data, triplets = rival_data(1.0), real_triplets()
    model = train_rival(name, data, RIVAL_TRAINING, folder)  # it is finished, so it is only read
    with tempfile.TemporaryDirectory() as grids:
        store = extract_features([i for t in triplets for i in (t.img1, t.img2)], grids)
        return [sentence for sentence, _ in say_pairs(model, data.vocab, triplets, store)]


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
    for answer, sentence in zip(answers, ask_rival(RIVAL)):
        answer['rival'] = sentence
    about = dict(machine=machine(), date=str(datetime.date.today()), sha256=digest(), rival=RIVAL)
    out = dict(about=about, counts=count(answers), answers=answers)
    write_json(KEPT, out, indent=1)
    print(out['counts'])

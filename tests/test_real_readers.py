"""The readers on real samples: the counts are those that the notes on the data give.

Skipped where ../shared/data is missing.
"""

import json
import re
from collections import Counter
from pathlib import Path
import pytest
from idc_nb.pairs import read_clevr_change, read_kinds
from idc_nb.lab.readers import read_classes, read_cub, read_hierarchy, read_nabirds, tokenise
from idc_nb.lab.released import describe_folder

REAL = Path(__file__).parents[2] / 'shared' / 'data'
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason='no ../shared/data here')
CLEVR = dict(train=33_830, val=1_988, test=3_985)


@pytest.mark.parametrize('split', CLEVR)
def test_clevr_change(split):
    triplets = read_clevr_change(REAL / 'clevr_change', split, captioned=False)
    assert len(triplets) == 2 * CLEVR[split] and len({t.id for t in triplets}) == len(triplets)
    assert sum(t.changed for t in triplets) == CLEVR[split]


def test_clevr_change_on_disk():
    here = []
    for split in CLEVR:
        here += read_clevr_change(REAL / 'clevr_change', split, captioned=False, on_disk=True)
    assert Counter(t.kind for t in here) == dict(color=30, distractor=30)
    assert {int(t.id[-6:]) for t in here} == set(range(30))
    assert len(read_kinds(REAL / 'clevr_change' / 'type_mapping.json')) == sum(CLEVR.values())


def test_clevr_change_described():
    found = describe_folder(REAL / 'clevr_change')
    assert found.data == 'CLEVR-Change' and found.counts == {s: 2 * n for s, n in CLEVR.items()}
    assert any('change_captions.json is missing' in p for p in found.problems)
    missing = [re.search(r': (\d+) of \d+ images missing', p) for p in found.problems]
    assert sum(int(m[1]) for m in missing if m) == 3 * (sum(CLEVR.values()) - 30)
    assert not any('not readable' in p for p in found.problems)


def test_cub():
    root = REAL / 'cub'
    classes = read_classes(root)
    photos = {split: read_cub(root, split, on_disk=True) for split in ('train', 'test')}
    assert {split: len(ps) for split, ps in photos.items()} == dict(train=50, test=30)
    for split, n in (('train', 5), ('test', 3)):
        assert Counter(p.label for p in photos[split]) == {c: n for c in classes}
    assert all(classes[p.label] in p.path for p in photos['train'])
    found = describe_folder(root)
    assert found.data == 'CUB-200-2011'
    assert found.counts == dict(train=50, test=30) and found.problems == ()


def test_nabirds():
    root = REAL / 'nabirds'
    photos = read_nabirds(root, 'train') + read_nabirds(root, 'test')
    above, classes = read_hierarchy(root), read_classes(root)
    leaves = set(classes) - set(above.values())
    assert (len(photos), len(classes), len(above), len(leaves)) == (500, 1011, 1010, 555)
    assert {p.label for p in photos} <= leaves
    assert read_nabirds(root, 'train', on_disk=True) == []
    found = describe_folder(root)
    assert (found.data, found.counts) == ('NABirds', dict(train=244, test=256))
    assert len(found.problems) == 2 and all('images missing' in p for p in found.problems)


def test_descriptions_of_birds():
    texts = json.loads((REAL / 'birds_to_words' / 'descriptions_excerpt.json').read_text())
    for t in texts['readme_pair']['descriptions'] + texts['paper_figure']:
        assert 'animal1' in tokenise(t).split() and 'animal 1' not in tokenise(t)
    for t in texts['tokenised_other']:
        assert tokenise(t) == t

"Mini-Birds, read back by the readers for the official files, and the judge under strange texts."

import random, string
import pytest
from idc_nb.lab import readers
from idc_nb.world.bird_words import (
    BIRD_WORDS,
    judge_claims,
    make_mini_birds,
    nab_classes,
    read_truth,
)
from idc_nb.world.birds import SPECIES


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_mini_birds(tmp_path_factory.mktemp('birds'), 20, 4, 4, seed=3, workers=1)


def test_pairs_are_read_and_true(root):
    truth, n = read_truth(root), 0
    for split in ('train', 'val', 'test'):
        for t in readers.read_birds_to_words(
            root / 'birds_to_words/birds-to-words-v1.0.tsv', split, on_disk=True
        ):
            n += 1
            one, two = (truth[str(p).split(root.name + '/')[-1]] for p in (t.img1, t.img2))
            assert len(t.captions) in (3, 4) and all(judge_claims(c, one, two) for c in t.captions)
    assert n == 20


def test_photos_are_read_and_true(root):
    truth = read_truth(root)
    for split, n in (('train', 180), ('test', 60)):
        cub = readers.read_cub(root / 'cub', split, root / 'cub/text_c10', on_disk=True)
        nab = readers.read_nabirds(root / 'nabirds', split, on_disk=True)
        assert len(cub) == len(nab) == n
        name = lambda p: str(p.path).split(root.name + '/')[-1]
        assert all(
            len(p.captions) == 10 and all(judge_claims(c, truth[name(p)]) for c in p.captions)
            for p in cub
        )
        assert all(nab_classes()[2][truth[name(p)].name] == p.label for p in nab)
    assert readers.read_hierarchy(root / 'nabirds') == nab_classes()[1]


def test_judge_bears_anything():
    r = random.Random(0)
    texts = [
        '',
        ' ',
        '\x00',
        'İ',
        '\ud800',
        'animal 3 has a head',
        'animal 1 ' * 4000,
        'and ' * 4000,
        *(' '.join(r.choices(BIRD_WORDS, k=12)) for _ in range(3000)),
        *(''.join(r.choices(string.printable, k=60)) for _ in range(500)),
    ]
    for t in texts:
        for birds in ((SPECIES[0],), (SPECIES[0], SPECIES[9])):
            assert 0 <= judge_claims(t, *birds).rate <= 1

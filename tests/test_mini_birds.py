"""Mini-Birds, read back by the readers for the official files, and the judge of strange texts."""

import hashlib
import random
import string
import pytest
from idc_nb.lab.readers import read_birds_to_words, read_cub, read_hierarchy, read_nabirds
from idc_nb.world.bird_words import BIRD_WORDS, judge_claims, make_mini_birds
from idc_nb.world.bird_words import nab_classes, read_truth
from idc_nb.world.birds import SPECIES


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_mini_birds(tmp_path_factory.mktemp('birds'), 20, 4, 4, seed=3, workers=1)


@pytest.fixture(scope='module')
def bird_on(root):  # bird_on(path of a photo): the bird that was drawn
    truth = read_truth(root)
    return lambda path: truth[str(path).split(f'{root.name}/')[-1]]


def test_pairs_are_read_and_true(root, bird_on):
    path = root / 'birds_to_words/birds-to-words-v1.0.tsv'
    n = 0
    for split in ('train', 'val', 'test'):
        for t in read_birds_to_words(path, split, on_disk=True):
            n += 1
            assert len(t.captions) in (3, 4)
            for caption in t.captions:
                assert judge_claims(caption, bird_on(t.img1), bird_on(t.img2)), caption
    assert n == 20


def test_words_of_a_seed(root):
    "Recorded results rest on these texts, so a seed must go on giving the same."
    files = [root / 'birds_to_words/birds-to-words-v1.0.tsv', *root.glob('cub/text_c10/*/*.txt')]
    digest = hashlib.sha256(b''.join(f.read_bytes() for f in sorted(files)))
    assert digest.hexdigest()[:16] == '6e0c4fa8f11ab1a0'


@pytest.mark.parametrize('split, n', [('train', 180), ('test', 60)])
def test_photos_of_cub_are_read_and_true(root, bird_on, split, n):
    photos = read_cub(root / 'cub', split, root / 'cub/text_c10', on_disk=True)
    assert len(photos) == n
    for photo in photos:
        assert len(photo.captions) == 10
        for caption in photo.captions:
            assert judge_claims(caption, bird_on(photo.path)), caption


@pytest.mark.parametrize('split, n', [('train', 180), ('test', 60)])
def test_photos_of_nabirds_are_read_and_true(root, bird_on, split, n):
    photos = read_nabirds(root / 'nabirds', split, on_disk=True)
    assert len(photos) == n
    class_of = nab_classes()[2]
    for photo in photos:
        assert class_of[bird_on(photo.path).name] == photo.label


def test_hierarchy_is_read(root):
    assert read_hierarchy(root / 'nabirds') == nab_classes()[1]


def test_judge_bears_anything():
    rng = random.Random(0)
    strange = ['', ' ', '\x00', 'İ', '\ud800', 'animal 3 has a head']
    long = ['animal 1 ' * 4000, 'and ' * 4000]
    words = [' '.join(rng.choices(BIRD_WORDS, k=12)) for _ in range(3000)]
    noise = [''.join(rng.choices(string.printable, k=60)) for _ in range(500)]
    for text in strange + long + words + noise:
        assert 0 <= judge_claims(text, SPECIES[0]).rate <= 1
        assert 0 <= judge_claims(text, SPECIES[0], SPECIES[9]).rate <= 1

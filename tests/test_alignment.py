"""Maps of words: attention in the open, and the pointing game on models whose answer is known."""

from pathlib import Path
import numpy as np
import pytest
import torch
from idc_nb.alignment import largest_cells, measure_alignment, point, read_openly, word_maps
from idc_nb.captioner import get_captioner
from idc_nb.grid import grid
from idc_nb.inputs import ModelConfig
from idc_nb.lab.spoken import box_cells, spoken_words, things_meant, word_roles
from idc_nb.lab.files import read_json
from idc_nb.lab.runs import scenes_of
from idc_nb.model import DifferenceModel
from idc_nb.pairs import lesson_data, read_clevr_change
from idc_nb.world.language import SAME, is_true, parse

REAL = Path(__file__).parents[2] / 'shared' / 'data' / 'clevr_change'


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    c = ModelConfig(channels=5, vocab=11, dim=12, heads=3, ff=7, cross_layers=2, cells=4, dropout=0)
    return DifferenceModel(c).eval()


@pytest.fixture(scope='module')
def batch():
    torch.manual_seed(1)
    ids = torch.tensor([[1, 6, 7, 8, 2], [1, 9, 2, 0, 0]])
    return torch.randn(2, 4, 5), torch.randn(2, 4, 5), ids


def test_shapes(model, batch):
    maps = word_maps(model, *batch)
    assert {x.shape for rows in maps.values() for x in rows.values()} == {(2, 4, 2, 4)}
    assert list(maps['cosine']) == ['layer 1', 'layer 2', 'all layers']
    assert len(maps['attention']) == 3 + 2 * 3
    assert not any(x.requires_grad for rows in maps.values() for x in rows.values())
    assert all(p.grad is None for p in model.parameters())


def test_padding_changes_nothing(model, batch):
    img1, img2, ids = batch
    short = word_maps(model, img1[1:], img2[1:], ids[1:, :3])
    for measure, rows in word_maps(model, *batch).items():
        for row, x in rows.items():
            torch.testing.assert_close(x[1:, :2], short[measure][row], atol=1e-5, rtol=1e-4)


def test_gradient_is_that_of_the_word(model, batch):
    "The score of a word, whose weights are made a little larger by hand."
    img1, img2, ids = batch
    weights, _, scores = read_openly(model, img1, img2, ids)
    score = scores[0, 1, ids[0, 2]]
    slope = torch.autograd.grad(score, weights)[1][0, :, -4 + 1, :10]  # layer 2, (h,n)
    by_hand = (weights[1][0, :, -4 + 1, :10] * slope).clamp(min=0).mean(0)  # (n,)
    found = word_maps(model, img1, img2, ids)['gradient']['layer 2'][0, 1]  # (2,N)
    torch.testing.assert_close(found.flatten(), by_hand[[1, 2, 3, 4, 6, 7, 8, 9]])


def test_maps_under_inference_mode(model, batch):
    with torch.no_grad():
        assert 'gradient' in word_maps(model, *batch)


def test_largest_cells():
    x = torch.rand(3, 2, 4)
    for k in (1, 4, 8):
        assert (largest_cells(x, k).sum((1, 2)) == k).all()
    assert (
        x[largest_cells(x, 3)].view(3, 3).amin(1)
        >= x.masked_fill(largest_cells(x, 3), 0).amax((1, 2))
    ).all()


def test_the_game_counts_hits(monkeypatch, batch):
    "A map that is large exactly inside the box wins always; one that is large elsewhere never."
    inside = np.zeros((2, 4), bool)
    inside[1, 2] = True
    words = [dict(pair=0, place=1, inside=inside), dict(pair=1, place=0, inside=inside)]
    right = torch.from_numpy(inside).float().expand(2, 4, 2, 4)
    maps = dict(gradient={'good': right, 'bad': 1 - right})
    monkeypatch.setattr('idc_nb.alignment.word_maps', lambda *batch: maps)
    found = point(None, [(*batch, words)])
    assert found['gradient', 'good'].tolist() == [[1, 1], [1, 1], [1, 1]]
    assert found['gradient', 'bad'].tolist() == [[0, 0], [0, 0], [0, 0]]
    monkeypatch.setattr(
        'idc_nb.alignment.word_maps', lambda *batch: dict(gradient={'x': 0 * right})
    )
    assert point(None, [(*batch, words)])['gradient', 'x'].tolist() == [[0, 0], [0, 0], [0, 0]]


def test_measurement_of_lesson_pairs():
    out = measure_alignment(get_captioner(), lesson_data(), n=5)
    value, chance, untrained = out['pointing']['gradient']['changed thing']
    assert value > 4 * max(chance, untrained)
    assert out['settings']['pairs'] == 5 and out['settings']['words'] > 15
    again = measure_alignment(get_captioner(), lesson_data(), n=5)
    assert again == out


@pytest.mark.parametrize('t', read_clevr_change(lesson_data(), 'val'), ids=lambda t: t.id)
def test_roles(t):
    scenes = read_json(lesson_data() / 'scenes.json')
    pair = scenes_of(t, scenes)
    for caption in t.captions:
        roles = word_roles(caption)
        assert len(roles) == len(caption.split())
        if not t.changed:
            assert {part for _, part in roles} == {None}
            continue
        e, meant = parse(caption).expression, things_meant(caption, *pair)
        assert is_true(caption, *pair)
        assert bool(meant['other']) == bool(e.relation)
        parts = {part for _, part in roles}
        assert ('other' in parts) == bool(e.relation)


def test_sentences_without_a_thing():
    for sentence in SAME:
        assert {role for role in word_roles(sentence)} == {(None, None)}


def test_distractors_speak_of_no_thing():
    test = [t for t in read_clevr_change(lesson_data(), 'test') if t.changed]
    words = spoken_words(test, read_json(lesson_data() / 'scenes.json'))
    assert {w['pair'] for w in words} == set(range(len(test)))


@pytest.mark.parametrize('box', [(0, 0, 1, 1), (223, 223, 224, 224), (100, 0, 101, 224)])
def test_no_box_is_empty(box):
    assert box_cells(box).any()


@pytest.mark.skipif(not REAL.is_dir(), reason='no ../shared/data/clevr_change here')
def test_real_pairs_have_maps():
    c = get_captioner()
    triplets = read_clevr_change(REAL, 'train', captioned=False, on_disk=True)[:4]
    img1, img2 = (torch.stack([grid(getattr(t, k)) for t in triplets]) for k in ('img1', 'img2'))
    for i, (sentence, _) in enumerate(c.from_grids(img1, img2)):
        ids = torch.tensor([c.vocab.encode(sentence)])
        maps = word_maps(c.model, img1[i : i + 1], img2[i : i + 1], ids)
        assert maps['gradient']['all layers'].shape == (1, len(sentence.split()) + 1, 2, 49)


KEPT = read_json(Path(__file__).parents[1] / 'results' / 'alignment.json')


def test_results_are_of_the_shipped_model():
    trained = get_captioner().about['date']
    assert KEPT['settings']['trained'] == trained, 'the checkpoint changed: run `make alignment`'


NAME = ['size', 'color', 'material', 'shape']  # as the words of a name follow each other


def pointing(row, i=0, measure='gradient'):  # i: 0 the model, 1 chance, 2 untrained
    return KEPT['pointing'][measure][row][i]


@pytest.mark.parametrize(
    'holds, sentence',
    [
        (pointing('changed thing') > 50, 'Most words about the changed thing point into its box'),
        *(
            (pointing(name) > times * max(pointing(name, 1), pointing(name, 2)), f'{name}: no luck')
            for name, times in {'changed thing': 4, 'other thing': 3}.items()
        ),
        (
            pointing('changed thing') > pointing('changed thing', measure='a thing at random'),
            'changed thing: not any thing',
        ),
        (
            pointing('other thing') > 3 * pointing('other thing', measure='a thing at random'),
            'other thing: not any thing',
        ),
        (
            [round(pointing(row)) for row in ('changed thing', 'other thing')] == [80, 61]
            and round(pointing('changed thing', 1)) == 2
            and round(pointing('other thing', measure='a thing at random')) == 19,
            '80 in 100, where chance is 2, and 61, where a random thing has 19',
        ),
        (
            [round(pointing(name)) for name in NAME] == [70, 74, 76, 78],
            'Within a name the later words point no worse: 70, 74, 76, 78',
        ),
        (
            KEPT['blanking']['gradient']['changed thing'][0]
            > 2 * KEPT['blanking']['gradient']['changed thing'][1],
            'Its cells matter more than random ones',
        ),
        (
            3 * pointing('other thing', 1) < pointing('other thing') < pointing('changed thing'),
            'The other thing is found less often',
        ),
        (pointing('all layers', 2) < 2 * pointing('all layers', 1), 'untrained: near chance'),
        (
            pointing('layer 2') > max(pointing('layer 1'), pointing('layer 3')),
            'The second layer points best',
        ),
        (
            pointing('relation') > pointing('relation', measure='a thing at random'),
            'Relations look at their two things',
        ),
        (
            pointing('all layers', measure='cosine') < 2 * pointing('all layers', 1),
            'The cosine knows nothing of words',
        ),
        (
            [round(x) for x in KEPT['blanking']['gradient']['all words']] == [63, 8],
            'Without four cells 63 in 100 words change, without four random ones 8',
        ),
        (KEPT['second_image']['color']['color'] < 40, 'An old colour: mostly in the first image'),
        (KEPT['second_image']['new value']['color'] > 60, 'A new colour: mostly in the second'),
    ],
    ids=lambda x: x if isinstance(x, str) else '',
)
def test_what_21_alignment_says_of_its_results(holds, sentence):
    assert holds, f'21_alignment says: {sentence}. The results no longer say so: change the prose'

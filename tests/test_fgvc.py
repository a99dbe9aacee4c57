"Class labels: L_con by hand, its invariances, what it does to vectors, and the draws of pairs."

from collections import Counter
from dataclasses import replace
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from idc_nb.fgvc import BirdPretraining, ClassHeads, ClassPairs, contrast_loss, fgvc_losses
from idc_nb.fgvc import see_photos, summary_vectors
from idc_nb.gic import bird_grids
from idc_nb.inputs import ModelConfig
from idc_nb.lab.bird_recipe import Alternate
from idc_nb.lab.readers import read_birds_to_words, read_hierarchy, read_nabirds
from idc_nb.model import DifferenceModel
from idc_nb.lab.negatives_files import Negative
from idc_nb.pretrain import TaskBatches
from idc_nb.training import TrainConfig
from idc_nb.vocab import Vocab
from idc_nb.world.bird_words import lesson_birds

CONFIG = ModelConfig(
    channels=11, vocab=13, dim=24, heads=3, ff=40, cells=5, cross_layers=1, dropout=0.0
)


@pytest.mark.parametrize(
    'cosine, classes, loss',
    [
        (1.0, (7, 7), 0.0),  # one class, one direction
        (1.0, (7, 8), 2 * (1 - 0.4) / 4),  # two classes, one direction
        (0.0, (7, 7), 2 * 1 / 4),  # one class, at right angles
        (0.0, (7, 8), 0.0),  # two classes, at right angles
        (0.5, (7, 8), 2 * 0.1 / 4),
    ],
)
def test_contrast_by_hand(cosine, classes, loss):
    h = torch.tensor([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]])
    assert contrast_loss(h, torch.tensor(classes)) == pytest.approx(loss, abs=1e-6)


def test_contrast_of_equal_vectors():
    classes = torch.arange(12) % 3
    assert contrast_loss(torch.ones(12, 5), classes) == pytest.approx((1 - 1 / 3) * 0.6)


def test_contrast_has_no_order_and_no_length():
    torch.manual_seed(0)
    h, classes = torch.randn(8, 24), torch.tensor([2, 0, 2, 1, 0, 2, 5, 1])
    loss, order = contrast_loss(h, classes), torch.tensor([3, 7, 0, 5, 1, 2, 6, 4])
    assert contrast_loss(h[order], classes[order]) == pytest.approx(loss.item(), abs=1e-6)
    assert contrast_loss(3 * h, classes) == pytest.approx(loss.item(), abs=1e-6)


def test_class_beyond_the_heads():
    img, classes = torch.randn(4, 5, 11), torch.tensor([0, 1, 2, 5])
    with pytest.raises(IndexError, match='out of bounds'):
        fgvc_losses(DifferenceModel(CONFIG), ClassHeads(24, 6), img, img, classes + 9, classes)


def test_every_encoder_weight_learns():
    torch.manual_seed(0)
    model, classes = DifferenceModel(CONFIG), torch.tensor([0, 1, 2, 5])
    img1, img2 = torch.randn(2, 4, 5, 11)
    losses, *_ = fgvc_losses(model, ClassHeads(24, 6), img1, img2, classes, classes.flip(0))
    sum(losses.values()).backward()
    for name, p in model.named_parameters():
        if name.startswith(('single_encoder', 'pair_encoder')) and 'key.bias' not in name:
            assert p.grad.abs().sum() > 0, name


class Made:
    "Six classes: each a direction in feature space that one of five cells carries, under noise."

    directions = torch.randn(6, 11, generator=torch.Generator().manual_seed(1))

    def images(self, classes, g):  # (B,5,11)
        x = torch.randn(len(classes), 5, 11, generator=g)
        cell = torch.randint(5, (len(classes),), generator=g)
        x[torch.arange(len(classes)), cell] += 1.5 * self.directions[classes]
        return x

    def learn(self, margin, steps=250):
        torch.manual_seed(0)
        g = torch.Generator().manual_seed(0)
        model, heads = DifferenceModel(CONFIG), ClassHeads(24, 6)
        optimiser = torch.optim.Adam([*model.parameters(), *heads.parameters()], 2e-3)
        for _ in range(steps):
            class1 = torch.randint(6, (32,), generator=g)
            other = torch.rand(32, generator=g) < 0.5, torch.randint(6, (32,), generator=g)
            class2 = torch.where(other[0], class1, other[1])
            img1, img2 = self.images(class1, g), self.images(class2, g)
            alone, both = summary_vectors(model, img1, img2)
            classes = torch.cat([class1, class2])
            loss = F.cross_entropy(heads.species(alone), classes)
            loss += F.cross_entropy(heads.same(both), (class1 == class2).long())
            loss += contrast_loss(alone, classes, margin)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return model.eval()

    @torch.no_grad()
    def cosines(self, model):  # mean within a class, mean between classes, of 240 new images
        classes = torch.arange(6).repeat_interleave(40)
        img = self.images(classes, torch.Generator().manual_seed(99))
        h = F.normalize(summary_vectors(model, img, img)[0][:240], dim=-1)
        cos, same = h @ h.T, classes[:, None] == classes
        itself = torch.eye(240, dtype=torch.bool)
        return cos[same & ~itself].mean().item(), cos[~same].mean().item()


def test_labels_pull_and_push():
    made = Made()
    torch.manual_seed(0)
    within, between = made.cosines(DifferenceModel(CONFIG).eval())
    assert within - between < 0.1
    within, between = made.cosines(made.learn(0.4))
    assert within - between > 0.3
    assert made.cosines(made.learn(0.0))[1] < between + 0.05


@pytest.fixture(scope='module')
def root():
    return lesson_birds()


@pytest.fixture(scope='module')
def store(root):
    return bird_grids(root)


def shares(photos, store, above, **how):  # of one class, of one genus, of the very same photo
    b = ClassPairs(photos, store, 32, 40, above=above, **how)
    first, second = np.concatenate([b.indices_at(step) for step in range(40)]).T
    k1, k2 = b.classes[first], b.classes[second]
    genus = (k1 != k2) & (b.genus[k1] == b.genus[k2])
    return np.mean(k1 == k2), np.mean(genus), np.mean(first == second)


def test_pairs(root, store):
    photos, above = read_nabirds(root / 'nabirds', 'train'), read_hierarchy(root / 'nabirds')
    assert shares(photos, store, above) == pytest.approx((0.5, 0.02, 0), abs=0.05)
    assert shares(photos, store, above, hard=1.0) == pytest.approx((0.5, 0.5, 0), abs=0.05)
    half = shares(photos, store, above, same=0.2, hard=0.5)
    assert half == pytest.approx((0.2, 0.4, 0), abs=0.05)
    with pytest.raises(ValueError, match='two classes or more'):
        ClassPairs(photos[:1], store, 5, 9)
    with pytest.raises(ValueError, match='need the tree of classes'):
        ClassPairs(photos, store, 5, 9, hard=0.5)
    b, again = (ClassPairs(photos, store, 5, 9, seed=1).at(7) for _ in range(2))
    assert b['img2'].shape == (5, 49, store.grids.shape[2]) and b['class1'].shape == (5,)
    assert all(torch.equal(b[k], again[k]) for k in ('img1', 'img2', 'class1', 'class2'))


@pytest.fixture
def model(store):
    channels = store.grids.shape[2]
    return DifferenceModel(replace(CONFIG, channels=channels, cells=49)).eval()


def test_the_stage_takes_its_settings_and_another_loss(root, store, model):
    def known(model, heads, img1, img2, class1, class2):  # called like `fgvc_losses`
        assert (len(img1), heads.species.out_features) == (4, 60)
        losses = dict(first=torch.tensor(1.0), second=torch.tensor(2.0))
        return losses, F.one_hot(torch.cat([class1, class2]), 60), None

    photos, c = read_nabirds(root / 'nabirds', 'train'), TrainConfig(1, 4, 1e-3)
    stage = BirdPretraining(model, c, 60, losses=dict(fgvc=known))
    assert stage.c == c
    loss, figures = stage.loss(ClassPairs(photos, store, 4, 9).at(0))
    assert loss == 3
    assert figures == dict(fgvc_first=1, fgvc_second=2, fgvc_species_right=1)
    assert BirdPretraining(model, c).heads.species.out_features == 1  # no labelled photos


def test_photos_are_read_in_small_parts(root, store, model):
    photos, sizes = read_nabirds(root / 'nabirds', 'train')[:7], []
    model.single_encoder.register_forward_hook(lambda _, x, y: sizes.append(len(x[0])))
    see_photos(BirdPretraining(model, TrainConfig(1, 4, 1e-3)), store, photos, batch=3)
    assert sizes == [3, 3, 1]


def test_alternate(root, store):
    tsv = root / 'birds_to_words' / 'birds-to-words-v1.0.tsv'
    pairs = read_birds_to_words(tsv, 'train')
    vocab = Vocab.build(caption for t in pairs for caption in t.captions)
    false = {t.id: [Negative('animal1 is blue .', 'replace')] * 6 for t in pairs}
    tasks = dict(mlm=9, mvcl=1, fda=2)
    texts = TaskBatches(pairs, store, vocab, 8, 600, tasks=tasks, negatives=false)
    labels = ClassPairs(read_nabirds(root / 'nabirds', 'train'), store, 8, 600)
    turns = Alternate(texts, labels)
    count = Counter(turns.at(step)['task'] for step in range(600))
    for task, weight in (tasks | dict(fgvc=3)).items():
        assert count[task] / 600 == pytest.approx(weight / 15, abs=0.04), task

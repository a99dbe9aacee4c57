"""A student's part works in place of ours, and a loss that cannot train is refused."""

import tempfile
from functools import partial
import numpy as np
import pytest
import torch
import idc_nb
from idc_nb.captioner import Captioner
from idc_nb.decode import beam_search, greedy
from idc_nb.fda import fda_loss, ranking_loss
from idc_nb.fgvc import ClassHeads, contrast_loss, fgvc_losses
from idc_nb.finetune import Finetuning, causal_mask, masked_word_loss, query_word_loss
from idc_nb.gic import ImageCaptioning, perceive_singly
from idc_nb.inputs import ModelConfig
from idc_nb.lab.checks import lesson_setup
from idc_nb.lab.stack import Attention
from idc_nb.mlm import mask_words, mlm_loss, word_loss
from idc_nb.model import DifferenceModel, other_image_mask
from idc_nb.mvcl import cell_logits, choose_cells, info_nce, mvcl_loss
from idc_nb.negatives import build_negatives
from idc_nb.pretrain import Pretraining, TaskBatches, task_at_step
from idc_nb.training import PairBatches, Stage, TrainConfig, fit
from idc_nb.vocab import BOS, EOS, PAD, pad_ids

CONFIG = ModelConfig(channels=11, vocab=13, dim=24, heads=3, ff=40, cells=5, dropout=0.0)


@pytest.fixture(scope='module')
def lessons():
    return lesson_setup()


def small(seed=0, **parts):
    torch.manual_seed(seed)
    return DifferenceModel(CONFIG, **parts)


def pair(B=2):
    return torch.randn(2, B, 5, 11, generator=torch.Generator().manual_seed(0)).unbind(0)


def test_attention():
    class Counted(Attention):
        calls = 0

        def forward(self, *arguments):
            Counted.calls += 1
            return super().forward(*arguments)

    ours, theirs = small(), small(attention=Counted)
    assert torch.equal(ours.images(*pair()), theirs.images(*pair()))
    assert Counted.calls == CONFIG.single_layers + CONFIG.pair_layers


def test_pair_mask():
    assert small().pair_mask is None
    assert torch.equal(small(pair_mask=other_image_mask).pair_mask, other_image_mask(5))
    all_see = small(pair_mask=lambda N: torch.ones(2 * N + 2, 2 * N + 2).bool())
    assert torch.allclose(all_see.images(*pair()), small().images(*pair()), atol=1e-6)


@pytest.mark.parametrize('word_loss_of', [query_word_loss, masked_word_loss])
@pytest.mark.parametrize('blind', ['text', 'images'])
def test_mask_of_fine_tuning(word_loss_of, blind):
    def mask(T, n):
        made = causal_mask(T, n)
        if blind == 'text':
            made[:, n:] = torch.eye(T).bool()  # no earlier word
        else:
            made[:, :n] = False
        return made

    model = small()
    ids = pad_ids([[BOS, *range(7, 7 + n), EOS] for n in (4, 2, 5, 3)])
    other = ids.clone()
    other[:, 1] = 6  # an earlier word, which a target may follow

    def loss(images, ids, asked):
        torch.manual_seed(1)
        return word_loss_of(model, images, ids, mask=asked)[0]

    images = model.images(*pair())
    assert not torch.isclose(loss(images, ids, mask), loss(images, ids, causal_mask))
    if blind == 'images':
        assert torch.equal(loss(images, ids, mask), loss(0 * images, ids, mask))


def test_finetuning_hands_the_mask_on():
    seen = []

    def mask(T, n):
        seen.append((T, n))
        return causal_mask(T, n)

    batch = dict(zip(('img1', 'img2'), pair()), changed=torch.tensor([0, 1]))
    batch['ids'] = pad_ids([[BOS, 7, EOS], [BOS, 8, 9, EOS]])
    c = TrainConfig(1, 2, 1e-3)
    for word_loss_of in (query_word_loss, masked_word_loss):
        stage = Finetuning(small(), c, word_loss_of, mask=mask)
        torch.manual_seed(0)
        with_part = stage.loss(batch)[0]
        torch.manual_seed(0)
        assert torch.equal(with_part, Finetuning(stage.model, c, word_loss_of).loss(batch)[0])
        assert {n for _, n in seen} == {12} and seen
        seen.clear()


def test_inner_parts_of_losses():
    model, (img1, img2) = small(), pair()
    ids = pad_ids([[BOS, 7, 8, EOS], [BOS, 8, 9, EOS]])
    head = Pretraining(model, TrainConfig(1, 2, 1e-3)).head

    def seeded():
        return torch.Generator().manual_seed(3)

    def same(f, *arguments, **parts):
        return torch.equal(f(*arguments)[0], f(*arguments, **parts)[0])

    assert same(lambda *a, **k: mlm_loss(*a, seeded(), **k), model, img1, img2, ids)
    for name, part, f in (
        ('cover', mask_words, partial(mlm_loss, model, img1, img2, ids)),
        ('word_loss', word_loss, partial(mlm_loss, model, img1, img2, ids)),
        ('choose', choose_cells, partial(mvcl_loss, model, head, img1, img2, ids)),
        ('logits', cell_logits, partial(mvcl_loss, model, head, img1, img2, ids)),
        ('contrast', info_nce, partial(mvcl_loss, model, head, img1, img2, ids)),
    ):
        calls = []

        def counted(*arguments, part=part, calls=calls, **options):
            calls.append(part)
            return part(*arguments, **options)

        theirs = f(generator=seeded(), **{name: counted})[0]
        assert torch.equal(theirs, f(generator=seeded())[0]) and len(calls) == 1
    ranked = ids[:, None].repeat(1, 3, 1)
    twice = fda_loss(model, img1, img2, ranked, rank=lambda *a: (2 * ranking_loss(*a)[0], 0))
    assert torch.isclose(twice[0], 2 * fda_loss(model, img1, img2, ranked)[0])


def test_losses_of_pretraining(lessons):
    triplets, store, vocab, model = lessons
    negatives = build_negatives({t.id: t.captions for t in triplets[:60]})
    called = []

    def of(task, loss):
        def theirs(*arguments, **options):
            called.append(task)
            return loss(*arguments, **options)

        return theirs

    tasks = dict(mlm=mlm_loss, mvcl=mvcl_loss, fda=fda_loss)
    losses = {task: of(task, loss) for task, loss in tasks.items()}
    c = TrainConfig(1, 14, 1e-3)
    theirs, ours = Pretraining(model, c, losses=losses), Pretraining(model, c)
    theirs.head = ours.head
    for task in tasks:
        one = {task: 1}
        b = TaskBatches(triplets[:60], store, vocab, 14, 1, tasks=one, negatives=negatives).at(0)
        torch.manual_seed(0)
        loss, figures = theirs.loss(b)
        torch.manual_seed(0)
        assert torch.equal(loss, ours.loss(b)[0])
        assert set(figures) == {f'{task}_loss', f'{task}_accuracy'} and called.pop() == task
    with pytest.raises(ValueError, match='unknown tasks'):
        Pretraining(model, c, losses=dict(mvlc=mvcl_loss))


def test_sample(lessons):
    triplets, store, vocab, _ = lessons

    def first_ones(step, pairs, batch):
        return list(range(batch))

    batches = PairBatches(triplets, store, vocab, 4, 2, sample=first_ones)
    ids = [vocab.decode(row) for row in batches.at(1)['ids']]
    assert all(text in t.captions for text, t in zip(ids, triplets))
    b = TaskBatches(triplets, store, vocab, 4, 2, tasks=dict(mlm=1), sample=first_ones)
    assert np.array_equal(b.indices_at(7), range(4))


def test_draw(lessons):
    triplets, store, vocab, _ = lessons

    def turns(step, tasks, seed):
        return list(tasks)[(step + seed) % len(tasks)]

    some = triplets[:30], store, vocab, 4, 4
    tasks = dict(mlm=1, mvcl=3)
    b = TaskBatches(*some, seed=1, tasks=tasks, draw=turns)
    assert [b.task_at(step) for step in range(4)] == ['mvcl', 'mlm', 'mvcl', 'mlm']
    assert [batch['task'] for batch in b] == ['mvcl', 'mlm', 'mvcl', 'mlm']
    ours = TaskBatches(*some, seed=1, tasks=tasks)
    assert [batch['task'] for batch in ours] == [task_at_step(s, tasks, 1) for s in range(4)]


def test_perceive():
    def silent(model, images):
        return 0 * perceive_singly(model, images)

    img1 = torch.cat(pair())
    stage = ImageCaptioning(small(), TrainConfig(1, 4, 1e-3))
    batch = dict(img1=img1, ids=torch.randint(6, 13, (4, 7)))
    torch.manual_seed(0)
    ours, _ = stage.loss(batch)
    torch.manual_seed(0)
    assert torch.equal(stage.loss(batch, perceive_singly)[0], ours)
    torch.manual_seed(0)
    blind, _ = stage.loss(batch, silent)
    torch.manual_seed(0)
    assert torch.equal(stage.loss(batch | dict(img1=img1 + 1), silent)[0], blind) and blind != ours


def test_contrast():
    seen = []

    def doubled(h, classes):
        seen.append((h.shape, classes.tolist()))
        return 2 * contrast_loss(h, classes)

    inputs = small(), ClassHeads(24, 3), *pair(), torch.tensor([0, 1]), torch.tensor([0, 2])
    ours, theirs = fgvc_losses(*inputs)[0], fgvc_losses(*inputs, contrast=doubled)[0]
    assert seen == [((4, 24), [0, 1, 0, 2])]
    assert torch.equal(theirs['contrast'], 2 * ours['contrast']) and ours['contrast'] > 0
    assert torch.equal(theirs['species'], ours['species'])
    assert torch.equal(theirs['same'], ours['same'])


def test_makers():
    captions = {i: [f'the {color} cube moved'] for i, color in enumerate('red blue gray'.split())}

    def maker(caption, rng):
        return caption.replace('cube', rng.choice(['ball', 'cylinder', 'sphere']))

    kinds = ('confuse',)
    made = build_negatives(captions, 3, kinds, makers=dict(confuse=maker))
    texts = {x.text for x in made[0] if x.kind == 'confuse'}
    assert texts and all(text.startswith('the red ') and 'cube' not in text for text in texts)


def test_decoding(lessons):
    triplets, store, vocab, _ = lessons
    t = triplets[0]
    ours = idc_nb.caption(t.img1, t.img2, with_change=True)
    assert idc_nb.caption(t.img1, t.img2, with_change=True, decode=greedy) == ours
    one_beam = partial(beam_search, beams=1)
    assert idc_nb.caption(t.img1, t.img2, with_change=True, decode=one_beam) == ours

    def end_at_once(scores, ids):
        return torch.full((len(ids),), EOS)

    silent = partial(greedy, pick=end_at_once)
    assert idc_nb.captions([(t.img1, t.img2)], decode=silent) == ['']


def test_own_captioner(lessons):
    triplets, _, vocab, model = lessons
    own = Captioner(model, vocab, 'tf_efficientnet_lite0', dict(max_len=4))
    t = triplets[0]
    said = idc_nb.caption(t.img1, t.img2, model=own)
    assert len(said.split()) <= 3 and idc_nb.caption(t.img1, t.img2) != said


@pytest.mark.parametrize(
    'loss, sentence',
    [
        (lambda w: w[:2], 'expected a scalar'),
        (lambda w: w.sum().detach(), 'no gradient'),
        (lambda w: w.sum() / 0, 'is inf|is -inf|is nan'),
        (lambda w: float(w.sum()), 'expected a scalar tensor'),
    ],
)
def test_fit_refuses_losses(lessons, loss, sentence):
    triplets, store, vocab, model = lessons

    class Odd(Stage):
        def loss(self, batch):
            return loss(self.model.judge.weight.flatten()), {}

    batches = PairBatches(triplets, store, vocab, 4, 2)
    with pytest.raises(ValueError, match=sentence):
        fit(Odd(model, TrainConfig(2, 4, 1e-3)), batches, tempfile.mkdtemp(), logger=False)


def test_padding_is_never_seen_through_the_mask():
    ids = pad_ids([[BOS, 7, EOS], [BOS, 8, 9, 10, 11, EOS]])
    longer = torch.cat([ids, torch.full((2, 3), PAD)], 1)
    model = small()
    images = model.images(*pair())
    one, other = (query_word_loss(model, images, x)[0] for x in (ids, longer))
    assert torch.isclose(one, other, atol=1e-6)

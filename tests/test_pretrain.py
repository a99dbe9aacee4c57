"""What 11_pretrain does not show: bad inputs, shares of FDA, who rests, what `Watch` asks."""

import pytest
import torch
from idc_nb.lab.watch import Watch
from idc_nb.model import DifferenceModel
from idc_nb.negatives import NEGATIVE_KINDS, Negative
from idc_nb.pretrain import TASKS, Pretraining, TaskBatches, resting_eyes, task_at_step
from idc_nb.training import TrainConfig
from made_up import config, made_up


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp('store'))


def false_captions(triplets):
    kinds = (*NEGATIVE_KINDS, *NEGATIVE_KINDS)
    return {t.id: [Negative('the red ball', kind) for kind in kinds] for t in triplets}


def stage(vocab, **more):
    torch.manual_seed(0)
    return Pretraining(DifferenceModel(config(vocab)), TrainConfig(9, 14, 1e-3), **more)


def test_unknown_tasks(data):
    with pytest.raises(ValueError, match=r"unknown tasks \['itm'\].*'mlm', 'mvcl', 'fda'"):
        TaskBatches(*data, 14, 9, tasks=dict(mlm=1, itm=1))


@pytest.mark.parametrize('some', [0, 3])
def test_fda_needs_negatives_of_every_pair(data, some):
    negatives = false_captions(data[0][:some])
    with pytest.raises(ValueError, match=f'FDA needs negatives: {30 - some} triplets have none'):
        TaskBatches(*data, 14, 9, negatives=negatives)


def test_one_task_alone():
    assert {task_at_step(step, dict(mvcl=1)) for step in range(9)} == {'mvcl'}


@pytest.mark.parametrize('batch, world, pairs', [(21, 1, 3), (21, 3, 3), (14, 3, 3), (3, 1, 1)])
def test_pairs_of_fda(data, batch, world, pairs):
    batches = TaskBatches(*data, batch, 9, tasks=dict(fda=1), negatives=false_captions(data[0]))
    shares = [batches.at(2, rank, world) for rank in range(world)]
    assert sum(len(share['ids']) for share in shares) == pairs
    assert {share['ids'].shape[1:] for share in shares} == {shares[0]['ids'].shape[1:]}
    assert all(len(share['kinds']) == len(share['img1']) for share in shares)


def test_resting(data):
    triplets, store, vocab = data
    batches = TaskBatches(*data, 14, 60, negatives=false_captions(triplets))
    resting = stage(vocab, resting=('mlm', 'fda'))
    for batch in batches:
        resting.zero_grad()
        resting.loss(batch)[0].backward()
        learns = resting.model.pair_encoder.layers[0].norm1.weight.grad is not None
        assert learns == (batch['task'] == 'mvcl')
        assert resting.model.cross_encoder.layers[0].norm1.weight.grad is not None


def test_eyes_wake_after_an_error(data):
    model = stage(data[2]).model
    with pytest.raises(KeyError), resting_eyes(model):
        assert not model.embed.project.weight.requires_grad
        raise KeyError
    assert all(p.requires_grad for p in model.parameters())
    with resting_eyes(model, False):
        assert all(p.requires_grad for p in model.parameters())


def test_watch(data):
    triplets, store, vocab = data
    texts = []
    batches = TaskBatches(*data, 28, 9, negatives=false_captions(triplets))
    watch = Watch(batches, vocab, every=10, show=texts.append)
    asked = stage(vocab)
    before = torch.get_rng_state()
    watch.ask(0, asked)
    watch.ask(10, asked)
    assert watch.seen[0] | dict(step=10) == watch.seen[1], 'the same model, another answer'
    assert torch.equal(torch.get_rng_state(), before), 'watching changes the training'
    assert asked.training and set(watch.fixed) == set(TASKS)
    assert texts[0].startswith('step 0\n  mlm') and 'guess: 4.0; 4 pairs' in texts[0]

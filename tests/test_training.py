"""What the lessons on training do not show: bad inputs, a crash between two checkpoints."""

import pytest
import torch
from dataclasses import replace
from idc_nb.lab.checkpoints import read_state
from idc_nb.lab.loop import fit
from idc_nb.training import PairBatches, TrainConfig, rate
from made_up import finetuning, made_up


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp('store'))


def test_bad_batches(data):
    triplets, store, vocab = data
    with pytest.raises(ValueError, match='3 triplets are fewer than a batch of 5'):
        PairBatches(triplets[:3], store, vocab, 5, 9)
    bare = [*triplets, replace(triplets[0], id='bare', captions=())]
    with pytest.raises(ValueError, match="1 triplets have no captions, such as 'bare'"):
        PairBatches(bare, store, vocab, 5, 9)


def test_unknown_schedule():
    with pytest.raises(ValueError, match="unknown schedule 'step'.*'cosine', 'noam' or 'halving'"):
        rate(TrainConfig(9, 1, 1.0, schedule='step'), 0)


def test_halving():
    c = TrainConfig(100_000, 200, 3e-5, warmup=0, schedule='halving')
    rates = [rate(c, step) for step in (0, 9_999, 10_000, 19_999, 20_000, 99_999)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_some_batches_are_mirrored(data):
    plain = PairBatches(*data, batch=5, steps=20)
    half = PairBatches(*data, batch=5, steps=20, mirrored=0.5)
    equal = [torch.equal(plain.at(s)['img1'], half.at(s)['img1']) for s in range(20)]
    assert 0 < sum(equal) < 20


def test_few_captions_come_again(data):
    batches = PairBatches(*data, batch=5, steps=9, captions=7)  # a pair has three
    assert len(batches.at(0)['ids']) == 35


def test_shares_of_processes(data):
    batches = PairBatches(*data, batch=6, steps=9, captions=2)
    whole = batches.at(4)
    for rank in range(3):
        share = batches.at(4, rank, world=3)
        assert torch.equal(share['changed'], whole['changed'][rank::3])
        assert torch.equal(share['ids'], whole['ids'].unflatten(0, (6, 2))[rank::3].flatten(0, 1))


@pytest.mark.parametrize('workers', [0, 2])
def test_dies_between_checkpoints(data, workers, tmp_path):
    def crash_at_8(stage):
        plain = stage.loss

        def loss(batch):
            if stage.global_step == 8:
                raise RuntimeError('the machine is gone')
            return plain(batch)

        stage.loss = loss
        return stage

    def run(folder, prepare=lambda stage: stage):
        stage, batches = finetuning(*data, steps=12, dropout=0.2)
        quiet = dict(accelerator='cpu', enable_progress_bar=False)
        return fit(prepare(stage), batches, tmp_path / folder, 5, workers, **quiet).state_dict()

    whole = run('whole')
    with pytest.raises(RuntimeError, match='the machine is gone'):
        run('cut', crash_at_8)
    assert read_state(tmp_path / 'cut/last.ckpt')['global_step'] == 5
    continued = run('cut')
    for name, weights in whole.items():
        assert torch.equal(weights, continued[name]), name

"""Every system learns 32 pairs by heart, and trains without asking the processor for a number."""

import json
from pathlib import Path
import pytest
import torch
from idc_nb.lab.rival_parts import BalancedBatches, RivalTraining
from idc_nb.lab.rival_runs import BIRD_ROWS, JITTERS, OWN, OWN_BIRDS
from idc_nb.lab.rival_runs import memorised, memorised_birds, new_rival
from idc_nb.lab.store import lesson_store
from idc_nb.pairs import lesson_data, read_clevr_change
from idc_nb.rivals import BIRD_RIVALS, PUBLISHED, PUBLISHED_BIRDS, RIVALS, paired_gain, rival_frame
from idc_nb.training import TrainConfig, fit
from idc_nb.vocab import BOS, EOS, PAD, Vocab

WORDS = Vocab('abcdefgh')


def batch(device='cpu', B=4, K=3, T=7, C=460):
    torch.manual_seed(0)
    grids = [torch.randn(B, 49, C).to(device) for _ in '12']
    ids = torch.randint(6, len(WORDS), (B * K, T))
    ids[:, 0], ids[:, -2], ids[:, -1] = BOS, EOS, PAD
    return *grids, ids.to(device), torch.tensor([1, 0] * (B // 2), device=device)


@pytest.mark.parametrize('name', RIVALS)
def test_learns_by_heart(name):
    torch.set_num_threads(1)
    options = dict(after=0.0) if name == 'VAM+-style' else {}  # else it is VAM here
    assert memorised(name, options=options, rate=3e-3, every=10) >= 0.95


def rewarded(progress, seed=1, **options):  # gradients of a step
    model = new_rival('VAM+-style', lesson_store(), WORDS, **options)
    model.progress = progress
    torch.manual_seed(seed)
    model.loss(*batch())[0].backward()
    assert model.training and model.speaker.training
    return [p.grad for p in model.parameters()]


def equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others))


def test_a_reward_acts_late_and_by_the_seed_alone():
    plain, late = rewarded(0.6), rewarded(0.7)
    assert not equal(plain, late)
    assert equal(late, rewarded(0.7))
    assert not equal(late, rewarded(0.7, sigma=0.5))
    assert equal(plain, rewarded(0.7, policy_weight=0.0))


class Recording(RIVALS['DUDA']):
    "Keeps what it was told of the training."

    def penalty(self, seen, changed, *_):
        self.told = [*getattr(self, 'told', []), self.progress]
        return super().penalty(seen, changed)


def test_a_training_tells_how_far_it_is(tmp_path):
    triplets, store = read_clevr_change(lesson_data(), 'train'), lesson_store()
    vocab = Vocab.build(c for t in triplets for c in t.captions)
    for steps, told in ((2, [0, 1 / 2]), (4, [2 / 4, 3 / 4])):  # and when it goes on
        model = Recording(store.grids.shape[2], len(vocab))
        batches = BalancedBatches(triplets, store, vocab, 4, steps)
        fit(RivalTraining(model, TrainConfig(steps, 4, 1e-3)), batches, tmp_path)
        assert model.told == told


@pytest.mark.parametrize('name', RIVALS)
def test_loss_needs_no_number_on_the_way(name):
    "A meta tensor has no numbers and no processor beside it: a step could be recorded on a GPU."
    model = RIVALS[name](460, len(WORDS)).to('meta')
    loss, figures = model.loss(*batch('meta'))
    assert loss.shape == () and set(figures) == {'words', 'right'}
    loss.backward()


@pytest.mark.parametrize('name', RIVALS)
def test_shapes_gradients_and_seed(name):
    model = new_rival(name, lesson_store(), WORDS, seed=3)
    again = new_rival(name, lesson_store(), WORDS, seed=3)
    some = batch()
    losses = []
    for m in (model, again):
        torch.manual_seed(1)
        losses.append(m.loss(*some)[0])
    assert losses[0] == losses[1]
    losses[0].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    ids, maps, _ = model.eval().speak(*some[:2], max_len=6)
    assert maps.shape == (4, 2, 49) and ids.shape[0] == 4 and ids.shape[1] <= 6


@pytest.mark.parametrize('name', RIVALS)
def test_a_pair_is_read_alone(name):
    model = new_rival(name, lesson_store(), WORDS).eval()
    img1, img2, _, _ = batch()
    ids, maps, _ = model.speak(img1, img2, 6)
    _, alone, _ = model.speak(img1[:1], img2[:1], 6)
    assert torch.allclose(maps[:1], alone, atol=1e-5)


@pytest.mark.parametrize('name', BIRD_RIVALS)
def test_birds_learn_by_heart(name):
    torch.set_num_threads(1)
    assert memorised_birds(name, rate=3e-3, every=10) >= 0.95


@pytest.mark.parametrize('name', BIRD_RIVALS)
def test_bird_loss_needs_no_number_on_the_way(name):
    model = BIRD_RIVALS[name](460, len(WORDS)).to('meta')
    loss, _ = model.loss(*batch('meta'))
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_frame_of_runs():
    scores = dict(change=dict(truth=30.0), all=dict(judge_accuracy=80.0))
    run = dict(seed=1, jitter=0.25, seconds=9, parameters=5, verified=True, scores=scores)
    line = rival_frame(dict(systems=dict(DUDA=[run]))).iloc[0]
    assert (line.row, line.truth, line.judging, line.jitter) == ('DUDA', 30, 80, 0.25)
    assert len(rival_frame({})) == 0


def test_published_rows_have_a_system():
    assert set(PUBLISHED) <= {*RIVALS, 'ours'}
    assert set(PUBLISHED_BIRDS) <= {*BIRD_ROWS, *OWN_BIRDS, 'ours(+extra)'}


def test_a_gain_has_an_interval_around_it():
    gain, low, high = paired_gain(['1100', '1000'], ['1000'])
    assert low <= gain <= high and gain == 12.5


RESULTS = Path(__file__).parents[1] / 'results' / 'rivals.json'


@pytest.mark.skipif(not RESULTS.exists(), reason='no runs are recorded')
def test_recorded_runs_are_of_systems_without_a_known_bug():
    out = json.loads(RESULTS.read_text())
    runs = rival_frame(out)
    assert runs.verified.all()
    assert not runs.duplicated(['row', 'jitter', 'seed']).any()
    still = runs[runs.jitter == 0].groupby('row').truth.mean()
    assert (still > 0).all()  # a speaker who always says 'there is no change' has 0


@pytest.mark.skipif(not RESULTS.exists(), reason='no runs are recorded')
def test_each_system_has_three_seeds_at_full_movement():
    runs = rival_frame(json.loads(RESULTS.read_text()))
    full = runs[(runs.jitter == 1) & runs.verified].groupby('row').seed.nunique()
    assert full.reindex(['ours', *RIVALS], fill_value=0).ge(3).all()


@pytest.mark.skipif(not RESULTS.exists(), reason='no runs are recorded')
def test_each_system_has_a_run_at_each_jitter():
    runs = rival_frame(json.loads(RESULTS.read_text()))
    there = runs.groupby('row').jitter.nunique()
    assert there.reindex([*OWN, *RIVALS], fill_value=0).eq(len(JITTERS)).all()


@pytest.mark.skipif(not RESULTS.exists(), reason='no runs are recorded')
def test_each_row_for_birds_has_a_run():
    rows = json.loads(RESULTS.read_text())['birds']
    assert rows.keys() == {*OWN_BIRDS, *BIRD_ROWS}
    for run in (run for runs in rows.values() for run in runs):
        assert run['verified'] and run['scores']['right'] > 0

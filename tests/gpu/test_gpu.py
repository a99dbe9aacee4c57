"""What only a GPU can show; skipped without CUDA.

All have run, and passed, on one H200 (results/gpu_tests.json).
Run `pytest -q -s tests/gpu` on a machine with one GPU. It takes minutes and needs no data set.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
import pytest
import torch
from torch._dynamo.utils import counters

sys.path.append(str(Path(__file__).parents[1]))  # for made_up
from idc_nb.finetune import query_word_loss
from idc_nb.gic import CaptioningBoth
from idc_nb.gpu import compile_stacks
from idc_nb.lab.on_device import DeviceData, DeviceStage, device_model, in_turn
from idc_nb.lab.on_device import device_name, device_training, train_on_device
from idc_nb.lab.presets import preset
from idc_nb.lab.profile import finetune_parts, step_flops
from idc_nb.lab.recipe import DEMO
from idc_nb.lab.store import extract_features, lesson_store
from idc_nb.model import DifferenceModel
from idc_nb.pairs import lesson_data
from idc_nb.training import PairBatches, TrainConfig, fit
from made_up import config, finetuning, made_up

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
PEAK = dict(H100=989e12, H200=989e12, A100=312e12)  # bfloat16 operations a second, data sheets
FEW = TrainConfig(12, 8, 1e-3, warmup=3)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return made_up(tmp_path_factory.mktemp('store'))


def one_caption(data):  # nothing of a step is left to chance
    triplets, store, vocab = data
    return [replace(t, captions=t.captions[:1]) for t in triplets], store, vocab


def on_device(data, device, steps=8):  # a trained stage
    triplets, store, vocab = one_caption(data)
    torch.manual_seed(0)
    model = device_model(DifferenceModel(config(vocab)), device)
    stage = CaptioningBoth(model, replace(FEW, steps=steps), judge_weight=0.5, judge_steps=3)
    batches = PairBatches(triplets, store, vocab, 8, steps)
    return DeviceStage(stage, batches, DeviceData(store, device))


def weights(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def test_float32_agrees_with_the_cpu(data):
    batches = PairBatches(*data, 8, 1, captions=3)
    torch.manual_seed(0)
    model = DifferenceModel(config(data[2]))
    found = []
    for device in ('cpu', 'cuda'):
        batch = {k: v.to(device) for k, v in batches.at(0).items()}
        model.to(device).zero_grad()
        images = model.images(batch['img1'], batch['img2'])
        loss, _ = query_word_loss(model, images, batch['ids'])
        loss.backward()
        grad = model.embed.project.weight.grad.cpu().clone()  # the model takes its own along
        found.append((loss.item(), grad))
    (cpu_loss, cpu_grad), (loss, grad) = found
    assert loss == pytest.approx(cpu_loss, rel=1e-4)
    torch.testing.assert_close(grad, cpu_grad, rtol=1e-2, atol=1e-4)


def loss_curve(data, device, compiled=None, steps=8):  # of float; `compiled`: of torch.compile
    torch.manual_seed(0)
    model = DifferenceModel(config(data[2])).to(device)
    if compiled is not None:
        compile_stacks(model, **compiled)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    batches, losses = PairBatches(*data, 8, steps, captions=3), []
    for step in range(steps):
        batch = {k: v.to(device) for k, v in batches.at(step).items()}
        images = model.images(batch['img1'], batch['img2'])
        loss, _ = query_word_loss(model, images, batch['ids'])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def assert_compiled_learns_as_eager(data, device, **options):
    counters.clear()
    eager = loss_curve(data, device)
    assert not counters['stats']
    compiled = loss_curve(data, device, options)
    assert counters['stats']['unique_graphs'] >= 3  # one for each encoder, at least
    assert compiled[0] == pytest.approx(eager[0], rel=1e-4)
    assert compiled == pytest.approx(eager, rel=1e-2)
    assert eager[-1] < 0.9 * eager[0]


def test_compiled(data):
    assert_compiled_learns_as_eager(data, 'cuda')


def test_graphs_take_the_steps_of_the_cpu(data):
    trained = [on_device(data, device) for device in ('cpu', 'cuda')]
    for stage in trained:
        list(stage.run())
    assert set(trained[1].graphs) == {'judge', 'words'}
    cpu, cuda = (weights(stage.model) for stage in trained)
    torch.testing.assert_close(cuda, cpu, rtol=1e-2, atol=2e-4)


def test_a_graph_takes_the_step_of_eager_code(data):
    recorded, eager = on_device(data, 'cuda'), on_device(data, 'cuda')
    list(recorded.run())
    for kind in eager.kinds:
        eager.take_step(kind)
    torch.testing.assert_close(weights(recorded.model), weights(eager.model), rtol=1e-3, atol=1e-5)


def test_recording_changes_nothing(data):
    stage = on_device(data, 'cuda')
    before = weights(stage.model)
    with stage.on_stream():
        stage.record('judge')
        stage.record('words')
    assert torch.equal(weights(stage.model), before) and int(stage.step) == 0
    assert all(not m.any() for s in stage.optimiser.state.values() for m in s.values())


@pytest.mark.parametrize('precision', ['32-true', 'bf16-mixed', '16-mixed'])
def test_training_learns(data, tmp_path, precision):
    stage, batches = finetuning(*data, steps=60)
    losses = []
    stage.on_train_batch_end = lambda *_: losses.append(float(stage.figures['loss']))
    fit(stage, batches, tmp_path, accelerator='cuda', precision=precision)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert weights(stage.model).isfinite().all()


def test_resume(data, tmp_path):
    whole, batches = finetuning(*data, steps=10)
    fit(whole, batches, tmp_path / 'whole', accelerator='cuda')
    for steps in (6, 10):
        part, batches = finetuning(*data, steps=10)
        batches.steps = steps
        fit(part, batches, tmp_path / 'part', accelerator='cuda')
    torch.testing.assert_close(weights(part.model), weights(whole.model), rtol=1e-3, atol=1e-5)


def test_features(tmp_path):
    images = sorted((lesson_data() / 'images').glob('*.png'))[:16]
    made = [extract_features(images, tmp_path / d, device=d) for d in ('cpu', 'cuda')]
    cpu, cuda = (torch.from_numpy(store.take(range(16))).float() for store in made)
    assert (cpu - cuda).abs().mean() < 0.01 * cpu.abs().mean()  # TF32 in convolutions


def small_recipe():
    stages = dict(gic=FEW, pretrain=FEW, finetune=replace(FEW, captions=3, mirrored=0.5))
    return replace(DEMO, name='lesson', gic_share=0.3, judge_steps=4, **stages)


def test_a_recipe(tmp_path):
    some = small_recipe(), lesson_data(), lesson_store(), 0, tmp_path
    captioner, seconds = train_on_device(*some)
    assert weights(captioner.model).isfinite().all()
    assert set(seconds) == {'gic', 'pretrain', 'finetune'}
    assert (tmp_path / 'on_device.json').exists()


def test_several_at_once():
    store = lesson_store()
    some = [device_training(small_recipe(), lesson_data(), store, seed) for seed in range(3)]
    found = [weights(captioner.model) for captioner, _ in in_turn(some)]
    assert all(w.isfinite().all() for w in found) and not torch.equal(found[0], found[1])


def test_a_step_of_the_paper():
    c = preset('paper_clevr').config()
    model = DifferenceModel(c).cuda()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    img1, img2 = torch.randn(2, 200, 49, c.channels, device='cuda')
    ids = torch.randint(6, c.vocab, (200, 16), device='cuda')
    torch.cuda.reset_peak_memory_stats()

    def step():
        with torch.autocast('cuda', torch.bfloat16):
            loss, _ = query_word_loss(model, model.images(img1, img2), ids)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    seconds = best_seconds(step)
    memory = torch.cuda.max_memory_allocated() / 2**30
    operations = step_flops(finetune_parts(c, 2 * 15, asks=15), 200)
    name, rate = device_name('cuda'), operations / seconds
    share = [f'{rate / peak:.1%} of its peak' for card, peak in PEAK.items() if card in name]
    print(f'{name}: {1000 * seconds:.0f} ms, {memory:.1f} GiB, {rate / 1e12:.0f} TFLOP/s', *share)
    assert memory < torch.cuda.get_device_properties(0).total_memory / 2**30


def best_seconds(step, rounds=8):  # of one call
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)

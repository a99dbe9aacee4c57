"""Every part beside a straightforward version -> results/bench.json.

The two run in turns, and their time is in processor seconds of one thread. The straightforward
version pads captions to 40 ids, computes every element in every layer, repeats the images for each
caption, reads the whole text (or text and images) again for each word, and uses torch's own
dropout behind its ReLU and an AdamW that is not fused. Its features come from timm's network with
all blocks, image by image (in `features_32_traced` from the network that the record was made of),
it traces a scene twice, and its first caption imports the compiler with timm. A check says that
both versions give the same loss or the same ids. Places beyond the longest caption of the batch are
hidden from attention (in FDA: all PAD), so that more padding changes no number.

Each round also measures the rate of a plain matrix product; the median over the rounds is the
yardstick. Both versions run with `keep_memory`.
"""

import argparse
import copy
import datetime
import subprocess
import sys
from pathlib import Path
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from idc_nb.decode import beam_search, greedy
from idc_nb.demo import machine
from idc_nb.fda import fda_similarities, ranking_loss, summaries
from idc_nb.fgvc import ClassHeads, fgvc_losses
from idc_nb.finetune import causal_mask, judge_loss, left_to_right, query_word_loss
from idc_nb.inputs import paper_config, tiny_config
from idc_nb.lab.files import read_json, write_json
from idc_nb.lab.profile import gemm_peak, in_turns
from idc_nb.lab.store import keep_memory
from idc_nb.mlm import IGNORE, mask_words, mlm_logits, word_loss
from idc_nb.model import DifferenceModel
from idc_nb.lab.stack import Layer, Stack
from idc_nb.mvcl import CellHead, cell_logits, choose_cells, info_nce, predict_cells
from idc_nb.pairs import lesson_data, read_clevr_change
from idc_nb.vocab import BOS, EOS, MASK, PAD, Vocab, pad_ids

ROOT, MAX_LEN = Path(__file__).parents[2], 40
#: Weights stay as they are, so that rounds are alike.
FROZEN = dict(lr=0, weight_decay=0)


# --- the straightforward versions
class PlainStack(Stack):
    def forward(self, x, mask=None, past=None, asks=slice(None)):
        y, own = super().forward(x, mask, past)
        return y[:, asks], own


class PlainModel(DifferenceModel):
    def forward(self, img1, img2, text, asks=slice(None)):
        T = text.shape[1]
        pads = torch.full((len(text), MAX_LEN + 1 - T), PAD)
        more = self.embed.text(pads, torch.arange(T - 1, MAX_LEN))
        images = self.images(img1, img2)
        real = images.shape[1] + T
        x = torch.cat([images, text, more], 1)
        seen = torch.arange(x.shape[1]) < real
        y, _ = self.cross_encoder(x, seen[None, None, None])
        y = y[:, :real]
        return y[:, asks]


def plain(model):
    model = copy.deepcopy(model)
    model.__class__ = PlainModel
    for stack in (model.single_encoder, model.pair_encoder, model.cross_encoder):
        stack.__class__ = PlainStack
    for m in model.modules():
        if isinstance(m, Layer):
            m.ff.insert(1, torch.nn.ReLU())
        if isinstance(m, torch.nn.Dropout):
            m.__class__ = torch.nn.Dropout  # without ReLU
    return model


def padded(ids, value=PAD):
    return F.pad(ids, (0, MAX_LEN - ids.shape[-1]), value=value)


def plain_queries(model, past, ids):  # each caption with images of its own
    K = len(ids) // len(past[0][0])
    ids = padded(ids)
    past = [tuple(x.repeat_interleave(K, 0) for x in kv) for kv in past]
    words, T = ids[:, :-1], MAX_LEN - 1
    queries = model.embed.text(torch.full_like(words, MASK), torch.arange(1, T + 1))
    text = torch.cat([model.embed.text(words), queries], 1)
    images = torch.ones(T, 2 * (1 + model.config.cells))
    seen = torch.ones(T, T).tril()
    of_words = torch.cat([images, seen, torch.zeros(T, T)], 1)
    of_queries = torch.cat([images, seen, torch.eye(T)], 1)
    h = model.read_text(text, past, torch.cat([of_words, of_queries]).bool())
    target = ids[:, 1:].masked_fill(ids[:, 1:] == PAD, IGNORE)
    return word_loss(model.word_head(h[:, T:]), target)


@torch.no_grad()
def plain_greedy(model, img1, img2, images_too=False):
    "Reads the text again for each word, or text and images, and never stops early."
    _, past = model.read_images(img1, img2)
    ids = torch.full((len(img1), 1), BOS)
    for _ in range(MAX_LEN - 1):
        if images_too:
            _, past = model.read_images(img1, img2)
        text = torch.cat([ids, torch.full_like(ids[:, :1], MASK)], 1)
        mask = causal_mask(text.shape[1], past[0][0].shape[2])
        y = model.read_text(model.embed.text(text), past, mask)
        ids = torch.cat([ids, model.word_head(y[:, -1]).argmax(-1)[:, None]], 1)
    return ids


class Ending(torch.nn.Module):
    "A word head that says EOS when the caption has the length of a real one."

    def __init__(self, head, lengths):
        super().__init__()
        self.head, self.lengths, self.step = head, lengths, 0

    def forward(self, x):
        self.step += 1
        y = self.head(x)
        lengths = self.lengths.repeat_interleave(len(x) // len(self.lengths))
        y[:, EOS] = torch.where(lengths <= self.step, 1e4, -1e4)
        return y


# --- entries: name -> {'fast': (run, result), 'plain': (run, result)}; a result is a loss or ids
def captions(n, K=1):  # ids of n x K captions of the lesson's data, and the size of its vocabulary
    triplets = read_clevr_change(lesson_data(), 'train')
    vocab = Vocab.build(c for t in triplets for c in t.captions)
    drawn = np.random.default_rng(0).permutation(len(triplets))[:n]
    texts = [text for i in drawn for text in np.resize(triplets[i].captions, K)]
    return [vocab.encode(text) for text in texts], len(vocab)


def make_model(size, V):
    return DifferenceModel(paper_config(2048, V) if size == 'paper' else tiny_config(460, V))


def training_entries(size, B, K):
    said, V = captions(B, K)
    model = make_model(size, V)
    c, twin, ids = model.config, plain(model), pad_ids(said)
    img1, img2 = torch.randn(2, B, c.cells, c.channels)
    changed, one = torch.arange(B) % 2, ids[::K]
    masked, target = mask_words(one, V)
    chosen, head, kinds = choose_cells(B, c.cells), CellHead(c), torch.arange(2 * B).view(2, B) // 3
    heads, few = ClassHeads(c.dim), max(1, B // 7)
    choices = pad_ids(captions(7 * few)[0]).view(few, 7, -1)

    def mlm(m):
        return word_loss(mlm_logits(m, img1, img2, masked), target)

    def mvcl(m):
        return info_nce(cell_logits(*predict_cells(m, head, img1, img2, one, chosen)))[0]

    def fda(m):
        return ranking_loss(fda_similarities(m, img1[:few], img2[:few], choices, see_pad=False))[0]

    def fda_plain(m):
        one, two = (grids[:few].repeat_interleave(7, 0) for grids in (img1, img2))
        images = m.images(one, two)
        h1, h2, cls = summaries(m, images, padded(choices).flatten(0, 1), see_pad=False)
        return ranking_loss(F.cosine_similarity((h1 + h2) / 2, cls, dim=-1).view(few, 7))[0]

    def nabirds(m):
        return sum(fgvc_losses(m, heads, img1, img2, *kinds)[0].values())

    def words(m):  # the paper's 15 %, or all words
        images = m.images(img1, img2)
        if size == 'tiny':
            return query_word_loss(m, images, ids)
        mask = causal_mask(masked.shape[1], images.shape[1])
        h, judged = left_to_right(m, images, m.embed.text(masked), mask)
        return word_loss(m.word_head(h), target), judged

    def words_plain(m):
        h, past = m.read_images(img1, img2)
        if size == 'tiny':
            return plain_queries(m, past, ids), h[:, m.summaries]
        text = m.read_text(m.embed.text(padded(masked)), past, causal_mask(MAX_LEN, h.shape[1]))
        return word_loss(m.word_head(text), padded(target, IGNORE)), h[:, m.summaries]

    def finetune(words):
        def loss(m):
            said, h = words(m)
            return said + judge_loss(m, h, changed)[0]

        return loss

    def step(m, loss):  # a training step
        weights = [*m.parameters(), *head.parameters(), *heads.parameters()]
        optimiser = torch.optim.AdamW(weights, **FROZEN, fused=m is model)

        def run():
            m.train()
            optimiser.zero_grad()
            loss(m).backward()
            optimiser.step()

        return run, lambda: loss(m.eval())

    pairs = dict(
        mlm=(mlm, mlm),
        finetune=(finetune(words), finetune(words_plain)),
        mvcl=(mvcl, mvcl),
        fda=(fda, fda_plain),
        nabirds=(nabirds, nabirds),
    )
    return {n: dict(fast=step(model, a), plain=step(twin, b)) for n, (a, b) in pairs.items()}


def decoding_entries(size, B):
    said, V = captions(B)
    model = make_model(size, V).eval()
    img1, img2 = torch.randn(2, B, model.config.cells, model.config.channels)
    head = model.word_head

    def run(lengths, decode):
        def go():
            model.word_head = Ending(head, lengths)
            return decode(lengths)

        return go, go

    def cut(ids, lengths):
        return torch.cat([row[: n + 1] for row, n in zip(ids, lengths)])  # BOS, n words with EOS

    def fast(lengths):
        return cut(greedy(model, img1, img2)[0], lengths)

    def text_again(lengths):
        return cut(plain_greedy(model, img1, img2), lengths)

    def images_too(lengths):
        return cut(plain_greedy(model, img1, img2, images_too=True), lengths)

    def beam(lengths):
        return beam_search(model, img1, img2)[0]

    natural, full = torch.tensor([len(s) - 1 for s in said]), torch.full((B,), MAX_LEN - 1)
    out = {}
    for name, n in dict(natural=natural, full=full).items():
        for plain in (text_again, images_too):
            out[f'greedy_{name}_{plain.__name__}'] = dict(fast=run(n, fast), plain=run(n, plain))
    out['beam_3_natural'] = dict(fast=run(natural, beam))
    return out


def quiet(f):
    def run():
        with torch.inference_mode():
            return f()

    return run, run


def python(code):
    def run():
        return subprocess.run([sys.executable, '-c', code], check=True)

    return run, run


FIRST_CAPTION = '''
import numpy as np, idc_nb
picture = np.zeros((224, 224, 3), np.uint8)
idc_nb.caption(picture, picture)
'''


def picture_entries():
    from idc_nb.grid import get_backbone, to_pixels
    from idc_nb.lab.store import _traced
    from idc_nb.lab.weights import OFFLINE, _timm, _whole_offline_net
    from idc_nb.pairs import image_paths
    from idc_nb.world import render as renderer
    from idc_nb.world.mini import FOLDERS, sample_record
    from idc_nb.world.scenes import from_dict

    root = lesson_data()
    triplets = read_clevr_change(root, 'train')[:32]
    net = get_backbone()
    traced = _traced(net, 4)
    pixels = torch.from_numpy(np.stack([to_pixels(p) for p in image_paths(triplets)[:32]]))
    usual, stage = copy.deepcopy(net), net.spec.stage  # with the blocks behind the stage
    usual.net = _timm().create_model(OFFLINE, features_only=True, out_indices=(stage,)).eval()
    weights = _whole_offline_net().state_dict()
    usual.net.load_state_dict({key: weights[key] for key in usual.net.state_dict()})
    scene = from_dict(next(iter(read_json(root / 'scenes.json').values()))['before'])

    def in_batches(net, n):
        return quiet(lambda: torch.cat([net(some) for some in pixels.split(n)]))

    kept_trace = renderer.trace

    def one_picture():
        kept_trace.cache_clear()
        return renderer.render(scene)

    def records(trace):  # the 32 pictures of 8 records, drawn from their seeds
        def run():
            renderer.trace = trace
            kept_trace.cache_clear()
            pictures = []
            for i in range(8):
                scenes = sample_record(0, i)
                pictures += [renderer.render(scenes[which]) for which in FOLDERS]
            renderer.trace = kept_trace
            return torch.from_numpy(np.stack(pictures)).float()

        return run, run

    return dict(
        render=dict(fast=quiet(one_picture)),
        records_8=dict(fast=records(kept_trace), plain=records(kept_trace.__wrapped__)),
        features_32=dict(fast=in_batches(traced, 4), plain=in_batches(usual, 1)),
        features_32_traced=dict(fast=in_batches(traced, 4), plain=in_batches(net, 4)),
        first_caption=dict(
            fast=python(FIRST_CAPTION), plain=python('import torch._dynamo' + FIRST_CAPTION)
        ),
    )


def other_entries():
    from idc_nb.metrics import score_tree

    records = []
    for t in read_clevr_change(lesson_data(), 'train')[:32]:
        said = dict(id=t.id, references=list(t.captions), candidate=t.captions[-1], kind=t.kind)
        records.append(dict(said, true=True, judged=True))
    return dict(
        score_32=dict(fast=quiet(lambda: score_tree(records))),
        import_package=dict(fast=python('import idc_nb'), plain=python('import idc_nb.demo')),
    )


# --- measuring
def gflop(run):  # of one run; attention written out so that it is counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def figures(versions, rounds) -> tuple:  # of one entry; rates of the plain product
    peaks = []
    runs = {name: run for name, (run, _) in versions.items()}
    seconds = in_turns(runs | dict(peak=lambda: peaks.append(gemm_peak())), rounds)
    fast, slow, peak = seconds['fast'], seconds.get('plain'), float(np.median(peaks[1:]))
    work = round(gflop(versions['fast'][0]), 3) or None
    found = dict(
        seconds=round(fast, 5),
        plain_seconds=slow and round(slow, 5),
        ratio=slow and round(slow / fast, 2),
        gflop=work,
        share_of_peak=work and round(1e9 * work / fast / peak, 3),
    )
    return found, peaks


def assert_same(versions, atol):  # the same loss, the same ids
    fast = versions['fast'][1]()
    if 'plain' in versions and isinstance(fast, torch.Tensor):
        torch.testing.assert_close(versions['plain'][1](), fast, rtol=1e-4, atol=atol)


def measure(entries, rounds) -> tuple:  # {name: figures}, the best rate of a plain product
    out, top = {}, 0
    for name, versions in entries.items():
        assert_same(versions, 1e-3 if 'features' in name else 1e-4)
        # reading the images again takes long: once
        out[name], peaks = figures(versions, 1 if 'images_too' in name else rounds)
        top = max(top, *peaks)
        print(f'{name:30}', out[name], flush=True)
    return out, top


#: Part of the report -> what makes its entries.
PARTS = dict(
    tiny=lambda: training_entries('tiny', 32, 3),
    paper=lambda: training_entries('paper', 16, 1),
    tiny_decoding=lambda: decoding_entries('tiny', 32),
    paper_decoding=lambda: decoding_entries('paper', 16),
    pictures=picture_entries,
    others=other_entries,
)
SIZES = 'tiny: batch 32, 3 captions a pair; paper: 2048 channels, d 512, batch 16, 1 caption'


def renew(kept, part, rounds) -> dict:  # the report with this part measured again
    entries, peak = measure(PARTS[part](), rounds)
    today = str(datetime.date.today())
    about = dict(
        machine=machine(),
        seed=0,
        time='processor seconds of one thread, medians in turns',
        settings=SIZES,
    )
    measured = dict(date=today, rounds=rounds, peak_gflops=round(peak / 1e9, 1))
    others = {k: v for k, v in kept['entries'].items() if k.split('.')[0] != part}
    found = others | {f'{part}.{k}': v for k, v in entries.items()}
    in_order = sorted(found, key=lambda k: list(PARTS).index(k.split('.')[0]))
    return dict(
        about=about, parts=kept['parts'] | {part: measured}, entries={k: found[k] for k in in_order}
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--only', nargs='*', choices=PARTS, help='measure only these parts, and keep the others'
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_memory()
    path = ROOT / 'results' / 'bench.json'
    kept = read_json(path) if args.only else dict(about={}, parts={}, entries={})
    for part in args.only or PARTS:
        kept = renew(kept, part, args.rounds)
        write_json(path, kept, indent=1)


if __name__ == '__main__':
    main()

"""Every part beside a straightforward version, in turns, in processor seconds of one thread -> results/bench.json.

Straightforward: captions padded to 40 ids, every element asked in every layer, images repeated for each caption, the whole
text (or text and images) read again for each word, torch's own dropout behind its ReLU, AdamW not fused. The two versions give
the same loss or the same ids: it is checked. Each round also measures the peak of a plain product; their median is the yardstick.
Memory is kept (`keep_memory`), for both. Places beyond the
longest caption of the batch are hidden from attention (FDA: all PAD), so that padding further changes no number.
"""

import argparse, copy, datetime, subprocess, sys
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
from idc_nb.lab.profile import gemm_peak, in_turns
from idc_nb.lab.store import keep_memory
from idc_nb.inputs import paper_config, tiny_config
from idc_nb.mlm import IGNORE, mask_words, mlm_logits, word_loss
from idc_nb.model import DifferenceModel
from idc_nb.lab.stack import Layer, Stack
from idc_nb.mvcl import CellHead, cell_logits, choose_cells, info_nce, predict_cells
from idc_nb.pairs import lesson_data, read_clevr_change
from idc_nb.lab.files import read_json
from idc_nb.vocab import BOS, EOS, MASK, PAD, Vocab, pad_ids
from idc_nb.lab.files import write_json

ROOT, MAX_LEN = Path(__file__).parents[2], 40
LEARNT = {
    k: 0 for k in ('lr', 'weight_decay')
}  # weights stay as they are, so that rounds are alike


# --- the straightforward versions
class PlainStack(Stack):
    def forward(self, x, mask=None, past=None, asks=slice(None)):
        y, own = super().forward(x, mask, past)
        return y[:, asks], own


class PlainModel(DifferenceModel):
    def forward(self, img1, img2, text, asks=slice(None)):
        more = self.embed.text(
            torch.full((len(text), MAX_LEN + 1 - text.shape[1]), PAD),
            torch.arange(text.shape[1] - 1, MAX_LEN),
        )
        images = self.images(img1, img2)
        real = images.shape[1] + text.shape[1]
        seen = torch.arange(real + more.shape[1]) < real
        return self.cross_encoder(torch.cat([images, text, more], 1), seen[None, None, None])[0][
            :, :real
        ][:, asks]


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
    K, ids = len(ids) // len(past[0][0]), padded(ids)
    past = [tuple(x.repeat_interleave(K, 0) for x in kv) for kv in past]
    words, T = ids[:, :-1], MAX_LEN - 1
    text = torch.cat(
        [
            model.embed.text(words),
            model.embed.text(torch.full_like(words, MASK), torch.arange(1, T + 1)),
        ],
        1,
    )
    seen, images = torch.ones(T, T).tril(), 2 * (1 + model.config.cells)
    mask = torch.cat([torch.cat([seen, torch.zeros(T, T)], 1), torch.cat([seen, torch.eye(T)], 1)])
    h = model.read_text(text, past, torch.cat([torch.ones(2 * T, images), mask], 1).bool())[:, T:]
    return word_loss(model.word_head(h), ids[:, 1:].masked_fill(ids[:, 1:] == PAD, IGNORE))


@torch.no_grad()
def plain_greedy(
    model, img1, img2, images_too=False
):  # reads the text again for each word, and never stops early
    _, past = model.read_images(img1, img2)
    ids = torch.full((len(img1), 1), BOS)
    for _ in range(MAX_LEN - 1):
        if images_too:
            _, past = model.read_images(img1, img2)
        text = torch.cat([ids, torch.full_like(ids[:, :1], MASK)], 1)
        y = model.read_text(
            model.embed.text(text), past, causal_mask(text.shape[1], past[0][0].shape[2])
        )
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
        y[:, EOS] = torch.where(
            self.lengths.repeat_interleave(len(x) // len(self.lengths)) <= self.step, 1e4, -1e4
        )
        return y


# --- entries: name -> {'fast': run, 'plain': run}, both returning a loss or ids
def captions(n, K=1):  # ids of n x K captions of the lesson's data, and its vocabulary
    triplets = read_clevr_change(lesson_data(), 'train')
    vocab = Vocab.build(c for t in triplets for c in t.captions)
    pick = np.random.default_rng(0).permutation(len(triplets))[:n]
    return [vocab.encode(c) for i in pick for c in np.resize(triplets[i].captions, K)], len(vocab)


def training_entries(size, B, K):
    said, V = captions(B, K)
    model = DifferenceModel(paper_config(2048, V) if size == 'paper' else tiny_config(460, V))
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
        images = m.images(*(g[:few].repeat_interleave(7, 0) for g in (img1, img2)))
        h1, h2, cls = summaries(m, images, padded(choices).flatten(0, 1), see_pad=False)
        return ranking_loss(F.cosine_similarity((h1 + h2) / 2, cls, dim=-1).view(few, 7))[0]

    def nabirds(m):
        return sum(fgvc_losses(m, heads, img1, img2, *kinds)[0].values())

    def words(m):  # the paper's 15 %, or all words
        images = m.images(img1, img2)
        if size == 'tiny':
            return query_word_loss(m, images, ids)
        h, judged = left_to_right(
            m, images, m.embed.text(masked), causal_mask(masked.shape[1], images.shape[1])
        )
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
        optimiser = torch.optim.AdamW(
            [*m.parameters(), *head.parameters(), *heads.parameters()], **LEARNT, fused=m is model
        )

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
    model = DifferenceModel(
        paper_config(2048, V) if size == 'paper' else tiny_config(460, V)
    ).eval()
    img1, img2 = torch.randn(2, B, model.config.cells, model.config.channels)
    head = model.word_head

    def run(lengths, decode):
        def go():
            model.word_head = Ending(head, lengths)
            return decode(model, img1, img2)

        return go, go

    def cut(ids, lengths):
        return torch.cat([row[: n + 1] for row, n in zip(ids, lengths)])  # BOS, n words with EOS

    natural, full = torch.tensor([len(s) - 1 for s in said]), torch.full((B,), MAX_LEN - 1)
    out = {}
    for name, lengths in dict(natural=natural, full=full).items():
        for again, too in dict(
            text_again=False, images_too=True
        ).items():  # what the straightforward version reads for each word
            out[f'greedy_{name}_{again}'] = dict(
                fast=run(lengths, lambda *a, n=lengths: cut(greedy(*a)[0], n)),
                plain=run(
                    lengths, lambda *a, n=lengths, too=too: cut(plain_greedy(*a, images_too=too), n)
                ),
            )
    out['beam_3_natural'] = dict(fast=run(natural, lambda *a: beam_search(*a)[0]))
    return out


def other_entries():
    from idc_nb.grid import get_backbone, to_pixels
    from idc_nb.metrics import score_tree
    from idc_nb.pairs import image_paths
    from idc_nb.world.render import render
    from idc_nb.world.scenes import from_dict

    root = lesson_data()
    test = read_clevr_change(root, 'train')[:32]
    net, pixels = (
        get_backbone(),
        torch.from_numpy(np.stack([to_pixels(p) for p in image_paths(test)[:32]])),
    )
    usual = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    scene = from_dict(next(iter(read_json(root / 'scenes.json').values()))['before'])
    records = [
        dict(
            id=t.id,
            references=list(t.captions),
            candidate=t.captions[-1],
            kind=t.kind,
            true=True,
            judged=True,
        )
        for t in test
    ]

    def quiet(f):
        def run():
            with torch.inference_mode():
                return f()

        return run, run

    def python(code):
        return (lambda: subprocess.run([sys.executable, '-c', code], check=True),) * 2

    return dict(
        render=dict(fast=quiet(lambda: render(scene) is None)),
        features_32=dict(
            fast=quiet(lambda: net(pixels)),
            plain=quiet(lambda: torch.cat([usual(p[None]) for p in pixels])),
        ),
        score_32=dict(fast=quiet(lambda: score_tree(records) is None)),
        import_package=dict(fast=python('import idc_nb'), plain=python('import idc_nb.demo')),
    )


# --- measuring
def gflop(run):  # of one run; attention written out so that it is counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def measure(entries, rounds):  # -> figures, the best rate of a plain product
    out, top = {}, 0
    for name, versions in entries.items():
        one = versions['fast'][1]()
        if 'plain' in versions and isinstance(one, torch.Tensor):
            torch.testing.assert_close(
                versions['plain'][1](), one, rtol=1e-4, atol=1e-4
            )  # the same loss, the same ids
        peaks, runs = [], {k: run for k, (run, _) in versions.items()}
        seconds = in_turns(
            runs | dict(peak=lambda: peaks.append(gemm_peak())),
            1 if 'images_too' in name else rounds,
        )  # that one takes long
        fast, slow, peak = seconds['fast'], seconds.get('plain'), float(np.median(peaks[1:]))
        out[name] = dict(
            seconds=round(fast, 5),
            plain_seconds=slow and round(slow, 5),
            ratio=slow and round(slow / fast, 2),
            gflop=round(gflop(versions['fast'][0]), 3) or None,
        )
        out[name]['share_of_peak'] = out[name]['gflop'] and round(
            1e9 * out[name]['gflop'] / fast / peak, 3
        )
        top = max(top, *peaks)
        print(f'{name:30}', out[name], flush=True)
    return out, top


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--only',
        nargs='*',
        help='measure these parts anew: tiny, paper, tiny_decoding, paper_decoding, others',
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_memory()
    path = ROOT / 'results' / 'bench.json'
    kept = read_json(path) if args.only else dict(about={}, parts={}, entries={})
    parts = dict(
        tiny=lambda: training_entries('tiny', 32, 3),
        paper=lambda: training_entries('paper', 16, 1),
        tiny_decoding=lambda: decoding_entries('tiny', 32),
        paper_decoding=lambda: decoding_entries('paper', 16),
        others=other_entries,
    )
    for part, make in parts.items():
        if args.only and part not in args.only:
            continue
        entries, peak = measure(make(), args.rounds)
        about = dict(
            machine=machine(),
            seed=0,
            time='processor seconds of one thread, medians in turns',
            settings='tiny: batch 32, 3 captions a pair; paper: 2048 channels, d 512, batch 16, 1 caption',
        )
        kept = dict(
            about=about,
            parts=kept['parts']
            | {
                part: dict(
                    date=str(datetime.date.today()),
                    rounds=args.rounds,
                    peak_gflops=round(peak / 1e9, 1),
                )
            },
            entries={k: v for k, v in kept['entries'].items() if k.split('.')[0] != part}
            | {f'{part}.{k}': v for k, v in entries.items()},
        )
        kept['entries'] = {
            k: v for p in parts for k, v in kept['entries'].items() if k.split('.')[0] == p
        }  # in the order of the parts
        write_json(path, kept, indent=1)


if __name__ == '__main__':
    main()

"""Each check lets right solutions pass and says what is wrong with wrong ones.

`wrong(sentence)` and `right` below keep a function under its own name, which is that of the check.
"""

# ruff: noqa: F811  (many functions of one name)

import ast
import builtins
import dis
import math
import os
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from book import PART_I, cells
from idc_nb import ablation, pretrain
from idc_nb.inputs import IMG2, TEXT, sinusoid
from idc_nb.lab import checks
from idc_nb.lab.runs import scenes_of
from idc_nb.mvcl import choose_cells as our_cells
from idc_nb.world.bird_words import judge_claims, species_of
from idc_nb.world.language import is_true
from idc_nb.vocab import BOS, EOS, MASK, PAD, SPECIALS, UNK

WRONG, RIGHT = [], []


def wrong(sentence):  # a part of what the check must say
    def keep(f):
        WRONG.append((f.__name__, f, sentence))
        return f

    return keep


def right(f):
    RIGHT.append((f.__name__, f))
    return f


# ---- 01 pairs


@wrong('image is missing')
def image_paths(triplets):
    return list(dict.fromkeys(t.img1 for t in triplets))


@wrong('stands in your list twice')
def image_paths(triplets):
    return [path for t in triplets for path in (t.img1, t.img2)]


@wrong('not that of the first use')
def image_paths(triplets):
    return sorted({path for t in triplets for path in (t.img1, t.img2)})


@right
def image_paths(triplets):
    seen = []
    for t in triplets:
        for path in (t.img1, t.img2):
            if path not in seen:
                seen.append(path)
    return seen


@wrong('not whole numbers')
def read_kinds(path):
    return {name: kind for kind, names in _json(path).items() for name in names}


@wrong('a kind a record')
def read_kinds(path):
    return {int(names[0][:6]): kind for kind, names in _json(path).items()}


@wrong('without a list around it')
def read_kinds(path):
    return {int(name[:6]): kind for kind, names in _json(path).items() for name in names}


@right
def read_kinds(path):
    kinds = {}
    for kind, names in _json(path).items():
        for name in [names] if isinstance(names, str) else names:
            kinds[int(Path(name).stem)] = kind
    return kinds


def _json(path):
    import json

    return json.loads(Path(path).read_text())


# ---- 02 vocab


@wrong('expected lower case')
def words_of(caption):
    return caption.rstrip('.').split()


@wrong('no empty words')
def words_of(caption):
    return caption.lower().removesuffix('.').split(' ')


@wrong('the full stop behind the last word')
def words_of(caption):
    return caption.lower().split()


@wrong('3.5 is one word')
def words_of(caption):
    return caption.lower().replace('.', '').split()


@right
def words_of(caption):
    words = caption.lower().split()
    if words and words[-1] != '.' and words[-1].endswith('.'):
        words[-1] = words[-1][:-1]
    return words


@wrong('PAD stands in front')
def pad_ids(rows):
    T = max(map(len, rows))
    return torch.tensor([[PAD] * (T - len(row)) + row for row in rows])


@wrong('expected a result of shape')
def pad_ids(rows):
    T = min(map(len, rows))
    return torch.tensor([row[:T] for row in rows])


@wrong('rows are filled up with')
def pad_ids(rows):
    T = max(map(len, rows))
    return torch.tensor([row + [EOS] * (T - len(row)) for row in rows])


@wrong('changes what it was given')
def pad_ids(rows):
    T = max(map(len, rows))
    for i in range(len(rows)):
        rows[i] = rows[i] + [PAD] * (T - len(rows[i]))
    return torch.tensor(rows)


@right
def pad_ids(rows):
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


@wrong('first id is not BOS')
def encode(vocab, caption, max_len=40):
    return [vocab.ids[w] for w in caption.lower().strip('.').split()] + [EOS]


@wrong('an unknown word is UNK')
def encode(vocab, caption, max_len=40):
    return [BOS, *(vocab.ids[w] for w in caption.lower().strip('.').split()), EOS]


@wrong('that is cut must end with EOS')
def encode(vocab, caption, max_len=40):
    words = caption.lower().strip('.').split()
    return [BOS, *(vocab.ids.get(w, UNK) for w in words), EOS][: max_len - 1]


@wrong('at most max_len - 3 words')
def encode(vocab, caption, max_len=40):
    words = caption.lower().strip('.').split()
    return [BOS, *(vocab.ids.get(w, UNK) for w in words[: max_len - 2]), EOS]


@right
def encode(vocab, caption, max_len=40):
    ids = [BOS]
    for word in caption.lower().strip('.').split():
        ids.append(vocab.ids[word] if word in vocab.ids else UNK)
    return ids[: max_len - 2] + [EOS]


@wrong('a special token stands in the caption')
def decode(vocab, ids):
    return ' '.join(vocab.words[int(i)] for i in ids)


@wrong('behind EOS does not count')
def decode(vocab, ids):
    return ' '.join(vocab.words[int(i)] for i in ids if i == UNK or i >= 6)


@wrong('expected <unk> to stay')
def decode(vocab, ids):
    ids = [int(i) for i in ids]
    return ' '.join(vocab.words[i] for i in ids[: ids.index(EOS)] if i >= 6)


@wrong('the ids may be a tensor')
def decode(vocab, ids):
    keep = ids[: ids.index(EOS)]
    return ' '.join(vocab.words[i] for i in keep if i == UNK or i >= 6)


@right
def decode(vocab, ids):
    ids = torch.as_tensor(ids).tolist() + [EOS]
    dropped = {0, 1, 2, 4, 5}
    return ' '.join(vocab.words[i] for i in ids[: ids.index(EOS)] if i not in dropped)


# ---- 03 grid


@wrong('a reshape alone mixes')
def to_cells(x, fold=1):
    B, C, H, W = x.shape
    return x.reshape(B, H * W, C)


@wrong('column by column')
def to_cells(x, fold=1):
    return x.transpose(2, 3).flatten(2).transpose(1, 2)


@wrong('expected a result of shape')
def to_cells(x, fold=1):
    return x.flatten(2)


@wrong('a square of 2 x 2 neighbours')
def to_cells(x, fold=1):
    cells = x.flatten(2).transpose(1, 2)
    return cells.unflatten(1, (-1, fold * fold)).flatten(2)


@wrong('stand in another order')
def to_cells(x, fold=1):
    B, C, H, W = x.shape
    x = x.view(B, C, H // fold, fold, W // fold, fold)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(B, H * W // fold**2, -1)


@right
def to_cells(x, fold=1):
    return F.unfold(x, fold, stride=fold).transpose(1, 2)


@wrong('top and bottom')
def mirror(cells, fold=1):
    side = math.isqrt(cells.shape[1])
    return cells.unflatten(1, (side, side)).flip(1).flatten(1, 2)


@wrong('that is half a turn')
def mirror(cells, fold=1):
    return cells.flip(1)


@wrong('nothing is mirrored')
def mirror(cells, fold=1):
    return cells.clone()


@wrong('neighbours inside a cell')
def mirror(cells, fold=1):
    side = math.isqrt(cells.shape[1])
    return cells.unflatten(1, (side, side)).flip(2).flatten(1, 2)


@right
def mirror(cells, fold=1):
    side = math.isqrt(cells.shape[1])
    x = cells.unflatten(1, (side, side)).flip(2)
    return x.unflatten(3, (-1, fold, fold)).flip(5).flatten(3).flatten(1, 2)


# ---- 04 inputs


def _angles(n, d, power):
    return torch.arange(n)[:, None] / 10000 ** (power / d)


@wrong('all sines stand in front')
def sinusoid_(n, d):
    a = _angles(n, d, torch.arange(0, d, 2))
    return torch.cat([a.sin(), a.cos()], 1)


@wrong('position 0 must hold')
def sinusoid_(n, d):
    a = _angles(n, d, torch.arange(0, d, 2))
    return torch.stack([a.cos(), a.sin()], 2).flatten(1)


@wrong('must share a wavelength')
def sinusoid_(n, d):
    a = _angles(n, d, torch.arange(d))
    return torch.where(torch.arange(d) % 2 == 0, a.sin(), a.cos())


@wrong('the wavelengths differ')
def sinusoid_(n, d):
    a = _angles(n, d, torch.arange(0, d, 2) / 2)
    return torch.stack([a.sin(), a.cos()], 2).flatten(1)


@right
def sinusoid_(n, d):
    p = torch.zeros(n, d)
    for i in range(d // 2):
        angle = torch.arange(n) * math.exp(-2 * i / d * math.log(10000))
        p[:, 2 * i], p[:, 2 * i + 1] = angle.sin(), angle.cos()
    return p


def _text(embed, ids, root=1.0, place=1.0, kind=1.0):
    d = embed.word_embedding.embedding_dim
    x = embed.word_embedding(ids) * (d**0.5 if root else 1)
    return x + place * sinusoid(ids.shape[1], d) + kind * embed.type_embedding.weight[TEXT]


@wrong('the factor sqrt(d)')
def embed_text(embed, ids):
    return embed.norm(_text(embed, ids, root=0))


@wrong('the positions are missing')
def embed_text(embed, ids):
    return embed.norm(_text(embed, ids, place=0))


@wrong('the type of a text is missing')
def embed_text(embed, ids):
    return embed.norm(_text(embed, ids, kind=0))


@wrong('the LayerNorm of the sum')
def embed_text(embed, ids):
    return _text(embed, ids)


@right
def embed_text(embed, ids):
    return torch.stack([embed.norm(_text(embed, row[None]))[0] for row in ids])


# ---- 05 model


def _weights(q, k, mask, axis=-1, root=True):
    scores = torch.einsum('bhqk,bhtk->bhqt', q, k)
    scores = scores / math.sqrt(q.shape[-1]) if root else scores
    return scores.masked_fill(~mask, -1e30).softmax(axis)


@wrong('the root of the length')
def attend(q, k, v, mask):
    return _weights(q, k, mask, root=False) @ v


@wrong('the mask has no effect')
def attend(q, k, v, mask):
    return _weights(q, k, torch.ones_like(mask)) @ v


@wrong('upside down')
def attend(q, k, v, mask):
    return _weights(q, k, ~mask) @ v


@wrong('over the queries')
def attend(q, k, v, mask):
    return _weights(q, k, mask, axis=-2) @ v


@wrong('before the softmax')
def attend(q, k, v, mask):
    return (_weights(q, k, torch.ones_like(mask)) * mask) @ v


@right
def attend(q, k, v, mask):
    e = (q @ k.mT / math.sqrt(q.shape[-1])).exp() * mask
    return (e / e.sum(-1, keepdim=True)) @ v


@wrong('look everywhere')
def other_image_mask(cells):
    first = torch.arange(2 * cells + 2) <= cells
    return first[:, None] != first


@wrong('looks at its own image')
def other_image_mask(cells):
    return torch.ones(2 * cells + 2, 2 * cells + 2).bool()


@wrong('its summary token included')
def other_image_mask(cells):
    first = torch.arange(2 * cells + 2) <= cells
    mask = first[:, None] != first
    mask[:, [0, cells + 1]] = False
    mask[[0, cells + 1]] = True
    return mask


@wrong('expected numbers of kind torch.bool')
def other_image_mask(cells):
    return torch.ones(2 * cells + 2, 2 * cells + 2)


@right
def other_image_mask(cells):
    ones, zeros = torch.ones(cells + 1, cells + 1), torch.zeros(cells + 1, cells + 1)
    mask = torch.cat([torch.cat([zeros, ones], 1), torch.cat([ones, zeros], 1)]).bool()
    mask[0], mask[cells + 1] = True, True
    return mask


@torch.no_grad()
def _born(a, key=True, sign=-0.5, bias=0.0, gain=2.0, tied=False):
    d = len(a.query.weight)
    a.query.weight.copy_(gain * torch.linalg.qr(torch.randn(d, d)).Q)
    if tied:
        a.key.weight = a.query.weight
    a.key.weight.copy_(a.query.weight if key else gain * torch.linalg.qr(torch.randn(d, d)).Q)
    a.value.weight.copy_(torch.eye(d))
    a.out.weight.copy_(sign * torch.eye(d))
    for linear in (a.query, a.key, a.value, a.out):
        linear.bias.fill_(bias)


@wrong('W_q and W_k differ')
def born_matching(a):
    _born(a, key=False)


@wrong('are one parameter')
def born_matching(a):
    _born(a, tied=True)


@wrong('the partner is added')
def born_matching(a):
    _born(a, sign=0.5)


@wrong('not a rotation of size 2')
def born_matching(a):
    _born(a, gain=1.0)


@wrong('the biases are not zero')
def born_matching(a):
    _born(a, bias=0.1)


@right
def born_matching(a):
    _born(a)


# ---- 06 training


def _rate(c, step, first=1):
    warm = min((step + first) / c.warmup, 1) if c.warmup else 1
    if c.schedule == 'noam':
        return min(warm, math.sqrt(max(1, c.warmup) / (step + 1)))
    if c.schedule == 'halving':
        return warm * (1 if step < 10_000 else 0.5 if step < 20_000 else 0.25)
    return warm * (0.5 + 0.5 * math.cos(math.pi * step / c.steps))


@wrong('the rate of step 0 is zero')
def rate(c, step):
    return _rate(c, step, first=0)


@wrong('noam: expected')
def rate(c, step):
    return _rate(c, step) ** (2 if c.schedule == 'noam' and step >= c.warmup else 1)


@wrong('is above 1')
def rate(c, step):
    if c.schedule == 'cosine' and step >= c.warmup:
        return 1 + math.cos(math.pi * step / c.steps)
    return _rate(c, step)


@wrong('halving: expected')
def rate(c, step):
    return 1.0 if c.schedule == 'halving' and step >= 100 else _rate(c, step)


@wrong('stopped with ZeroDivisionError')
def rate(c, step):
    return _rate(c, step) + 0 / c.warmup


@right
def rate(c, step):
    return _rate(c, step)


@wrong('when it is asked again')
def sample(step, pairs, batch):
    return np.random.permutation(pairs)[:batch]


@wrong('comes twice in an epoch')
def sample(step, pairs, batch):
    return np.random.default_rng(step).permutation(pairs)[:batch]


@wrong('are not shuffled')
def sample(step, pairs, batch):
    place = step % (pairs // batch)
    return np.arange(place * batch, (place + 1) * batch)


@wrong('has the order of the first')
def sample(step, pairs, batch):
    place = step % (pairs // batch)
    return np.random.default_rng(0).permutation(pairs)[place * batch : (place + 1) * batch]


@right
def sample(step, pairs, batch):
    each = pairs // batch
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(step // each))
    return order.view(-1)[: each * batch].view(each, batch)[step % each].numpy()


# ---- 07 mlm


def _choose(ids, share, bad=(BOS, PAD), one=True, generator=None):
    chosen = torch.rand(ids.shape, generator=generator) < share
    may = torch.ones_like(chosen)
    for special in bad:
        may &= ids != special
    if one:
        for row in range(len(ids)):
            if not (chosen & may)[row].any():
                chosen[row, may[row].nonzero()[0]] = True
    return chosen & may


@wrong('BOS is covered')
def choose_words(ids, share, generator=None):
    return _choose(ids, share, (PAD,))


@wrong('PAD is covered')
def choose_words(ids, share, generator=None):
    return _choose(ids, share, (BOS,))


@wrong('EOS is never covered')
def choose_words(ids, share, generator=None):
    return _choose(ids, share, (BOS, PAD, EOS))


@wrong('would teach nothing')
def choose_words(ids, share, generator=None):
    return _choose(ids, share, one=False)


@wrong('words are covered, expected about')
def choose_words(ids, share, generator=None):
    return _choose(ids, 1 - share)


@right
def choose_words(ids, share, generator=None):
    may = (ids != BOS) & (ids != PAD)
    chosen = (torch.rand(ids.shape, generator=generator) < share) & may
    spare = torch.rand(ids.shape, generator=generator).masked_fill(~may, -1.0).argmax(1)
    chosen[torch.arange(len(ids)), spare] |= ~chosen.any(1)
    return chosen


def _mask(ids, V, share, lots=(0.8, 0.9), low=len(SPECIALS), everyone=False):
    chosen = _choose(ids, share)
    lot = torch.rand(ids.shape)
    masked = ids.clone()
    hit = torch.ones_like(chosen) if everyone else chosen
    masked[hit & (lot < lots[0])] = MASK
    random = hit & (lot >= lots[1])
    masked[random] = torch.randint(low, V, (int(random.sum()),))
    return masked, torch.where(chosen, ids, -1)


@wrong('every word is asked')
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share)[0], ids


@wrong('changed that is not asked for')
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share, everyone=True)


@wrong('of the covered words are [MASK]')
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share, lots=(1.0, 1.0))


@wrong('of the covered words stay')
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share, lots=(0.8, 0.8))


@wrong('a random word is a special token')
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share, low=0)


@wrong('the target is not the word')
def mask_words(ids, n_words, share=0.15, generator=None):
    masked, target = _mask(ids, n_words, share)
    return masked, torch.where(target >= 0, masked, -1)


@right
def mask_words(ids, n_words, share=0.15, generator=None):
    return _mask(ids, n_words, share)


def _each(logits, target):
    losses = F.cross_entropy(logits.flatten(0, 1), target.flatten().clamp(0), reduction='none')
    return losses.view(target.shape) * (target >= 0)


@wrong('the mean runs over all places')
def word_loss(logits, target):
    return _each(logits, target).mean()


@wrong('added up')
def word_loss(logits, target):
    return _each(logits, target).sum()


@wrong('each caption counts the same')
def word_loss(logits, target):
    return (_each(logits, target).sum(1) / (target >= 0).sum(1)).mean()


@wrong('the target is -1')
def word_loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


@right
def word_loss(logits, target):
    p = logits.log_softmax(-1).gather(-1, target.clamp(0)[..., None])[..., 0]
    return -p[target >= 0].mean()


@wrong('count as wrong')
def guessed(logits, target):
    return (logits.argmax(-1) == target).float().mean()


@wrong('count as right')
def guessed(logits, target):
    return ((logits.argmax(-1) == target) | (target < 0)).float().mean()


@wrong('a share lies between 0 and 1')
def guessed(logits, target):
    return (logits.argmax(-1) == target).sum()


@wrong('one share for the whole batch')
def guessed(logits, target):
    hit = (logits.argmax(-1) == target) & (target >= 0)
    return hit.sum(1) / (target >= 0).sum(1)


@right
def guessed(logits, target):
    hits = [
        bool(row.argmax() == t) for row, t in zip(logits.flatten(0, 1), target.flatten()) if t >= 0
    ]
    return sum(hits) / len(hits)


# ---- 08 mvcl


@wrong('cells of both images')
def choose_cells(batch, cells, share=0.15, generator=None):
    return torch.rand(batch, 2, cells) < share


@wrong('has no covered cell')
def choose_cells(batch, cells, share=0.15, generator=None):
    some, first = torch.rand(batch, cells) < share, torch.rand(batch, 1) < 0.5
    return torch.stack([some & first, some & ~first], 1)


@wrong('half of the time')
def choose_cells(batch, cells, share=0.15, generator=None):
    some = our_cells(batch, cells, share).any(1)
    return torch.stack([some, torch.zeros_like(some)], 1)


@wrong('cells are covered, expected about')
def choose_cells(batch, cells, share=0.15, generator=None):
    return our_cells(batch, cells, 2 * share)


@right
def choose_cells(batch, cells, share=0.15, generator=None):
    some = torch.rand(batch, cells) < share
    empty = ~some.any(1)
    some[empty, torch.randint(cells, (int(empty.sum()),))] = True
    covered = torch.zeros(batch, 2, cells, dtype=torch.bool)
    covered[torch.arange(batch), torch.randint(2, (batch,))] = some
    return covered


@wrong('that are not chosen are covered')
def mask_cells(grid, chosen, nothing):
    return torch.where(chosen[..., None], grid, nothing)


@wrong('hold zeros')
def mask_cells(grid, chosen, nothing):
    return grid * ~chosen[..., None]


@wrong('changes what it was given')
def mask_cells(grid, chosen, nothing):
    grid[chosen] = nothing
    return grid


@wrong('does not hold `nothing`')
def mask_cells(grid, chosen, nothing):
    return grid + chosen[..., None] * nothing


@right
def mask_cells(grid, chosen, nothing):
    covered = grid.clone()
    covered[chosen] = nothing
    return covered


def _unit(x):
    return x / x.norm(dim=1, keepdim=True)


@wrong('not normalised')
def cell_logits(said, truth, others, temperature=1.0):
    return said @ torch.cat([truth, others]).T / temperature


@wrong('stand in front')
def cell_logits(said, truth, others, temperature=1.0):
    return _unit(said) @ _unit(torch.cat([others, truth])).T / temperature


@wrong('multiplied by the temperature')
def cell_logits(said, truth, others, temperature=1.0):
    return _unit(said) @ _unit(torch.cat([truth, others])).T * temperature


@wrong('only one side')
def cell_logits(said, truth, others, temperature=1.0):
    return _unit(said) @ torch.cat([truth, others]).T / temperature


@wrong('runs over the cells')
def cell_logits(said, truth, others, temperature=1.0):
    c = torch.cat([truth, others])
    return F.normalize(said, dim=0) @ F.normalize(c, dim=0).T / temperature


@wrong('has no effect')
def cell_logits(said, truth, others, temperature=1.0):
    return _unit(said) @ _unit(torch.cat([truth, others])).T


@right
def cell_logits(said, truth, others, temperature=1.0):
    c = torch.cat([truth, others])
    return F.cosine_similarity(said[:, None], c[None], dim=-1) / temperature


def _nce(logits, target):
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()


@wrong('the positive is not at index 0')
def info_nce(logits):
    return _nce(logits, torch.zeros(len(logits), dtype=torch.long))


@wrong('runs over the predictions')
def info_nce(logits):
    M = len(logits)
    return _nce(logits[:, :M].T, torch.arange(M))


@wrong('are left out')
def info_nce(logits):
    M = len(logits)
    return _nce(logits[:, :M], torch.arange(M))


@wrong('added up')
def info_nce(logits):
    loss, found = _nce(logits, torch.arange(len(logits)))
    return loss * len(logits), found


@wrong('the sign is wrong')
def info_nce(logits):
    loss, found = _nce(logits, torch.arange(len(logits)))
    return -loss, found


@wrong('two results')
def info_nce(logits):
    return _nce(logits, torch.arange(len(logits)))[0]


@right
def info_nce(logits):
    positive = logits.diagonal()
    found = (positive >= logits.max(1).values).float().mean()
    return (logits.logsumexp(1) - positive).mean(), found


# ---- 09 negatives


def _replace(caption, others, rng, places):
    words = caption.split()
    for i in places:
        words[i] = rng.choice(others[words[i]])
    return ' '.join(words)


def _places(caption, others):
    return [i for i, word in enumerate(caption.split()) if word in others]


@wrong('nothing can be replaced')
def replace_words(caption, others, rng, most=3):
    return _replace(caption, others, rng, _places(caption, others)[:1])


@wrong('must vary from 1')
def replace_words(caption, others, rng, most=3):
    places = rng.permutation(_places(caption, others))[:1]
    return _replace(caption, others, rng, places) if len(places) else None


@wrong('at most 2 were asked for')
def replace_words(caption, others, rng, most=3):
    places = rng.permutation(_places(caption, others))[: rng.integers(1, 4)]
    return _replace(caption, others, rng, places) if len(places) else None


@wrong('another word of its kind')
def replace_words(caption, others, rng, most=3):
    every = [word for words in others.values() for word in words]
    anything = {word: every for word in others}
    places = rng.permutation(_places(caption, others))[: rng.integers(1, most + 1)]
    return _replace(caption, anything, rng, places) if len(places) else None


@wrong('nothing is replaced')
def replace_words(caption, others, rng, most=3):
    places = rng.permutation(_places(caption, others))[: rng.integers(0, most + 1)]
    return _replace(caption, others, rng, places) if _places(caption, others) else None


@right
def replace_words(caption, others, rng, most=3):
    places = _places(caption, others)
    if not places:
        return None
    count = min(len(places), int(rng.integers(1, most + 1)))
    return _replace(caption, others, rng, rng.choice(places, count, replace=False))


@wrong('has one thing')
def swap_things(p, rng):
    return p | dict(name=p['other'], other=p['name'])


@wrong('stands twice')
def swap_things(p, rng):
    return p | dict(name=p['other']) if p['relation'] else None


@wrong('changes what it was given')
def swap_things(p, rng):
    if p['relation']:
        p['name'], p['other'] = p['other'], p['name']
        return p


@wrong('is lost')
def swap_things(p, rng):
    return dict(name=p['other'], other=p['name']) if p['relation'] else None


@wrong('another part changed')
def swap_things(p, rng):
    return p | dict(name=p['other'], other=p['name'], end='moved') if p['relation'] else None


@right
def swap_things(p, rng):
    if p['relation'] is None:
        return None
    turn = dict(name='other', other='name')
    return {part: p[turn.get(part, part)] for part in p}


def _swap_value(p, name=True, end=True):
    for kind in (
        'gray red blue green brown purple cyan yellow',
        'rubber matte metal shiny metallic',
    ):
        words = kind.split()
        old = [w for w in p['name'].split() if w in words]
        if old and p['value'] in words:
            new = dict(p)
            if name:
                new['name'] = p['name'].replace(old[0], p['value'])
            if end:
                new['end'] = p['end'].rsplit(' ', 1)[0] + ' ' + old[0]
            return new
    return None


@wrong('the name still holds')
def swap_value(p, rng):
    return _swap_value(p, name=False)


@wrong('expected the end')
def swap_value(p, rng):
    return _swap_value(p, end=False)


@wrong('does not say the old color')
def swap_value(p, rng):
    return _swap_value(p) or p


@wrong('two values to exchange')
def swap_value(p, rng):
    return _swap_value(p) if 'red' in p['name'] and 'small' not in p['name'] else None


@right
def swap_value(p, rng):
    return _swap_value(p)


# ---- 10 fda


def _rank(sims, temperature, target=0, axis=1):
    best = (sims[:, 0] > sims[:, 1:].max(1).values).float().mean()
    return -(sims / temperature).log_softmax(axis)[:, target].mean(), best


@wrong('the positive is at index 0')
def ranking_loss(sims, temperature=1.0):
    return _rank(sims, temperature, -1)


@wrong('divide by the temperature')
def ranking_loss(sims, temperature=1.0):
    return _rank(sims, 1 / temperature)


@wrong('the temperature has no effect')
def ranking_loss(sims, temperature=1.0):
    return _rank(sims, 1.0)


@wrong('runs over the pairs')
def ranking_loss(sims, temperature=1.0):
    return _rank(sims, temperature, axis=0)


@wrong('a tie counts as right')
def ranking_loss(sims, temperature=1.0):
    loss, _ = _rank(sims, temperature)
    return loss, (sims.argmax(1) == 0).float().mean()


@right
def ranking_loss(sims, temperature=1.0):
    gaps = (sims[:, 1:] - sims[:, :1]) / temperature
    return (1 + gaps.exp().sum(1)).log().mean(), (gaps < 0).all(1).float().mean()


def _wins(sims, kinds, n, won):
    out = []
    for k in range(n):
        here = (kinds == k) & (sims[:, 1:] > -torch.inf)
        out.append(won[here].float().sum() / here.sum())
    return torch.stack(out)


@wrong('lost contests')
def wins_by_kind(sims, kinds, n_kinds):
    return _wins(sims, kinds, n_kinds, sims[:, :1] < sims[:, 1:])


@wrong('a tie is no win')
def wins_by_kind(sims, kinds, n_kinds):
    return _wins(sims, kinds, n_kinds, sims[:, :1] >= sims[:, 1:])


@wrong('expected nan')
def wins_by_kind(sims, kinds, n_kinds):
    return _wins(sims, kinds, n_kinds, sims[:, :1] > sims[:, 1:]).nan_to_num(0.0)


@wrong('must not count')
def wins_by_kind(sims, kinds, n_kinds):
    won = sims[:, :1] > sims[:, 1:]
    return torch.stack([won[kinds == k].float().mean() for k in range(n_kinds)])


@wrong('the mean is over pairs')
def wins_by_kind(sims, kinds, n_kinds):
    won = (sims[:, :1] > sims[:, 1:]).float()
    shares = []
    for k in range(n_kinds):
        rows = [w[of == k].mean() for w, of in zip(won, kinds) if (of == k).any()]
        shares.append(torch.stack(rows).mean() if rows else torch.tensor(torch.nan))
    return torch.stack(shares)


@right
def wins_by_kind(sims, kinds, n_kinds):
    return _wins(sims, kinds, n_kinds, sims[:, 1:] < sims[:, :1])


# ---- 11 pretrain


@wrong('has another task when it is asked again')
def task_at_step(step, tasks, seed=0):
    weights = np.array(list(tasks.values()))
    return np.random.choice(list(tasks), p=weights / weights.sum())


@wrong('is drawn in')
def task_at_step(step, tasks, seed=0):
    return np.random.default_rng([seed, step]).choice(list(tasks))


@wrong('fixed turns')
def task_at_step(step, tasks, seed=0):
    turns = [task for task, weight in tasks.items() for _ in range(weight)]
    return turns[step % len(turns)]


@wrong('the seed has no effect')
def task_at_step(step, tasks, seed=0):
    turns = [task for task, weight in tasks.items() for _ in range(weight)]
    return turns[np.random.default_rng(step).integers(len(turns))]


@wrong('are drawn')
def task_at_step(step, tasks, seed=0):
    return max(tasks, key=tasks.get)


@right
def task_at_step(step, tasks, seed=0):
    u = np.random.default_rng([seed, step]).random() * sum(tasks.values())
    for task, weight in tasks.items():
        u -= weight
        if u < 0:
            return task


def _rest(model, yes, on):
    for name, p in model.named_parameters():
        if yes and name.startswith(pretrain._EYES):
            p.requires_grad_(on)


@wrong('gets gradients inside')
@contextmanager
def resting_eyes(model, yes=True):
    yield


@wrong('must go on learning')
@contextmanager
def resting_eyes(model, yes=True):
    model.requires_grad_(False)
    yield
    model.requires_grad_(True)


@wrong('still rests after the block')
@contextmanager
def resting_eyes(model, yes=True):
    _rest(model, yes, False)
    yield


@wrong('use try and finally')
@contextmanager
def resting_eyes(model, yes=True):
    _rest(model, yes, False)
    yield
    _rest(model, yes, True)


@wrong('yes=False must let nothing rest')
@contextmanager
def resting_eyes(model, yes=True):
    _rest(model, True, False)
    try:
        yield
    finally:
        _rest(model, True, True)


@right
class resting_eyes:
    def __init__(self, model, yes=True):
        self.model, self.yes = model, yes

    def __enter__(self):
        _rest(self.model, self.yes, False)

    def __exit__(self, *error):
        _rest(self.model, self.yes, True)


# ---- 12 finetune


def _causal(T, n):
    return torch.arange(n + T)[None] <= torch.arange(T)[:, None] + n


@wrong('looks at later words')
def causal_mask(T, images):
    return torch.ones(T, images + T).bool()


@wrong('upside down')
def causal_mask(T, images):
    return ~_causal(T, images)


@wrong('expected numbers of kind torch.bool')
def causal_mask(T, images):
    return _causal(T, images).float()


@wrong('all elements of the images')
def causal_mask(T, images):
    return torch.ones(T, images + T).tril().bool() | torch.eye(T, images + T, dtype=bool).roll(
        images, 1
    )


@wrong('must see itself')
def causal_mask(T, images):
    mask = _causal(T, images)
    mask[range(T), range(images, images + T)] = False
    return mask


@right
def causal_mask(T, images):
    return _causal(T, images)


def _query(place, caption, n, apart=True, itself=True, crowd=False, leak=0):
    B, P = place.shape
    mask = torch.zeros(B, 1, 2 * P, n + 2 * P, dtype=torch.bool)
    mask[..., :n] = True
    for b in range(B):
        for i in range(P):
            for j in range(P):
                related = caption[b, i] == caption[b, j] or not apart
                mask[b, 0, i, n + j] = related and place[b, i] >= place[b, j]
                mask[b, 0, P + i, n + j] = related and place[b, i] + leak >= place[b, j]
                mask[b, 0, P + i, n + P + j] = (i == j and itself) or crowd
    return mask


@wrong('sees the word that it asks for')
def query_mask(place, caption, images):
    return _query(place, caption, images, leak=1)


@wrong('looks at another [MASK]')
def query_mask(place, caption, images):
    return _query(place, caption, images, crowd=True)


@wrong('a [MASK] must see itself')
def query_mask(place, caption, images):
    return _query(place, caption, images, itself=False)


@wrong('another caption of its pair')
def query_mask(place, caption, images):
    return _query(place, caption, images, apart=False)


@wrong('a word looks at a [MASK]')
def query_mask(place, caption, images):
    mask = _query(place, caption, images)
    mask[:, :, :, images + place.shape[1] :] = True
    return mask


@wrong('all elements of the images')
def query_mask(place, caption, images):
    mask = _query(place, caption, images)
    mask[..., :images] = False
    return mask


@right
def query_mask(place, caption, images):
    return _query(place, caption, images)


def _pack(ids, pairs, keep=PAD, shift=1, flat=False):
    rows = ids.view(pairs, -1, ids.shape[1])
    out = [[], [], [], []]
    for captions in rows:
        lists = [[], [], [], []]
        for k, row in enumerate(captions.tolist()):
            for t in range(len(row) - 1):
                if row[t + 1] != keep:
                    place = len(lists[0]) if flat else t
                    for part, x in zip(lists, (row[t], row[t + shift], place, k)):
                        part.append(x)
        for part, some in zip(out, lists):
            part.append(torch.tensor(some))
    return tuple(torch.nn.utils.rnn.pad_sequence(part, True, PAD) for part in out)


@wrong('without padding between')
def pack(ids, pairs):
    return _pack(ids, pairs, keep=-1)


@wrong('the target is the word that follows')
def pack(ids, pairs):
    return _pack(ids, pairs, shift=0)


@wrong('from the start of the caption')
def pack(ids, pairs):
    return _pack(ids, pairs, flat=True)


@wrong('the number of the caption')
def pack(ids, pairs):
    word, target, place, caption = _pack(ids, pairs)
    return word, target, place, torch.zeros_like(caption)


@right
def pack(ids, pairs):
    return _pack(ids, pairs)


# ---- 13 decode


def _step(scores, ids, ends=True):
    out = []
    for row, score in zip(ids.tolist(), scores):
        ended = ends and row[-1] == EOS
        out.append(row + [EOS if ended else int(score.argmax())])
    return torch.tensor(out)


@wrong('goes on')
def greedy_step(scores, ids):
    return _step(scores, ids, ends=False)


@wrong('least likely')
def greedy_step(scores, ids):
    return _step(-scores, ids)


@wrong('expected a result of shape')
def greedy_step(scores, ids):
    return _step(scores, ids)[:, -1]


@wrong('words so far must stand in front')
def greedy_step(scores, ids):
    return _step(scores, ids).roll(1, 1)


@wrong('the highest score')
def greedy_step(scores, ids):
    word = scores.topk(2).indices[:, 1].masked_fill(ids[:, -1] == EOS, EOS)
    return torch.cat([ids, word[:, None]], 1)


@right
def greedy_step(scores, ids):
    return _step(scores, ids)


def _beam(total, log_p):
    W, V = log_p.shape[1:]
    found = []
    for sums, words in zip(total.tolist(), log_p.tolist()):
        grown = [(sums[w] + words[w][v], w, v) for w in range(W) for v in range(V)]
        found.append(sorted(grown, reverse=True)[:W])
    found = torch.tensor(found, dtype=torch.double)
    return found[..., 0].float(), found[..., 1].long(), found[..., 2].long()


@wrong('the beginnings do not count')
def beam_step(total, log_p):
    return _beam(0 * total, log_p)


@wrong('each beginning goes on once')
def beam_step(total, log_p):
    score, word = (total[..., None] + log_p).max(2)
    order = score.argsort(1, descending=True)
    return score.gather(1, order), order, word.gather(1, order)


@wrong('divide by V, not W')
def beam_step(total, log_p):
    score, beam, word = _beam(total, log_p)
    place = beam * log_p.shape[2] + word
    return score, place // total.shape[1], place % total.shape[1]


@wrong('the best first')
def beam_step(total, log_p):
    return tuple(x.flip(1) for x in _beam(total, log_p))


@wrong('belong to other words')
def beam_step(total, log_p):
    score, beam, word = _beam(total, log_p)
    return score, beam, beam


@right
def beam_step(total, log_p):
    return _beam(total, log_p)


def _other(scores, ids, places=slice(-1, None)):
    scores = scores.clone()
    for row, said in zip(scores, ids):
        row[said[places]] = -torch.inf
    return scores.argmax(1)


@wrong('is said again')
def pick_other(scores, ids):
    return scores.argmax(1)


@wrong('an earlier one may come again')
def pick_other(scores, ids):
    return _other(scores, ids, slice(None))


@wrong('the likeliest of the other words')
def pick_other(scores, ids):
    return _other(-scores, ids)


@wrong('changes what it was given')
def pick_other(scores, ids):
    scores[torch.arange(len(ids)), ids[:, -1]] = -torch.inf
    return scores.argmax(1)


@right
def pick_other(scores, ids):
    return _other(scores, ids)


# ---- 14 metrics


def _grams(sentence, n):
    words = sentence.split()
    return [' '.join(words[i : i + n]) for i in range(len(words) - n + 1)]


@wrong('at most as often')
def clipped_precision(candidate, reference, n):
    ours, theirs = _grams(candidate, n), _grams(reference, n)
    return sum(g in theirs for g in ours) / len(ours)


@wrong('this is the recall')
def clipped_precision(candidate, reference, n):
    return _clipped(reference, candidate, n)


@wrong('words in a row')
def clipped_precision(candidate, reference, n):
    return _clipped(candidate, reference, 1)


@wrong('for n = 1')
def clipped_precision(candidate, reference, n):
    common = set(_grams(candidate, n)) & set(_grams(reference, n))
    return len(common) / len(_grams(candidate, n))


def _clipped(candidate, reference, n):
    left, hits = _grams(reference, n), 0
    for gram in _grams(candidate, n):
        if gram in left:
            left.remove(gram)
            hits += 1
    return hits / len(_grams(candidate, n))


@right
def clipped_precision(candidate, reference, n):
    return _clipped(candidate, reference, n)


def _lcs(a, b):
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return 1 + _lcs(a[:-1], b[:-1])
    return max(_lcs(a[:-1], b), _lcs(a, b[:-1]))


def _rouge(candidate, reference, common=_lcs, beta=1.2):
    a, b = candidate.split(), reference.split()
    n = common(a, b)
    return (1 + beta**2) * n / (len(a) + beta**2 * len(b))


@wrong('must be in one order')
def rouge_l(candidate, reference):
    return _rouge(candidate, reference, lambda a, b: len(set(a) & set(b)))


@wrong('recall counts more')
def rouge_l(candidate, reference):
    return _rouge(reference, candidate)


@wrong('beta is 1.2')
def rouge_l(candidate, reference):
    return _rouge(candidate, reference, beta=1.0)


@wrong('gaps are allowed')
def rouge_l(candidate, reference):
    def run_of(a, b):
        text = ' '.join(b)
        grams = [g for n in range(1, len(a) + 1) for g in _grams(' '.join(a), n)]
        return max([len(g.split()) for g in grams if g in text], default=0)

    return _rouge(candidate, reference, run_of)


@wrong('no common word')
def rouge_l(candidate, reference):
    n = _lcs(candidate.split(), reference.split())
    P, R = n / len(candidate.split()), n / len(reference.split())
    return 2.44 * P * R / (R + 1.44 * P)


@right
def rouge_l(candidate, reference):
    return _rouge(candidate, reference)


def _idf(sentence, references, count=None, pairs=True, low=1):
    weights = {}
    for w in sentence.split():
        docs = references.values() if pairs else [[s] for said in references.values() for s in said]
        d = sum(any(w in s.split() for s in said) for said in docs)
        weights[w] = math.log(len(references if pairs else list(docs)) / max(low, d))
        weights[w] *= count or sentence.split().count(w)
    return weights


@wrong('weighs twice as much')
def tf_idf(sentence, references):
    return _idf(sentence, references, count=1)


@wrong('a word that all pairs have')
def tf_idf(sentence, references):
    return {w: 1 + x for w, x in _idf(sentence, references).items()}


@wrong('that no reference has')
def tf_idf(sentence, references):
    return _idf(sentence, references, low=0)


@wrong('count pairs, not sentences')
def tf_idf(sentence, references):
    return _idf(sentence, references, pairs=False)


@right
def tf_idf(sentence, references):
    return _idf(sentence, references)


# ---- 15, 16, 17


def _singly(model, images, turn=False):
    first, second = images.chunk(2)
    blank = torch.zeros_like(first)
    n = 1 + images.shape[1]
    one = model.perceive(first, blank)[:, :n]
    two = model.perceive(blank, second)[:, n:]
    x = torch.cat([two, one] if turn else [one, two])
    return torch.cat([x, model.embed.summary(IMG2, len(x))], 1)


@wrong('all images are read as first images')
def perceive_singly(model, images):
    return model.perceive(images)


@wrong('expected a result of shape')
def perceive_singly(model, images):
    return _singly(model, images)[:, :-1]


@wrong('the first half of the batch')
def perceive_singly(model, images):
    return _singly(model, images, turn=True)


@wrong('the last element must be')
def perceive_singly(model, images):
    x = _singly(model, images)
    return torch.cat([x[:, :-1], 0 * x[:, -1:]], 1)


@right
def perceive_singly(model, images):
    return _singly(model, images)


def _contrast(h, classes, margin, unit=True, turn=False, relu=True, total=False):
    h = h / h.norm(dim=1, keepdim=True) if unit else h
    losses = []
    for i in range(len(h)):
        for j in range(len(h)):
            cos, same = h[i] @ h[j], classes[i] == classes[j]
            far = (cos - margin).clamp(0) if relu else cos - margin
            losses.append(1 - cos if same != turn else far)
    losses = torch.stack(losses)
    return losses.sum() if total else losses.mean()


@wrong('not normalised')
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, margin, unit=False)


@wrong('exchange the two')
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, margin, turn=True)


@wrong('below the margin')
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, margin, relu=False)


@wrong('the margin has no effect')
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, 0.0)


@wrong('added up')
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, margin, total=True)


@right
def contrast_loss(h, classes, margin=0.4):
    return _contrast(h, classes, margin)


@wrong('turned round')
def same_label(class1, class2):
    return (class1 != class2).long()


@wrong('not bool or float')
def same_label(class1, class2):
    return class1 == class2


@wrong('expected 12 labels')
def same_label(class1, class2):
    return (class1[:, None] == class2).long()


@wrong('expected 1 where the classes are equal')
def same_label(class1, class2):
    return 1 - (class1 - class2).abs()


@right
def same_label(class1, class2):
    return torch.tensor([int(a == b) for a, b in zip(class1, class2)])


def _partner(i, classes, same, rng, itself=False):
    want = rng.random() < same
    while True:
        j = int(rng.integers(len(classes)))
        if (classes[j] == classes[i]) == want and (j != i or itself):
            return j


@wrong('its own partner')
def partner(i, classes, same, rng):
    return _partner(i, classes, same, rng, itself=True)


@wrong('of the partners are of its class')
def partner(i, classes, same, rng):
    return _partner(i, classes, 1 - same / 2, rng)


@wrong('of other classes')
def partner(i, classes, same, rng):
    return _partner(i, classes, 1.0, rng)


@wrong('or never')
def partner(i, classes, same, rng):
    kin = rng.random() < same
    return int(np.flatnonzero((classes == classes[i]) == kin)[0])


@right
def partner(i, classes, same, rng):
    return _partner(i, classes, same, rng)


def _say(c, img1, img2, max_len=None):
    from idc_nb.decode import greedy

    ids, p = greedy(c.model, img1, img2, max_len or c.about.get('max_len', 40))
    return ids, p


@wrong('expected sentences')
def from_grids(c, img1, img2):
    ids, p = _say(c, img1, img2)
    return [(row, float(x)) for row, x in zip(ids, p)]


@wrong('the two images are exchanged')
def from_grids(c, img1, img2):
    return c.from_grids(img2, img1)


@wrong('that nothing changed')
def from_grids(c, img1, img2):
    return [(s, 1 - p) for s, p in c.from_grids(img1, img2)]


@wrong('has no effect')
def from_grids(c, img1, img2):
    ids, p = _say(c, img1, img2, 40)
    return [(c.vocab.decode(row), float(x)) for row, x in zip(ids, p)]


@right
def from_grids(c, img1, img2):
    said = []
    for a, b in zip(img1, img2):
        ids, p = _say(c, a[None], b[None])
        said.append((c.vocab.decode(ids[0]), p.item()))
    return said


@wrong('has spoilt the old file')
def write_whole(path, save):
    save(path)


@wrong('half a file is left behind')
def write_whole(path, save):
    part = Path(f'{path}.part')
    save(part)
    os.replace(part, path)


@wrong('must come through')
def write_whole(path, save):
    part = Path(f'{path}.part')
    try:
        save(part)
        os.replace(part, path)
    except Exception:
        part.unlink()


@wrong('a rename works only on the same disk')
def write_whole(path, save):
    import shutil
    import tempfile

    part = Path(tempfile.mkdtemp()) / 'part'
    save(part)
    shutil.move(part, path)


@right
def write_whole(path, save):
    part = Path(f'{path}.part')
    try:
        save(part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


# ---- 15, 18


def _things(text):
    words = iter(text.split())
    return list(zip(words, words, words, words))


@wrong('must keep their order')
def mirror_description(text):
    return ' '.join(reversed(text.split()))


@wrong('nothing is mirrored')
def mirror_description(text):
    return text


@wrong('words are lost or new')
def mirror_description(text):
    return ' '.join(' '.join(t) for t in reversed(_things(text)[1:]))


@wrong("expected 'tiny gray matte ball")
def mirror_description(text):
    things = _things(text)
    return ' '.join(' '.join(thing) for thing in things[:2][::-1] + things[2:])


@right
def mirror_description(text):
    return ' '.join(' '.join(thing) for thing in _things(text)[::-1])


def _first_faults(rows, triplets, scenes, all_pairs=False, name='true'):
    found = {}
    for k, t in enumerate(triplets):
        if t.changed or all_pairs:
            part = is_true(rows[k]['candidate'], *scenes_of(t, scenes)).wrong or name
            line = found.setdefault(t.kind, {})
            line[part] = line.get(part, 0) + 1
    return found


@wrong('without a change is counted')
def faults(rows, triplets, scenes):
    return _first_faults(rows, triplets, scenes, all_pairs=True)


@wrong('count it as "true"')
def faults(rows, triplets, scenes):
    return _first_faults(rows, triplets, scenes, name=None)


@wrong('a line for each kind of change')
def faults(rows, triplets, scenes):
    found = {}
    for counts in _first_faults(rows, triplets, scenes).values():
        found |= counts
    return found


@wrong('one count for each sentence')
def faults(rows, triplets, scenes):
    found = _first_faults(rows, triplets, scenes)
    return {kind: dict.fromkeys(counts, 1) for kind, counts in found.items()}


@wrong('ask `is_true`')
def faults(rows, triplets, scenes):
    found = {}
    for row, t in zip(rows, triplets):
        if t.changed:
            part = 'true' if row['candidate'] in t.captions else 'type'
            line = found.setdefault(t.kind, {})
            line[part] = line.get(part, 0) + 1
    return found


@wrong('not the first wrong parts')
def faults(rows, triplets, scenes):
    found = _first_faults(rows, triplets, scenes)
    for counts in found.values():
        counts['wrong'] = sum(n for part, n in list(counts.items()) if part != 'true')
        for part in set(counts) - {'true', 'wrong'}:
            del counts[part]
    return found


@right
def faults(rows, triplets, scenes):
    return _first_faults(rows, triplets, scenes)


def _records(said, triplets, scenes, judged=lambda p, t: p > 0.5, true=None):
    rows = []
    for t, (text, p) in zip(triplets, said):
        verdict = is_true(text, *scenes_of(t, scenes)).true if true is None else true(text, t)
        about = dict(judged=judged(p, t), true=verdict, kind=t.kind)
        rows.append(dict(id=t.id, references=list(t.captions), candidate=text, **about))
    return rows


@wrong('not whether it is right')
def records(said, triplets, scenes):
    return _records(said, triplets, scenes, lambda p, t: (p > 0.5) == t.changed)


@wrong('above one half')
def records(said, triplets, scenes):
    return _records(said, triplets, scenes, lambda p, t: p < 0.5)


@wrong('without being a reference')
def records(said, triplets, scenes):
    return _records(said, triplets, scenes, true=lambda text, t: text in t.captions)


@wrong('must be True or False')
def records(said, triplets, scenes):
    return _records(said, triplets, scenes, true=lambda text, t: None)


@wrong('a dict a pair')
def records(said, triplets, scenes):
    return _records(said, triplets, scenes)[::2]


@wrong('is not that of the pair')
def records(said, triplets, scenes):
    rows = _records(said, triplets, scenes)
    return [row | dict(id=str(k)) for k, row in enumerate(rows)]


@right
def records(said, triplets, scenes):
    return _records(said, triplets, scenes)


# ---- 19, 20


def _steps(recipe, budget, tasks=True, line=None, add=True, mean=True, warm=0.3):
    cost = ablation.STEP_SECONDS[recipe.model.get('pair_layers', 1) == 0 if line is None else line]
    left = budget - recipe.gic.steps * cost['gic'] - recipe.judge_steps * cost['judge']
    if tasks and recipe.tasks:
        share = recipe.pretrain.steps / (len(recipe.tasks) if mean else 1)
        left -= sum(share * cost[task] for task in recipe.tasks)
    steps = left // cost['words'] + add * recipe.judge_steps
    finetune = replace(recipe.finetune, steps=int(steps), warmup=int(warm * steps))
    return replace(recipe, finetune=finetune)


@wrong('add them')
def equal_seconds(recipe, budget):
    return _steps(recipe, budget, add=False)


@wrong('steps of pre-training cost seconds')
def equal_seconds(recipe, budget):
    return _steps(recipe, budget, tasks=False)


@wrong('take the mean of their costs')
def equal_seconds(recipe, budget):
    return _steps(recipe, budget, mean=False)


@wrong('cheaper steps')
def equal_seconds(recipe, budget):
    return _steps(recipe, budget, line=0)


@wrong('a warm-up of 30 %')
def equal_seconds(recipe, budget):
    return _steps(recipe, budget, warm=0.5)


@wrong('more than the fine-tuning')
def equal_seconds(recipe, budget):
    return replace(_steps(recipe, budget), name='mine')


@right
def equal_seconds(recipe, budget):
    return _steps(recipe, budget)


def _bootstrap(gains, rng, draws, seeds=True, pairs=True, replacement=True, ends=(2.5, 97.5)):
    S, P = gains.shape
    means = []
    for _ in range(draws):
        s = rng.choice(S, S, replace=replacement) if seeds else np.arange(S)
        p = rng.choice(P, P, replace=replacement) if pairs else np.arange(P)
        means.append(gains[np.ix_(s, p)].mean())
    return [100 * x for x in (gains.mean(), *np.percentile(means, ends))]


@wrong('draw the seeds anew, too')
def bootstrap(gains, rng, draws):
    return _bootstrap(gains, rng, draws, seeds=False)


@wrong('some come twice')
def bootstrap(gains, rng, draws):
    return _bootstrap(gains, rng, draws, pairs=False)


@wrong('not single numbers')
def bootstrap(gains, rng, draws):
    flat = gains.flatten()
    means = [rng.choice(flat, flat.size).mean() for _ in range(draws)]
    return [100 * x for x in (flat.mean(), *np.percentile(means, (2.5, 97.5)))]


@wrong('100 times the share')
def bootstrap(gains, rng, draws):
    return [x / 100 for x in _bootstrap(gains, rng, draws)]


@wrong('is too wide')
def bootstrap(gains, rng, draws):
    return _bootstrap(gains, rng, draws, ends=(0.1, 99.9))


@wrong('stands above the higher')
def bootstrap(gains, rng, draws):
    mean, low, high = _bootstrap(gains, rng, draws)
    return mean, high, low


@right
def bootstrap(gains, rng, draws):
    return _bootstrap(gains, rng, draws)


def _blind(birds, seed, order=None, text=0):
    order = np.random.default_rng(seed).permutation(len(birds.test)) if order is None else order
    ids = [birds.test[i].id for i in order]
    return {ids[k - 1]: birds.test[i].captions[text] for k, i in enumerate(order)}


@wrong('a paragraph of its own')
def blind(birds, seed=0):
    return {t.id: t.captions[1] for t in birds.test}


@wrong('the seed has no effect')
def blind(birds, seed=0):
    return _blind(birds, seed, order=range(len(birds.test)))


@wrong('said of two pairs')
def blind(birds, seed=0):
    one, two = birds.test[:2]
    said = {t.id: one.captions[0] for t in birds.test}
    return said | {one.id: two.captions[0]}


@wrong('a string')
def blind(birds, seed=0):
    return _blind(birds, seed, text=slice(0, 1))


@wrong('the id of every pair')
def blind(birds, seed=0):
    return dict(list(_blind(birds, seed).items())[1:])


@right
def blind(birds, seed=0):
    return _blind(birds, seed, text=1)


def _truth(said, birds, turn=False, unread=True, per_pair=False):
    hits, totals = [], []
    for t in birds.test:
        images = [t.img2, t.img1] if turn else [t.img1, t.img2]
        v = judge_claims(said[t.id], *species_of(birds.root, images))
        hits.append(len(v.right))
        totals.append(len(v.right + v.wrong + (v.unread if unread else ())))
    if per_pair:
        return 100 * sum(h / max(1, n) for h, n in zip(hits, totals)) / len(hits)
    return 100 * sum(hits) / (sum(totals) or 1)


@wrong('in their order')
def truth_share(said, birds):
    return _truth(said, birds, turn=True)


@wrong('add it to the total')
def truth_share(said, birds):
    return _truth(said, birds, unread=False)


@wrong('count the claims of all paragraphs')
def truth_share(said, birds):
    return _truth(said, birds, per_pair=True)


@wrong('expected per cent')
def truth_share(said, birds):
    return _truth(said, birds) / 100


@right
def truth_share(said, birds):
    return _truth(said, birds)


# ---- 21, 22


def _threshold(cells, k):
    return cells >= cells.flatten(1).sort(1).values[:, -k, None, None]


@wrong('of both images together')
def largest_cells(cells, k):
    return cells >= cells.sort(2).values[..., -k, None]


@wrong('the smallest cells')
def largest_cells(cells, k):
    return _threshold(-cells, k)


@wrong('expected 4 cells for each word')
def largest_cells(cells, k):
    return cells > cells.mean((1, 2), keepdim=True)


@wrong('True and False')
def largest_cells(cells, k):
    return _threshold(cells, k).float()


@wrong('not the cells that matter most')
def largest_cells(cells, k):
    chosen = _threshold(cells, k)
    return torch.cat([chosen[:1], chosen[1:].flip(2)])


@right
def largest_cells(cells, k):
    return _threshold(cells, k)


@wrong('must be cut off in each head')
def gradient_weighted(weights, slopes):
    return (weights * slopes).mean(1)


@wrong('cut off before the mean')
def gradient_weighted(weights, slopes):
    return (weights * slopes).mean(1).clamp(min=0)


@wrong('no effect')
def gradient_weighted(weights, slopes):
    return slopes.clamp(min=0).mean(1)


@wrong('the heads, which are axis 1')
def gradient_weighted(weights, slopes):
    return (weights * slopes).clamp(min=0)


@wrong('are added up')
def gradient_weighted(weights, slopes):
    return (weights * slopes).clamp(min=0).sum(1)


@wrong('as if it spoke for it')
def gradient_weighted(weights, slopes):
    return (weights * slopes).abs().mean(1)


@right
def gradient_weighted(weights, slopes):
    heads = [F.relu(a * s) for a, s in zip(weights.unbind(1), slopes.unbind(1))]
    return sum(heads) / len(heads)


def _best(x, y, unit=True):
    x, y = (v / v.norm(dim=2, keepdim=True) if unit else v for v in (x, y))
    return torch.einsum('bid,bjd->bij', x, y)


@wrong('not at the same place alone')
def unmatched(x, y):
    return 1 - F.cosine_similarity(x, y, dim=2)


@wrong('expected those of x')
def unmatched(x, y):
    return 1 - _best(x, y).amax(1)


@wrong('one minus the cosine')
def unmatched(x, y):
    return _best(x, y).amax(2)


@wrong('normalise them first')
def unmatched(x, y):
    return 1 - _best(x, y, unit=False).amax(2)


@wrong('not the mean over all cells')
def unmatched(x, y):
    return 1 - _best(x, y).mean(2)


@right
def unmatched(x, y):
    return torch.stack([(1 - _best(x, y)[:, i]).min(1).values for i in range(x.shape[1])], 1)


def _gain(ours, theirs, draws, apart=False, single=False, replacement=True):
    rng = np.random.default_rng(5)
    a, b = (np.array([[bit == '1' for bit in run] for run in some]) for some in (ours, theirs))
    if single:  # each run of each pair is drawn by itself
        gains = (a * 1.0 - b).flatten()
        means = [rng.choice(gains, gains.size).mean() for _ in range(draws)]
    else:
        a, b, P = a.mean(0), b.mean(0), a.shape[1]
        means = []
        for _ in range(draws):
            i = rng.choice(P, P, replace=replacement)
            means.append(a[i].mean() - b[rng.integers(P, size=P) if apart else i].mean())
    return [100 * x for x in (a.mean() - b.mean(), *np.percentile(means, (2.5, 97.5)))]


@wrong('gain is theirs')
def paired_gain(ours, theirs, draws=2000):
    return _gain(theirs, ours, draws)


@wrong('asked the same pairs')
def paired_gain(ours, theirs, draws=2000):
    return _gain(ours, theirs, draws, apart=True)


@wrong('mean of the runs for each pair')
def paired_gain(ours, theirs, draws=2000):
    return _gain(ours, theirs, draws, single=True)


@wrong('with replacement')
def paired_gain(ours, theirs, draws=2000):
    return _gain(ours, theirs, draws, replacement=False)


@wrong('100 times the share')
def paired_gain(ours, theirs, draws=2000):
    return [x / 100 for x in _gain(ours, theirs, draws)]


@right
def paired_gain(ours, theirs, draws=2000):
    return _gain(ours, theirs, draws)


# ---- 23


def _of_rank(batch, mine, captions=None):
    share = {key: x[mine] for key, x in batch.items() if key != 'ids'}
    K = len(batch['ids']) // len(batch['changed'])
    rows = [k for pair in range(len(batch['changed']))[mine] for k in range(K * pair, K * pair + K)]
    return share | dict(ids=batch['ids'][rows if captions is None else captions])


@wrong('not a block')
def rank_share(batch, rank, world):
    n = len(batch['changed']) // world
    return _of_rank(batch, slice(rank * n, rank * n + n))


@wrong('captions belong to other pairs')
def rank_share(batch, rank, world):
    return _of_rank(batch, slice(rank, None, world), slice(rank, None, world))


@wrong('the captions of all pairs')
def rank_share(batch, rank, world):
    return _of_rank(batch, slice(rank, None, world), slice(None))


@wrong('img2 is not that')
def rank_share(batch, rank, world):
    share = _of_rank(batch, slice(rank, None, world))
    return share | dict(img2=batch['img2'])


@wrong('expected the pairs')
def rank_share(batch, rank, world):
    return _of_rank(batch, slice(world - 1 - rank, None, world))


@right
def rank_share(batch, rank, world):
    return _of_rank(batch, slice(rank, None, world))


@wrong('with few words weighs more')
def even_losses(sums, counts):
    return sums / counts


@wrong('divides by W once more')
def even_losses(sums, counts):
    return sums / counts.sum()


@wrong('expected a result of shape')
def even_losses(sums, counts):
    return sums.sum() / counts.sum()


@wrong('a share of its own losses')
def even_losses(sums, counts):
    return (sums.sum() / counts.sum()).expand(len(sums))


@wrong('nothing is divided')
def even_losses(sums, counts):
    return sums + 0


@right
def even_losses(sums, counts):
    return sums * len(counts) / counts.sum()


# ---- what holds of them


def _check(name):
    return getattr(checks, 'check_' + name.rstrip('_'))


def _ids(kept):
    return [f'{item[0].rstrip("_")}-{i}' for i, item in enumerate(kept)]


@pytest.mark.parametrize('name, f, sentence', WRONG, ids=_ids(WRONG))
def test_wrong_ones_are_caught(name, f, sentence):
    with pytest.raises(checks.Wrong) as e:
        _check(name)(f)
    assert sentence in str(e.value)


@pytest.mark.parametrize('name, f', RIGHT, ids=_ids(RIGHT))
def test_right_ones_pass(name, f, capsys):
    _check(name)(f)
    assert capsys.readouterr().out == 'right\n'


@pytest.mark.parametrize('name', checks.SOLUTIONS)
def test_every_check_is_tried(name):
    sentences = [s for n, _, s in WRONG if n.rstrip('_') == name]
    assert len(sentences) == len(set(sentences)) >= 3
    assert [n for n, _ in RIGHT if n.rstrip('_') == name]


@pytest.mark.parametrize('name', checks.SOLUTIONS)
def test_solution_is_a_cell_that_passes(name):
    f = checks.SOLUTIONS[name]
    space = dict(__import__(f.__module__, fromlist=['x']).__dict__)
    exec(checks.solution(name), space)
    _check(name)(space[f'my_{name}'])


def test_attempt(capsys):
    def unsolved(*arguments):
        raise NotImplementedError

    for name in checks.SOLUTIONS:
        checks.attempt(_check(name), unsolved)
    assert capsys.readouterr().out == 'not solved yet\n' * len(checks.SOLUTIONS)
    with pytest.raises(checks.Wrong, match='`return`'):
        checks.attempt(checks.check_pad_ids, lambda rows: None)


def _needs(code):  # global names that a piece of code reads
    ops = dis.get_instructions(code)
    names = {op.argval for op in ops if op.opname in ('LOAD_GLOBAL', 'LOAD_NAME')}
    inner = [c for c in code.co_consts if hasattr(c, 'co_code')]
    return names.union(*map(_needs, inner))


def _gives(source):  # names that a cell defines
    names = set()
    for node in ast.parse(re.sub(r'^\s*[%!].*', '', source, flags=re.M)).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).split('.')[0] for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names


@pytest.mark.parametrize('stem', PART_I)
def test_solutions_find_their_names_in_the_lesson(stem):
    above = set(vars(builtins))
    for kind, source in cells(stem):
        if kind != 'code':
            continue
        if m := re.match(r'#\| exercise (\w+)\n', source):
            text = checks.solution(m.group(1))
            missing = _needs(compile(text, stem, 'exec')) - above - _gives(text)
            assert not missing, f'{m.group(1)} needs {sorted(missing)}'
        above |= _gives(source)

"""Valid files, changed at random, go to the readers of files that others hand us.

Run: python tests/fuzz.py [--minutes 10] [--seed 0] [--only pickle] [--case 123]

A reader may give an answer of the right type, or an error of ours: a ValueError, KeyError or
OSError that names the file. Everything else is a finding, and so are 5 seconds of the processor
and a gigabyte of memory. `--case N` repeats one case; the files of the findings are kept.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from functools import partial
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
import numpy as np
import torch
from idc_nb.captioner import Captioner, load_captioner, save_captioner
from idc_nb.inputs import ModelConfig
from idc_nb.lab.checkpoints import newest_checkpoint, read_state
from idc_nb.lab.image_lists import read_list
from idc_nb.lab.official import ReleasedModel, load_checkpoint
from idc_nb.lab.released import _cells, _channels, _contents
from idc_nb.lab.sentence_files import Sentences, match_ids, read_sentences
from idc_nb.model import DifferenceModel
from idc_nb.vocab import Vocab

SECONDS, BYTES = 5, 2**30  # of the processor and of memory, for one case

# --- valid files


def list_seeds():
    pairs = [(f'a/{i}.png', f'b/{i} x.png') for i in range(4)]
    texts = ['\n'.join(sign.join(pair) for pair in pairs) for sign in '\t,;']
    texts += [
        'img1,img2\n' + texts[1],
        'before\tafter\tnote\na.png\tb.png\t"x"\n',
        'a.png b.png\r\n',
    ]
    return [t.encode(code) for t in texts for code in ('utf-8', 'utf-8-sig', 'utf-16')]


def pickle_seeds():
    grid = np.arange(6 * 49, dtype=np.float32).reshape(6, 7, 7)
    one, large = {'a.jpg': grid, 'b': grid.reshape(6, 49).T}, {'a': np.tile(grid, (9, 1, 1))}
    return [pickle.dumps(x, protocol=p) for x in (one, large) for p in range(2, 6)]


def torch_bytes(x):
    out = io.BytesIO()
    torch.save(x, out)
    return out.getvalue()


def checkpoint_seeds():
    weights = {'model.a': torch.ones(3, 4), 'model.b': torch.arange(5)}
    groups = dict(optimizer_states=[dict(state={0: weights})], lr_schedulers=[{}], epoch=0)
    return [torch_bytes(dict(global_step=3, state_dict=weights, **groups))]


def small():
    return ModelConfig(5, 9, dim=8, heads=2, ff=12, cross_layers=1, exact=True)


def released_seeds():
    r = ReleasedModel(small(), ('judge',))
    whole = dict(global_step=3, model_state_dict=r.official_state(), task_batch_num=dict(mlm=2))
    return [torch_bytes(r.official_state()), torch_bytes(whole)]


def captioner_seeds():
    vocab, path = Vocab(['a', 'b', 'c']), Path(tempfile.mkdtemp()) / 'c'
    save_captioner(Captioner(DifferenceModel(small()), vocab, 'x', dict(steps=1)), path)
    return [path.read_bytes()]


def sentence_seeds():
    record = dict(id='1', references=['a'], candidate='a', kind='move', true=True)
    line = dict(img1='a.png', img2='b.png', caption='no change', change=0.25)
    objects = [{'1': ['a red cube'], '2': ['no change']}, {'1': 'a', '2': 'b'}]
    objects.append([dict(image_id=1, caption='a'), dict(image_id=2, caption='b')])
    objects.append(dict(annotations=objects[-1], images=[dict(id=1)]))
    lines = [record, record | dict(id='2')], [line, line | dict(img1='c.png')]
    texts = [json.dumps(x) for x in objects] + ['\n'.join(map(json.dumps, x)) for x in lines]
    return [t.encode(code) for t in texts for code in ('utf-8', 'utf-16')]


# --- readers, each with a check of its answer


def reads_list(path):
    pairs = read_list(path)
    assert pairs and all(len(p) == 2 and all(isinstance(x, str) for x in p) for p in pairs)


def reads_pickle(path):
    found = _contents([path])
    channels = _channels(found)
    for where in found.values():
        assert _cells(*where).shape == (49, channels)


def reads_checkpoint(path):
    last = newest_checkpoint(path.parent)
    assert isinstance(read_state(last), dict)


def reads_released(path):
    assert isinstance(load_checkpoint(path, heads=2), ReleasedModel)


def reads_captioner(path):
    assert isinstance(load_captioner(path), Captioner)


def reads_sentences(path):
    found = read_sentences(path)
    assert isinstance(found, Sentences) and str(found)
    match_ids(found, found)


#: Name -> valid files, reader, name of the file.
TARGETS = dict(
    list=(list_seeds, reads_list, 'x.txt'),
    pickle=(pickle_seeds, reads_pickle, 'x.pkl'),
    checkpoint=(checkpoint_seeds, reads_checkpoint, 'last.ckpt'),
    released=(released_seeds, reads_released, 'x.pt'),
    captioner=(captioner_seeds, reads_captioner, 'x.safetensors'),
    sentences=(sentence_seeds, reads_sentences, 'x.json'),
)

# --- changes


def place(rng, raw):
    return rng.randrange(len(raw) + 1)


def flip(rng, raw, others):
    raw = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if raw:
            raw[rng.randrange(len(raw))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(raw)


def cut(rng, raw, others):
    a, b = sorted((place(rng, raw), place(rng, raw)))
    return rng.choice((raw[:a], raw[b:], raw[:a] + raw[b:], raw[a:b]))


def splice(rng, raw, others):
    other = rng.choice(others)
    a, b = sorted((place(rng, other), place(rng, other)))
    at = place(rng, raw)
    return raw[:at] + other[a:b] + raw[at:]


def repeat(rng, raw, others):
    a = place(rng, raw)
    b = min(len(raw), a + rng.choice((1, 4, 40)))
    return raw[:b] + raw[a:b] * rng.choice((1, 2, 1000)) + raw[b:]


def huge_number(rng, raw, others):
    at = place(rng, raw)
    numbers = [b'\xff' * 4, b'\xff' * 8, b'\x7f' + b'\xff' * 7, b'\x00' * 8, b'9' * 5000, b'1e999']
    new = rng.choice([*numbers, b'-1', b'NaN', b'1' + b'0' * 400])
    return raw[:at] + new + raw[at + rng.choice((0, len(new))) :]


def nest(rng, raw, others):
    left, right = rng.choice(
        ((b'[', b']'), (b'{"a":', b'}'), (b'(', b't'), (b']', b'a'), (b'"', b'"'))
    )
    depth, at = rng.choice((10, 1000, 100_000)), place(rng, raw)
    closing = right * rng.choice((0, depth))
    return raw[:at] + left * depth + rng.choice((b'', b'1', raw[at : at + 9])) + closing + raw[at:]


def recode(rng, raw, others):
    code = rng.choice(('utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32', 'utf-7', 'cp037'))
    text = raw.decode(rng.choice(('utf-8', 'latin-1')), 'replace')
    return text.encode(code, 'replace')


CHANGES = flip, flip, flip, cut, splice, repeat, huge_number, nest, recode


def change(rng, raw, others):
    for _ in range(rng.choice((1, 1, 2, 4))):
        raw = rng.choice(CHANGES)(rng, raw, others)
    return raw[: 2**22]


GROWTH = 2**11  # bytes; the time of torch's answer to a long name grows as its square (2.14)


def change_member(rng, raw, others):
    "Change one file of a zip, with the right checksum, so that the change is not found at once."
    if not raw.startswith(b'PK'):
        return change(rng, raw, others)
    if rng.random() < 0.3:
        return change(rng, raw, others)[: len(raw) + GROWTH]
    with zipfile.ZipFile(io.BytesIO(raw)) as z:
        files = {name: z.read(name) for name in z.namelist()}
    names = [name for name in files if name.endswith('.pkl')] * 6 + list(files)
    name, out = rng.choice(names), io.BytesIO()
    files[name] = change(rng, files[name], list(files.values()))[: 2 * GROWTH]
    with zipfile.ZipFile(out, 'w') as z:
        for name, content in files.items():
            z.writestr(name, content)
    return out.getvalue()


# --- one case


class Hang(BaseException):
    pass


def ring(*_):
    raise Hang(f'more than {SECONDS} s')


@contextlib.contextmanager
def limits():
    "Inside, too long a time is a Hang, and too much memory a MemoryError."
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, before[1]))
    handler = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(60 * SECONDS, exit=True)  # waits, or loops outside Python
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def attempt(read, path) -> 'str|None':  # what is wrong, if anything
    try:
        with limits(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            read(path)
    except (ValueError, KeyError, OSError) as e:
        if str(path.parent) in str(e) or str(path.parent) in str(e.args[0]):
            return None
        found = e
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
        found = e
    else:
        return None
    last = traceback.extract_tb(found.__traceback__)[-1]
    where = f'{Path(last.filename).name}:{last.lineno}'
    return f'{type(found).__name__} at {where}: {str(found)[:150]}'


def content_of(case, seed, names, seeds) -> tuple:  # name of the target, content of the file
    rng = random.Random(f'{seed} {case}')
    name = rng.choice(names)
    return name, change_member(rng, rng.choice(seeds[name]), seeds[name])


def try_case(case, seed, names, seeds, folder) -> 'str|None':  # a finding
    name, content = content_of(case, seed, names, seeds)
    path = folder / TARGETS[name][2]
    path.write_bytes(content)
    wrong = attempt(TARGETS[name][1], path)
    path.rename(folder / 'last case')
    return wrong and f'{name}: {wrong}'


def fuzz(seconds, seed=0, names=tuple(TARGETS), first=0, cases=None) -> tuple:
    "How many cases were tried, and {finding: (its first case, how often)}."
    seeds = {name: TARGETS[name][0]() for name in names}
    for name in names:  # the files are valid
        for content in seeds[name]:
            path = Path(tempfile.mkdtemp()) / TARGETS[name][2]
            path.write_bytes(content)
            wrong = attempt(TARGETS[name][1], path)
            assert wrong is None, (name, wrong)
    folder, found, case = Path(tempfile.mkdtemp(prefix='fuzz')), {}, first
    end = time.monotonic() + seconds
    while time.monotonic() < end and (cases is None or case < first + cases):
        wrong = try_case(case, seed, names, seeds, folder)
        if wrong:
            kind = wrong.partition(': ')[0] + wrong[wrong.index(':') :].split(': ')[1]
            if kind not in found:
                (folder / 'last case').rename(folder / f'case_{case}')
                print(f'case {case}: {wrong}\n  {folder}/case_{case}', flush=True)
            number, n = found.get(kind, (case, 0))
            found[kind] = number, n + 1
        case += 1
    return case - first, found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('--minutes', type=float, default=10)
    add('--seed', type=int, default=0)
    add('--only', nargs='+', choices=TARGETS, default=list(TARGETS))
    add('--case', type=int, help='repeat this one')
    a = parser.parse_args(argv)
    torch.set_num_threads(1)
    run = partial(fuzz, 60 * a.minutes, a.seed, a.only)
    tried, found = run() if a.case is None else run(first=a.case, cases=1)
    print(f'{tried:,} cases of seed {a.seed}, {len(found)} kinds of findings')
    for kind, (case, n) in found.items():
        print(f'{n:6,} x {kind} (first: case {case})')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())

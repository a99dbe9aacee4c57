"""A disk that fills, a folder that nobody may write to, a clock that jumps.

Each error names the file. What was whole stays whole, and the same call goes on afterwards.
"""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
import numpy as np
import pytest
import torch
from idc_nb.captioner import Captioner, load_captioner, save_captioner
from idc_nb.lab.checkpoints import newest_checkpoint, read_state
from idc_nb.lab.commands import idc_data, idc_features, idc_score, idc_train
from idc_nb.lab.evaluate import idc_evaluate
from idc_nb.lab.files import read_json, write_json
from idc_nb.lab.loop import fit
from idc_nb.lab.runs import clock, record
from idc_nb.lab.store import FeatureStore, extract_features, fill_store, lesson_store
from idc_nb.model import DifferenceModel
from idc_nb.pairs import lesson_data
from kills import assert_same_weights
from made_up import config, finetuning, made_up

ROOT = Path(__file__).parents[2]
MB = 2**20


def mount(*words):
    done = subprocess.run(['mount', *map(str, words)], capture_output=True)
    if done.returncode:
        pytest.skip('nothing may be mounted here')


class Disk:
    "A file system in memory."

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir()
        mount('-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder)

    def fill(self, leave=0):  # until so many bytes are left
        left = os.statvfs(self.folder)
        (self.folder / 'filler').write_bytes(bytes(left.f_bavail * left.f_bsize - leave))

    def make_room(self):
        (self.folder / 'filler').unlink()

    def lock(self):
        mount('-o', 'remount,ro', self.folder)

    def unlock(self):
        mount('-o', 'remount,rw', self.folder)


@pytest.fixture
def disk(tmp_path):
    try:
        yield Disk(tmp_path / 'disk', 8 * MB)
    finally:
        subprocess.run(['umount', '--lazy', tmp_path / 'disk'], capture_output=True)


@pytest.fixture(params=['full', 'read-only'])
def closed(request, disk):  # a disk, and what is said of each file that cannot be written
    def close(leave=0):
        disk.fill(leave) if request.param == 'full' else disk.lock()

    def open_again():
        disk.make_room() if request.param == 'full' else disk.unlock()

    said = dict([('full', 'No space left'), ('read-only', 'Read-only file system')])
    disk.close, disk.open_again, disk.says = close, open_again, said[request.param]
    return disk


def halves(folder):
    return [path for path in folder.rglob('*.part') if path.name != 'grids.npy.part']


def refused(disk, capsys, command, *argv, name):  # with one sentence that names the file
    assert command(list(map(str, argv))) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f'{command.__name__}: ') and disk.says in said and name in said, said
    assert not halves(disk.folder)


def test_a_text_that_was_whole_stays_whole(closed):
    path = closed.folder / 'deep' / 'x.json'
    write_json(path, [1, 2, 3])
    closed.close()
    with pytest.raises(OSError, match=closed.says) as e:
        write_json(path, list(range(9999)))
    assert e.value.filename == str(path) and read_json(path) == [1, 2, 3]
    closed.open_again()
    assert [p.name for p in path.parent.iterdir()] == ['x.json']


def test_rendering(disk, capsys):
    disk.says, folder = 'No space left', disk.folder / 'made'
    make = partial(idc_data, [str(folder), '--scenes', '5', '--workers', '1'])
    disk.fill(leave=MB // 2)
    refused(disk, capsys, idc_data, folder, '--scenes', 5, '--workers', 1, name='.png')
    assert list(folder.rglob('*.png')) and not (folder / 'scenes.json').exists()
    disk.make_room()
    assert make() == 0 and len(list(folder.rglob('*.png'))) == 20
    disk.lock()
    assert make() == 0  # all is there: nothing is written
    disk.says = 'Read-only'
    refused(disk, capsys, idc_data, disk.folder / 'more', name='more')


def rows(start, stop):  # (stop-start,49,512)
    return np.stack([np.full((49, 512), row, np.float16) for row in range(start, stop)])


def test_features(disk, monkeypatch):
    monkeypatch.setattr('idc_nb.lab.store.BLOCK', 2)
    about, folder = dict(backbone='x', names=[f'p{i}' for i in range(20)]), disk.folder / 'store'
    done = []

    def block(start, stop):
        done.append(start)
        if start == 10:
            disk.fill(leave=49 * 1024)  # of a block of two
        return rows(start, stop)

    with pytest.raises(OSError, match='No space left') as e:
        fill_store(folder, about, 512, block)
    assert e.value.filename == str(folder / 'grids.npy.part')
    assert not (folder / 'index.json').exists() and not halves(folder)
    disk.make_room()
    store = fill_store(folder, about, 512, lambda a, b: done.append(a) or rows(a, b))
    assert done == [0, 2, 4, 6, 8, 10, 10, 12, 14, 16, 18]  # what was safe is not done again
    assert np.array_equal(store.grids, rows(0, 20))


def test_features_of_a_folder_that_is_read_only(disk, capsys):
    disk.says = 'Read-only'
    picture = next((lesson_data() / 'images').iterdir())
    (disk.folder / 'a.png').write_bytes(picture.read_bytes())
    disk.lock()
    refused(disk, capsys, idc_features, disk.folder, name='features_')
    assert idc_features([str(disk.folder), '--out', str(disk.folder.parent / 'out')]) == 0


def test_training(closed, tmp_path):
    data, run, steps = made_up(tmp_path / 'store'), closed.folder / 'run', 12
    whole = fit(*finetuning(*data, steps=steps), tmp_path / 'whole', save_every=4)
    stage, batches = finetuning(*data, steps=steps)
    stage.on_train_batch_start_ = stage.on_train_batch_start

    def at_step_9(batch, index):
        if stage.global_step == 9:
            closed.close(leave=1000)
        stage.on_train_batch_start_(batch, index)

    stage.on_train_batch_start = at_step_9
    with pytest.raises(OSError, match='could not be written|Read-only') as e:
        fit(stage, batches, run, save_every=4)
    assert 'last.new' in str(e.value) and not halves(run)
    assert read_state(newest_checkpoint(run))['global_step'] == 8
    closed.open_again()
    again = fit(*finetuning(*data, steps=steps), run, save_every=4)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_a_captioner(closed):
    _, _, vocab = made_up(closed.folder / 'store')
    path, model = closed.folder / 'captioner.safetensors', DifferenceModel(config(vocab))
    save_captioner(Captioner(model, vocab, 'x', dict(steps=1)), path)
    closed.close(leave=5000)
    with pytest.raises(OSError, match=closed.says) as e:
        save_captioner(Captioner(model, vocab, 'x', dict(steps=2)), path)
    assert e.value.filename == str(path)
    assert load_captioner(path).about == dict(steps=1) and not halves(closed.folder)


def test_results(closed, tmp_path):
    results = closed.folder / 'results'
    write_json(tmp_path / 'demo.json', dict(seed=0, recipe=dict(name='demo')))
    (tmp_path / 'gallery.png').write_bytes(b'first')
    written = record(tmp_path, results)
    (tmp_path / 'gallery.png').write_bytes(bytes(20_000))
    closed.close(leave=9000)
    with pytest.raises(OSError, match=closed.says) as e:
        record(tmp_path, results)
    assert e.value.filename in map(str, written)
    assert written[1].read_bytes() == b'first' and not halves(results)


def test_what_was_said(closed, capsys):
    lesson_store()
    out = closed.folder / 'said.jsonl'
    options = '--data', lesson_data(), '--split', 'test', '--no-meteor', '--out', out
    closed.close(leave=1000)
    refused(closed, capsys, idc_evaluate, 'mini_clevr', *options, name='said.jsonl')
    assert not out.exists()
    closed.open_again()
    assert idc_evaluate(['mini_clevr', *map(str, options)]) == 0
    closed.close()
    assert idc_score([str(out), '--no-meteor']) == 0  # it only reads


def test_the_settings_of_a_training(closed, capsys):
    lesson_store()
    data, run = lesson_data(), closed.folder / 'run'
    options = '--data', data, '--features', data / 'features', '--out', run, '--steps', 1
    closed.close()
    named = 'settings.json' if closed.says == 'No space left' else 'run'
    refused(closed, capsys, idc_train, *options, name=named)
    assert not list(closed.folder.rglob('*.ckpt'))


def caption_to(path):  # exit code, what stands on stderr; stdout goes to the file
    code = 'import sys; from idc_nb.lab.commands import idc_caption; sys.exit(idc_caption())'
    root = lesson_data()
    command = [sys.executable, '-c', code, root / 'images', root / 'images', '--batch', '4']
    with open(path, 'w') as f:
        done = subprocess.run(command, stdout=f, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    return done.returncode, done.stderr


def test_standard_output_to_a_full_disk(disk):
    disk.fill(leave=4096)
    (disk.folder / 'filler').rename(disk.folder / 'full')
    code, err = caption_to(disk.folder / 'said.jsonl')
    assert code == 1 and 'Traceback' not in err
    assert err.strip().endswith('No space left on device: standard output'), err


def test_a_half_written_answer_is_not_taken_for_whole(tmp_path, capsys):
    line = '{"img1": "a.png", "img2": "b.png", "caption": "no change"}\n'
    (tmp_path / 'said.jsonl').write_text(line + line.replace('a.png', 'c.png')[:30])
    (tmp_path / 'refs.json').write_text('{"a": ["no change"]}')
    code = idc_score([str(tmp_path / 'refs.json'), str(tmp_path / 'said.jsonl'), '--no-meteor'])
    assert code == 2 and 'said.jsonl, line 2: not JSON' in capsys.readouterr().err


#: A program with its own view of the file system: $1 shows the folder $0, which it cannot change.
READ_ONLY = (
    'mount --bind "$0" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && shift && exec "$@"'
)


def test_a_package_that_is_read_only(tmp_path):
    view = 'unshare', '--mount', 'sh', '-c', READ_ONLY, ROOT, tmp_path
    if subprocess.run([*view, 'true'], capture_output=True).returncode:
        pytest.skip('nothing may be mounted here')
    pair = [next((lesson_data() / name).iterdir()) for name in ('images', 'sc_images')]
    code = 'import sys, idc_nb; print(idc_nb.__file__, idc_nb.caption(*sys.argv[1:]))'
    env = os.environ | dict(PYTHONPATH=str(tmp_path), HOME=str(tmp_path))
    command = [*view, sys.executable, '-c', code, *pair]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    place, _, sentence = done.stdout.partition(' ')
    assert place.startswith(str(tmp_path)) and sentence.strip()


# --- the clock

YEAR = 365 * 24 * 3600


@pytest.fixture(params=[-5 * YEAR, -1, 50 * YEAR])
def jumps(request, monkeypatch):  # the time of day jumps at every look
    real, looks = time.time, []

    def jumping():
        looks.append(request.param)
        return max(0, real() + sum(looks) % (60 * YEAR))

    monkeypatch.setattr(time, 'time', jumping)
    return looks


def test_seconds_do_not_depend_on_the_time_of_day(jumps, tmp_path):
    seconds = {}
    for _ in range(2):
        with clock(tmp_path / 'part.json', seconds, 'part'):
            time.time()
    assert 0 <= seconds['part'] < 5 and read_json(tmp_path / 'part.json') == seconds['part']


def test_a_training_does_not_depend_on_the_time_of_day(jumps, monkeypatch, tmp_path, capsys):
    data = made_up(tmp_path / 'store')
    for steps in (5, 8):  # stopped and continued
        stage, batches = finetuning(*data, steps=8)
        batches.steps = steps
        fit(stage, batches, tmp_path / 'jumps', save_every=3)
    said = capsys.readouterr().out
    assert '-' not in said and ' days' not in said and 'years' not in said, said
    monkeypatch.undo()
    fit(*finetuning(*data, steps=8), tmp_path / 'alone')
    both = [read_state(tmp_path / name / 'last.ckpt') for name in ('jumps', 'alone')]
    assert_same_weights(*both)


def test_features_do_not_depend_on_the_time_of_files(jumps, tmp_path):
    pictures = sorted((lesson_data() / 'images').iterdir())[:3]
    store = extract_features(pictures, tmp_path / 'store', workers=1)
    before = store.grids[:].copy()
    for path in (tmp_path / 'store').iterdir():
        os.utime(path, (0, 0))
    os.utime(tmp_path / 'store', (2**33, 2**33))
    again = extract_features(pictures, tmp_path / 'store', workers=1)
    assert np.array_equal(again.grids, before)
    with pytest.raises(ValueError, match='other images'):
        extract_features(pictures[:2], tmp_path / 'store')
    assert len(FeatureStore(tmp_path / 'store')) == 3


def test_the_newest_checkpoint_does_not_depend_on_the_time_of_files(tmp_path):
    data = made_up(tmp_path / 'store')
    fit(*finetuning(*data, steps=6), tmp_path / 'run', save_every=3)
    os.utime(tmp_path / 'run' / 'last.ckpt', (0, 0))  # older than last.old
    assert newest_checkpoint(tmp_path / 'run').name == 'last.ckpt'
    assert read_state(newest_checkpoint(tmp_path / 'run'))['global_step'] == 6

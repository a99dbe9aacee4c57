"""Fork, two writers on one folder, a writer that is killed, forked processes whose parent ends, a
reader of output that goes away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
import numpy as np
import pytest
from idc_nb.lab.checkpoints import newest_checkpoint, read_state
from idc_nb.lab.files import locked
from idc_nb.lab.store import FeatureStore, fill_store, lesson_store
from idc_nb.pairs import lesson_data

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')


def start(code, *argv, **options):  # a process of Python whose streams are read
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    env = os.environ | dict(PYTHONPATH=path, OMP_NUM_THREADS='2')
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE) | options
    command = [sys.executable, '-c', code, *map(str, argv)]
    return subprocess.Popen(command, text=True, env=env, cwd=ROOT, **options)


FORK = '''
import os, sys, torch, idc_nb
torch.set_num_threads(2)
a, b = sys.argv[1:]
first = idc_nb.caption(a, b)
torch.randn(600, 600) @ torch.randn(600, 600)
child = os.fork()
if child == 0:
    same = idc_nb.caption(a, b) == first and torch.get_num_threads() == 1
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
'''


def test_a_caption_after_fork_works():
    root = lesson_data()
    a, b = root / 'images/CLEVR_default_000000.png', root / 'sc_images/CLEVR_semantic_000000.png'
    process = start(FORK, a, b)
    try:
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err


WRITER = '''
import sys, time, numpy as np
import idc_nb.lab.store as store
store.BLOCK = 2
def block(start, stop):
    print(start, flush=True)
    sys.stdin.readline() if sys.argv[2] == 'asks' else time.sleep(float(sys.argv[2]))
    return np.full((stop - start, 49, 3), start, np.float16)
about = dict(backbone='x', names=[f'p{i}' for i in range(8)])
store.fill_store(sys.argv[1], about, 3, block)
'''


def test_the_second_writer_waits_and_finds_the_store_finished(tmp_path):
    first = start(WRITER, tmp_path / 's', 'asks', stdin=subprocess.PIPE)
    assert first.stdout.readline() == '0\n'
    second = start(WRITER, tmp_path / 's', 0.5)
    assert 'another process writes' in second.stderr.readline()
    assert second.poll() is None
    first.communicate('on\n' * 4, timeout=60)
    assert first.returncode == 0
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0 and out == err == ''
    assert sorted(p.name for p in (tmp_path / 's').iterdir()) == ['grids.npy', 'index.json']
    assert FeatureStore(tmp_path / 's')['p7'][0, 0] == 6


def test_a_killed_writer_gives_its_lock_back(tmp_path):
    first = start(WRITER, tmp_path / 's', 0.5)
    while first.stdout.readline() != '4\n':  # rows 0 to 3 are safe
        pass
    second = start(WRITER, tmp_path / 's', 0)
    time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    out, err = second.communicate(timeout=120)
    first.communicate()
    assert second.returncode == 0 and out.split() == ['4', '6'], (out, err)


def test_an_error_gives_the_lock_back(tmp_path):
    def fails(start, stop):
        raise ValueError('broken')

    about = dict(backbone='x', names=['a'])
    with pytest.raises(ValueError, match='broken'):
        fill_store(tmp_path, about, 3, fails)
    store = fill_store(tmp_path, about, 3, lambda a, b: np.zeros((b - a, 49, 3), np.float16))
    assert len(store) == 1
    with locked(tmp_path):
        pass


RENDER = '''
import sys
from idc_nb.world.mini import make_mini_clevr
make_mini_clevr(sys.argv[1], 200, workers=2, size=(48, 32))
'''


def started_alone(code, folder):  # in a group of its own, which ignores Ctrl-C as behind nohup
    ignore = 'import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)'  # forks inherit it
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    return start(ignore + code, folder, **quiet)


def wait_until(happened, seconds=100):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f'did not happen within {seconds} s'
        time.sleep(0.1)


def group_is_empty(process):
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def end(process, signum):  # -> exit code; all processes of its group must end
    process.send_signal(signum)
    try:
        code = process.wait(timeout=60)
        wait_until(lambda: group_is_empty(process), 60)
    finally:
        if not group_is_empty(process):
            os.killpg(process.pid, signal.SIGKILL)
    return code


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_that_render_end_with_their_parent(signum, tmp_path):
    process = started_alone(RENDER, tmp_path)
    wait_until(lambda: list(tmp_path.glob('parts/*.json')))
    assert end(process, signum) == -signum
    assert not (tmp_path / 'scenes.json').exists()


TRAIN = '''
import sys, torch
from pathlib import Path
from idc_nb.lab.loop import fit
from made_up import finetuning, made_up
torch.set_num_threads(1)
folder = Path(sys.argv[1])
stage, batches = finetuning(*made_up(folder / 'store'), 100_000)
two = dict(devices=2, strategy='ddp_fork_find_unused_parameters_true')
fit(stage, batches, folder / 'run', save_every=10, accelerator='cpu', **two)
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='training forks on Linux alone')
@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_that_train_save_and_end_with_their_parent(signum, tmp_path):
    process, run = started_alone(TRAIN, tmp_path), tmp_path / 'run'
    wait_until(lambda: (run / 'last.ckpt').exists())
    assert end(process, signum) == (143 if signum == signal.SIGTERM else -9)
    state = read_state(newest_checkpoint(run))
    assert state['global_step'] >= 10
    names = {path.name for path in run.iterdir()}
    assert names <= {'from_000000', 'last.ckpt', 'last.old'}


def test_two_that_render_into_one_folder(tmp_path):
    small = RENDER.replace('200', '6')
    both = [start(small, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(list(tmp_path.glob('images/*'))) == 6 and not (tmp_path / 'parts').exists()


def test_a_reader_that_goes_away_is_no_error():
    lesson_store()
    code = 'import sys; from idc_nb.lab.commands import idc_caption; sys.exit(idc_caption())'
    root = lesson_data()
    process = start(code, root / 'images', root / 'images', '--batch', 1)
    assert process.stdout.readline().startswith('{')
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 141 and 'Traceback' not in err and 'Broken' not in err


def test_short_output_to_nobody_is_no_error():  # it is written when Python flushes at its end
    code = 'import sys; from idc_nb.lab.commands import idc_data; sys.exit(idc_data())'
    process = start(code, lesson_data(), '--describe')
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 141 and err == ''

"""`make demo` on 60 scenes and a few steps leaves results/ alone; only `record` writes there."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
import pytest
from idc_nb.demo import DEMO, main, prepare, report, run_demo, train_recipe
from idc_nb.lab.checkpoints import newest_checkpoint
from idc_nb.lab.runs import record
from idc_nb.training import TrainConfig
from idc_nb.world.mini import FOLDERS

ROOT = Path(__file__).parents[1]
LESSON = replace(
    DEMO,
    name='lesson',
    n_scenes=60,
    gic=TrainConfig(3, 8, 1e-3),
    pretrain=TrainConfig(3, 8, 1e-3),
    finetune=TrainConfig(20, 8, 1e-3, captions=2),
    judge_steps=2,
    pictures=tuple(FOLDERS),
)


def digests(folder):
    files = [p for p in folder.rglob('*') if p.is_file()]
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    before = digests(ROOT / 'results')
    out = run_demo(LESSON, seed=0, folder=folder)
    assert digests(ROOT / 'results') == before, 'the demo wrote into results/'
    return folder, out


def test_a_run_keeps_its_figures(run):
    folder, out = run
    kept = json.loads((folder / 'demo.json').read_text())
    assert kept['models'] == out['models'] and set(out['models']) == {
        'trained',
        'shipped',
        'constant',
    }
    for key in ('seed', 'commit', 'machine', 'date', 'recipe', 'seconds'):
        assert key in kept
    assert kept['models']['constant']['change']['truth'] == 0
    assert all('METEOR' in kept['models'][name]['all'] for name in kept['models'])
    assert set(kept['seconds']) == {
        *('render', 'features', 'gic', 'pretrain', 'finetune', 'score', 'total')
    }
    assert (folder / 'gallery.png').stat().st_size > 10_000
    assert list((folder / 'finetune').glob('from_*/metrics.csv'))
    said = [p.stem for p in (folder / 'said').glob('*.jsonl')]
    assert sorted(said) == ['constant', 'shipped', 'trained']


def test_report(run, capsys):
    report(run[1])
    said = capsys.readouterr().out
    assert 'truth' in said and 'constant' in said and 'total' in said


def test_a_second_call_only_scores(run):
    folder, out = run
    root, store, _ = prepare(LESSON)
    before = newest_checkpoint(folder / 'finetune').stat().st_mtime_ns
    train_recipe(LESSON, root, store, 0, folder)
    assert newest_checkpoint(folder / 'finetune').stat().st_mtime_ns == before


def finished(folder, name='demo', seed=0):  # what `record` looks at
    folder.mkdir(parents=True)
    out = dict(seed=seed, recipe=dict(name=name))
    (folder / 'demo.json').write_text(json.dumps(out))
    (folder / 'gallery.png').write_bytes(b'png')
    return folder


@pytest.mark.parametrize(
    'name, seed, end',
    [('demo', 0, ''), ('demo', 2, '_seed2'), ('demo_half', 0, '_half')],
    ids=['plain', 'seed', 'recipe'],
)
def test_record(tmp_path, name, seed, end):
    folder = finished(tmp_path / 'run', name, seed)
    written = record(folder, tmp_path / 'results')
    assert [p.name for p in written] == [f'demo{end}.json', f'gallery{end}.png']
    assert written[0].read_bytes() == (folder / 'demo.json').read_bytes()
    assert written[1].read_bytes() == b'png'


def test_record_copies_nothing_that_is_not_a_finished_demo(tmp_path, run):
    with pytest.raises(FileNotFoundError, match='expected a finished run'):
        record(tmp_path / 'nothing', tmp_path / 'results')
    half = finished(tmp_path / 'half')
    (half / 'gallery.png').unlink()
    with pytest.raises(FileNotFoundError, match='gallery.png is missing'):
        record(half, tmp_path / 'results')
    with pytest.raises(ValueError, match="recipe 'lesson'"):
        record(run[0], tmp_path / 'results')
    assert not (tmp_path / 'results').exists()


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'settings.ini').write_text('')  # a project of its own
    finished(tmp_path / 'runs' / 'demo_0')
    main(['--record', 'runs/demo_0'])
    assert (tmp_path / 'results' / 'demo.json').exists()
    assert 'demo.json' in capsys.readouterr().out

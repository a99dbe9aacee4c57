"""idc_evaluate: sentences are on the disk before they are scored, whatever the data are."""

import json
import shutil
from pathlib import Path
import pytest
from idc_nb.lab import commands
from idc_nb.lab.evaluate import PAPER_COLUMNS, idc_evaluate
from idc_nb.lab.store import lesson_store
from idc_nb.pairs import lesson_data


@pytest.fixture(scope='module')
def lesson():  # its folder, found before a test goes to another one
    lesson_store()
    return lesson_data().resolve()


@pytest.fixture
def data(lesson, tmp_path, monkeypatch):  # lesson data without features
    monkeypatch.chdir(tmp_path)
    root = tmp_path / 'data'
    root.mkdir()
    for path in lesson.iterdir():
        if path.suffix == '.json' or path.name in ('images', 'sc_images', 'nsc_images'):
            (root / path.name).symlink_to(path.resolve())
    return root


def evaluate(capsys, *argv):  # exit code, stdout, stderr
    code = idc_evaluate([*map(str, argv), '--no-meteor'])
    return code, *capsys.readouterr()


def test_rows_and_columns_of_the_paper(lesson, data, capsys, monkeypatch):
    shutil.copytree(lesson / 'features', data / 'features')
    code, out, _ = evaluate(capsys, 'mini_clevr', '--data', data)
    assert code == 0
    for word in (*(c for c in PAPER_COLUMNS.values() if c != 'M'), 'truth', 'judge_accuracy'):
        assert word in out.split()
    for row in ('all', 'change', 'distractor', 'color', 'move', 'sentences:'):
        assert f'\n{row}' in out
    said = Path('runs/mini_clevr/said/test.jsonl')
    rows = [json.loads(line) for line in said.read_text().splitlines()]
    assert len(rows) == 10 and {'references', 'candidate', 'judged', 'true'} < set(rows[0])


def test_no_sentence_is_lost_when_scoring_fails(lesson, data, capsys, monkeypatch):
    shutil.copytree(lesson / 'features', data / 'features')

    def fails(*_, **__):
        raise RuntimeError('Java died')

    monkeypatch.setattr('idc_nb.metrics.counted', fails)
    code, _, err = evaluate(capsys, 'mini_clevr', '--data', data, '--out', 'said.jsonl')
    assert code == 1 and 'Java died (the sentences are in said.jsonl; idc_score said.jsonl' in err
    monkeypatch.undo()
    monkeypatch.chdir(data.parent)
    assert commands.idc_score(['said.jsonl', '--no-meteor']) == 0


def test_features_are_computed_once(lesson, data, capsys):
    for folder in ('images', 'sc_images', 'nsc_images'):  # of few pictures, so that it is quick
        (data / folder).unlink()
        (data / folder).mkdir()
        for path in sorted((lesson / folder).iterdir()):
            if int(path.stem[-6:]) in json.loads((data / 'splits.json').read_text())['test'][:2]:
                (data / folder / path.name).symlink_to(path.resolve())
    argv = ['mini_clevr', '--data', data, '--json']
    code, out, err = evaluate(capsys, *argv)
    assert code == 0 and 'computing' in err
    code, again, err = evaluate(capsys, *argv)
    assert code == 0 and 'computing' not in err and again == out
    assert json.loads(out)['groups']['all']['n'] == 4


def test_cells_of_another_size_are_refused(data, capsys, tmp_path):
    from made_up import made_up

    _, store, _ = made_up(tmp_path / 'other')
    argv = ['mini_clevr', '--data', data, '--features', store.folder]
    code, _, err = evaluate(capsys, *argv)
    assert code == 2 and 'cells of 16 numbers (made up), the checkpoint reads 460' in err


def test_pairs_without_a_judge(lesson, data, capsys, tmp_path):
    from idc_nb.captioner import Captioner, load_captioner, save_captioner, SHIPPED

    shutil.copytree(lesson / 'features', tmp_path / 'features')
    lines = []
    for i in range(4):
        names = (
            f'data/images/CLEVR_default_{i:06d}.png',
            f'data/sc_images/CLEVR_semantic_{i:06d}.png',
        )
        said = [f'the ball number {i} is gone', 'a ball has gone']
        lines.append(json.dumps(dict(img1=names[0], img2=names[1], captions=said)) + '\n')
    (tmp_path / 'val.jsonl').write_text(''.join(lines))
    c = load_captioner(SHIPPED)
    path = tmp_path / 'run/captioner.safetensors'
    save_captioner(Captioner(c.model, c.vocab, c.backbone, dict(judge=False)), path)
    features = ['--features', lesson / 'features']
    code, out, err = evaluate(capsys, path, '--data', tmp_path, '--split', 'val', *features)
    assert code == 0, err
    assert 'judge_accuracy' not in out and 'truth' not in out and 'distractor' not in out
    assert (tmp_path / 'run/said/val.jsonl').exists() and '\npair' in out
    code, _, err = evaluate(capsys, path, '--data', tmp_path, *features)
    assert code == 2 and 'expected one of test.jsonl' in err


def test_birds(capsys, tmp_path):
    from idc_nb.gic import bird_grids
    from idc_nb.world.bird_words import lesson_birds

    birds = lesson_birds()
    bird_grids(birds)
    argv = ['--data', birds, '--split', 'val', '--out', tmp_path / 'said.jsonl']
    code, out, err = evaluate(capsys, 'mini_birds', *argv)
    assert code == 0, err
    assert '\nbirds' in out and 'judge_accuracy' not in out

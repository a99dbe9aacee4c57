"""What the ablation reads from logs and files; the runs themselves are tried in the lesson."""

import json
from dataclasses import asdict, replace
from pathlib import Path
import pandas as pd
import pytest
from idc_nb.ablation import ABLATION, ABLATION_ROWS, BUDGET, PAPER, STORY, frame
from idc_nb.lab.ablation_runs import EVERY_ROW, ablation, learning, row_differences, run_recipe
from idc_nb.lab.files import json_form

ROOT = Path(__file__).parents[1]


def write_log(folder, text):
    folder.mkdir(parents=True)
    (folder / 'metrics.csv').write_text('step,epoch,loss,words\n' + text)


def test_learning_joins_the_logs_of_a_stopped_run(tmp_path):
    write_log(tmp_path / 'from_000000', '19,0,1.5,4.0\n99,0,1.5,2.0\n119,0,9,9\n')
    write_log(tmp_path / 'from_000100', '119,0,1.5,1.0\n219,0,1.5,\n')
    assert learning(tmp_path) == dict(words=[3.0, 1.0, None])
    assert learning(tmp_path / 'nothing') == {}


def test_rows_change_only_what_they_say():
    whole = asdict(ABLATION) | dict(finetune=None)
    for row, change in EVERY_ROW.items():
        recipe = run_recipe(row)
        other = asdict(recipe) | dict(finetune=None)
        assert {k for k in whole if whole[k] != other[k]} <= set(change), row
        steps = dict(steps=recipe.finetune.steps, warmup=recipe.finetune.warmup)
        assert recipe.finetune == replace(ABLATION.finetune, **steps)


def test_the_recorded_file_is_of_these_rows():
    out = json.loads((ROOT / 'results' / 'ablation.json').read_text())
    assert list(out['rows'])[:6] == list(ABLATION_ROWS) == list(PAPER)
    assert set(out['rows']) <= set(EVERY_ROW)
    assert out['settings'] == json_form(asdict(ABLATION) | dict(budget=BUDGET))
    for row, some in out['rows'].items():
        assert len({run['seed'] for run in some}) == len(some) >= (5 if row in PAPER else 1)
        assert all(run['settings'] == json_form(asdict(run_recipe(row))) for run in some)
    assert set(STORY) <= set(out['differences'])
    runs = frame(out)
    assert isinstance(runs, pd.DataFrame) and {'judging', 'truth', 'CIDEr-D'} <= set(runs.columns)


def test_the_recorded_intervals_follow_from_the_recorded_answers():
    out = json.loads((ROOT / 'results' / 'ablation.json').read_text())
    pairs = len(out['rows']['none'][0]['true'])
    assert row_differences(out, [True, False] * (pairs // 2)) == out['differences']


def test_other_settings_do_not_get_into_the_file(tmp_path):
    (tmp_path / 'ablation.json').write_text(json.dumps(dict(settings={}, rows={})))
    with pytest.raises(ValueError, match='other settings: move it away first'):
        ablation(1, results=tmp_path, runs=tmp_path)

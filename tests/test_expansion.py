"Do the recorded runs of birds hold what 20_expansion and lab/55 tell of them?"

import json
from itertools import product
import numpy as np
import pytest
from results import RESULTS, left
from idc_nb.expansion import pair_numbers, pair_values

CURVE, EXPANSION = (
    json.loads((RESULTS / f'{name}.json').read_text()) for name in ('expansion_curve', 'expansion')
)


def test_both_rows_have_three_seeds_at_each_size():
    assert left('expansion_curve.json', 3) == 0
    wanted = [*product((0, 1, 2), (62, 125, 500))]
    for row, photos in dict(b2w=0, b2w_cub=900).items():
        runs = CURVE['rows'][row]
        assert [(r['seed'], r['settings']['annotated']) for r in runs] == wanted
        assert {r['settings']['photos'] for r in runs} == {photos}
        assert {r['settings']['row'] for r in runs} == {row}


def test_the_runs_at_all_sizes_were_asked_about_the_same_pairs():
    for field in ('halves', 'blind', 'recipe'):
        assert CURVE[field] == EXPANSION[field]


@pytest.mark.parametrize('out', [CURVE, EXPANSION])
def test_the_numbers_of_the_pairs_give_the_score_of_the_run(out):
    for run in (
        run for g in ('rows', 'paired') for runs in out.get(g, {}).values() for run in runs
    ):
        of = pair_numbers(run)
        assert {len(x) for x in of.values()} == {150}
        assert (of['right'] <= of['total']).all()
        values = pair_values(of)
        for name, tolerance in {'truth': 1e-9, 'CIDEr-D': 1e-3}.items():
            assert np.isclose(100 * values[name].mean(), run['scores'][name], atol=100 * tolerance)


def test_the_shipped_model_has_the_columns_of_the_rivals():
    scores = json.loads((RESULTS / 'checkpoint_birds.json').read_text())['scores']
    rivals = json.loads((RESULTS / 'rivals.json').read_text())['birds']
    assert scores.keys() - {'exchanged'} == rivals['ours'][0]['scores'].keys()


def test_photos_in_pairs_teach_which_bird_is_animal1():
    runs = EXPANSION['paired']['cub_pairs']
    assert [(r['seed'], r['settings']['recipe']) for r in runs] == [(i, 'pairs') for i in (0, 1, 2)]
    for run, single in zip(runs, EXPANSION['rows']['b2w_cub']):
        right, total, exchanged = (
            sum(map(int, run[name].split())) for name in ('right', 'total', 'exchanged')
        )
        assert run['settings']['annotated'] == single['settings']['annotated']
        assert run['settings']['photos'] == single['settings']['photos']
        assert run['scores']['truth'] > single['scores']['truth'] + 10
        assert right - exchanged > 0.25 * total

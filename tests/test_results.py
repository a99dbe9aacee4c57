"""Does what is told follow from results/? The quick part; `make results-check` asks the rest."""

import json
import nbformat
import numpy as np
import pytest
import results
from outputs import same
from results import MADE, RESULTS, Made, alike, left, make, prose_faults, setting_faults, slice_of


def test_recorded_settings_are_those_of_the_code():
    faults, _ = setting_faults()
    assert not faults, faults


def test_each_file_says_where_it_comes_from():
    assert not results.file_faults()


def test_prose_has_no_number_that_no_cell_shows():
    assert not prose_faults()


def test_a_wrong_setting_is_named_with_file_and_field(tmp_path, monkeypatch):
    demo = json.loads((RESULTS / 'demo.json').read_text())
    demo['recipe']['gic']['lr'] = 0.5
    (tmp_path / 'demo.json').write_text(json.dumps(demo))
    monkeypatch.setattr(results, 'RESULTS', tmp_path)
    faults, _ = setting_faults()
    assert faults == [f'demo.json, recipe/gic/lr: recorded 0.5, the code has {results.DEMO.gic.lr}']
    (tmp_path / 'new.json').write_text('{"date": 1}')
    (tmp_path / 'demo.json').unlink()
    assert results.file_faults() == [
        'new.json is not in MADE: which command made it?',
        'new.json does not record its machine',
    ]


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(results, 'RESULTS', tmp_path)
    assert [left(file, 3) for file in ('demo.json', 'ablation.json')] == [1, 96]
    assert left('expansion_curve.json', 2) == 12
    rows, broken = dict(none=[1, 2, 3, 4], mlm=[1]), [dict(row='mlm', seed=1)]
    (tmp_path / 'ablation.json').write_text(json.dumps(dict(rows=rows, failed=broken)))
    assert [left('ablation.json', seeds) for seeds in (1, 3)] == [30, 91]


def test_make_runs_what_is_missing_and_goes_on_after_a_failure(tmp_path, monkeypatch, capfd):
    write = f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'b.json').write_text('1')"
    (tmp_path / 'b.py').write_text(write)
    made = {
        'a.json': Made((f'{tmp_path}/nothing.py', f'{tmp_path}/b.py'), 60),
        'b.json': Made((f'{tmp_path}/b.py',), 5),
        'c.json': Made((), note='nobody can'),
    }
    monkeypatch.setattr(results, 'RESULTS', tmp_path)
    monkeypatch.setattr(results, 'MADE', made)
    assert make(3) == 1 and (tmp_path / 'b.json').exists()
    said = capfd.readouterr().out
    assert (
        'a.json (1 h 00 min), b.json (5 min 00 s)' in said
        and "could not be made: ['a.json']" in said
    )
    (tmp_path / 'a.json').write_text('1')
    assert make(3) == 0 and 'all is there for 3 seeds' in capfd.readouterr().out


def notebook(*sources):
    nb = nbformat.v4.new_notebook()
    for source in sources:
        cell = nbformat.v4.new_code_cell(source)
        cell.outputs = [nbformat.v4.new_output('stream', text='x')]
        nb.cells.append(cell)
    return nb


def test_a_slice_holds_what_the_figures_need_and_no_more():
    nb = notebook(
        'import json',  # 0
        'y = 3',  # 1
        'def f():\n    return g() + y',  # 2, uses what is below
        'def g():\n    y = 2\n    return y',  # 3, its y is its own
        "out = json.load(open('results/a.json'))",  # 4
        'z = 5',  # 5
        'print(f(), out)',  # 6
        'out = z\nprint(out)',  # 7, no longer from the file
    )
    run, compared, left_out = slice_of(nb)
    assert (run, compared, left_out) == ([0, 1, 2, 3, 4, 6], [4, 6], [])
    nb.cells[1].source = '#| slow\ny = 3'
    assert slice_of(nb)[1:] == ([4], [6])


def test_pictures_may_differ_in_fonts_and_not_in_bars():
    a = np.full((200, 300), 255, np.float32)
    b, c = a.copy(), a.copy()
    b[:4, :30] = 0  # a letter or two
    c[50:150, 100:160] = 0  # a bar
    assert alike(a, b) and not alike(a, c) and not alike(a, None)


def test_kept_outputs_are_compared_to_a_tolerance():
    assert same('b2e390c', 'b2e390c')  # a hash that reads like a number
    assert same('<Styler>', '<Styler at 0x7f66b72811d0>')
    assert same('loss 0.500 in 3 s', 'loss 0.505 in 9 s') and not same('loss 0.50', 'loss 0.52')
    assert not same('truth 58', 'falsehood 58') and not same('one 1', 'one 1 2')


def test_a_cell_whose_output_has_changed_is_named():
    kept = notebook('print(1)').cells[0]
    kept.outputs[0].text = 'truth 58.8'
    new = notebook('print(1)').cells[0]
    new.outputs[0].text = 'truth 59.1'
    assert results.fault_of(kept, kept) == results.fault_of(None, new) == ''
    assert "'58.8', now '59.1'" in results.fault_of(kept, new)
    new.outputs = [nbformat.v4.new_output('error', ename='KeyError', evalue='gic')]
    assert results.fault_of(None, new) == 'KeyError: gic'


@pytest.mark.parametrize('file', MADE)
def test_each_command_exists(file):
    for command in MADE[file].commands:
        words = command.split()
        if words[0] == '-m' and words[1].startswith('idc_nb'):
            assert (results.ROOT / f'{words[1].replace(".", "/")}.py').is_file()
        else:
            assert all((results.ROOT / w).is_file() for w in words if w.endswith(('.py', '.ipynb')))

"""Copies of the lessons for a course: no answer leaks, solutions pass, students' copies stop at the
exercises. `make assignments-check` runs the copies of all lessons; here run those of two."""

import ast
import json
import re
import subprocess
import sys
import assignments
import pytest
from assignments import EXERCISE, LESSONS, copy_lesson, exercise_names, source_of
from book import NBS, module
from idc_nb.lab.checks import solution
from in_process import run_cells

DOCS = NBS.parent / 'docs'
WEEK = re.compile(r'\| [1-8] \|')
WITH_EXERCISES = [stem for stem in LESSONS if exercise_names(stem)]


def sources(stem, version):
    return [c['source'] for c in copy_lesson(stem, version)['cells']]


def body(name) -> str:  # of a solution, from its first statement, without spaces
    source = solution(name)
    function = ast.parse(source).body[-1]
    first = function.body[1 if ast.get_docstring(function) else 0]
    return re.sub(r'\s', '', ''.join(source.splitlines()[first.lineno - 1 :]))


@pytest.mark.parametrize('stem', WITH_EXERCISES)
def test_no_answer_leaks(stem):
    text = '\n'.join(sources(stem, 'student'))
    assert '<details>' not in text and 'attempt(' not in text
    for name in exercise_names(stem):
        assert f'def my_{name}(' in text and 'raise NotImplementedError' in text
        assert body(name) not in re.sub(r'\s', '', text), f'{stem} gives {name} away'


@pytest.mark.parametrize('stem', WITH_EXERCISES)
def test_solutions_are_explained(stem):
    tasks = [s for s in map(source_of, assignments.lesson_cells(stem)) if EXERCISE.search(s)]
    assert all('<summary>Answer</summary>' in task for task in tasks)
    text = '\n'.join(sources(stem, 'solutions'))
    assert text.count('**Answer.**') == len(tasks)
    for name in exercise_names(stem):
        assert body(name) in re.sub(r'\s', '', text)


@pytest.mark.parametrize('stem', WITH_EXERCISES)
def test_nbgrader_reads_it(stem):
    cells = [c for c in copy_lesson(stem, 'nbgrader')['cells'] if 'nbgrader' in c['metadata']]
    marks = [c['metadata']['nbgrader'] for c in cells]
    ids = [mark['grade_id'] for mark in marks]
    assert len(set(ids)) == len(ids)
    for name in exercise_names(stem):
        check = cells[ids.index(f'check_{name}')]
        assert marks[ids.index(f'check_{name}')]['points'] > 0
        assert check['source'].count('HIDDEN TESTS') == 2
        assert not marks[ids.index(f'exercise_{name}')]['grade']
    for mark, cell in zip(marks, cells):
        if mark['solution']:
            assert cell['source'].count('### BEGIN SOLUTION') == 1
            assert cell['source'].count('### END SOLUTION') == 1


@pytest.mark.parametrize('stem', LESSONS)
def test_links_of_a_copy(stem):
    folder = (assignments.OUT / 'student' / stem).parent
    for source in sources(stem, 'student'):
        for target in re.findall(r'\]\((?!https?:)([^)#\s]+\.\w+)\)', source):
            path = (folder / target).resolve()
            inside = path.is_relative_to(assignments.OUT)
            copied = path.relative_to(assignments.OUT / 'student') if inside else None
            assert path.exists() or str(copied.with_suffix('')) in LESSONS, f'{stem}: {target}'


def test_copies_are_written(tmp_path):
    assignments.write_copies(['02_vocab'], tmp_path)
    found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*.*') if p.is_file()}
    assert found == {
        'student/02_vocab.ipynb',
        'solutions/02_vocab.ipynb',
        'nbgrader/source/02_vocab/02_vocab.ipynb',
        'nbgrader/nbgrader_config.py',
    }
    for name in found - {'nbgrader/nbgrader_config.py'}:
        assert json.loads((tmp_path / name).read_text(encoding='utf-8'))['nbformat'] == 4


def test_copies_find_their_names(tmp_path):
    assignments.write_copies(LESSONS, tmp_path)
    places = [tmp_path / place for place in ('student', 'solutions', 'nbgrader/source')]
    command = [sys.executable, '-m', 'ruff', 'check', '--isolated', '--select', 'F821', *places]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('stem', WITH_EXERCISES)
def test_a_hidden_cell_is_an_import_that_works(stem):
    start = f'from idc_nb.{module(stem)} import '
    for source in sources(stem, 'student'):
        if source.startswith(start) and source.count('\n') == 0:
            exec(source, {})


def test_a_cell_that_reveals_an_answer_is_an_import_too():
    found = sources('05_model', 'student'), sources('05_model', 'solutions')
    assert ['from idc_nb.lab.checks import attend' in some for some in found] == [True, False]
    assert [any('softmax(-1)' in s for s in some) for some in found] == [False, True]


def test_nothing_of_the_library_is_missing():
    "A cell that shows a solution is exchanged for an import of all that it defines."
    from idc_nb import finetune

    hidden = assignments.solved_here('12_finetune')
    assert 'causal_mask' in hidden and all(hasattr(finetune, name) for name in hidden)


@pytest.mark.parametrize('stem', ['01_pairs', '02_vocab'])
def test_copies_run(stem):
    def run(notebook):
        cells = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
        return run_cells([cell['source'] for cell in cells], NBS)

    assert assignments.faults(stem, run) == []


def test_the_guide_counts_minutes_right():
    rows = [
        r for r in (DOCS / 'guide.md').read_text(encoding='utf-8').splitlines() if WEEK.match(r)
    ]
    assert len(rows) == 8
    for row in rows:
        stems = re.findall(r'\(nbs/(.*?)\.ipynb', row)
        texts = [source_of(c) for stem in stems for c in assignments.lesson_cells(stem)]
        tasks = [EXERCISE.search(text) for text in texts]
        assert f' {sum(int(task[3]) for task in tasks if task)} |' in row, row
        asked = {name for stem in stems for name in exercise_names(stem)}
        assert set(re.findall(r'`(\w+)`', row)) <= asked

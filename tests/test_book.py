"""The book can be read in its order, and every link leads somewhere."""

import ast
import json
import re
import pytest
from book import BOOK, NBS, PART_I, TOOLS, cells, imports, links, module, place, without_bars

HOME = {module(stem): stem for stem in BOOK if module(stem)}  # a study may export nothing
LESSON = re.compile(r'`((?:lab/|world/)?\d\d_\w+)`')


def code(stem):
    return [source for kind, source in cells(stem) if kind == 'code']


def prose(stem):
    return [source for kind, source in cells(stem) if kind == 'markdown']


def test_one_module_a_lesson():
    assert len(HOME) == len([stem for stem in BOOK if module(stem)])
    for stem in PART_I:
        assert module(stem) == stem[3:], f'{stem} exports {module(stem)}'


def defined(source) -> set:  # public names at the top of a cell
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        for target in getattr(node, 'targets', []):
            found |= {x.id for x in ast.walk(target) if isinstance(x, ast.Name)}
    return {name for name in found if not name.startswith('_')}


def test_a_name_means_one_thing():
    places = {}
    for stem in HOME.values():
        for source in code(stem):
            for name in defined(source) if source.startswith('#| export') else ():
                places.setdefault(name, set()).add(stem)
    del places['main']  # a command line of its own in each module that has one
    assert {name: stems for name, stems in places.items() if len(stems) > 1} == {}


@pytest.mark.parametrize('stem', BOOK)
def test_imports_stand_above(stem):
    used = {m for source in code(stem) for m in imports(source)} & HOME.keys()
    late = {
        HOME[m]
        for m in used
        if HOME[m] != stem and place(HOME[m]) > place(stem) and HOME[m] not in TOOLS
    }
    assert not late, f'{stem} imports what comes later: {sorted(late)}'


@pytest.mark.parametrize('stem', TOOLS)
def test_tools_stand_apart(stem):
    used = {m for source in code(stem) for m in imports(source)} & HOME.keys()
    lab = {HOME[m] for m in used if HOME[m].startswith('lab/')} - TOOLS.keys()
    assert not lab, f'{stem} is a tool of the lessons and imports {sorted(lab)}'


@pytest.mark.parametrize('stem', BOOK)
def test_links(stem):
    folder = (NBS / stem).parent
    for source in prose(stem):
        for target in re.findall(r'\]\(([^)#\s]+)', source):
            assert target.startswith('http') or (folder / target).exists(), f'{stem}: {target}'
        assert not LESSON.search(source), f'{stem}: {LESSON.search(source).group(1)} is no link'
    assert prose(stem)[-1] == links(stem), f'{stem}: run `python tests/book.py`'


@pytest.mark.parametrize('stem', BOOK)
def test_size(stem):
    assert (NBS / f'{stem}.ipynb').stat().st_size < 300 * 1024


EXERCISE = re.compile(r'\*\*Exercise (\d+) \((predict|write|think), (\d+) minutes\)\.\*\* ')


@pytest.mark.parametrize('stem', PART_I)
def test_exercises(stem):
    found = cells(stem)
    marked = [(i, EXERCISE.match(s)) for i, (_, s) in enumerate(found) if EXERCISE.match(s)]
    assert [int(m.group(1)) for _, m in marked] == list(range(1, len(marked) + 1))
    kinds = [m.group(2) for _, m in marked]
    if stem != '00_task':
        assert kinds.count('predict') == 1 and kinds.count('write') == 2 and 'think' in kinds
    for i, m in marked:
        assert '<details><summary>Answer</summary>' in found[i][1]
        if m.group(2) == 'write':
            stub, check = found[i + 1][1], found[i + 2][1]
            name = re.match(r'#\| exercise (\w+)\n', stub).group(1)
            assert f'def my_{name}(' in stub and stub.endswith('# your lines here')
            assert check.startswith(f'#| check {name}\n')
            assert check.endswith(f'attempt(check_{name}, my_{name})')
    loose = [s for kind, s in found if kind == 'markdown' and '**Exercise.**' in s]
    assert not loose, f'{stem} has exercises without a number'


@pytest.mark.parametrize('stem', PART_I)
def test_questions(stem):
    last = prose(stem)[-2]
    assert last.startswith('## Questions\n') and last.count('<details>') == 3


def test_bars_leave_nothing():
    assert without_bars('\rscenes: 3%\rscenes: 9%') == without_bars('\r      \r') == ''
    assert without_bars('\rscenes: 90%\r      \rmade 10\nentries\n') == 'made 10\nentries\n'


@pytest.mark.parametrize('stem', BOOK)
def test_kept_outputs_hold_no_warning_and_no_path_of_a_machine(stem):
    path = NBS / f'{stem}.ipynb'
    for cell in json.loads(path.read_text())['cells']:
        for output in cell.get('outputs', []):
            assert output.get('name') != 'stderr', f'{path.name}: {"".join(output["text"])[:200]}'
            text = output.get('text') or output.get('data', {}).get('text/plain', [])
            assert 'ipykernel_' not in ''.join(text), f'{path.name}: {"".join(text)[:200]}'

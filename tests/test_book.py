"""The book can be read in its order, and every link leads somewhere."""

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


def test_bars_leave_nothing():
    assert without_bars('\rscenes: 3%\rscenes: 9%') == without_bars('\r      \r') == ''
    assert without_bars('\rscenes: 90%\r      \rmade 10\nentries\n') == 'made 10\nentries\n'

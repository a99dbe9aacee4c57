"""The site reads what `help` shows, and hands the notebooks on without the notes to nbdev."""

import importlib.util
import json
from pathlib import Path
import pytest
from book import BOOK, NBS
import idc_nb

DOCS = Path(__file__).parents[1] / 'docs'


def load(name):
    spec = importlib.util.spec_from_file_location(f'docs_{name}', DOCS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build, conf = load('build'), load('conf')


def test_shapes_reach_the_api():
    text = conf.mark_up(idc_nb.mvcl.choose_cells.__doc__.splitlines())
    assert ':param batch: B' in text
    assert ':returns: (B,2,N) bool; [:,0] is the first image' in text
    assert ':ivar dim: d, length of every vector' in conf.mark_up(
        idc_nb.inputs.ModelConfig.__doc__.splitlines()
    )


def test_text_is_no_markup():
    assert conf.mark_up(['**parts of a|b_ as `a*b`']) == [r'\*\*parts of a\|b\_ as \ `a*b`\ ']
    assert conf.mark_up(['>>> f(*a)']) == ['>>> f(*a)']


@pytest.mark.parametrize('stem', BOOK)
def test_no_notes_to_nbdev(stem):
    cells = json.loads((NBS / f'{stem}.ipynb').read_text(encoding='utf-8'))['cells']
    kept = [c for c in map(build.plain_cell, cells) if c]
    assert all('#|' not in ''.join(c['source']) for c in kept if c['cell_type'] == 'code')


def test_every_module_has_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(build, 'STAGE', tmp_path)
    pages = build.write_api()
    files = (DOCS.parent / 'idc_nb').rglob('*.py')
    modules = {p.relative_to(DOCS.parent / 'idc_nb').with_suffix('').as_posix() for p in files}
    public = {m.replace('/', '.') for m in modules if not m.rpartition('/')[2].startswith('_')}
    assert {page.removeprefix('api/') for page in pages} == public

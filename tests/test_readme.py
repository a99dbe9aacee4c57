"""index.ipynb runs, and what it and README.md say was measured comes from results/.

The numbers stand in the outputs of the cells with the tag remove-input. All cells are run again
here, and these must say the same; nothing else in index.ipynb may hold a measured number.
"""

import re
import nbformat
import pytest
from in_process import run_cells
from readme import ROOT, convert

INDEX = ROOT / 'index.ipynb'
RERUN = 'run index.ipynb again, then `make readme`'
#: what looks like a measured number and is none
OTHERS = 'arXiv 2202.04298', 'Python 3.10'


def read_index():
    return nbformat.read(INDEX, 4)


def is_number_cell(cell) -> bool:
    return 'remove-input' in cell.metadata.get('tags', [])


def said(outputs) -> str:  # text and tables of a cell
    texts = []
    for output in outputs:
        data = output.get('data', {})
        texts.append(''.join(output.get('text') or data.get('text/markdown', '')))
    return ''.join(texts)


def words(text) -> list:  # nbconvert writes blank lines and fences in its own way in each version
    return text.replace('```python', '```').split()


def test_prose_holds_no_measured_number():
    for cell in read_index().cells:
        if cell.cell_type == 'markdown':
            text = cell.source
            for other in OTHERS:
                text = text.replace(other, '')
            found = re.search(r'.*(\d\.\d|\d ?%|\d per cent|\d out of|\d of \d).*', text)
            assert not found, f'read this number from results/ in a cell: {found.group()}'


def test_cells_hold_no_typed_number():
    for cell in filter(is_number_cell, read_index().cells):
        found = re.search(r'.*\d\.\d.*', cell.source)
        assert not found, f'read this number from results/: {found.group()}'


def test_all_cells_run_and_numbers_are_those_of_results():
    kept = [cell for cell in read_index().cells if cell.cell_type == 'code']
    assert len(list(filter(is_number_cell, kept))) >= 6
    outputs = run_cells([cell.source for cell in kept], ROOT)
    for cell, new in zip(kept, outputs, strict=True):
        errors = [output for output in new if output['output_type'] == 'error']
        assert not errors, f'{cell.source}: {errors[0]["ename"]}: {errors[0]["evalue"]}'
        if is_number_cell(cell):
            assert words(said(cell.outputs)) == words(said(new)), RERUN


def test_readme_is_made_from_index():
    made = convert(INDEX)
    readme = made.pop('README.md').decode()
    assert words(readme) == words((ROOT / 'README.md').read_text(encoding='utf-8')), RERUN
    for name, content in made.items():
        assert (ROOT / name).read_bytes() == content, RERUN


def test_readme_links_lead_somewhere():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)#\s]+)', readme):
        assert target.startswith('http') or (ROOT / target).exists(), target


def test_readme_is_plain_markdown():
    assert not re.search(r'<(style|div|table)', (ROOT / 'README.md').read_text(encoding='utf-8'))

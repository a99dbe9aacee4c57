"""The order of the book. `python tests/book.py` writes what all notebooks share.

That is the links at the end of every lesson, and the metadata with which JupyterLab opens a
notebook without marking it as changed. (The Python version must be the reader's for that; a
notebook that leaves out the version, or all of language_info, is marked in any case.) Bars of
progress are taken out of the kept outputs.
"""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NBS = ROOT / 'nbs'

#: Tools: lab notebooks that lessons use. Each stands behind the lesson that it needs; '' for none.
TOOLS = {
    'lab/00_files': '',
    'lab/01_readers': '01_pairs',
    'lab/02_weights': '',
    'lab/03_store': '03_grid',
    'lab/04_dropout': '',
    'lab/05_stack': '04_inputs',
    'lab/06_checkpoints': '',
    'lab/07_loop': '',
    'lab/08_watch': '11_pretrain',
    'lab/09_caption_words': 'world/02_language',
    'lab/10_sentence_parts': 'world/02_language',
    'lab/11_negatives_files': '01_pairs',
    'lab/12_left_out': '08_mvcl',
    'lab/13_validate': '',
    'lab/14_beam': '02_vocab',
    'lab/15_java': '',
    'lab/16_sentences': '',
    'lab/17_presets': '12_finetune',
    'lab/18_runs': '13_decode',
    'lab/19_bird_recipe': '17_captioner',
    'lab/27_scheme': '',
    'lab/31_photo_negatives': '09_negatives',
    'lab/21_official': '16_fgvc',
    'lab/28_sentence_files': 'world/02_language',
    'lab/29_pixels': 'world/04_birds',
    'lab/30_image_lists': '',
    'lab/32_recipe': '17_captioner',
    'lab/33_other_pairs': '09_negatives',
    'lab/34_other_features': '03_grid',
    'lab/47_familiar': '03_grid',
    'lab/48_calibration': '13_decode',
    'lab/36_checks': '23_gpu',
    'lab/50_help': '',
    'lab/42_spoken': '13_decode',
    'lab/46_on_device': '17_captioner',
    'lab/43_spotlight': '03_grid',
    'lab/51_perception': '13_decode',
    'lab/38_rival_parts': '06_training',
    'lab/40_clevr_rivals': '06_training',
    'lab/41_bird_rivals': '06_training',
}


def stems(folder='') -> list:  # names of the notebooks of a part, in order
    return [
        p.relative_to(NBS).with_suffix('').as_posix()
        for p in sorted((NBS / folder).glob('[0-9]*.ipynb'))
    ]


PART_I, LAB, WORLD = stems(), stems('lab'), stems('world')
#: All notebooks as one reads them: what a notebook imports stands above it, or is a tool.
BOOK = [*WORLD, *PART_I, *LAB]


def cells(stem) -> list:  # of (kind, source)
    notebook = json.loads((NBS / f'{stem}.ipynb').read_text(encoding='utf-8'))
    return [(c['cell_type'], ''.join(c['source'])) for c in notebook['cells']]


def module(stem) -> 'str|None':  # that a notebook exports
    for kind, source in cells(stem):
        if m := re.match(r'#\| default_exp (\S+)', source):
            return m.group(1)


def imports(source) -> set:  # modules below idc_nb that a cell imports, wherever it does
    found = set()
    for node in ast.walk(ast.parse(re.sub(r'^\s*[%!].*', '', source, flags=re.M))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f'{node.module}.{a.name}' for a in node.names)}
    return {name.removeprefix('idc_nb.') for name in found if name.startswith('idc_nb.')}


def place(stem) -> int:  # in the book; a tool's is that of the lesson it needs
    return BOOK.index(stem) if stem not in TOOLS else BOOK.index(TOOLS[stem] or WORLD[0])


def title(stem) -> str:
    return cells(stem)[0][1].splitlines()[0].removeprefix('# ')


def links(stem) -> str:  # the last cell of a lesson
    part = next(p for p in (PART_I, LAB, WORLD) if stem in p)
    up = '../' * stem.count('/')
    i = part.index(stem)

    def link(other):
        return f'[{title(other)}]({up}{other}.ipynb)'

    before = [f'← {link(part[i - 1])}'] if i else []
    after = [f'{link(part[i + 1])} →'] if i + 1 < len(part) else []
    return ' · '.join([*before, f'[index](../{up}index.ipynb)', *after])


def is_links(cell) -> bool:
    source = ''.join(cell['source'])
    return cell['cell_type'] == 'markdown' and re.match(r'(← )?\[[^]]*\]\(.*index\.ipynb', source)


METADATA = dict(
    kernelspec=dict(display_name='Python 3 (ipykernel)', language='python', name='python3'),
    language_info=dict(
        codemirror_mode=dict(name='ipython', version=3),
        file_extension='.py',
        mimetype='text/x-python',
        name='python',
        nbconvert_exporter='python',
        pygments_lexer='ipython3',
        version='3.11.7',
    ),
)


WIDGET = 'application/vnd.jupyter.widget-view+json'


def without_bars(text) -> str:  # a bar goes back to the start of its line and writes it again
    return re.sub(r'\r[^\r\n]*(?=\r|\Z)', '', text).replace('\r', '')


def drop_bars(cell):  # from the kept output; a picture or a number in it stays
    kept = []
    for output in cell.get('outputs', []):
        if output['output_type'] == 'stream':
            output['text'] = without_bars(''.join(output['text'])).splitlines(keepends=True)
        if output.get('text') != []:
            kept.append(output)
    if cell['cell_type'] == 'code':
        cell['outputs'] = kept


def drop_widgets(cell):  # a widget needs Python; what stays of it is its picture
    for output in cell.get('outputs', []):
        if WIDGET in output.get('data', {}):
            output['data'] = {k: v for k, v in output['data'].items() if k == 'image/png'}


def finish(path, last=None):  # `last`: source of the last cell
    notebook = json.loads(path.read_text(encoding='utf-8'))
    notebook['metadata'] = METADATA
    for cell in notebook['cells']:
        drop_bars(cell)
        drop_widgets(cell)
    if last:
        kept = [c for c in notebook['cells'] if not is_links(c)]
        cell = dict(cell_type='markdown', id='links', metadata={}, source=[last])
        notebook['cells'] = [*kept, cell]
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
    finish(ROOT / 'index.ipynb')
    for stem in BOOK:
        finish(NBS / f'{stem}.ipynb', links(stem))

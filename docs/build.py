"""The site: all notebooks with their kept outputs, the API, the guide for teachers.

`make docs` calls it. It gathers the pages in build/docs and lets Sphinx write _docs/. No notebook
is executed and nothing is fetched: index.html can be opened from the file system.
"""

import json
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'tests'))
from book import BOOK, LAB, PART_I, WORLD, module

STAGE, SITE = ROOT / 'build/docs', ROOT / '_docs'
PAGES = 'CONTRIBUTING.md', 'CHANGELOG.md', 'results/gallery.png', 'results/checkpoint_birds.json'
PARTS = {'Part I: the paper': PART_I, 'Part II: the lab': LAB, 'Part III: the world': WORLD}


def plain_cell(cell):  # without notes to nbdev; what a reader may skip is folded
    source = ''.join(cell['source'])
    if cell['cell_type'] != 'code':
        return cell
    notes = re.findall(r'^#\|\s*(\w+)', source, flags=re.M)
    if 'default_exp' in notes:
        return None
    cell['source'] = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip()
    if 'hide' in notes:
        cell['metadata']['tags'] = ['hide-cell']
    return cell


def toctree(caption, names) -> str:
    return '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *names, '```'])


def write_notebook(name, last=()):  # `last`: Markdown cells behind it
    notebook = json.loads((ROOT / name).read_text(encoding='utf-8'))
    notebook['cells'] = [c for c in map(plain_cell, notebook['cells']) if c]
    for k, text in enumerate(last):
        cell = dict(cell_type='markdown', id=f'last{k}', metadata={}, source=text)
        notebook['cells'].append(cell)
    target = STAGE / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook), encoding='utf-8')


def write_api() -> list:  # names of the pages
    names = []
    for stem in BOOK:
        name = module(stem)
        if not (name and (ROOT / 'idc_nb' / f'{name.replace(".", "/")}.py').exists()):
            continue  # a study exports nothing
        page = STAGE / f'api/{name}.md'
        page.parent.mkdir(exist_ok=True)
        link = f'The lesson that explains it: [{stem}](../nbs/{stem}.ipynb).'
        rst = f'```{{eval-rst}}\n.. automodule:: idc_nb.{name}\n   :members:\n```'
        page.write_text(f'# {name}\n\n{link}\n\n{rst}\n', encoding='utf-8')
        names.append(f'api/{name}')
    return names


def gather():
    shutil.rmtree(STAGE, ignore_errors=True)
    (STAGE / '_static').mkdir(parents=True)
    mathjax = files('mathjax') / 'static/mathjax/es5/tex-svg.js'  # of django-static-mathjax
    shutil.copy(str(mathjax), STAGE / '_static')
    shutil.copy(ROOT / 'docs/site.css', STAGE / '_static')
    for name in PAGES:
        (STAGE / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, STAGE / name)
    shutil.copy(ROOT / 'docs/conf.py', STAGE)
    shutil.copy(ROOT / 'docs/guide.md', STAGE)
    for stem in BOOK:
        write_notebook(f'nbs/{stem}.ipynb')
    trees = [toctree(part, [f'nbs/{stem}' for stem in stems]) for part, stems in PARTS.items()]
    trees.append(toctree('For teachers', ['guide']))
    trees.append(toctree('API', write_api()))
    trees.append(toctree('The project', ['CONTRIBUTING', 'CHANGELOG']))
    write_notebook('index.ipynb', trees)


if __name__ == '__main__':
    from sphinx.cmd.build import main

    gather()
    made = ROOT / 'build/site'  # myst-nb writes a folder beside it
    options = ['-q', '-W', '--keep-going', '-d', str(ROOT / 'build/doctrees')]
    failed = main(['-b', 'html', *options, str(STAGE), str(made)])
    if not failed:
        shutil.rmtree(SITE, ignore_errors=True)
        made.rename(SITE)
    sys.exit(failed)

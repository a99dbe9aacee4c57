"""What stands in results/, which command makes it, and does what is told follow from it?

`python tests/results.py` runs what is missing, in an order in which each command finds what it
needs. It may be stopped at any moment; started again, it goes on. `python tests/results.py --check`
trains nothing. It executes the cells that read results/ and compares their kept numbers and
pictures, looks for the source of every number of the prose, and compares the settings that were
recorded with those of the code.
"""

import argparse
import ast
import hashlib
import io
import re
import subprocess
import symtable
import sys
import time
from base64 import b64decode
from dataclasses import asdict, dataclass
from pathlib import Path
import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from book import BOOK, NBS, ROOT
from outputs import LEFT_OUT, has, said
from idc_nb.ablation import ABLATION, BUDGET, PAPER
from idc_nb.captioner import MODELS, SHIPPED, get_captioner
from idc_nb.expansion import DATA, FURTHER_DATA
from idc_nb.lab.ablation_runs import EVERY_ROW, run_recipe
from idc_nb.lab.bird_recipe import RECIPES
from idc_nb.lab.expansion_runs import expansion_recipe
from idc_nb.lab.files import json_form, read_json
from idc_nb.lab.loop import say_time
from idc_nb.lab.recipe import CHECKPOINT, DEMO, PLAIN
from idc_nb.lab.rival_runs import BIRD_ROWS, BIRD_TRAINING, JITTERS, OWN, OWN_BIRDS
from idc_nb.lab.rival_runs import PHOTO_TRAINING, RIVAL_TRAINING
from idc_nb.lab.tables import PUBLISHED_EXPANSION
from idc_nb.lab.why import tree_diff
from idc_nb.rivals import PUBLISHED, PUBLISHED_BIRDS, RIVALS

RESULTS = ROOT / 'results'


@dataclass
class Made:
    "How a file of results/ is made."

    commands: tuple  # after `python`, with SEEDS for the number of seeds; (): see the note
    minutes: float = 0  # of one run on two cores
    rows: int = 0  # in a file of many runs; 0: the file is of one run
    of_row: int = 1  # runs of a row for each seed
    note: str = ''  # why no command makes it again


def notebook(path):  # a command that runs a notebook, whose slow cell measures what is missing
    return f'-m nbconvert --to notebook --execute --output-dir runs nbs/{path}.ipynb'


def demo(seed):
    return f'-m idc_nb.demo --seed {seed}', f'-m idc_nb.demo --record runs/demo_{seed}'


ABLATION_RUNS = '-m idc_nb.lab.ablation_runs --seeds SEEDS'
RIVAL_RUNS = '-m idc_nb.lab.rival_runs --seeds SEEDS'
CURVE = '-m idc_nb.lab.expansion_runs --seeds SEEDS --rows b2w b2w_cub --annotated 62 125 500'
#: file -> how it is made, in the order in which one would make all
MADE = {
    'memory.json': Made(('tests/bench/memory.py',), 3),
    'recipe.json': Made(('tests/bench/recipe.py',), 1),
    'kills.json': Made(('tests/bench/kills.py',), 15),
    'bench.json': Made(('tests/bench/bench.py',), 15),
    'grid_probe.json': Made((notebook('lab/25_cells'),), 5),
    'plateau.json': Made((notebook('lab/22_plateau'),), 25),
    'checkpoint.json': Made(('-m idc_nb.demo --checkpoint',), 700),
    'checkpoint_birds.json': Made(('-m idc_nb.lab.expansion_runs --checkpoint',), 150),
    'demo.json': Made(demo(0), 15),
    'gallery.png': Made(demo(0), 15),
    'demo_seed1.json': Made(demo(1), 15),
    'demo_seed2.json': Made(demo(2), 15),
    'mvcl.json': Made((notebook('lab/26_studies'),), 10),
    'fda.json': Made((notebook('lab/26_studies'),), 30),
    'real_triplets.json': Made(('tests/bench/real_triplets.py',), 1),
    'depth.json': Made(('tests/bench/depth.py',), 1),
    'alignment.json': Made(('-m idc_nb.alignment',), 1),
    'expansion.json': Made(('-m idc_nb.lab.expansion_runs --seeds SEEDS',), 6, rows=4),
    'expansion_curve.json': Made((CURVE,), 6, rows=2, of_row=3),
    'ablation.json': Made((ABLATION_RUNS,), 13, rows=len(EVERY_ROW)),
    'ablation_models.safetensors': Made(('-m idc_nb.lab.why --pack',), 1),
    'ablation_why.json': Made(('-m idc_nb.lab.why',), 20),
    'rivals.json': Made(
        (RIVAL_RUNS, f'{RIVAL_RUNS} --birds'), 8, rows=len(OWN) + len(RIVALS), of_row=len(JITTERS)
    ),
    'cases.json': Made(('-m idc_nb.lab.cases',), 1),
    'mutants.json': Made(('tests/mutants.py',), 10),
    'demo_unmirrored.json': Made((), note='the recipe of 0.2.0, without mirrored batches'),
    'negatives.json': Made((), note='two lines that tests/bench/negatives.py prints'),
    'perception.json': Made((), note='a search on a GPU, which 15_gic shows'),
    'gpu_tests.json': Made((), note='what `pytest -s tests/gpu` printed on a GPU'),
    'on_device.json': Made((), note='speeds of a prototype on a GPU, which lab/46_on_device shows'),
    'paraphrases.json': Made((), note='reads a file that belongs to others; the call is in it'),
}

# ---- what is missing


def left(file: str, seeds: int) -> int:  # runs that are missing
    made, path = MADE[file], RESULTS / file
    if not made.rows:
        return 0 if path.exists() else 1
    content = read_json(path) if path.exists() else {}
    rows = content.get('rows') or content.get('systems') or {}
    broken = [run['row'] for run in content.get('failed', [])]  # a run that broke down was made
    done = [len(runs) + broken.count(row) for row, runs in rows.items()]
    wanted = made.of_row * seeds  # of each row
    missing = made.rows * wanted - sum(min(wanted, n) for n in done)
    if file == 'rivals.json':
        birds = content.get('birds', {})
        missing += sum(max(0, seeds - len(birds.get(row, []))) for row in (*OWN_BIRDS, *BIRD_ROWS))
    return missing


def make(seeds: int) -> int:  # exit code
    "Run what is missing; say before each command what is left and how long it will take."
    todo = [file for file in MADE if MADE[file].commands and left(file, seeds)]
    older = {f: why for (f, _), why in KNOWN.items() if f in todo and (RESULTS / f).exists()}
    for file, why in older.items():
        print(f'{file} takes no new runs ({why}); move it away to begin anew')
    todo, failed = [file for file in todo if file not in older], []
    while todo:
        minutes = {file: MADE[file].minutes * left(file, seeds) for file in todo}
        print('left:', ', '.join(f'{f} ({say_time(60 * m)})' for f, m in minutes.items()))
        print(f'together about {say_time(60 * sum(minutes.values()))}', flush=True)
        for command in MADE[todo[0]].commands:
            words = command.replace('SEEDS', str(seeds)).split()
            print('>', 'python', *words, flush=True)
            if subprocess.run([sys.executable, *words], cwd=ROOT).returncode:
                failed.append(todo[0])
                break
        todo = [file for file in todo[1:] if left(file, seeds)]
    print(f'these could not be made: {failed}' if failed else f'all is there for {seeds} seeds')
    return 1 if failed else 0


# ---- the settings

#: (file, start of the field) -> why what it recorded differs from the code
KNOWN = {('demo_unmirrored.json', ''): MADE['demo_unmirrored.json'].note}


def recorded_and_code(file: str, content) -> list:  # of (field, recorded, what the code has)
    "The settings of a file that the code decides."
    if file.startswith('demo'):
        return [('recipe', content['recipe'], asdict(DEMO))]
    if file == 'checkpoint.json':
        return [('recipe', content['recipe'], asdict(CHECKPOINT))]
    if file == 'ablation.json':
        found = [('settings', content['settings'], asdict(ABLATION) | dict(budget=BUDGET))]
        for row, runs in content['rows'].items():
            recipe = asdict(run_recipe(row))
            found += [(f'{row}, seed {run["seed"]}', run['settings'], recipe) for run in runs]
        return found
    if file == 'ablation_why.json':
        steps = {row: run_recipe(row).finetune.steps for row in content['rows']}
        settings = content['settings']
        return [
            (
                'settings',
                {k: settings[k] for k in ('data', 'finetune_steps')},
                dict(data=ABLATION.name, finetune_steps=steps),
            )
        ]
    if file.startswith('expansion'):
        groups = [content['rows'], content.get('species', {})]
        runs = [run for group in groups for runs in group.values() for run in runs]
        data = [run['settings']['data'] for run in runs]
        return [
            ('recipe', content['recipe'], expansion_recipe()),
            ('data', data, [DATA] * len(data)),
        ]
    if file == 'checkpoint_birds.json':
        settings, recipe = content['settings'], [asdict(p) for p in RECIPES['checkpoint']]
        wanted = dict(data=DATA, further=FURTHER_DATA, training=recipe)
        return [(f'settings/{k}', settings[k], x) for k, x in wanted.items()]
    if file == 'rivals.json':
        about = dict(training=vars(RIVAL_TRAINING), recipe=PLAIN.name)
        wanted = dict(
            systems=about, birds=dict(pairs=vars(BIRD_TRAINING), photos=vars(PHOTO_TRAINING))
        )
        return [(f'settings/{k}', content['settings'][k], x) for k, x in wanted.items()]
    if file in ('real_triplets.json', 'depth.json'):
        digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
        return [('about/sha256', content['about']['sha256'], digest)]
    if file in ('alignment.json', 'cases.json'):
        settings = content['settings']
        trained = get_captioner(settings['model']).about.get('date')
        return [('settings/trained', settings['trained'], trained)]
    if file == 'on_device.json':
        settings, c = content['settings'], DEMO.finetune
        return [(f'settings/{k}', settings[k], getattr(c, k)) for k in ('batch', 'captions')]
    return []


def setting_faults() -> tuple:  # new faults; entries of `KNOWN` that nothing needs
    "Recorded settings that are not those of the code."
    faults, used = [], set()
    for path in sorted(RESULTS.glob('*.json')):
        for name, recorded, code in recorded_and_code(path.name, read_json(path)):
            for field, old, new in tree_diff(recorded, json_form(code), name):
                known = [k for k in KNOWN if k[0] == path.name and field.startswith(k[1])]
                used.update(known)
                if not known:
                    faults.append(f'{path.name}, {field}: recorded {old}, the code has {new}')
    return faults, set(KNOWN) - used


# ---- files


def has_key(tree, word: str) -> bool:  # somewhere in a tree of dicts and lists
    if isinstance(tree, dict):
        return word in tree or any(has_key(v, word) for v in tree.values())
    return isinstance(tree, list) and any(has_key(v, word) for v in tree)


def file_faults() -> list:  # of str
    "Files that nobody knows how to make, or that do not say where and when they were made."
    faults = []
    for path in sorted(p for p in RESULTS.iterdir() if p.is_file()):
        if path.name not in MADE:
            faults.append(f'{path.name} is not in MADE: which command made it?')
        if path.suffix == '.json':
            content = read_json(path)
            gone = [word for word in ('machine', 'date') if not has_key(content, word)]
            faults += [f'{path.name} does not record its {word}' for word in gone]
    return faults


# ---- prose

PAPERS = 'reported by the papers of other systems'
#: notebook -> decimal numbers of its prose that no cell shows, and what they are
OTHER_NUMBERS = {
    '00_task': {9.1: 'mean difference of two pictures, which the cell above draws'},
    '03_grid': {
        2.5: 'pixels times pixels, in billions',
        1.3: 'a difference within the table above',
    },
    **dict.fromkeys(
        ('19_ablation', 'lab/54_ablation_runs'),
        {6.5: 'deviation of four pilot runs; the design keeps what it knew then'},
    ),
    'lab/53_tables': dict.fromkeys(
        (121.6, 125.5, 126.0, 126.8, 127.0, 128.1, 130.7, 131.3, 131.7, 135.6, 137.2, 150.7, 159.1),
        PAPERS,
    ),
    '23_gpu': {
        2.6: 'an example worked in the text; milliseconds of a link, computed in lab/23',
        0.08: 'an answer worked in the text',
    },
    'lab/25_cells': {0.3: 'read from the picture above', 4.5: 'read from the picture above'},
    'lab/46_on_device': {2.6: '958 steps a second against 370'},
    'lab/47_familiar': {99.9: 'a choice'},
    'lab/48_calibration': {0.9: 'an example'},
    'lab/52_why': {0.5: 'guessing'},
}
DECIMAL = re.compile(r'(?<![\w.])-?\d+\.\d+(?![\w.]*\d)')
NO_PROSE = re.compile(r'\$[^$]*\$|`[^`]*`|\(http[^)]*\)|[Ss]ection \d\.\d', re.S)


def published() -> set:  # of float
    tables = PAPER, PUBLISHED, PUBLISHED_BIRDS, PUBLISHED_EXPANSION
    return {x for table in tables for row in table.values() for x in row if x is not None}


def code_cells(nb) -> list:
    return [c for c in nb.cells if c.cell_type == 'code']


def numbers_in(text: str) -> set:  # of float
    return {float(x) for x in re.findall(r'\d*\.\d+|\d+', text)}


def shown_numbers(nb) -> set:  # of float: in outputs, in code, in small files that the code names
    code = '\n'.join(c.source for c in code_cells(nb))
    paths = {RESULTS / f'{name}.json' for name in re.findall(r"'(?:results/)?(\w+)\.json'", code)}
    small = [p.read_text() for p in paths if p.exists() and p.stat().st_size < 8192]
    return set().union(*map(numbers_in, [code, *small, *map(said, code_cells(nb))]))


def reads_results(nb) -> bool:
    return any("'results" in c.source for c in code_cells(nb))


def prose_faults() -> list:  # of str
    "Decimal numbers in the prose of notebooks that read results/, and that no cell shows."
    faults, papers = [], published()
    for stem in BOOK:
        nb = nbformat.read(NBS / f'{stem}.ipynb', 4)
        if not reads_results(nb):
            continue
        numbers = shown_numbers(nb) | papers | OTHER_NUMBERS.get(stem, {}).keys()
        for cell in nb.cells:
            if cell.cell_type == 'markdown':
                for number in DECIMAL.findall(NO_PROSE.sub('', cell.source)):
                    digits = len(number.partition('.')[2])
                    if abs(float(number)) not in {round(x, digits) for x in numbers}:
                        faults.append(f'{stem}: no cell shows the number {number} of its prose')
    return faults


# ---- cells that read results/


def names(tree) -> tuple:  # names that a cell sets, changes (a part of), uses
    top = symtable.symtable(ast.unparse(tree), 'cell', 'exec')
    symbols = top.get_symbols()
    sets = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    uses, inner = {s.get_name() for s in symbols if s.is_referenced()}, top.get_children()
    while inner:  # what functions and comprehensions take from outside
        table = inner.pop()
        uses |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        inner += table.get_children()
    changes = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Subscript, ast.Attribute)):
                node = node.value
            changes |= {node.id} if isinstance(node, ast.Name) else set()
    return sets, changes & uses, uses


def opens_results(tree) -> bool:  # it reads a file of results/, and writes none
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    named = any(isinstance(x, str) and re.match(r'results(/|$)', x) for x in strings)
    return named and not any(
        isinstance(n, ast.Name) and n.id == 'write_json' for n in ast.walk(tree)
    )


def parse(cell) -> ast.Module:  # without what runs only as a program
    source = re.sub(r'^\s*[%!].*', '', cell.source, flags=re.M)
    tree = ast.parse(source)
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and '__file__' in ast.dump(n))]
    return tree


def tainted_cells(cells) -> list:  # places of those that depend on results/
    "Follow what was read from results/ from statement to statement."
    tainted, found = set(), []
    for i, _, tree in cells:
        for statement in tree.body:
            sets, changes, uses = names(ast.Module([statement], []))
            if opens_results(statement) or uses & tainted:
                tainted |= sets | changes
                found.append(i)
            else:
                tainted -= sets
    return sorted(set(found))


def slice_of(nb) -> tuple:  # places of the cells to run, of those to compare, of those left out
    "The cells whose output depends on results/, and what they need from above."
    cells = [(i, c, parse(c)) for i, c in enumerate(nb.cells) if c.cell_type == 'code']
    facts = {i: names(tree) for i, _, tree in cells}
    run = {i for i, c, _ in cells if re.search('set_theme|set_matplotlib_formats', c.source)}
    slow = {i for i, c, _ in cells if has(c, 'slow')}
    compared, left_out = [], []
    for i in tainted_cells(cells):
        cell = nb.cells[i]
        if not cell.outputs or i in slow or has(cell, 'times'):
            continue
        needed = need(i, facts, slow)
        if needed & slow:
            left_out.append(i)
        else:
            run |= needed
            compared.append(i)
    return sorted(run) if compared else [], compared, left_out


def need(goal: int, facts: dict, slow: set) -> set:  # places of a cell and of all that it needs
    found, todo = set(), [goal]
    while todo:
        i = todo.pop()
        if i in found:
            continue
        found.add(i)
        for name in facts[i][2]:
            setters = [k for k in facts if k < goal and name in facts[k][0] and k != i]
            above = [k for k in setters if k < i]
            if above:
                changed = [k for k in facts if above[-1] < k < i and name in facts[k][1]]
                todo += [above[-1], *changed]
            else:  # a function may use what is defined below it
                todo += [k for k in setters if k not in slow][:1]
    return found


FRESH = """%reset -f
import os, matplotlib
from matplotlib_inline.backend_inline import set_matplotlib_formats
os.chdir({folder!r})
matplotlib.rcdefaults()
set_matplotlib_formats('png')
%matplotlib inline"""


def picture(cell):  # (H,W) gray, of the first picture of a cell; None if there is none
    for output in cell.outputs:
        for kind in ('image/png', 'image/jpeg'):
            if kind in output.get('data', {}):
                image = Image.open(io.BytesIO(b64decode(output.data[kind])))
                return np.asarray(image.convert('L'), np.float32)


def alike(a, b) -> bool:  # two pictures, up to the fonts of another machine
    if a is None or b is None:
        return a is b
    if max(abs(x - y) / x for x, y in zip(a.shape, b.shape)) > 0.05:
        return False
    small = [np.asarray(Image.fromarray(x).resize((120, 80), Image.BILINEAR)) for x in (a, b)]
    return float(np.abs(small[0] - small[1]).mean()) < 3  # of 255


def words(cell) -> list:  # of the text output
    return LEFT_OUT.sub('', said(cell)).split()


def all_slices(stems) -> tuple:  # a notebook; place in it -> notebook, place there, kept cell
    "The slices of all notebooks behind each other. The kept cell is None if none is compared."
    whole, origin = nbformat.v4.new_notebook(), {}
    for stem in stems:
        nb = nbformat.read(NBS / f'{stem}.ipynb', 4)
        run, compared, _ = slice_of(nb)
        sources = [FRESH.format(folder=str((NBS / stem).parent))] if run else []
        for i in run:
            place = len(whole.cells) + len(sources)
            origin[place] = stem, i, nb.cells[i] if i in compared else None
            sources.append(nb.cells[i].source)
        whole.cells += map(nbformat.v4.new_code_cell, sources)
    return whole, origin


def fault_of(kept, new) -> str:  # '' if the new outputs are the kept ones
    for output in new.outputs:
        if output.output_type == 'error':
            return f'{output.ename}: {output.evalue}'
    if kept and words(kept) != words(new):
        pairs = zip(words(kept), words(new))
        first = next((f'{a!r}, now {b!r}' for a, b in pairs if a != b), 'more or fewer words')
        return f'the kept text does not follow from results/: {first}'
    if kept and not alike(picture(kept), picture(new)):
        return 'the kept picture does not follow from results/'
    return ''


def cell_faults(stems=BOOK) -> tuple:  # faults, number of cells compared
    "Run the slices of all notebooks in one kernel, and compare outputs."
    whole, origin = all_slices(stems)
    where = dict(metadata=dict(path=ROOT))
    NotebookClient(whole, timeout=600, allow_errors=True, resources=where).execute()
    faults = []
    for place, (stem, i, kept) in origin.items():
        fault = fault_of(kept, whole.cells[place])
        if fault:
            faults.append(f'{stem}, cell {i}: {fault}')
    return faults, sum(kept is not None for _, _, kept in origin.values())


def check() -> int:  # exit code
    "All checks; a line for each fault."
    start = time.time()
    faults, unused = setting_faults()
    faults += file_faults() + prose_faults()
    found, compared = cell_faults()
    faults += found
    readme = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', 'tests/test_readme.py'], cwd=ROOT
    )
    faults += ['index.ipynb or README.md: see above'] if readme.returncode else []
    print(*faults, sep='\n')
    for file, field in sorted(KNOWN.keys() - unused):
        print(f'known: {file} {field}: {KNOWN[file, field]}')
    for file, field in sorted(unused):
        print(f'KNOWN names {file} {field}, which agrees with the code now: take it out')
    print(f'{compared} cells compared, {len(faults)} faults, {time.time() - start:.0f} s')
    return 1 if faults else 0


def main(argv=None) -> int:  # exit code
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=3, help='runs of each row')
    parser.add_argument('--check', action='store_true', help='run nothing; check what is there')
    args = parser.parse_args(argv)
    if args.check:
        return check()
    try:
        return make(args.seeds)
    except KeyboardInterrupt:
        print('\nstopped; `make results` goes on')
        return 130


if __name__ == '__main__':
    sys.exit(main())

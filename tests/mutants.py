"""How good are the tests in the lessons? `make mutants M="mvcl fda"` changes the library a little,
once for each place, and asks the notebook whether it notices.

mutmut makes the changes. The test is the lesson itself: its cells run in order, but what they would
export comes from the library instead. tests/survivors.json lists changes that no test can or needs
to notice, with the reason. A run fails if less than 95 % of the others are caught.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from book import BOOK, ROOT, cells, module

MODULES = 'inputs model mlm mvcl negatives fda finetune decode gic fgvc'.split()
WORK = ROOT / 'build/mutants'
KNOWN = ROOT / 'tests/survivors.json'  # {module: {changed line: reason}}
CONFIG = '''[tool.mutmut]
source_paths = ["idc_nb"]
only_mutate = ["{files}"]
pytest_add_cli_args_test_selection = ["tests/test_lesson.py::test_lesson"]
process_isolation = "forkserver"
'''
TEST = '''import matplotlib
import idc_nb.{module}

matplotlib.use('agg')
{imports}
CELLS = {cells!r}


def test_lesson():
    space = dict(__name__='lesson')
    exec('from IPython.display import display', space)
    for number, source in enumerate(CELLS):
        exec(compile(source, f'cell {{number}}', 'exec'), space)
'''


def imported(source, module) -> str:  # in place of a cell that exports: the same names
    lines = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            lines.append(ast.unparse(node))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            lines.append(f'from idc_nb.{module} import {node.name}')
        elif isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            lines += [f'from idc_nb.{module} import {name}' for name in names]
    return '\n'.join(lines)


def lesson_script(stem) -> list:  # sources of the cells that run
    script = []
    for kind, source in cells(stem):
        if kind != 'code' or '#| default_exp' in source:
            continue
        exports = re.search(r'^#\|\s*export', source, flags=re.M)
        text = re.sub(r'^(#\||\s*[%!]).*\n?', '', source, flags=re.M)
        script.append(imported(text, module(stem)) if exports else text)
    return script


def imports(script) -> str:  # what the cells import at the top level, loaded once for all mutants
    nodes = [node for source in script for node in ast.parse(source).body]
    kept = [n for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]
    return '\n'.join(dict.fromkeys(ast.unparse(node) for node in kept))


def without_docstrings(source) -> str:  # a changed docstring is no mistake
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            doc = node.body[0]
            lines[doc.lineno - 1] = ' ' * doc.col_offset + 'pass'
            for k in range(doc.lineno, doc.end_lineno):
                lines[k] = ''
    return '\n'.join(lines) + '\n'


def prepare(name) -> Path:  # a folder in which mutmut runs
    stem = next(s for s in BOOK if module(s) == name)
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        ROOT / 'idc_nb', folder / 'idc_nb', ignore=shutil.ignore_patterns('__pycache__')
    )
    (folder / 'tests').mkdir()
    script = lesson_script(stem)
    test = TEST.format(module=name, cells=script, imports=imports(script))
    (folder / 'tests/test_lesson.py').write_text(test, encoding='utf-8')
    files = f'idc_nb/{name.replace(".", "/")}.py'
    source = (folder / files).read_text(encoding='utf-8')
    (folder / files).write_text(without_docstrings(source), encoding='utf-8')
    (folder / 'pyproject.toml').write_text(CONFIG.format(files=files), encoding='utf-8')
    return folder


def survivors(folder) -> list:  # (name, the changed line) of each mutant that no test noticed
    mutmut = Path(sys.executable).with_name('mutmut')
    if not mutmut.exists():
        sys.exit("mutmut is missing: pip install -e '.[mutants]'")
    subprocess.run([mutmut, 'run', '--max-children', '1'], cwd=folder, check=True)
    found = []
    for line in ask(mutmut, folder, 'results', '--all', 'true').splitlines():
        name, _, verdict = line.strip().partition(': ')
        if verdict == 'survived':
            diff = ask(mutmut, folder, 'show', name).splitlines()
            found.append((name, next(d for d in diff[3:] if d.startswith('+'))[1:].strip()))
    return found


def ask(mutmut, folder, *arguments) -> str:
    command = [mutmut, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('?')[0])
    parser.add_argument('modules', nargs='*', default=MODULES, help='of idc_nb')
    known, failed = json.loads(KNOWN.read_text(encoding='utf-8')), []
    for name in parser.parse_args().modules:
        folder = prepare(name)
        new = [(k, line) for k, line in survivors(folder) if line not in known.get(name, {})]
        mutmut = Path(sys.executable).with_name('mutmut')
        equal = len(known.get(name, {}))
        total = len(ask(mutmut, folder, 'results', '--all', 'true').strip().splitlines())
        share = 1 - len(new) / max(total - equal, 1)
        print(f'{name}: {total} mutants, {equal} known as harmless, {share:.1%} of the rest caught')
        for k, line in new:
            print(f'    {k}\n        {line}')
        if share < 0.95:
            failed.append(name)
    sys.exit(f'less than 95 % caught: {", ".join(failed)}' if failed else 0)

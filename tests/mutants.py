"""How good are the tests in the lessons? `make mutants M="mvcl fda"` changes the library a little,
once for each place, and asks the notebook whether it notices.

mutmut makes the changes. The test is the lesson itself: its cells run in order, but what they would
export comes from the library instead. Where a function is called for the first time, the process
forks once for each change of this function, and the child goes on with the changed one to the end
of the lesson. So nothing runs twice that a change cannot touch. Exercises are left out, cells that
compute for more than SLOW seconds (trainings), and cells that fail without these: what such cells
alone would notice counts as not caught. tests/survivors.json lists changes that no test can or
needs to notice, with the reason. A run fails if less than 95 % of the others are caught. The
figures go to results/mutants.json.
"""

import argparse
import ast
import contextlib
import datetime
import functools
import importlib.util
import os
import re
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import torch
from book import BOOK, ROOT, cells, module

sys.path.insert(0, str(ROOT))
from idc_nb.lab.files import read_json, write_json
from idc_nb.lab.runs import commit, machine

MODULES = 'inputs model mlm mvcl negatives fda finetune decode gic fgvc'.split()
KNOWN = ROOT / 'tests/survivors.json'  # {module: {changed line: reason}}
FIGURES = ROOT / 'results/mutants.json'
SLOW = 3  # processor seconds of a cell
ENDLESS = 60  # processor seconds after which a child is stopped
ORIGINAL = '_mutmut_orig'
NO_GRAD = '@torch.no_grad()\n'  # mutmut leaves decorated functions alone, so we decorate them later


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


def lesson_script(stem) -> list:  # sources of the cells that run, without the exercises
    script = []
    for kind, source in cells(stem):
        if kind != 'code' or re.match(r'#\| (default_exp|exercise|check|watch|slow)', source):
            continue
        exports = re.search(r'^#\|\s*export', source, flags=re.M)
        text = re.sub(r'^(#\||\s*[%!]).*\n?', '', source, flags=re.M)
        script.append(imported(text, module(stem)) if exports else text)
    return script


def run(source, space):
    exec(compile(source, 'a cell', 'exec'), space)


def new_space() -> dict:  # what a notebook has before its first cell
    space = dict(__name__='lesson')
    run('import matplotlib\nfrom IPython.display import display\nmatplotlib.use("agg")', space)
    return space


def imports(script) -> str:  # what the cells import, which costs seconds the first time
    nodes = [node for source in script for node in ast.parse(source).body]
    return '\n'.join(ast.unparse(n) for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom)))


def quick(script) -> list:  # the cells that need no more than SLOW seconds, and no slow cell
    def stop(*_):
        raise TimeoutError

    run(imports(script), new_space())
    signal.signal(signal.SIGPROF, stop)
    space, kept = new_space(), []
    for source in script:
        signal.setitimer(signal.ITIMER_PROF, SLOW)
        try:
            run(source, space)
            kept.append(source)
        except Exception as problem:
            first = source.strip().splitlines()[0]
            print(f'    left out ({type(problem).__name__}): {first}', file=sys.stderr)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    return kept if kept == script else quick(kept)  # again: what stays must run without the rest


def without_docstrings(source) -> str:  # a changed docstring is no mistake
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            doc = node.body[0]
            lines[doc.lineno - 1] = ' ' * doc.col_offset + 'pass'
            for k in range(doc.lineno, doc.end_lineno):
                lines[k] = ''
    return '\n'.join(lines) + '\n'


class Forks:
    "Runs the lesson once; a child process for each changed function goes its own way."

    def __init__(self, no_grad):
        self.no_grad = no_grad  # names of functions
        self.called = set()  # functions
        self.caught = {}  # name of a changed function -> did the lesson fail?
        self.changed = None  # in a child: the changed function that takes the place of ours
        self.parent = os.getpid()

    def decorator(self, versions):  # of mutmut's code: {name of a version: function}
        def decorate(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                if call not in self.called and os.getpid() == self.parent:
                    self.called.add(call)
                    self.fork([name for name in versions if name != ORIGINAL])
                return versions.get(self.changed, versions[ORIGINAL])(*args, **kwargs)

            return torch.no_grad()(call) if function.__name__ in self.no_grad else call

        return decorate

    def fork(self, names):
        for name in names:
            child = os.fork()
            if child == 0:
                signal.setitimer(signal.ITIMER_PROF, ENDLESS)
                self.changed = name
                return
            self.caught[name] = os.waitpid(child, 0)[1] != 0

    def lesson(self, script, load):  # in a child, the end of the lesson is the end of the process
        failed = True
        try:
            load()
            space = new_space()
            for source in script:
                run(source, space)
            failed = False
        finally:
            if self.changed:
                os._exit(failed)


def load_changed(name, code, decorator):  # idc_nb.NAME, with all versions of each function
    for loaded in [m for m in sys.modules if m.partition('.')[0] == 'idc_nb']:
        del sys.modules[loaded]
    spec = importlib.util.find_spec(f'idc_nb.{name}')
    sys.modules[spec.name] = made = importlib.util.module_from_spec(spec)
    made._mutmut_mutated = decorator
    run(code, vars(made))
    setattr(sys.modules['idc_nb'], name, made)


def functions(code) -> dict:  # {name: its lines}
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.FunctionDef)]
    lines = code.splitlines()
    return {n.name: lines[n.lineno - 1 : n.end_lineno] for n in nodes}


def changed_line(name, found) -> str:
    original = re.sub(r'__mutmut_\d+$', f'_{ORIGINAL}', name)
    pairs = zip(found[name], found[original])
    lines = [(line.replace(name, original), our) for line, our in pairs]
    return next(line.strip() for line, our in lines if line != our)


def ask(name) -> tuple:  # number of changes, changed line of each that was not caught
    try:
        from mutmut.mutation.file_mutation import mutate_file_contents
    except ImportError:
        sys.exit("mutmut is missing: pip install -e '.[mutants]'")
    path = ROOT / 'idc_nb' / f'{name}.py'
    source = without_docstrings(path.read_text('utf-8'))
    no_grad = re.findall(re.escape(NO_GRAD) + r' *def (\w+)', source)
    code = mutate_file_contents(str(path), re.sub(f' *{re.escape(NO_GRAD)}', '', source)).code
    code = re.sub(r'^from mutmut.* as _mutmut_mutated, .*$', 'MutantDict = dict', code, flags=re.M)
    forks = Forks(no_grad)
    with contextlib.redirect_stdout(open(os.devnull, 'w')):
        script = quick(lesson_script(next(s for s in BOOK if module(s) == name)))
        forks.lesson(script, lambda: load_changed(name, code, forks.decorator))
    found = functions(code)
    changes = [f for f in found if re.search(r'__mutmut_\d+$', f)]
    return len(changes), [changed_line(f, found) for f in changes if not forks.caught.get(f)]


def measure(name) -> dict:  # figures of one module
    total, alive = ask(name)
    new = [line for line in alive if line not in read_json(KNOWN).get(name, {})]
    return dict(
        mutants=total,
        caught=total - len(alive),
        equivalent=len(alive) - len(new),
        survivors=new,
        seconds=round(sum(os.times()[:4])),
        commit=commit(),
        date=str(datetime.date.today()),
        machine=machine(),
    )


def record(name, figures) -> bool:  # were 95 % caught?
    told = read_json(FIGURES) if FIGURES.exists() else {}
    write_json(FIGURES, dict(sorted((told | {name: figures}).items())), indent=1)
    share = figures['caught'] / max(figures['mutants'] - figures['equivalent'], 1)
    print(
        name,
        *(f'{figures[k]} {k}' for k in ('mutants', 'caught', 'equivalent', 'seconds')),
        sep=', ',
    )
    print(f'    {share:.1%} of those that are not equivalent')
    for line in figures['survivors']:
        print('    ', line, flush=True)
    return share >= 0.95


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('?')[0])
    parser.add_argument('modules', nargs='*', default=MODULES, help='of idc_nb')
    names = parser.parse_args().modules
    with ProcessPoolExecutor(1, get_context('spawn'), max_tasks_per_child=1) as pool:
        failed = [
            n for n, figures in zip(names, pool.map(measure, names)) if not record(n, figures)
        ]
    sys.exit(f'less than 95 % caught: {", ".join(failed)}' if failed else 0)

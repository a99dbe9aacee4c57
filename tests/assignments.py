"""Copies of the lessons for a course: `make assignments` writes assignments/ from nbs/.

student/     stubs that raise until somebody solves them, checks that answer, no solutions
solutions/   every exercise solved and explained
nbgrader/    source/LESSON/LESSON.ipynb, from which `nbgrader generate_assignment LESSON` makes what
             students get: solutions and hidden tests are marked, points are the minutes

`--check [LESSON ...]` runs copies: solutions must pass, and a student's copy may fail at nothing
but its exercises.
"""

import argparse
import ast
import inspect
import json
import os
import re
import sys
from functools import partial
from book import METADATA, NBS, PART_I, ROOT, is_links, module

OUT = ROOT / 'assignments'
LESSONS = [*PART_I, 'lab/37_swap']
EXERCISE = re.compile(r'^\*\*Exercise (\d+) \((predict|write|think), (\d+) minutes\)\.', re.M)
FOLDED = re.compile(r'<details>\s*<summary>(.*?)</summary>(.*?)</details>', re.S)
NOTE = re.compile(r'^#\|[ \t]*(\w+)[ \t]*(.*)\n?', re.M)
ATTEMPT = re.compile(
    r'^(?:(\w+) = )?(?:attempt|either)\((\w+), (\w+)(?:, (\w+))?\)', re.M
)  # either: ours, as long as it is not solved
LINK = re.compile(r'\]\((?!https?:)([^)#\s]+)')
VERSIONS = 'student', 'solutions', 'nbgrader'
CONFIG = '''c = get_config()
c.ClearSolutions.code_stub = dict(python='# Replace the function above by your own.')
c.ClearSolutions.text_stub = '*Your answer:*'
c.Execute.timeout = 600  # seconds for a cell: lessons train, and without this it would be 30
'''


def lesson_cells(stem) -> list:
    return json.loads((NBS / f'{stem}.ipynb').read_text(encoding='utf-8'))['cells']


def source_of(cell) -> str:
    return ''.join(cell['source'])


def notes(source) -> dict:  # {'export': '', 'exercise': NAME, ..}
    return {name: argument.strip() for name, argument in NOTE.findall(source)}


def exercise_names(stem) -> list:  # to write, in this lesson
    found = [notes(source_of(c)).get('exercise') for c in lesson_cells(stem)]
    return [name for name in found if name]


def defined(source) -> list:  # names that a cell defines
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    return names


def solved_here(stem) -> set:  # what the lesson itself defines and its exercises ask for
    from idc_nb.lab.checks import SOLUTIONS

    functions = [SOLUTIONS[name] for name in exercise_names(stem)]
    own = [f for f in functions if f.__module__ == f'idc_nb.{module(stem)}']
    return {f.__qualname__.partition('.')[0] for f in own}


def relink(text, stem) -> str:  # a copy lies two folders below the root of the project
    here = (NBS / stem).parent

    def target(match):
        path = (here / match.group(1)).resolve()
        if path.suffix == '.ipynb' and path.with_suffix('') in [NBS / s for s in LESSONS]:
            return match.group(0)
        return f']({os.path.relpath(path, OUT / "student" / here.relative_to(NBS))}'

    return LINK.sub(target, text)


def markdown(text) -> dict:
    return dict(cell_type='markdown', metadata={}, source=text)


def code(text) -> dict:
    return dict(cell_type='code', metadata={}, source=text, outputs=[], execution_count=None)


def graded(cell, name, points=None, locked=False, solution=True) -> dict:  # what nbgrader reads
    about = dict(grade=points is not None, locked=locked, solution=solution)
    cell['metadata']['nbgrader'] = about | dict(grade_id=name, schema_version=3, task=False)
    if points is not None:
        cell['metadata']['nbgrader']['points'] = points
    return cell


def unfold(match, form) -> str:
    summary, answer = match.groups()
    return form.format(summary.strip(), answer.strip())


def prose_copy(text, version) -> list:
    "A Markdown cell; an exercise to predict or to think gets a cell for the answer."
    task = EXERCISE.search(text)
    if version == 'solutions':
        return [
            markdown(
                FOLDED.sub(partial(unfold, form='**{}.** {}' if task else '**{}**\n\n{}'), text)
            )
        ]
    if not task:
        return [markdown(FOLDED.sub(r'- \1', text))]
    answers = '\n\n'.join(answer.strip() for _, answer in FOLDED.findall(text))
    copies = [markdown(FOLDED.sub('', text).rstrip())]
    number, kind, minutes = task.groups()
    if kind == 'write':
        return copies
    if version == 'student':
        return [*copies, markdown('*Your answer:*')]
    answer = f'### BEGIN SOLUTION\n{answers}\n### END SOLUTION'
    return [*copies, graded(markdown(answer), f'answer_{number}', int(minutes))]


def bound(source) -> set:  # names that a cell gives a value
    nodes = list(ast.walk(ast.parse(re.sub(r'^\s*[%!].*', '', source, flags=re.M))))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).partition('.')[0] for a in node.names}
    return names


def solved(name, above) -> str:  # the solution, with imports that the cells above do not have
    from idc_nb.lab.checks import SOLUTIONS, solution

    text, function = solution(name).strip(), inspect.unwrap(SOLUTIONS[name])
    used = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    missing = (used & function.__globals__.keys()) - bound(text).union(*map(bound, above))
    if missing:
        text = f'from {function.__module__} import {", ".join(sorted(missing))}\n\n\n{text}'
    return text


def exercise_copy(text, name, version, above) -> dict:
    if version == 'student':
        return code(text)
    if version == 'solutions':
        return code(solved(name, above))
    marked = f'### BEGIN SOLUTION\n{solved(name, above)}\n### END SOLUTION'
    return graded(code(f'{text}\n\n\n{marked}'), f'exercise_{name}')


def check_copy(text, name, minutes, version) -> dict:
    variable, check, student, ours = ATTEMPT.search(text).groups()
    text = ATTEMPT.sub(f'{check}({student})', text)
    if variable:  # what follows wants to know
        before, after = (ours, student) if ours else (False, True)
        text = f'{variable} = {before}\n{text}\n{variable} = {after}'
    if version != 'nbgrader':
        return code(text)
    again = ['import importlib, idc_nb.lab.checks', 'fresh = importlib.reload(idc_nb.lab.checks)']
    again.append(f'fresh.{check}({student})')  # notices a check that a student has replaced
    text = '\n'.join([text, '### BEGIN HIDDEN TESTS', *again, '### END HIDDEN TESTS'])
    return graded(code(text), f'check_{name}', minutes, locked=True, solution=False)


def imported(name, names) -> dict:  # in place of a cell that shows the solution of an exercise
    from idc_nb.lab.checks import SOLUTIONS

    return code(f'from {SOLUTIONS[name].__module__} import {", ".join(names)}')


def copy_lesson(stem, version) -> dict:  # a notebook
    hidden = solved_here(stem) if version != 'solutions' else set()
    asked = set(exercise_names(stem))
    cells, minutes = [], 0
    for cell in lesson_cells(stem):
        source = source_of(cell)
        if cell['cell_type'] == 'markdown':
            task = EXERCISE.search(source)
            minutes = int(task.group(3)) if task else minutes
            cells += prose_copy(relink(source, stem), version) if not is_links(cell) else []
            continue
        note, text = notes(source), NOTE.sub('', source).strip()
        names = defined(text) if 'export' in note else []
        if 'exercise' in note:
            above = [c['source'] for c in cells if c['cell_type'] == 'code']
            cells.append(exercise_copy(text, note['exercise'], version, above))
        elif 'check' in note:
            cells.append(check_copy(text, note['check'], minutes, version))
        elif hidden & set(names):
            cells.append(code(f'from idc_nb.{module(stem)} import {", ".join(names)}'))
        elif note.get('reveals') in asked and version != 'solutions':
            cells.append(imported(note['reveals'], defined(text)))
        elif 'default_exp' in note:
            continue
        else:
            cells.append(code(text))
            cells[-1]['metadata'] = dict(tags=['slow']) if 'slow' in note else {}
    for k, cell in enumerate(cells):
        cell['id'] = f'cell{k}'
    return dict(cells=cells, metadata=METADATA, nbformat=4, nbformat_minor=5)


def write_copies(stems, out=OUT):
    for stem in stems:
        name = stem.rpartition('/')[2]
        places = dict.fromkeys(['student', 'solutions'], stem)
        places['nbgrader'] = f'source/{name}/{name}'
        for version, place in places.items():
            path = out / version / f'{place}.ipynb'
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(copy_lesson(stem, version), indent=1, ensure_ascii=False)
            path.write_text(text + '\n', encoding='utf-8')
    (out / 'nbgrader/nbgrader_config.py').write_text(CONFIG, encoding='utf-8')


def outputs_of_kernel(notebook) -> list:  # of each code cell
    import nbformat
    from nbclient import NotebookClient

    node, where = nbformat.from_dict(notebook), dict(metadata=dict(path=str(NBS)))
    NotebookClient(node, timeout=600, allow_errors=True, resources=where).execute()
    return [cell.outputs for cell in node.cells if cell.cell_type == 'code']


def errors(notebook, run) -> list:  # (source, name of the error) of a run without slow cells
    quick = [c for c in notebook['cells'] if 'slow' not in c['metadata'].get('tags', ())]
    sources = [cell['source'] for cell in quick if cell['cell_type'] == 'code']
    outputs_of_cells = run(notebook | dict(cells=quick))
    return [
        (source, output['ename'])
        for source, outputs in zip(sources, outputs_of_cells, strict=True)
        for output in outputs
        if output['output_type'] == 'error'
    ]


def faults(
    stem,
    run=outputs_of_kernel,  # notebook -> outputs of each code cell
) -> list:  # what is wrong with the copies of a lesson, when they run
    from_solutions = errors(copy_lesson(stem, 'solutions'), run)
    found = [f'{stem}, solutions: {name} in\n{source}' for source, name in from_solutions]
    from_student = errors(copy_lesson(stem, 'student'), run)
    stopped = [(f'check_{name}(', 'NotImplementedError') for name in exercise_names(stem)]
    as_expected = len(stopped) == len(from_student) and all(
        call in source and name == error
        for (call, error), (source, name) in zip(stopped, from_student)
    )
    if not as_expected:
        found.append(f'{stem}, student: expected to stop at {stopped} alone, not {from_student}')
    return found


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--check', nargs='*', metavar='LESSON')
    arguments = parser.parse_args()
    if arguments.check is None:
        write_copies(LESSONS)
        print(f'{len(LESSONS)} lessons in {OUT.name}/: {", ".join(VERSIONS)}')
    else:
        found = []
        for stem in arguments.check or LESSONS:
            new = faults(stem)
            print('\n'.join(new) or f'{stem} ok', flush=True)
            found += new
        sys.exit(1 if found else 0)

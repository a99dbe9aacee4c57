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
import json
import re
import sys
from pathlib import Path
from book import METADATA, NBS, PART_I, ROOT, is_links, module

OUT = ROOT / 'assignments'
EXERCISE = re.compile(r'\*\*Exercise (\d+) \((predict|write|think), (\d+) minutes\)\.\*\*')
FOLDED = re.compile(r'<details>\s*<summary>(.*?)</summary>(.*?)</details>', re.S)
NOTE = re.compile(r'^#\|[ \t]*(\w+)[ \t]*(.*)\n?', re.M)
ATTEMPT = re.compile(r'attempt\((\w+), (\w+)\)')
LINK = re.compile(r'\]\((?!https?:)([^)#\s]+)')
VERSIONS = 'student', 'solutions', 'nbgrader'
CONFIG = '''c = get_config()
c.ClearSolutions.code_stub = dict(python='# Replace the function above by your own.')
c.ClearSolutions.text_stub = '*Your answer:*'
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


def relink(text) -> str:  # Part I lies in the copy's own folder, all else below the project's root
    def target(match):
        path = match.group(1)
        inside = path.removesuffix('.ipynb') in PART_I
        return f']({path}' if inside else f'](../../nbs/{path}'

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


def prose_copy(text, version) -> list:
    "A Markdown cell; an exercise to predict or to think gets a cell for the answer."
    text = relink(text)
    task = EXERCISE.match(text)
    if version == 'solutions':
        return [markdown(FOLDED.sub(r'**\1.** \2' if task else r'- **\1** \2', text))]
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


def exercise_copy(text, name, version) -> dict:
    from idc_nb.lab.checks import solution

    if version == 'solutions':
        return code(solution(name))
    if version == 'student':
        return code(text)
    marked = f'### BEGIN SOLUTION\n{solution(name).strip()}\n### END SOLUTION'
    return graded(code(f'{text}\n\n\n{marked}'), f'exercise_{name}')


def check_copy(text, name, minutes, version) -> dict:
    text = ATTEMPT.sub(r'\1(\2)', text)
    if version != 'nbgrader':
        return code(text)
    check, student = re.search(r'(check_\w+)\((\w+)\)', text).groups()
    again = [f'from idc_nb.lab.checks import {check} as original', f'original({student})']
    hidden = ['### BEGIN HIDDEN TESTS', *again, '### END HIDDEN TESTS']
    text = '\n'.join([text, *hidden])  # the hidden lines notice a check that a student has replaced
    return graded(code(text), f'check_{name}', minutes, locked=True, solution=False)


def copy_lesson(stem, version) -> dict:  # a notebook
    hidden = solved_here(stem) if version != 'solutions' else set()
    asked = set(exercise_names(stem))
    cells, minutes = [], 0
    for cell in lesson_cells(stem):
        source = source_of(cell)
        if cell['cell_type'] == 'markdown':
            task = EXERCISE.match(source)
            minutes = int(task.group(3)) if task else minutes
            cells += prose_copy(source, version) if not is_links(cell) else []
            continue
        note, text = notes(source), NOTE.sub('', source).strip()
        names = defined(text) if 'export' in note else []
        if 'exercise' in note:
            cells.append(exercise_copy(text, note['exercise'], version))
        elif 'check' in note:
            cells.append(check_copy(text, note['check'], minutes, version))
        elif hidden & set(names):
            cells.append(code(f'from idc_nb.{module(stem)} import {", ".join(names)}'))
        elif 'default_exp' in note or (note.get('reveals') in asked and version != 'solutions'):
            continue
        else:
            cells.append(code(text))
    for k, cell in enumerate(cells):
        cell['id'] = f'cell{k}'
    return dict(cells=cells, metadata=METADATA, nbformat=4, nbformat_minor=5)


def write_copies(stems, out=OUT):
    (out / 'nbgrader').mkdir(parents=True, exist_ok=True)
    (out / 'nbgrader/nbgrader_config.py').write_text(CONFIG, encoding='utf-8')
    for stem in stems:
        for version in VERSIONS:
            folder = out / version / (f'source/{stem}' if version == 'nbgrader' else '')
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(copy_lesson(stem, version), indent=1, ensure_ascii=False)
            (folder / f'{stem}.ipynb').write_text(text + '\n', encoding='utf-8')


def errors(notebook, folder=ROOT) -> list:  # (source of the cell, name of the error) of a run
    import nbformat
    from nbclient import NotebookClient

    node = nbformat.from_dict(notebook)
    NotebookClient(node, timeout=600, allow_errors=True, resources={'metadata': {'path': str(folder)}}).execute()
    return [
        (cell.source, output.ename)
        for cell in node.cells
        for output in cell.get('outputs', [])
        if output.output_type == 'error'
    ]


def faults(stem) -> list:  # what is wrong with the copies of a lesson, when they run
    from_solutions = errors(copy_lesson(stem, 'solutions'))
    found = [f'{stem}, solutions: {name} in\n{source}' for source, name in from_solutions]
    from_student = errors(copy_lesson(stem, 'student'))
    calls = [re.search(r'check_(\w+)\(', s) for s, name in from_student if 'NotImpl' in name]
    stopped = [call.group(1) for call in calls if call]
    if stopped != exercise_names(stem) or len(from_student) != len(stopped):
        found.append(f'{stem}, student: expected to fail at {exercise_names(stem)} alone: {from_student}')
    return found


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--check', nargs='*', metavar='LESSON')
    arguments = parser.parse_args()
    if arguments.check is None:
        write_copies(PART_I)
        print(f'{len(PART_I)} lessons in {OUT.relative_to(ROOT)}: {", ".join(VERSIONS)}')
    else:
        found = []
        for stem in arguments.check or PART_I:
            new = faults(stem)
            print(stem, 'has a fault' if new else 'ok', flush=True)
            found += new
        sys.exit('\n'.join(found))

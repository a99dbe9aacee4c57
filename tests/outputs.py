"""Execute notebooks and compare their kept text outputs with the new ones.

`python tests/outputs.py [notebook ...]`. Numbers may differ by TOLERANCE; a number with a unit of
time, a rate or a date is not compared. A cell that starts with `#| slow` keeps its output and is
not run; one that starts with `#| times` prints measured times and is run, but not compared.
"""

import re
import sys
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from book import BOOK, NBS, ROOT, without_bars

TOLERANCE = 0.02  # share of the larger number
LEFT_OUT = re.compile(
    r'\d{4}-\d\d-\d\d'  # a date
    r'|[\d.,]+ ?(?:ms|s|min|h|seconds?|minutes?|hours?|days?|s/step)\b'  # a time
    r'|[\d.,]+ (?:images|pictures|scenes|steps)(?: a second|/s)'  # a rate
    r'|(?: at )?0x[0-9a-f]+'  # an address; nbdev_clean removes it with its `at`
)
NUMBER = re.compile(r'-?\d+(?:\.\d+)?(?:e-?\d+)?')


def text(output) -> str:  # of an output of a cell; '' for a picture
    if output.output_type == 'stream':
        return without_bars(output.text) if output.name == 'stdout' else ''
    data = output.get('data', {})
    return '' if 'image/png' in data or 'image/jpeg' in data else data.get('text/plain', '')


def said(cell) -> str:
    return ''.join(text(o) for o in cell.get('outputs', []))


def same(old: str, new: str) -> bool:
    if old == new:  # a hash may hold 2e390, which is too large to be compared
        return True
    old, new = LEFT_OUT.sub('', old), LEFT_OUT.sub('', new)
    if NUMBER.sub('#', old).split() != NUMBER.sub('#', new).split():
        return False
    pairs = zip(map(float, NUMBER.findall(old)), map(float, NUMBER.findall(new)))
    return all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 0.01) for a, b in pairs)


def has(cell, directive) -> bool:
    return bool(re.search(rf'^#\| {directive}\b', cell.source, re.M))


def differences(path) -> list:  # of (place of the cell, its first line, old text, new text)
    kept, new = (nbformat.read(path, 4) for _ in range(2))
    for cell in new.cells:
        if cell.cell_type == 'code' and has(cell, 'slow'):
            cell.source = ''
    NotebookClient(new, timeout=900, resources=dict(metadata=dict(path=path.parent))).execute()
    found = []
    for i, (a, b) in enumerate(zip(kept.cells, new.cells)):
        compared = a.cell_type == 'code' and not has(a, 'slow') and not has(a, 'times')
        if compared and not same(said(a), said(b)):
            first = a.source.strip().splitlines()[0]
            found.append((i, first, said(a), said(b)))
    return found


def main(names) -> int:  # exit code
    paths = list(map(Path, names)) or [ROOT / 'index.ipynb', *(NBS / f'{s}.ipynb' for s in BOOK)]
    stale = 0
    for path in paths:
        found = differences(path.resolve())
        stale += len(found)
        print(f'{path.name}: {len(found)} cells differ' if found else f'{path.name}: same')
        for i, first, old, new in found:
            print(f'  cell {i}: {first}\n    kept: {old[:300]!r}\n    new:  {new[:300]!r}')
    return 1 if stale else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

"""Fail if a notebook and its module differ, or if a notebook holds what nbdev_clean removes. Leaves the mended files."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT, BIN = Path(__file__).parents[1], Path(sys.executable).parent


def digests():
    files = [
        p
        for pattern in ('idc_nb/**/*.py', 'nbs/**/*.ipynb', 'index.ipynb')
        for p in ROOT.glob(pattern)
        if '.ipynb_checkpoints' not in p.parts
    ]
    return {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


before = digests()
for command in ('nbdev_export', 'nbdev_clean'):
    subprocess.run([BIN / command], cwd=ROOT, check=True)
after = digests()
changed = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
if changed:
    sys.exit(
        'Out of step (nbdev_export and nbdev_clean changed them; look, and commit):\n  '
        + '\n  '.join(changed)
    )
print(f'{len(after)} files in step')

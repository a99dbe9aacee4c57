"""Bring notebooks and library in step; fail if that changed a file (look at it, and commit)."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT, BIN = Path(__file__).parents[1], Path(sys.executable).parent
PATTERNS = 'idc_nb/**/*.py', 'nbs/**/*.ipynb', 'index.ipynb'


def digests() -> dict:  # {file: its hash}
    files = [p for pattern in PATTERNS for p in ROOT.glob(pattern)]
    files = [p for p in files if '.ipynb_checkpoints' not in p.parts]
    return {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


COMMANDS = [
    [BIN / 'nbdev_export'],
    [BIN / 'nbdev_clean'],
    [BIN / 'nbdev_clean', '--fname', 'index.ipynb'],
    [sys.executable, 'tests/book.py'],
]
before = digests()
for command in COMMANDS:
    subprocess.run(command, cwd=ROOT, check=True)
after = digests()
changed = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
if changed:
    sys.exit('Were out of step, are mended now: look, and commit\n  ' + '\n  '.join(changed))
print(f'{len(after)} files in step')

"""The scheme of the paper: light to import, small to keep, and it knows every lesson of Part I."""

import subprocess
import sys
from io import BytesIO
import pytest
from book import PART_I, module
from idc_nb.task import scheme


def test_import_is_light():
    code = 'import idc_nb.task, sys; print([m for m in ("matplotlib", "PIL") if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == '[]', done.stdout + done.stderr


@pytest.mark.parametrize('stem', PART_I)
def test_scheme_knows_every_lesson(stem):
    file = BytesIO()
    scheme(module(stem)).save(file, 'png')
    assert len(file.getvalue()) < 40_000


def test_lit_boxes_are_seen_in_grey():
    plain, lit = (scheme(here).convert('L') for here in (None, 'mlm'))
    outline = (19, 40)  # pixels: left edge of the box of MLM, half of its height
    x = min(range(5, 25), key=lambda x: lit.getpixel((x, outline[1])))
    assert lit.getpixel((x, outline[1])) < 60 < plain.getpixel((x, outline[1]))


def test_unknown_lesson():
    with pytest.raises(ValueError, match="here is 'nowhere', expected one of"):
        scheme('nowhere')

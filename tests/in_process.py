"""Cells that run in the process of the tests, which has the libraries loaded.

A kernel of its own would import them once more for each notebook; notebooks.py does the same.
"""

import os
from contextlib import contextmanager
from IPython.core.interactiveshell import InteractiveShell
from execnb.shell import CaptureShell


@contextmanager
def in_folder(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_cells(sources, folder) -> list:  # the outputs of each cell, as a notebook keeps them
    "Run cells in a new namespace. A cell that fails does not stop the ones behind it."
    shell = CaptureShell()
    try:
        with in_folder(folder):
            return [shell.run(source) for source in sources]
    finally:
        InteractiveShell._instance = None  # the next test is in no notebook

"""JupyterLab in Chromium: every lesson of Part I runs, and a student's first steps work.

`make test-browser` runs this; pytest does not collect it by itself. Chromium is that of the machine
(CHROMIUM=path for another one). The notebooks are copies in build/browser.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests'))
from book import PART_I

CHROMIUM = os.environ.get('CHROMIUM', '/usr/bin/chromium')
FLAGS = '--no-sandbox', '--disable-gpu', '--disable-background-networking'
FOLDER = ROOT / 'build/browser'
CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.map(cell => ({
    source: cell.model.sharedModel.getSource(),
    outputs: cell.model.type == 'code' ? cell.model.outputs.toJSON() : [],
    count: cell.model.type == 'code' ? cell.model.executionCount : 0,
}))"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def address():  # of a server of its own, which sees copies of the notebooks
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(ROOT / 'nbs', FOLDER / 'nbs')
    port = free_port()
    command = [sys.executable, '-m', 'jupyterlab', '--allow-root', '--no-browser']
    command += [f'--port={port}', f'--ServerApp.root_dir={FOLDER}', '--IdentityProvider.token=']
    command += ['--LabApp.expose_app_in_browser=True', '--LabApp.news_url=None']
    command += ['--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
    env = os.environ | dict(JUPYTER_CONFIG_DIR=str(FOLDER / 'config'), PYTHONPATH=str(ROOT))
    with open(FOLDER / 'server.log', 'w') as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and server.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                time.sleep(0.5)
        assert server.poll() is None, (FOLDER / 'server.log').read_text()
        yield f'http://127.0.0.1:{port}/lab/tree/nbs'
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope='module')
def browser():
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Lesson:
    "A notebook that is open in JupyterLab."

    def __init__(self, browser, address, stem):
        self.page = browser.new_page(viewport=dict(width=1366, height=768))
        self.page.goto(f'{address}/{stem}.ipynb?reset')
        self.page.wait_for_selector('.jp-Notebook .jp-Cell', timeout=120_000)
        ready = '() => jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel'
        self.page.wait_for_function(ready, timeout=120_000)
        self.do('notebook:clear-all-cell-outputs')

    def do(self, command):  # a command of the menu, until it is done
        self.page.evaluate('name => jupyterapp.commands.execute(name)', command)

    def cells(self) -> list:  # of {source, outputs, count}
        return self.page.evaluate(CELLS)

    def find(self, text) -> int:  # number of the one cell with this text
        found = [k for k, cell in enumerate(self.cells()) if text in cell['source']]
        assert len(found) == 1, f'{len(found)} cells hold {text!r}'
        return found[0]

    def type_and_run(self, k, source):  # as a student does: click, select all, type, Shift-Enter
        go = 'k => jupyterapp.shell.currentWidget.content.scrollToItem(k, "center")'
        self.page.evaluate(go, k)
        editor = self.page.locator(f'.jp-Cell[data-windowed-list-index="{k}"] .cm-content')
        editor.click()
        self.page.keyboard.press('Control+A')
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press('Shift+Enter')
        self.wait()

    def run(self, k):
        self.type_and_run(k, self.cells()[k]['source'])

    def wait(self):  # until the kernel has nothing to do
        kernel = 'jupyterapp.shell.currentWidget.context.sessionContext.session.kernel'
        self.page.wait_for_timeout(500)
        self.page.wait_for_function(f'() => {kernel}.status == "idle"', timeout=300_000)

    def said(self, k) -> str:  # what stands below a cell, as the page shows it
        box = self.page.locator(f'.jp-Cell[data-windowed-list-index="{k}"] .jp-Cell-outputArea')
        return box.inner_text()


@pytest.fixture
def open_lesson(browser, address):
    opened = []

    def open_one(stem):
        opened.append(Lesson(browser, address, stem))
        return opened[-1]

    yield open_one
    for lesson in opened:
        lesson.do('kernelmenu:shutdown')
        lesson.page.close()


@pytest.mark.parametrize('stem', PART_I)
def test_a_lesson_runs(open_lesson, stem):
    kept = sum('image/' in line for line in (ROOT / f'nbs/{stem}.ipynb').open(encoding='utf-8'))
    lesson = open_lesson(stem)
    lesson.do('notebook:run-all-cells')
    lesson.wait()
    cells = lesson.cells()
    outputs = [output for cell in cells for output in cell['outputs']]
    errors = [o['evalue'] for o in outputs if o['output_type'] == 'error']
    assert not errors and not [o for o in outputs if o.get('name') == 'stderr']
    assert all(cell['count'] is not None for cell in cells if cell['source'].strip())
    pictures = [o for o in outputs if any('image/' in kind for kind in o.get('data', ()))]
    assert len(pictures) == kept, f'{len(pictures)} pictures, and {kept} are kept in the file'
    shown = lesson.page.locator('.jp-OutputArea img')
    for k in range(shown.count()):
        assert shown.nth(k).evaluate('img => img.decode().then(() => img.naturalWidth)') > 100


def test_a_number_is_changed(open_lesson):
    lesson = open_lesson('02_vocab')
    lesson.do('notebook:run-all-cells')
    k = lesson.find('# your number')
    source = lesson.cells()[k]['source']
    lesson.run(k)
    before = lesson.said(k)
    assert 'the purple cylinder has been added' in before and '<unk>' not in before
    lesson.type_and_run(k, source.replace('min_count=1', 'min_count=30'))
    assert '<unk>' in lesson.said(k) and lesson.said(k) != before


def test_an_exercise_is_solved_wrong_and_then_right(open_lesson):
    lesson = open_lesson('02_vocab')
    lesson.do('notebook:run-all-cells')
    lesson.wait()
    k, check = lesson.find('def my_words_of'), lesson.find('check_words_of, my_words_of')
    assert 'not solved yet' in lesson.said(check)
    lesson.type_and_run(k, 'def my_words_of(caption):\n    return caption.split()')
    lesson.run(check)
    assert 'Wrong: ' in lesson.said(check) and 'lower case' in lesson.said(check)
    assert 'Traceback' not in lesson.said(check)
    right = (
        'import re\nmy_words_of = lambda s: re.sub(r"(?<=\\S)\\.$", "", s.lower().strip()).split()'
    )
    lesson.type_and_run(k, right)
    lesson.run(check)
    assert lesson.said(check).strip() == 'right'

"""The playground in JupyterLab in Chromium: sliders are moved, and picture and sentence follow.

Skipped where there is no Chromium (/usr/bin/chromium, or the path in CHROMIUM) or no Playwright.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get('CHROMIUM', '/usr/bin/chromium'))
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
NOTEBOOK = ROOT / 'nbs' / 'lab' / '45_playground.ipynb'
playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright here')
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason='no Chromium here')


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@contextmanager
def jupyter_lab(tmp):  # yields the address of a server on the folder
    port = free_port()
    options = [
        *('--no-browser', '--allow-root', f'--port={port}', '--port-retries=0'),
        *('--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True'),
        *(f'--ServerApp.root_dir={tmp}', '--LabApp.news_url=None'),
        '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
    ]
    folders = dict(JUPYTER_CONFIG_DIR=tmp / 'config', JUPYTER_RUNTIME_DIR=tmp / 'run')
    env = os.environ | {name: str(folder) for name, folder in folders.items()}
    env |= dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    command = [sys.executable, '-m', 'jupyterlab', *options]
    with (tmp / 'lab.log').open('w') as log:
        lab = subprocess.Popen(command, cwd=tmp, env=env, stdout=log, stderr=log)
        try:
            wait_for(port, lab, tmp / 'lab.log')
            yield f'http://127.0.0.1:{port}/lab/workspaces/test{port}/tree'
        finally:
            lab.terminate()
            lab.wait(20)


def wait_for(port, server, log):
    for _ in range(180):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(log.read_text()[-2000:])


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    "A copy of the notebook with its first cells run, the playground on the screen."
    tmp = tmp_path_factory.mktemp('lab')
    shutil.copy(NOTEBOOK, tmp)  # JupyterLab saves what it shows
    with jupyter_lab(tmp) as lab, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport=dict(width=1366, height=900))
        page.goto(f'{lab}/{NOTEBOOK.name}?reset')
        cell = page.locator('.jp-CodeCell', has_text='idc_nb.play()').first
        cell.wait_for(timeout=120_000)
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(
            timeout=120_000
        )
        cell.locator('.cm-content').click()
        page.keyboard.press('Shift+Enter')
        page.locator('.widget-image').wait_for(timeout=120_000)
        yield page
        browser.close()


def picture(page) -> str:  # where the browser has the picture from; new with each picture
    return page.locator('img.widget-image').get_attribute('src')


def sentence(page) -> str:
    return page.locator('.widget-html-content b').inner_text()


def after(page, read, act) -> str:  # what `read` gives once it is something else
    old = read(page)
    act()
    for _ in range(200):
        if read(page) != old:
            return read(page)
        page.wait_for_timeout(100)
    raise AssertionError(f'still {old[:200]}')


def handle(page, name):  # of a slider
    row = page.locator('.widget-hslider', has=page.get_by_text(name, exact=True))
    return row.locator('.noUi-handle')


def press(page, name, key, times=1):
    handle(page, name).focus()
    for _ in range(times):
        page.keyboard.press(key)


@pytest.mark.parametrize('name', ['turn', 'height', 'light'])
def test_the_picture_follows_a_slider(page, name):
    after(page, picture, lambda: press(page, name, 'ArrowRight', 3))


def test_a_slider_is_dragged(page):
    box = handle(page, 'turn').bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2

    def drag():
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 25, y, steps=5)
        page.mouse.up()

    after(page, picture, drag)


def test_another_scene_gets_another_sentence(page):
    after(page, sentence, lambda: press(page, 'scene', 'ArrowRight', 5))


def test_a_change_is_chosen(page):
    page.wait_for_timeout(2000)  # the sliders of the tests before have been heard
    change = page.locator('.widget-dropdown', has_text='change').locator('select')
    for kind, words in dict(
        add='appeared|placed|added', drop='disappeared|missing|gone|no longer'
    ).items():
        said = after(page, sentence, lambda: change.select_option(kind))
        assert any(word in said for word in words.split('|')), f'{kind}: {said}'


def test_a_word_lights_its_place(page):
    word = page.locator('.widget-toggle-button', has_text=sentence(page).split()[1]).first
    lit = after(page, picture, word.click)
    assert lit and page.locator('.widget-toggle-button.mod-active').inner_text() != 'no word'


def test_the_line_below_says_truth_and_probability(page):
    line = page.locator('.widget-html-content').inner_text()
    assert ('true' in line or 'false' in line) and 'probability of a change' in line

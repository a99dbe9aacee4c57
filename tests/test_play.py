"""`idc_nb.play()` is there on first use and loads no widget before."""

import subprocess
import sys
import pytest
import idc_nb

pytest.importorskip('ipywidgets', reason='no ipywidgets here')


def test_play_is_loaded_on_first_use():
    code = "import idc_nb, sys; assert 'ipywidgets' not in sys.modules; idc_nb.play"
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


def test_play_shows_widgets_and_a_picture():
    p = idc_nb.play(scene=7)
    bundle = p._repr_mimebundle_()
    assert {'application/vnd.jupyter.widget-view+json', 'image/png'} <= bundle.keys()
    assert p.scene.value == 7 and p.answer.sentence in p.says.value


def test_each_control_is_followed():
    p = idc_nb.play()
    for control, value in [(p.turn, 5), (p.height, 1), (p.light, 0.5), (p.scene, 9)]:
        before = p.picture.value
        control.value = value
        assert p.picture.value != before
    p.kind.value = 'drop'
    assert p.value.options == (('0', 0),)
    p.thing.value = p.before.ids[-1]
    assert p.answer.verdict.wrong != 'grammar'

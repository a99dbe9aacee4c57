"""Our pictures beside the real samples, which lie outside the repository.

The tests that compare are skipped where there are no samples.
"""

from functools import cache
from pathlib import Path
import numpy as np
import pytest
from idc_nb.world import render as renderer
from idc_nb.world.render import all_visible, boxes, ids_of, render, trace
from idc_nb.world.scenes import COLORS, jitter, sample_scene

REAL = Path(__file__).parents[2] / 'shared' / 'data' / 'clevr_change'
needs_real = pytest.mark.skipif(not (REAL / 'images').exists(), reason='no real samples here')
WIDTH, HEIGHT = SIZE = 480, 320


@cache
def real(kind, i):  # (H,W,3)
    from PIL import Image

    name = {'images': 'default', 'nsc_images': 'nonsemantic'}[kind]
    image = Image.open(REAL / kind / f'CLEVR_{name}_{i:06d}.png')
    return np.array(image.convert('RGB')).astype(float)


def real_pairs(n):
    return [(real('images', i), real('nsc_images', i)) for i in range(n)]


@cache
def made_scenes(n):  # each scene, and the same with another camera and light
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(n):
        scene = sample_scene(rng)
        scenes.append((scene, jitter(scene, rng)))
    return scenes


@pytest.fixture(scope='module')
def made_pairs():  # 30 pairs of pictures, drawn once
    return [[render(scene, SIZE) for scene in pair] for pair in made_scenes(30)]


def floor_levels(image):  # median level of the floor at the top, in the middle, at the bottom
    image = np.asarray(image, float)
    gray = (image.max(-1) - image.min(-1)) < 0.12 * image.max(-1)
    parts = slice(0, 40), slice(120, 200), slice(250, 320)
    return [np.median(image[rows].mean(-1)[gray[rows]]) for rows in parts]


def color_of_pixels(image):  # (H,W): index of a colour of the palette, -1 where there is none
    hues = np.array([rgb for name, rgb in COLORS.items() if name != 'gray'], float)
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    light = (np.asarray(image, float) / 255) ** 2.2
    length = np.linalg.norm(light, axis=-1, keepdims=True)
    color = (light / (length + 1e-6) @ hues.T).argmax(-1)
    color[(light.max(-1) - light.min(-1)) < 0.3 * light.max(-1)] = -1
    return color


def touches_border(rows, columns):
    edges = rows.start, columns.start, HEIGHT - 1 - rows.stop, WIDTH - 1 - columns.stop
    return min(edges) <= 1


def blobs(image):  # {colour: centre (x, y)} of colours with one connected blob inside the picture
    from scipy import ndimage

    color = color_of_pixels(image)
    centres = {}
    for k in range(color.max() + 1):
        labels, _ = ndimage.label(ndimage.binary_opening(color == k))
        places = ndimage.find_objects(labels)
        large = [p for j, p in enumerate(places, 1) if (labels[p] == j).sum() > 250]
        if len(large) == 1 and not touches_border(*large[0]):
            y, x = large[0]
            centres[k] = np.array([x.start + x.stop, y.start + y.stop]) / 2
    return centres


def shifts(pairs):  # how far each blob moved, in pixels
    moved = []
    for one, two in pairs:
        a, b = blobs(one), blobs(two)
        moved += [np.hypot(*(a[k] - b[k])) for k in a if k in b]
    return np.array(moved)


def floor_change(one, two):
    return np.abs(np.subtract(floor_levels(one), floor_levels(two))).max()


@needs_real
def test_floor_is_as_bright_as_the_real_one(made_pairs):
    theirs = np.mean([floor_levels(one) for one, _ in real_pairs(30)], 0)
    ours = np.mean([floor_levels(one) for one, _ in made_pairs[:20]], 0)
    assert np.abs(ours - theirs).max() < 6, (ours, theirs)


@needs_real
def test_jitter_moves_things_as_far_as_in_real_pairs(made_pairs):
    pytest.importorskip('scipy')
    theirs, ours = shifts(real_pairs(30)), shifts(made_pairs)
    assert len(theirs) > 25 and len(ours) > 25
    assert 0.7 < np.median(ours) / np.median(theirs) < 1.4, (np.median(ours), np.median(theirs))


@needs_real
def test_lamps_hardly_differ_within_a_pair(made_pairs):
    assert np.median([floor_change(*pair) for pair in real_pairs(30)]) < 6
    assert np.median([floor_change(*pair) for pair in made_pairs[:10]]) < 6


def test_a_scene_that_was_asked_is_not_traced_again():
    trace.cache_clear()
    scene, _ = made_scenes(1)[0]
    all_visible(scene)
    picture = render(scene)
    assert trace.cache_info().misses == 1
    trace.cache_clear()
    assert (render(scene) == picture).all()


def test_what_the_cache_keeps_cannot_be_changed():
    scene, _ = made_scenes(1)[0]
    for array in trace(scene, (96, 64)):
        with pytest.raises(ValueError, match='read-only'):
            array[0] = 0


def test_boxes_hold_what_the_buffer_shows():
    for scene, _ in made_scenes(5):
        ids = ids_of(scene, trace(scene, SIZE)[2])
        for id, (left, top, right, bottom) in boxes(ids).items():
            assert (ids[top:bottom, left:right] == id).sum() == (ids == id).sum()


@pytest.mark.parametrize('size, enough', [((480, 320), 200), ((224, 224), 66)])
def test_a_thing_is_visible_from_two_hundred_pixels_on(monkeypatch, size, enough):
    "As many at the size of the real pictures; as large a share at other sizes."
    for fewest in (enough, enough - 1, 0):
        pixels = {1: 5000, 2: fewest}
        monkeypatch.setattr(renderer, 'visible_pixels', lambda scene, size, pixels=pixels: pixels)
        assert all_visible(None, size) == (fewest >= enough), fewest

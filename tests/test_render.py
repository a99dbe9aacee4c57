"Our pictures against the real samples, which lie outside the repository; skipped where there are none."

from pathlib import Path
import numpy as np, pytest
from idc_nb.world.render import boxes, ids_of, render, trace
from idc_nb.world.scenes import COLORS, jitter, sample_scene

REAL = Path(__file__).resolve().parents[1].parent / 'shared' / 'data' / 'clevr_change'
needs_real = pytest.mark.skipif(not (REAL / 'images').exists(), reason='no real samples here')
SIZE = 480, 320


def real(kind, i):
    from PIL import Image

    name = {'images': 'default', 'nsc_images': 'nonsemantic'}[kind]
    return np.array(Image.open(REAL / kind / f'CLEVR_{name}_{i:06d}.png').convert('RGB')).astype(
        float
    )


def made(n):
    rng = np.random.default_rng(0)
    for _ in range(n):
        scene = sample_scene(rng)
        yield scene, jitter(scene, rng)


def floor_levels(image):  # median level of the floor at the top, in the middle, at the bottom
    image = np.asarray(image, float)
    gray = (image.max(-1) - image.min(-1)) < 0.12 * image.max(-1)
    return [
        np.median(image[rows].mean(-1)[gray[rows]])
        for rows in (slice(0, 40), slice(120, 200), slice(250, 320))
    ]


def blobs(
    image,
):  # {colour: (centre x, centre y)} of colours that make one connected blob, clear of the border
    pytest.importorskip('scipy')
    from scipy import ndimage

    light = (np.asarray(image, float) / 255) ** 2.2
    hues = np.array([COLORS[c] for c in COLORS if c != 'gray'], float)
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    label = (light / (np.linalg.norm(light, axis=-1, keepdims=True) + 1e-6) @ hues.T).argmax(-1)
    label[(light.max(-1) - light.min(-1)) < 0.3 * light.max(-1)] = -1
    out = {}
    for k in range(len(hues)):
        parts, _ = ndimage.label(ndimage.binary_opening(label == k))
        found = [
            s for j, s in enumerate(ndimage.find_objects(parts)) if (parts[s] == j + 1).sum() > 250
        ]
        if (
            len(found) == 1
            and min(
                found[0][0].start, found[0][1].start, 319 - found[0][0].stop, 479 - found[0][1].stop
            )
            > 1
        ):
            ((y, x),) = found
            out[k] = np.array([x.start + x.stop, y.start + y.stop]) / 2
    return out


def shifts(pairs):
    out = []
    for a, b in pairs:
        a, b = blobs(a), blobs(b)
        out += [np.hypot(*(a[k] - b[k])) for k in a if k in b]
    return np.array(out)


@needs_real
def test_floor_is_as_bright_as_the_real_one():
    theirs = np.mean([floor_levels(real('images', i)) for i in range(30)], 0)
    ours = np.mean([floor_levels(render(s, SIZE)) for s, _ in made(20)], 0)
    assert np.abs(ours - theirs).max() < 6, (ours, theirs)


@needs_real
def test_jitter_moves_things_as_far_as_in_real_pairs():
    theirs = shifts((real('images', i), real('nsc_images', i)) for i in range(30))
    ours = shifts((render(a, SIZE), render(b, SIZE)) for a, b in made(30))
    assert len(theirs) > 25 and len(ours) > 25
    assert 0.7 < np.median(ours) / np.median(theirs) < 1.4, (np.median(ours), np.median(theirs))


@needs_real
def test_lamps_hardly_differ_within_a_pair():
    change = lambda a, b: np.abs(np.subtract(floor_levels(a), floor_levels(b))).max()
    assert np.median([change(real('images', i), real('nsc_images', i)) for i in range(30)]) < 6
    assert np.median([change(render(a, SIZE), render(b, SIZE)) for a, b in made(10)]) < 6


def test_boxes_hold_what_the_buffer_shows():
    for scene, _ in made(5):
        ids = ids_of(scene, trace(scene, SIZE)[2])
        for id, (left, top, right, bottom) in boxes(ids).items():
            assert (ids[top:bottom, left:right] == id).sum() == (ids == id).sum()

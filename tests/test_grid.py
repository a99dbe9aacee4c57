"""Backbones by name, their weights, and what they make of many images."""

import warnings
import numpy as np
import pytest
import torch
from PIL import Image
from idc_nb.grid import BACKBONES, DEFAULT, Backbone, Spec, get_backbone, grid, mirror, to_pixels
from idc_nb.lab import store


def picture(size=(60, 40)):
    x = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(x)


@pytest.mark.parametrize(
    'name, words',
    [
        ('resnet1001', "unknown backbone 'resnet1001'"),
        (f'{DEFAULT}:trained', 'behind the colon expected random'),
    ],
)
def test_wrong_name(name, words):
    with pytest.raises(ValueError, match=words):
        Backbone(name)


def test_made_up_weights_are_always_the_same_and_keep_the_random_state():
    name = f'{DEFAULT}:random'
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, two = Backbone(name), Backbone(name)
    assert torch.equal(torch.rand(2), expected)
    pixels = torch.from_numpy(to_pixels(picture()).copy())[None]
    assert torch.equal(one(pixels), two(pixels))
    assert not torch.equal(one(pixels), get_backbone()(pixels))


def test_a_spec_of_ones_own():
    usual = BACKBONES[DEFAULT]
    last = Backbone(spec=Spec(stage=4, mean=usual.mean, std=usual.std))
    assert last.channels == 320
    assert last(torch.zeros(1, 224, 224, 3, dtype=torch.uint8)).shape == (1, 49, 320)
    assert get_backbone().spec == usual


@pytest.mark.parametrize('name', [DEFAULT, 'resnet18:random'])
def test_a_large_job_takes_a_record_of_the_backbone(name, tmp_path, monkeypatch):
    images = [tmp_path / f'{i}.png' for i in range(11)]  # the last batch holds three
    for i, path in enumerate(images):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    plain = store.extract_features(images, tmp_path / 'plain', name)
    made = []
    kept = store._traced
    monkeypatch.setattr(store, '_traced', lambda *args: made.append(kept(*args)) or made[-1])
    monkeypatch.setattr(store, 'TRACED', len(images))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        traced = store.extract_features(images, tmp_path / 'traced', name, workers=2)
    assert len(made) == 1
    np.testing.assert_allclose(traced.grids, plain.grids, atol=1e-3, rtol=1e-3)  # half: 0.001 x
    assert (np.asarray(traced.grids) == plain.grids).mean() > 0.9


def test_mirror_twice():
    cells = grid(picture())[None]
    assert torch.equal(mirror(mirror(cells, 2), 2), cells)

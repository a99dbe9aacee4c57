"""Images that are broken or unusual, and backbones by name."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from idc_nb.grid import BACKBONES, DEFAULT, Backbone, Spec, get_backbone, grid, mirror, to_pixels
from idc_nb.lab.weights import _whole_offline_net, merge_norms, timm_net


def picture(size=(60, 40)):
    x = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(x)


def test_text_named_as_an_image(tmp_path):
    (tmp_path / 'text.png').write_text('not a picture')
    with pytest.raises(ValueError, match='text.png is not an image that PIL can read'):
        to_pixels(tmp_path / 'text.png')


def test_truncated_image_is_named(tmp_path):
    path = tmp_path / 'cut.png'
    picture().save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match='cut.png is not an image that PIL can read'):
        to_pixels(path)


def test_missing_image_and_folder(tmp_path):
    for path in (tmp_path / 'nowhere.png', tmp_path):
        with pytest.raises(FileNotFoundError, match='is missing: expected an image file'):
            to_pixels(path)


@pytest.mark.parametrize('x', [np.zeros((4, 4, 3)), np.zeros(9, np.uint8), np.zeros((4, 4), int)])
def test_wrong_array(x):
    with pytest.raises(ValueError, match='expected an image array of uint8'):
        to_pixels(x)


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA', 'P', 'CMYK', '1'])
def test_every_mode_and_size_becomes_the_square(mode):
    out = to_pixels(picture().convert(mode))
    assert out.shape == (224, 224, 3) and out.dtype == np.uint8


def test_transparent_parts_become_white():
    image = Image.new('RGBA', (224, 224), (255, 0, 0, 0))
    assert (to_pixels(image) == 255).all()
    assert (to_pixels(np.asarray(image)) == 255).all()


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


@pytest.mark.parametrize('size', [(224, 224), (97, 130), (31, 64)])
def test_the_offline_network_is_timms_at_any_size(size):
    theirs = _whole_offline_net().eval()
    x = torch.randn(1, 3, *size)
    with torch.inference_mode():
        maps = theirs.forward_intermediates(x, intermediates_only=True)
        for stage in range(5):
            net = timm_net(DEFAULT, stage)
            assert torch.equal(net(x)[0], maps[stage]), stage
            assert net.map_channels == maps[stage].shape[1]
        assert torch.equal(timm_net(DEFAULT, -1)(x)[0], maps[4])


def test_merged_norms_are_a_copy_in_the_same_layout():
    plain = get_backbone()
    names = list(plain.state_dict())
    merged = merge_norms(plain)
    assert list(plain.state_dict()) == names and 'net.layers.0.norm.weight' in names
    assert not any('norm' in name for name in merged.state_dict())
    assert not any(p.requires_grad for p in merged.parameters())
    weight = merged.net.layers[1].parts[0].conv.weight
    assert weight.stride() == plain.net.layers[1].parts[0].conv.weight.stride()
    kinds = [type(m) for m in merged.modules()]
    assert nn.BatchNorm2d not in kinds
    pixels = torch.from_numpy(to_pixels(picture()).copy())[None]
    with torch.inference_mode():
        torch.testing.assert_close(merged(pixels), plain(pixels), rtol=1e-4, atol=1e-3)
        y = merged.net(torch.zeros(2, 3, 224, 224).to(memory_format=torch.channels_last))[0]
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_merging_leaves_other_networks_as_they_are():
    plain = Backbone('resnet18:random')
    pixels = torch.from_numpy(to_pixels(picture()).copy())[None]
    with torch.inference_mode():
        assert torch.equal(merge_norms(plain)(pixels), plain(pixels))


def test_mirror_twice():
    cells = grid(picture())[None]
    assert torch.equal(mirror(mirror(cells, 2), 2), cells)

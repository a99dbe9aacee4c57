"""Images that are broken or unusual: turned, of 16 bits, transparent, too large."""

from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from idc_nb.grid import to_pixels
from idc_nb.lab.pixels import image_endings, read_rgb

CASES = Path(__file__).parents[2] / '../shared/data/cases/images'


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


WRONG = [
    (np.zeros(9, np.uint8), r'got uint8 \(9,\)'),
    (np.zeros((4, 4), int), r'got int64 \(4, 4\)'),
    (np.full((4, 5, 3), 255.0), r'from 255 to 255: expected 0..1.*float64 \(4, 5, 3\)'),
    (np.full((4, 5), np.nan), 'not finite'),
    (torch.full((3, 5, 6), -2.1), r'from -2.1 to -2.1: .*float32 \(3, 5, 6\)'),
    (np.zeros((1, 3, 6, 5), np.uint8), r'got uint8 \(1, 3, 6, 5\)'),
    (np.zeros((5, 6, 9), np.uint8), r'got uint8 \(5, 6, 9\)'),
    (np.zeros((0, 6), np.uint8), 'is empty'),
    (torch.zeros(3, 0, 6), 'is empty'),
    (Image.new('RGB', (0, 6)), 'is empty'),
    (None, 'got object'),
    ([[1, 2]], 'got int64'),
    (Image.fromarray(np.full((4, 4), 70000, np.int32)), 'from 70000 to 70000'),
    (Image.fromarray(np.full((4, 4), 2.0, np.float32)), 'from 2 to 2'),
]


@pytest.mark.parametrize('x, words', WRONG)
def test_wrong_array(x, words):
    with pytest.raises(ValueError, match=words):
        to_pixels(x)


def test_arrays_and_tensors_of_one_picture():
    seen = np.asarray(picture())
    first = torch.from_numpy(seen.copy()).permute(2, 0, 1)  # (3,H,W)
    for x in (
        first,
        first / 255,
        (first / 255).double(),
        first.numpy(),
        seen / 255,
        seen.astype(np.uint16) * 257,
        np.dstack([seen, np.full(seen.shape[:2], 255, np.uint8)]),
        (first / 255).requires_grad_(),
    ):
        assert (np.asarray(read_rgb(x)) == seen).all()
    near = np.asarray(read_rgb((first / 255).bfloat16())).astype(int) - seen
    assert abs(near).max() <= 1
    grey = seen[..., 0]
    for x in (grey, grey[..., None], grey[None], torch.from_numpy(grey / 255)):
        assert (np.asarray(read_rgb(x)) == grey[..., None]).all()
    assert set(np.unique(read_rgb(grey > 100))) == {0, 255}


@pytest.mark.parametrize('turn', range(1, 9))
def test_every_orientation_of_exif(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    how = [None, 0, 3, 1, 5, 2, 6, 4][turn - 1]  # the inverse of what EXIF asks for
    stored = picture() if how is None else picture().transpose(how)
    for name in ('a.png', 'a.webp', 'a.tif'):
        options = dict(lossless=True) if name == 'a.webp' else {}
        stored.save(tmp_path / name, exif=exif, **options)
        assert (np.asarray(read_rgb(tmp_path / name)) == np.asarray(picture())).all(), name
    stored.save(tmp_path / 'a.png', exif=b'Exif\0\0broken')
    read_rgb(tmp_path / 'a.png')


def test_sixteen_bits_keep_their_range(tmp_path):
    grey = np.asarray(picture().convert('L'))
    deep = grey.astype(np.uint16) * 257
    for name in ('a.png', 'a.tif'):
        Image.fromarray(deep).save(tmp_path / name)
        assert (np.asarray(read_rgb(tmp_path / name)) == grey[..., None]).all()
    for x in (deep.astype(np.int32), deep.astype('>u2'), (grey / 255).astype(np.float32)):
        image = Image.fromarray(x) if x.dtype.kind != 'u' else x
        assert (np.asarray(read_rgb(image)) == grey[..., None]).all()
    Image.fromarray((grey / 255).astype(np.float32)).save(tmp_path / 'float.tif')
    assert (np.asarray(read_rgb(tmp_path / 'float.tif')) == grey[..., None]).all()


@pytest.mark.parametrize('mode', ['RGBA', 'RGBa', 'LA', 'La', 'PA', 'P', 'RGB', 'L', '1', 'I;16'])
def test_transparency_of_every_mode_is_white(tmp_path, mode):
    clear = Image.new('RGBA', (20, 10), (0, 0, 0, 0))
    if mode == 'P':
        clear.quantize(4).save(tmp_path / 'a.png')
        image = tmp_path / 'a.png'
    elif mode in ('RGB', 'L', '1', 'I;16'):
        key = (0, 0, 0) if mode == 'RGB' else 0
        Image.new(mode, (20, 10), 0).save(tmp_path / 'a.png', transparency=key)
        image = tmp_path / 'a.png'
    else:
        how = dict(PA=clear.quantize(4), La=clear.convert('LA'))
        image = how.get(mode, clear).convert(mode)
    assert (np.asarray(read_rgb(image)) == 255).all()


def test_too_large_and_broken_files_are_named(tmp_path, monkeypatch):
    path = tmp_path / 'large.png'
    picture().save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ValueError, match='large.png is not an image that PIL can read .*exceeds'):
        to_pixels(path)
    monkeypatch.undo()
    raw = path.read_bytes()
    for cut in range(0, len(raw), 97):
        path.write_bytes(raw[:cut])
        with pytest.raises(ValueError, match='large.png'):
            to_pixels(path)


def test_endings_of_images():
    endings = image_endings()
    assert {'.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tiff', '.gif', '.ppm'} <= set(endings)
    assert not {'.json', '.npy', '.txt', '.h5', '.mpg', '.pdf', '.svg'} & set(endings)


@pytest.mark.skipif(not CASES.exists(), reason='needs ../shared')
def test_cases():
    def read(name):
        return np.asarray(read_rgb(CASES / name)).astype(int)

    assert abs(read('upright.jpg') - read('upright_by_exif.jpg')).mean() < 3  # both are JPEGs
    deep = read('before_16bit.png')
    assert deep.min() == 4 and deep.max() == 255 and 20 < deep.mean() < 235
    assert (deep != read('after_16bit.png')).any()
    clear = [read(f'transparent_{name}.png') for name in ('rgba', 'palette')]
    assert abs(clear[0] - clear[1]).mean() < 8  # a palette has 256 colors
    with pytest.raises(ValueError, match='truncated.png is not an image that PIL can read'):
        read('truncated.png')


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA', 'P', 'CMYK', '1'])
def test_every_mode_and_size_becomes_the_square(mode):
    out = to_pixels(picture().convert(mode))
    assert out.shape == (224, 224, 3) and out.dtype == np.uint8


def test_transparent_parts_become_white():
    image = Image.new('RGBA', (224, 224), (255, 0, 0, 0))
    assert (to_pixels(image) == 255).all()
    assert (to_pixels(np.asarray(image)) == 255).all()

"""What is no captioner or no image gets a sentence that names it; captioning is the known steps."""

from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from idc_nb.captioner import (
    MODELS,
    Captioner,
    caption,
    captions,
    get_captioner,
    load_captioner,
    save_captioner,
)
from idc_nb.decode import greedy
from idc_nb.grid import grid
from idc_nb.inputs import tiny_config
from idc_nb.model import DifferenceModel
from idc_nb.vocab import Vocab
from idc_nb.lab.calibration import soften


def new_captioner():
    torch.manual_seed(0)
    vocab = Vocab(['the', 'cube', 'is', 'gone'])
    model = DifferenceModel(tiny_config(460, len(vocab)))
    return Captioner(model, vocab, 'tf_efficientnet_lite0', {})


def fails(error, path, message):
    with pytest.raises(error, match=message):
        load_captioner(path)


def test_no_file(tmp_path):
    fails(FileNotFoundError, tmp_path / 'none.safetensors', 'none.safetensors is missing')


def test_no_safetensors(tmp_path):
    path = tmp_path / 'text.safetensors'
    path.write_text('hello')
    fails(ValueError, path, 'text.safetensors is not a safetensors file')


def test_of_another_program(tmp_path):
    path = tmp_path / 'foreign.safetensors'
    save_file({'a': torch.zeros(2)}, path)
    fails(ValueError, path, 'was not written by save_captioner')


def test_wrong_shape(tmp_path):
    c = new_captioner()
    c.model.word_head = torch.nn.Linear(96, 3)
    save_captioner(c, tmp_path / 'c.safetensors')
    expected = r'word_head.bias is \(3,\), expected \(10,\) \(2 such weights\)'
    fails(ValueError, tmp_path / 'c.safetensors', expected)


@pytest.mark.parametrize('remove', [True, False], ids=['missing', 'unknown'])
def test_missing_and_unknown_weights(tmp_path, remove):
    path = tmp_path / 'c.safetensors'
    c = new_captioner()
    if remove:
        del c.model.judge
    else:
        c.model.another = torch.nn.Linear(2, 2)
    save_captioner(c, path)
    fails(ValueError, path, 'is missing, expected' if remove else 'another.bias is .*nothing')


def test_a_killed_writer_leaves_no_file(tmp_path, monkeypatch):
    def dies(part, content):
        part.write_text('half')
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, 'write_bytes', dies)
    with pytest.raises(KeyboardInterrupt):
        save_captioner(new_captioner(), tmp_path / 'c.safetensors')
    assert not list(tmp_path.iterdir())


def test_names_and_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match='mini_cats is missing: expected one of mini_clevr'):
        get_captioner('mini_cats')
    names = [n for n in load_file(MODELS['mini_clevr']) if not n.startswith('familiar.')]
    assert len(names) == len(get_captioner().model.state_dict())
    save_captioner(new_captioner(), tmp_path / 'own.safetensors')
    grey = np.full((30, 40), 128, np.uint8)
    said = caption(grey, grey, model=tmp_path / 'own.safetensors')
    assert set(said.split()) <= {'the', 'cube', 'is', 'gone'}


def test_images(tmp_path):
    image = tmp_path / 'grey.png'
    Image.new('L', (30, 40), 128).save(image)
    (tmp_path / 'notes.png').write_text('no image')
    with pytest.raises(ValueError, match='notes.png is not an image'):
        caption(image, tmp_path / 'notes.png')
    with pytest.raises(FileNotFoundError, match='gone.png is missing'):
        caption(image, tmp_path / 'gone.png')
    for other in ((480, 320), (31, 200)):
        for mode in ('RGBA', 'L', 'P'):
            assert isinstance(caption(image, Image.new(mode, other)), str)
    with pytest.raises(ValueError, match='pair 1 has 1 images'):
        captions([(image, image), (image,)])
    with pytest.raises(ValueError, match='never learnt to judge'):
        caption(image, image, with_change=True, model='mini_birds')


def test_captioning_is_grid_model_decoding_and_vocabulary():
    c = get_captioner()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (60, 90, 3), np.uint8) for _ in range(2)]
    cells = [grid(image)[None] for image in images]
    ids, change = greedy(c.model, *cells)
    said, probability = c.from_images(images[:1], images[1:])[0]
    assert said == c.vocab.decode(ids[0])
    change = soften(change, c.about['temperature'])
    assert probability == pytest.approx(change.item(), abs=1e-5)

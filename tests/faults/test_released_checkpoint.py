"""A checkpoint of the authors becomes a captioner in one call, or the error says what it needs."""

import pytest
import torch
from idc_nb import captioner
from idc_nb.captioner import Captioner, load_captioner, save_captioner
from idc_nb.grid import DEFAULT
from idc_nb.inputs import ModelConfig
from idc_nb.lab.official import ReleasedModel, save_checkpoint
from idc_nb.vocab import Vocab, save_vocab


@pytest.fixture
def released(tmp_path):  # a made-up checkpoint of the authors, and its dict.json
    vocab = Vocab(['the', 'cube', 'is', 'gone'])
    save_vocab(vocab, tmp_path / 'dict.json')
    torch.manual_seed(0)
    c = ModelConfig(channels=460, vocab=len(vocab), dim=64, heads=1, ff=32, exact=True)
    model = ReleasedModel(c, ('judge',)).eval()
    save_checkpoint(model, tmp_path / 'model.pt')
    return model, vocab, tmp_path / 'model.pt', tmp_path / 'dict.json'


def test_released_checkpoint_in_one_call(tmp_path, two, released, ask):
    model, vocab, path, words = released
    c = load_captioner(path, words, backbone=DEFAULT)
    expected = Captioner(model.model, vocab, DEFAULT, {}).from_images(*[[p] for p in two])
    assert c.from_images(*[[p] for p in two]) == expected
    save_captioner(c, tmp_path / 'ours.safetensors')
    again = load_captioner(tmp_path / 'ours.safetensors')
    assert again.from_images(*[[p] for p in two]) == expected
    code, (line,), _ = ask(*two, '--checkpoint', path, '--vocabulary', words, '--backbone', DEFAULT)
    assert code == 0 and line['caption'] == expected[0][0]


def test_released_checkpoint_that_does_not_fit(tmp_path, two, released, monkeypatch):
    model, _, path, words = released
    with pytest.raises(ValueError, match='a released checkpoint needs its vocabulary'):
        load_captioner(path)
    save_vocab(Vocab(['one']), tmp_path / 'small.json')
    with pytest.raises(ValueError, match='small.json has 7 words, the checkpoint .*model.pt 10'):
        load_captioner(path, tmp_path / 'small.json')
    model.step, model.batches = 5, {}
    save_checkpoint(model, tmp_path / 'pre.pt')
    with pytest.raises(ValueError, match='pre.pt was only pre-trained'):
        load_captioner(tmp_path / 'pre.pt', words)
    c = load_captioner(path, words, 'resnet101')
    wide = type('Wide', (), dict(channels=2048))()
    monkeypatch.setattr(captioner, 'get_backbone', lambda name: wide)
    with pytest.raises(ValueError, match='resnet101 gives cells of 2048 numbers, the model reads'):
        c.from_images(*[[p] for p in two])

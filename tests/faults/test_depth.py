"""A model notices pictures from another world, and its probability can be made honest."""

import hashlib
import json
import subprocess
import sys
import warnings
from dataclasses import replace
import pytest
import torch
from bench.depth import REAL, ROOT, strangeness
from idc_nb.captioner import MODELS, SHIPPED, load_captioner, save_captioner
from idc_nb.lab.calibration import calibrate, calibration_error, fit_temperature, soften
from idc_nb.lab.familiar import FarFromTraining, learn_familiar
from idc_nb.lab.store import lesson_store
from idc_nb.pairs import read_clevr_change, lesson_data
from idc_nb.world.bird_words import lesson_birds

KEPT = json.loads((ROOT / 'results' / 'depth.json').read_text())
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason='no ../shared/data here')


@pytest.fixture(scope='module')
def familiar():
    return learn_familiar(lesson_store())


def test_kept_figures():
    worlds = KEPT['strangeness']
    assert worlds['real CLEVR pictures']['flagged %'] == 0
    assert worlds['CUB photographs']['flagged %'] >= 95
    if load_captioner(SHIPPED).familiar:
        digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
        assert KEPT['about']['sha256'] == digest, 'the checkpoint changed: run `make depth`'


def test_kept_figures_of_birds():
    kept = KEPT['birds']
    digest = hashlib.sha256(MODELS['mini_birds'].read_bytes()).hexdigest()
    assert kept['sha256'] == digest, 'the checkpoint changed: run `make depth`'
    for world, row in kept['strangeness'].items():
        share = row['flagged %']
        assert share == 0 if world.startswith('made birds') else share >= 95, world


def test_the_model_of_birds_knows_its_world():
    familiar = load_captioner(MODELS['mini_birds']).familiar
    made = sorted(lesson_birds().glob('birds_to_words/images/**/*.jpg'))[:12]
    assert max(strangeness(familiar, made)) < 1
    scenes = [t.img2 for t in read_clevr_change(lesson_data(), 'test')][:6]
    assert min(strangeness(familiar, scenes)) > 1


@needs_real
def test_the_model_of_birds_flags_real_photographs():
    familiar = load_captioner(MODELS['mini_birds']).familiar
    found = strangeness(familiar, sorted(REAL.glob('cub/images/*/*.jpg')))
    assert sum(s > 1 for s in found) >= 0.95 * len(found)


@needs_real
def test_real_photographs_are_flagged_and_real_scenes_are_not(familiar):
    scenes = [*sorted(REAL.glob('clevr_change/images/*.png')), *REAL.glob('cases/real_pairs/*')]
    assert max(strangeness(familiar, scenes)) < 1
    photos = sorted(REAL.glob('cub/images/*/*.jpg'))[::4]
    far = [s > 1 for s in strangeness(familiar, photos)]
    assert sum(far) >= 0.95 * len(far)


def test_too_few_pictures_tell_nothing(tmp_path):
    from made_up import made_up

    assert learn_familiar(made_up(tmp_path)[1], least=61) is None
    assert learn_familiar(made_up(tmp_path)[1], least=60) is not None


def test_the_file_keeps_it_and_caption_warns(familiar, tmp_path):
    from PIL import Image
    import idc_nb

    path = tmp_path / 'c.safetensors'
    plain = load_captioner(SHIPPED)
    about = plain.about | dict(temperature=2.0)
    save_captioner(replace(plain, familiar=familiar, about=about), path)
    again = load_captioner(path).familiar
    for name, x in familiar.tensors().items():
        assert x.equal(again.tensors()[name])
    t = read_clevr_change(lesson_data(), 'test')[0]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        sentence, p = idc_nb.caption(t.img1, t.img2, with_change=True, model=str(path))
        old, p_old = idc_nb.caption(t.img1, t.img2, with_change=True)
    assert sentence == old and (p > 0.5) == (p_old > 0.5)
    if plain.about.get('temperature', 1) == 1:
        assert p == pytest.approx(float(soften(torch.tensor([p_old]), 2.0)), abs=1e-4)
    noise = Image.effect_noise((224, 224), 90)
    with pytest.warns(idc_nb.FarFromTraining, match='an image of pair 0 and 1 other picture are'):
        idc_nb.caption(noise, noise, model=str(path))
    noise.save(tmp_path / 'noise.png')
    with pytest.warns(FarFromTraining, match='noise.png is unlike the training pictures'):
        idc_nb.caption(t.img1, tmp_path / 'noise.png', model=str(path))


def test_the_command_warns_on_stderr(familiar, tmp_path, capsys):
    from PIL import Image
    from idc_nb.lab.commands import idc_caption

    path = tmp_path / 'c.safetensors'
    save_captioner(replace(load_captioner(SHIPPED), familiar=familiar), path)
    Image.effect_noise((224, 224), 90).save(tmp_path / 'noise.png')
    picture = str(tmp_path / 'noise.png')
    assert idc_caption([picture, picture, '--checkpoint', str(path)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)['caption'] and err.startswith('warning: ') and 'noise.png' in err
    assert len(err.splitlines()) == 1


def test_a_warning_can_be_silenced_by_its_name():
    code = 'import warnings, idc_nb; print(issubclass(idc_nb.FarFromTraining, UserWarning))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == 'True', done.stderr


def test_calibrate_writes_the_temperature_and_changes_no_verdict():
    captioner, store = load_captioner(SHIPPED), lesson_store()
    triplets = [t for s in ('train', 'val') for t in read_clevr_change(lesson_data(), s)]
    found = calibrate(captioner, triplets, store)
    assert captioner.about['temperature'] == found['temperature'] > 0
    assert found['calibrated_on'] == len(triplets)
    p = torch.rand(500, generator=torch.Generator().manual_seed(0))
    for T in (0.3, 1.7, 9.0):
        assert ((soften(p, T) > 0.5) == (p > 0.5)).all()
    sure = torch.tensor([0.0, 1.0])
    assert soften(sure, 2.0).isfinite().all() and fit_temperature(sure, sure) > 0
    assert calibration_error(sure, sure) == 0

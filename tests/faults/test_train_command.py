"""idc_train: what it shows, keeps and refuses, which features it finds, which files it writes."""

import json
import os
import re
import shutil
import stat
import time
from pathlib import Path
import pandas as pd
import pytest
from idc_nb.lab import commands
from idc_nb.pairs import lesson_data

TRAIN = ['--accelerator', 'cpu', '--batch', '4', '--say-every', '50']


@pytest.fixture(scope='module')
def data(tmp_path_factory):  # lesson data whose grids are of made-up weights
    from idc_nb.lab.store import lesson_store

    root = tmp_path_factory.mktemp('data') / 'lesson'
    names = 'splits.json', 'type_mapping.json', 'change_captions.json', 'no_change_captions.json'
    root.mkdir()
    for name in (*names, 'images', 'sc_images', 'nsc_images'):
        (root / name).symlink_to((lesson_data() / name).resolve())
    store = root / 'features_tf_efficientnet_lite0_random'
    shutil.copytree(lesson_store().folder, store)
    index = json.loads((store / 'index.json').read_text())
    index['backbone'] += ':random'
    (store / 'index.json').write_text(json.dumps(index))
    return root


@pytest.fixture
def run_train(data, tmp_path, monkeypatch, capsys):  # (more arguments) -> exit code, stdout, stderr
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = commands.idc_train(['--data', str(data), *TRAIN, *map(str, argv)])
        return code, *capsys.readouterr()

    return run


def test_validation_is_printed_in_both_stages_and_a_short_run_is_logged(run_train):
    code, out, _ = run_train('--steps', 3, '--validate-every', 1)
    assert code == 0 and 'features of made-up weights' in out
    lines = re.findall(r'^step (\d) \| val (.*)$', out, flags=re.M)
    assert [step for step, _ in lines] == ['1', '2', '3']
    for name in ('mlm_loss', 'mlm_accuracy', 'mvcl_accuracy', 'fda_accuracy'):
        assert all(name in figures for _, figures in lines), out
    log = pd.read_csv('runs/tiny_0/pretrain/from_000000/metrics.csv')
    assert log['loss'].notna().sum() == 3 and log['val mlm_loss'].notna().sum() == 3
    code, out, _ = run_train('--stage', 'finetune', '--steps', 3, '--validate-every', 2)
    assert code == 0 and re.search(
        r'^step 2 \| val CIDEr-D \d+\.\d \(the best so far\)$', out, re.M
    )
    log = pd.read_csv('runs/tiny_0/finetune/from_000000/metrics.csv')
    assert log['loss'].notna().sum() == 3


def test_validation_changes_nothing(run_train):
    from idc_nb.lab.checkpoints import read_state

    weights = []
    for every in (1, 100):
        assert run_train('--steps', 4, '--validate-every', every, '--out', f'every_{every}')[0] == 0
        weights.append(read_state(f'every_{every}/pretrain/last.ckpt')['state_dict'])
    one, two = weights
    assert all(one[name].equal(two[name]) for name in one)


def test_a_finished_run_goes_on_to_more_steps(run_train):
    assert run_train('--steps', 4)[0] == 0
    code, out, _ = run_train('--steps', 6)
    assert code == 0 and 'a run of 4 steps goes on to 6' in out and 'step 6 of 6: done' in out
    settings = json.loads(Path('runs/tiny_0/pretrain/settings.json').read_text())
    assert settings['steps'] == 6 and settings['earlier_steps'] == [4]
    assert run_train('--steps', 6)[0] == 0  # nothing left to do
    code, _, err = run_train('--steps', 4)
    assert code == 2 and 'steps 6, now 4' in err
    code, _, err = run_train('--steps', 8, '--lr', '0.5')
    assert code == 2 and 'lr 0.001, now 0.5' in err
    assert run_train('--steps', 8, '--pause-after', 1)[0] == 0
    code, _, err = run_train('--steps', 10)  # step 7 of 8
    assert code == 2 and 'steps 8, now 10' in err


@pytest.mark.parametrize('logger', ['tensorboard', 'wandb'])
def test_a_logger_without_its_package_is_refused_before_anything_is_read(logger, capsys):
    pytest.importorskip('lightning')
    from importlib.util import find_spec

    if find_spec(logger):
        pytest.skip(f'{logger} is installed')
    assert commands.idc_train(['--data', 'nowhere', '--logger', logger]) == 2
    assert f"pip install 'idc_nb[{logger}]'" in capsys.readouterr().err
    tomllib = pytest.importorskip('tomllib')
    project = tomllib.loads((Path(__file__).parents[2] / 'pyproject.toml').read_text())['project']
    assert logger in project['optional-dependencies']


def test_which_features_are_found(data, tmp_path, capsys):
    for name, backbone in (('features', 'resnet101'), ('features_x', 'resnet18:random')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'index.json').write_text(json.dumps(dict(backbone=backbone, names=[])))
    assert commands._store_of(tmp_path, 'resnet101').name == 'features'
    assert commands._store_of(tmp_path, 'resnet18').name == 'features_x'
    assert commands._store_of(tmp_path, 'resnet18:random').name == 'features_x'
    with pytest.raises(FileNotFoundError, match='choose one with --features'):
        commands._store_of(tmp_path, None)
    with pytest.raises(FileNotFoundError, match='no features of resnet34; it has .*resnet101'):
        commands._store_of(tmp_path, 'resnet34')
    with pytest.raises(FileNotFoundError, match='idc_features .* --backbone resnet34'):
        commands._store_of(tmp_path / 'features', 'resnet34')
    assert commands._store_of(data, None).name.endswith('_random')


def test_without_a_connection_it_fails_at_once(monkeypatch, tmp_path):
    from idc_nb.lab.weights import timm_net
    from huggingface_hub import constants

    monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ConnectionError, match='the weights of resnet18 .*tf_efficientnet_lite0'):
        timm_net('resnet18', -1)
    assert time.monotonic() - start < 10


def test_weights_downloaded_before_need_no_connection(monkeypatch, tmp_path):
    import timm
    from idc_nb.lab.weights import timm_net
    from safetensors.torch import save_file

    net = timm.create_model('resnet10t')
    path = tmp_path / 'model.safetensors'
    save_file(net.state_dict(), path)
    monkeypatch.setattr('huggingface_hub.try_to_load_from_cache', lambda *_: str(path))
    found = timm_net('resnet10t', -1).state_dict()
    assert all(net.state_dict()[name].equal(w) for name, w in found.items())


def test_a_checkpoint_of_a_training_is_no_captioner(data, run_train, capsys):
    from idc_nb.captioner import load_captioner

    assert run_train('--steps', 1, '--stage', 'finetune')[0] == 0
    picture = str(data / 'images/CLEVR_default_000000.png')
    code = commands.idc_caption(
        [picture, picture, '--checkpoint', 'runs/tiny_0/finetune/last.ckpt']
    )
    err = capsys.readouterr().err
    assert code == 2 and 'whose captioner is runs/tiny_0/captioner.safetensors' in err
    load_captioner('runs/tiny_0/captioner.safetensors')


@pytest.mark.skipif(os.name != 'posix', reason='rights of POSIX')
@pytest.mark.parametrize('umask, rights', [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_get_the_rights_that_the_umask_allows(run_train, umask, rights):
    old = os.umask(umask)
    try:
        assert run_train('--steps', 1, '--stage', 'finetune')[0] == 0
    finally:
        os.umask(old)
    files = [path for path in Path('runs').rglob('*') if path.is_file()]
    assert len(files) > 4
    found = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files}
    assert set(found.values()) == {oct(rights)}, found


def test_what_failed_before_its_first_checkpoint_binds_nobody(data, run_train, tmp_path):
    from idc_nb.lab.files import read_json

    code, _, err = run_train('--batch', 5000, '--steps', 2)
    assert code == 2 and 'fewer than a batch of 5000: choose a smaller batch' in err
    (tmp_path / 'runs/tiny_0/vocab.json').write_text('{"word_to_idx": {"of": 0, "other data": 1}}')
    assert run_train('--steps', 2)[0] == 0
    assert read_json('runs/tiny_0/pretrain/settings.json')['batch'] == 4
    assert 'cube' in (tmp_path / 'runs/tiny_0/vocab.json').read_text()
    code, _, err = run_train('--steps', 2, '--lr', '0.5')
    assert code == 2 and 'begun with other settings (lr' in err

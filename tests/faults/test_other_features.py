"""Arrays of other programs: every kind of file, and what a broken or hostile one says."""

import os
import numpy as np
import pytest
import torch
from PIL import Image
from idc_nb.lab import commands
from idc_nb.lab.other_features import import_arrays, to_grid

MAP = np.random.default_rng(0).normal(size=(6, 14, 14)).astype(np.float32)


class Runs:
    def __reduce__(self):
        return os.system, ('touch ran',)


def save_h5(path, **items):
    h5py = pytest.importorskip('h5py')
    with h5py.File(path, 'w') as file:
        for name, x in items.items():
            file[name] = x


def good(folder, name):  # a file that reads
    np.save(folder / f'{name}.npy', MAP)


BROKEN = {  # name: (writes the file, words of the error)
    'empty.npy': (lambda p: p.write_bytes(b''), ''),
    'text.npy': (lambda p: p.write_text('hello'), ''),
    'objects.npy': (lambda p: np.save(p, np.array([Runs()], object)), ''),
    'cut.npy': (lambda p: (np.save(p, MAP), p.write_bytes(p.read_bytes()[:900])), ''),
    'words.npy': (lambda p: np.save(p, np.array([['a']])), 'expected numbers'),
    'complex.npy': (lambda p: np.save(p, MAP.astype(complex)), 'expected numbers'),
    'vector.npy': (lambda p: np.save(p, MAP[:, 0, 0]), 'expected a map (C,H,W)'),
    'point.npy': (lambda p: np.save(p, MAP[:, :1, :1]), 'one position has no place'),
    'hollow.npy': (lambda p: np.save(p, MAP[:0]), 'one position has no place'),
    'last.npy': (lambda p: np.save(p, np.zeros((7, 7, 99))), 'channels are last'),
    'nan.npy': (lambda p: np.save(p, MAP * np.nan), 'not finite'),
    'large.npy': (lambda p: np.save(p, MAP + 1e9), 'not finite'),
    'other.npy': (lambda p: np.save(p, MAP[:3]), '3 channels, the others have 6'),
    'text.npz': (lambda p: p.write_text('hello'), ''),
    'none.npz': (lambda p: np.savez(p), 'no array'),
    'text.pt': (lambda p: p.write_text('hello'), ''),
    'runs.pt': (lambda p: torch.save(Runs(), p), 'Weights only load failed'),
    'list.pt': (lambda p: torch.save([1, 2], p), 'expected a tensor or {name: tensor}'),
    'number.pt': (lambda p: torch.save({'a': 3}, p), "'a': int"),
    'unnamed.pt': (lambda p: torch.save({3: torch.ones(1)}, p), '3: Tensor'),
    'nothing.pt': (lambda p: torch.save({}, p), 'expected a tensor'),
    'text.h5': (lambda p: p.write_text('hello'), ''),
    'short.h5': (lambda p: save_h5(p, features=MAP[None], names=['a', 'b']), '1 features, 2 names'),
    'deep.h5': (lambda p: save_h5(p, **{'a/b': MAP}), 'is a group'),
    'first.npz': (lambda p: good(p.parent, 'first') or np.savez(p, MAP), 'stands already in'),
}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_file_is_named_and_leaves_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / 'arrays'
    source.mkdir()
    good(source, 'a_good')
    write, words = BROKEN[name]
    write(source / name)
    with pytest.raises(ValueError) as e:
        import_arrays(source, tmp_path / 'store')
    assert words in str(e.value) and name.split('.')[0] in str(e.value), str(e.value)
    assert not os.path.exists('ran') and '\n' not in str(e.value)
    assert not (tmp_path / 'store').exists() or not list((tmp_path / 'store').iterdir())


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='none is missing'):
        import_arrays(tmp_path / 'none', tmp_path / 'store')
    with pytest.raises(ValueError, match='no array in a file with the ending .npy'):
        import_arrays(tmp_path, tmp_path / 'store')
    (tmp_path / 'x.mat').touch()
    with pytest.raises(ValueError, match='x.mat: expected a file with the ending'):
        import_arrays(tmp_path / 'x.mat', tmp_path / 'store')


@pytest.mark.parametrize('kind', ['by name', 'features and names', 'bytes'])
def test_h5(tmp_path, kind):
    h5py = pytest.importorskip('h5py')
    names = ['x.png', 'y.png']
    if kind == 'by name':
        save_h5(tmp_path / 'all.h5', **dict(zip(names, (MAP, MAP + 1))))
    else:
        named = np.array(names, 'S' if kind == 'bytes' else h5py.string_dtype())
        save_h5(tmp_path / 'all.h5', features=np.stack([MAP, MAP + 1]), names=named)
    store = import_arrays(tmp_path / 'all.h5', tmp_path / 'store')
    assert list(store.rows) == ['x', 'y']
    expected = to_grid(torch.from_numpy(MAP + 1)).half().numpy()
    assert (store['y'] == expected).all()


def test_h5_without_its_package(tmp_path, monkeypatch):
    (tmp_path / 'all.h5').write_bytes(b'x')
    monkeypatch.setitem(__import__('sys').modules, 'h5py', None)
    with pytest.raises(ImportError, match='pip install .idc_nb.h5'):
        import_arrays(tmp_path / 'all.h5', tmp_path / 'store')


@pytest.mark.parametrize('dtype', ['<f8', '>f4', '<f2', 'u1', '<i4'])
def test_kinds_of_numbers(tmp_path, dtype):
    x = np.arange(2 * 7 * 7).reshape(2, 7, 7).astype(dtype)
    np.save(tmp_path / 'x.npy', x)
    store = import_arrays(tmp_path / 'x.npy', tmp_path / 'store')
    assert (store['x'] == x.reshape(2, 49).T.astype(np.float16)).all()


def test_the_command(tmp_path, capsys):
    root = tmp_path / 'data'
    (root / 'images').mkdir(parents=True)
    for name in 'xy':
        Image.new('RGB', (8, 8)).save(root / 'images' / f'{name}.png')
    np.savez(tmp_path / 'all.npz', x=MAP.transpose(1, 2, 0), y=MAP.transpose(1, 2, 0))
    argv = [str(root), '--arrays', str(tmp_path / 'all.npz'), '--channels-last']
    assert commands.idc_features(argv) == 2
    assert '--arrays needs --backbone' in capsys.readouterr().err
    assert commands.idc_features([*argv, '--backbone', 'clip']) == 0
    assert '2 images, 49 cells of 6 numbers' in capsys.readouterr().out
    assert commands._store_of(root, 'clip').name == 'features_clip'
    argv[0] = str(root / 'images/x.png')
    assert commands.idc_features([*argv, '--backbone', 'clip']) == 2
    assert 'one folder of images' in capsys.readouterr().err

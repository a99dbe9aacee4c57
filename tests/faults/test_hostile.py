"""Files that are broken, or mean harm.

Each gives an error that names file, line or key, or is read correctly. Nothing in a file is run,
and nothing half-written stays.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
import numpy as np
import pytest
import safetensors.torch
import torch
import idc_nb.lab.released
from idc_nb.captioner import load_captioner
from idc_nb.lab.checkpoints import newest_checkpoint, read_state
from idc_nb.lab.files import read_json
from idc_nb.lab.image_lists import read_list
from idc_nb.lab.negatives_files import read_negatives
from idc_nb.lab.readers import BIRDS, read_birds_to_words, read_cub, read_hierarchy, read_nabirds
from idc_nb.lab.released import (
    _channels,
    _contents,
    as_cells,
    describe_folder,
    import_features,
    read_pickle,
    read_released_pairs,
    read_released_photo_pairs,
    read_released_photos,
    write_references,
    write_results,
)
from idc_nb.lab.sentence_files import read_sentences
from idc_nb.lab.store import FeatureStore
from idc_nb.pairs import Triplet, read_clevr_change
from idc_nb.vocab import Vocab, load_vocab

GRID = np.arange(6 * 49, dtype=np.float32).reshape(6, 7, 7) / 7
FIELDS = 'ObservationURL', 'ImgURL', 'Species', 'Selection'
COLUMNS = [f'img{i}{field}' for i in (1, 2) for field in FIELDS] + ['split', 'annN', 'description']


def fails(words, call, *args, kind=(ValueError, KeyError, FileNotFoundError)):
    "`call(*args)` raises an error whose message holds the words: one text, or a list of them."
    with pytest.raises(kind) as e:
        call(*args)
    message = str(e.value.args[0])
    words = [words] if isinstance(words, str) else words
    missing = [w for w in words if w not in message]
    assert not missing, f'{missing} not in {message!r}'


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- pickles


class Runs:
    "Unpickled by pickle.load, this makes a file: the sign that a command ran."

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'echo ran > {self.path}',)


def stored(tmp_path, items, **how):
    return write(tmp_path / 'full_img.pkl', pickle.dumps(items, **how))


def refused(words, path):
    "Neither read nor imported, and the folder of the store stays empty."
    store = path.parent / 'store'
    words = [words] if isinstance(words, str) else words
    fails([path.name, *words], import_features, [path], store)
    assert not store.exists() or not list(store.iterdir())


@pytest.mark.parametrize('protocol', range(2, 6))
def test_command_in_a_pickle_is_not_run(tmp_path, protocol):
    sign = tmp_path / 'ran'
    refused('system', stored(tmp_path, {'a': GRID, 'b': Runs(sign)}, protocol=protocol))
    assert not sign.exists()


@pytest.mark.parametrize(
    'code, name',
    [
        (b'cbuiltins\neval\n(S"1"\ntR.', 'builtins.eval'),
        (b'cos\nsystem\n(S"x"\ntR.', 'os.system'),
        (b'cnumpy\nload\n(S"x"\ntR.', 'numpy.load'),
        (b'cidc_nb.grid\nget_backbone\n(tR.', 'idc_nb.grid.get_backbone'),
        (b'cbuiltins\ngetattr\n.', 'builtins.getattr'),
        (b'(S"x"\nios\nsystem\n.', 'not a pickle'),
        (b'cnumpy\ndtype\n(S"f4"\ntR(dS"numpy"\nS"x"\nsb.', ''),
        (b'\x82\x01.', 'not a pickle'),
        (b'Pid\n.', 'not a pickle'),
        (b'cnumpy\nndarray\n)\x81.', 'not a pickle'),
        (b'cnumpy\nndarray\n)R.', 'not a pickle'),
        (b'ccollections\nOrderedDict\n(NdS"__code__"\nI1\nstb.', ''),
        (b'\xff.', 'not a pickle'),
        (b'0.', 'not a pickle'),
    ],
)
def test_hand_written_instructions(tmp_path, code, name):
    refused(name, write(tmp_path / 'x.pkl', b'\x80\x02' + code))


def test_build_touches_nothing_of_ours(tmp_path):
    path = write(tmp_path / 'x.pkl', b'\x80\x02ccollections\nOrderedDict\n}S"evil"\nI1\nsb.')
    fails('sets the inside of a function', read_pickle, path)


def test_foreign_class(tmp_path):
    refused('pathlib', stored(tmp_path, {'a': GRID, 'b': Path('x')}))


@pytest.mark.parametrize('keep', [1, 2, 11, 60, 500, -700, -200, -1])
def test_truncated_pickle(tmp_path, keep):
    whole = pickle.dumps({f'bird_{i}': GRID + i for i in range(3)}, protocol=4)
    refused('cut off at byte', write(tmp_path / 'x.pkl', whole[:keep]))


def test_promises_more_bytes_than_there_are(tmp_path):
    ops = [
        b'B' + struct.pack('<I', 2**32 - 1),
        b'\x8e' + struct.pack('<Q', 2**60),
        b'\x8b' + struct.pack('<i', 2**31 - 1),
        b'\x96' + struct.pack('<Q', 2**62),
    ]
    for op in ops:
        refused('cut off', write(tmp_path / 'x.pkl', b'\x80\x05' + op + b'abc'))


def test_empty_and_text_for_a_pickle(tmp_path):
    refused('no pickle', write(tmp_path / 'x.pkl', b''))
    refused('no pickle', write(tmp_path / 'x.pkl', 'version https://git-lfs.github.com/spec/v1\n'))
    refused('no pickle', stored(tmp_path, {'a': GRID}, protocol=0))
    gone = [tmp_path / 'gone.pkl']
    fails('gone.pkl is missing', import_features, gone, tmp_path / 'store')


@pytest.mark.parametrize(
    'value, words',
    [
        (GRID[:, :6], 'found (6, 6, 7)'),
        (GRID[:5], '5 channels, the others have 6'),
        (GRID[0, 0], 'found (7,)'),
        (np.float32(1), 'expected an array'),
        (np.array([None] * 49), "dtype 'O8'"),
        (np.array(['x'] * 49), "dtype 'U1'"),
        (GRID + np.nan, 'not finite'),
        (GRID * 1e6, 'not finite'),
        (GRID + np.inf, 'not finite'),
        ([1, 2], 'found a list'),
        ({'deep': GRID}, 'found a dict'),
        ('text', 'found a str'),
    ],
)
def test_features_of_a_wrong_kind(tmp_path, value, words):
    refused(["key 'b'", words], stored(tmp_path, {'a': GRID, 'b': value}))


def test_shape_that_does_not_fit_the_bytes(tmp_path):
    whole = pickle.dumps({'a': GRID, 'b': GRID + 1}, protocol=2)
    shape = b'K\x06K\x07K\x07\x87'
    assert whole.count(shape) >= 1
    refused("key 'a'", write(tmp_path / 'x.pkl', whole.replace(shape, b'K\x09K\x07K\x07\x87')))


def test_no_dictionary_no_names_no_features(tmp_path):
    refused('found a list', stored(tmp_path, [GRID]))
    refused('found the key 7', stored(tmp_path, {7: GRID}))
    refused('no features', stored(tmp_path, {}))


def test_same_image_twice(tmp_path):
    twice = stored(tmp_path, {'x/a.jpg': GRID, 'y/a.jpg': GRID})
    refused(["key 'y/a.jpg'", "'a' stands already"], twice)
    names = 'img.pkl', 'sc_img.pkl'
    paths = [write(tmp_path / name, pickle.dumps({'a': GRID})) for name in names]
    words = ['sc_img.pkl', 'stands already in', 'img.pkl']
    fails(words, import_features, paths, tmp_path / 'store')


@pytest.mark.parametrize('protocol', range(2, 6))
@pytest.mark.parametrize('module', [b'numpy._core.', b'numpy.core.'])
def test_every_protocol_and_both_names_of_numpy(tmp_path, protocol, module):
    whole = pickle.dumps({'a': GRID}, protocol=protocol)
    if protocol < 4:  # later ones write the length of a name
        whole = whole.replace(b'numpy._core.', module).replace(b'numpy.core.', module)
    path = write(tmp_path / 'x.pkl', whole)
    assert np.array_equal(read_pickle(path)['a'].read(), GRID)


# {'a': array}, as Python 2 and NumPy 1 wrote it with protocol 2: the numbers are a text
PYTHON_2 = (
    b'\x80\x02}U\x01a'
    b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R'
    b'(K\x01K\x06K\x07K\x07\x87'
    b'cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R'
    b'(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T'
)


def test_python_2_text_is_an_array(tmp_path):
    raw = GRID.tobytes()
    path = write(tmp_path / 'x.pkl', PYTHON_2 + struct.pack('<i', len(raw)) + raw + b'tbs.')
    assert np.array_equal(read_pickle(path)['a'].read(), GRID)


def test_import_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    items = {f'b{i}': GRID * i / 200 for i in range(200)}
    path, store = stored(tmp_path, items), tmp_path / 'store'
    cells, done = idc_nb.lab.released._cells, []

    def stops(p, key, a):
        done.append(key)
        if len(done) == 150:
            raise KeyboardInterrupt
        return cells(p, key, a)

    monkeypatch.setattr(idc_nb.lab.released, '_cells', stops)
    with pytest.raises(KeyboardInterrupt):
        import_features([path], store)
    fails('no finished feature store', FeatureStore, store)
    assert not (store / 'index.json').exists()
    again = import_features([path], store)
    assert len(done) == 150 + 200 - 128 and len(again) == 200  # two blocks of 64 were safe
    assert all(np.allclose(again[key], as_cells(a)) for key, a in items.items())
    assert sorted(p.name for p in store.iterdir()) == ['grids.npy', 'index.json']


def test_another_store_is_not_overwritten(tmp_path):
    store = tmp_path / 'store'
    import_features([stored(tmp_path, {'a': GRID})], store)
    fails('another folder', import_features, [stored(tmp_path, {'c': GRID})], store)
    assert list(FeatureStore(store).rows) == ['a']


# --- JSON lines and the dictionary

IMAGES = dict(img1='CLEVR_default_000001', img2='CLEVR_semantic_000001')
PAIR = dict(IMAGES, sentences=['the cube is gone'])


@pytest.mark.parametrize(
    'line, words',
    [
        (json.dumps(PAIR)[:40], 'not JSON'),
        ('[1, 2]', "no 'img1'"),
        ('{"img1": "a"}', "no 'img2'"),
        ('{"img1": "a", "img2": "b"}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "description": "one text"}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": []}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": [""]}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "description": [["a"], "b", 3]}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": [3]}', 'expected "sentences"'),
    ],
)
def test_line_of_pairs(tmp_path, line, words):
    path = write(tmp_path / 'val.json', json.dumps(PAIR) + '\n' + line)
    fails(['val.json, line 2', words], read_released_pairs, path)


def test_lines_with_crlf_byte_order_mark_and_empty_ones(tmp_path):
    line = json.dumps(PAIR).encode()
    path = write(tmp_path / 'a.json', b'\xef\xbb\xbf' + line + b'\r\n\r\n' + line + b'\r\n')
    (t,) = read_released_pairs(path)
    assert t.captions == ('the cube is gone',) * 2 and t.changed


def test_lines_empty_missing_not_utf8(tmp_path):
    fails('a.json is empty', read_released_pairs, write(tmp_path / 'a.json', b''))
    fails('b.json is missing', read_released_pairs, tmp_path / 'b.json')
    path = write(tmp_path / 'c.json', json.dumps(PAIR).encode() + b'\n{"a":\xff}')
    fails('c.json, line 2: byte 6', read_released_pairs, path)


def test_name_without_a_feature(tmp_path):
    from idc_nb.training import PairBatches  # which takes seconds

    store = import_features([stored(tmp_path, {PAIR['img1']: GRID})], tmp_path / 'store')
    path = write(tmp_path / 'a.json', json.dumps(PAIR))
    triplets = read_released_pairs(path)
    missing = "'CLEVR_semantic_000001'"
    fails(missing, store.row, triplets[0].img2)
    assert read_released_pairs(path, store=store) == []
    fails(missing, PairBatches, triplets, store, Vocab(['cube']), 1, 1)


PHOTO_PAIR = dict(img1='a', img2='b', class_id1=1, class_id2=2, label=0)


def test_photo_pairs(tmp_path):
    path = write(tmp_path / 'n.json', json.dumps(PHOTO_PAIR))
    assert read_released_photo_pairs(path)[0].same is False


@pytest.mark.parametrize(
    'key, value',
    [('label', 2), ('label', True), ('class_id1', -1), ('class_id2', '3'), ('class_id1', None)],
)
def test_wrong_photo_pairs(tmp_path, key, value):
    path = write(tmp_path / 'n.json', json.dumps(PHOTO_PAIR | {key: value}))
    fails(['n.json, line 1', key], read_released_photo_pairs, path)


def test_photos(tmp_path):
    path = write(tmp_path / 'c.json', '{"description": ["a"]}')
    fails(['c.json, line 1', "no 'img'"], read_released_photos, path)


TURNED = ['<PAD>', '<BOS>', '<EOS>', '<UNK>', '<MASK>', '<CLS>', 'a']  # CLS and MASK changed places


@pytest.mark.parametrize(
    'ids, words',
    [
        ({'<PAD>': 0, '<BOS>': 2}, 'gaps'),
        ({'<PAD>': 0, '<BOS>': 0}, 'gaps'),
        ({word: i for i, word in enumerate(TURNED)}, 'special tokens'),
    ],
)
def test_dictionary(tmp_path, ids, words):
    path = write(tmp_path / 'dict.json', json.dumps(ids))
    fails(['dict.json', words], load_vocab, path)


def test_results_that_the_script_could_not_read(tmp_path):
    birds = [Triplet('1', '12_3.jpg', '4.jpg', ('a',), BIRDS)]
    path = tmp_path / 'r.json'
    fails('', write_results, path, birds, ['a'], kind=ValueError)
    fails('', write_references, path, birds, kind=ValueError)
    fails('', write_results, path, birds, [], kind=ValueError)
    assert not list(tmp_path.iterdir())


# --- Birds-to-Words


def annotation(n=1, split='train', said='Animal 1 is small.', a=3, b=5):  # fields of a row
    first = [f'o/{a}', f'p/{a}/large.jpg', 'Parus', 'base']
    second = [f'o/{b}', f'p/{b}/large.jpg', 'Parus', 'visual']
    return [*first, *second, split, str(n), said]


def tsv(tmp_path, *rows, head=COLUMNS, end='\n'):
    return write(tmp_path / 'b.tsv', end.join('\t'.join(r) for r in (head, *rows)) + end)


@pytest.mark.parametrize(
    'rows, words',
    [
        ([annotation()[:-1]], ['line 2', '10 fields, expected 11']),
        ([annotation(), annotation(2) + ['x']], ['line 3', '12 fields']),
        ([annotation('one')], ['line 2', 'annN']),
        ([annotation(split='dev')], ['line 2', "split 'dev'"]),
        ([annotation(said=' ')], ['line 2', 'description is empty']),
        ([annotation(), annotation()], ['line 3', 'stands already on line 2']),
    ],
)
def test_row_of_birds(tmp_path, rows, words):
    fails(['b.tsv', *words], read_birds_to_words, tsv(tmp_path, *rows), 'train')


@pytest.mark.parametrize('column', ['annN', 'split', 'description', 'img2ImgURL'])
def test_missing_column(tmp_path, column):
    head = [c for c in COLUMNS if c != column]
    path = tsv(tmp_path, head=head)
    fails(['b.tsv, line 1', repr(column)], read_birds_to_words, path, 'train')


def test_birds_crlf_mark_order_and_wrong_split(tmp_path):
    rows = annotation(2, said='Animal 2 sings.'), annotation(1), annotation(1, 'val', a=8)
    path = tsv(tmp_path, *rows, end='\r\n')
    write(path, b'\xef\xbb\xbf' + path.read_bytes())
    (t,) = read_birds_to_words(path, 'train')
    assert t.captions == ('animal1 is small .', 'animal2 sings .') and t.changed
    fails("has no split 'Train'", read_birds_to_words, path, 'Train')
    fails('x.tsv is missing', read_birds_to_words, tmp_path / 'x.tsv', 'train')


def test_birds_not_utf8(tmp_path):
    path = tsv(tmp_path, annotation(said='caf\xe9'))
    write(path, path.read_text(encoding='utf-8').encode('latin-1'))
    fails('b.tsv, line 2: byte', read_birds_to_words, path, 'train')


# --- CUB, NABirds

GOOD = {
    'images.txt': 'a x/a.jpg\nb x/b.jpg\n',
    'image_class_labels.txt': 'a 4\nb 2\n',
    'classes.txt': '0 Birds\n2 Geese\n3 Tits\n4 Great Tit\n',
    'train_test_split.txt': 'a 1\nb 0\n',
    'hierarchy.txt': '2 0\n3 0\n4 3\n',
}


def birds(tmp_path, **changed):  # the folder, with the files of these names changed
    files = GOOD | {f'{name}.txt': text for name, text in changed.items()}
    for name, text in files.items():
        write(tmp_path / name, text)
    return tmp_path


@pytest.mark.parametrize(
    'changed, words',
    [
        (dict(images='a x/a.jpg\na x/b.jpg\n'), ['images.txt, line 2', 'stands already on line 1']),
        (dict(images='a\n'), ['images.txt, line 1', 'expected an id']),
        (dict(images=''), ['images.txt is empty']),
        (dict(image_class_labels='a 4\nb 9\n'), ['image_class_labels.txt, line 2', 'class 9']),
        (dict(image_class_labels='a four\nb 2\n'), ['image_class_labels.txt, line 1', "'four'"]),
        (dict(image_class_labels='b 2\n'), ['image_class_labels.txt', "'a'"]),
        (dict(train_test_split='b 0\n'), ['train_test_split.txt', "'a'"]),
        (dict(train_test_split='a 2\nb 0\n'), ['train_test_split.txt, line 1', "'2'"]),
        (dict(classes='0 Birds\n0 Geese\n'), ['classes.txt, line 2', "'0'"]),
        (dict(classes=b'0 B\xe9\n'), ['classes.txt, line 1', 'not UTF-8']),
    ],
)
def test_files_of_labels(tmp_path, changed, words):
    fails(words, read_nabirds, birds(tmp_path, **changed), 'train')


@pytest.mark.parametrize(
    'tree, words',
    [
        ('2 0\n3 4\n4 3\n', ['line 2', 'round in a circle']),
        ('2 2\n', ['line 1', 'round']),
        ('2 7\n', ['line 1', 'class 7']),
        ('2 0\n2 3\n', ['line 2', 'stands already']),
        ('2 x\n', ['line 1', "'x'"]),
    ],
)
def test_hierarchy(tmp_path, tree, words):
    fails(['hierarchy.txt', *words], read_hierarchy, birds(tmp_path, hierarchy=tree))


def test_labels_with_crlf_and_mark(tmp_path):
    birds(tmp_path)
    for name in GOOD:
        text = (tmp_path / name).read_bytes().replace(b'\n', b'\r\n')
        write(tmp_path / name, b'\xef\xbb\xbf' + text)
    assert [p.label for p in read_nabirds(tmp_path, 'train')] == [4]
    assert read_hierarchy(tmp_path) == {2: 0, 3: 0, 4: 3}
    fails("has no split 'val'", read_nabirds, tmp_path, 'val')


def test_captions_of_photos(tmp_path):
    birds(tmp_path)
    folder = tmp_path / 'text'
    (folder / 'x').mkdir(parents=True)
    fails('a.txt is missing', read_cub, tmp_path, 'train', folder)
    write(folder / 'x/a.txt', '\n')
    fails('a.txt is empty', read_cub, tmp_path, 'train', folder)
    write(folder / 'x/a.txt', b'a bird\n\xff')
    fails('a.txt, line 2', read_cub, tmp_path, 'train', folder)


# --- CLEVR-Change, describe


FIRST = 'CLEVR_default_000001.png'
CLEVR = dict(
    splits=dict(train=[1], val=[], test=[]),
    type_mapping=dict(drop=['000001.png']),
    change_captions={FIRST: ['it is gone']},
    no_change_captions={FIRST: ['no change']},
)


def clevr(tmp_path, **changed):  # the folder, with the files of these names changed
    for name in ('images', 'sc_images', 'nsc_images'):
        (tmp_path / name).mkdir(exist_ok=True)
    for name, content in (CLEVR | changed).items():
        is_text = isinstance(content, (bytes, str))
        write(tmp_path / f'{name}.json', content if is_text else json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(
    'changed, words',
    [
        (dict(splits=dict(train=['1'], val=[])), ['splits.json', "'1'"]),
        (dict(splits=dict(train=[True])), ['splits.json', 'True']),
        (dict(splits=dict(train=7)), ['splits.json', '7']),
        (dict(splits=[1]), ['splits.json']),
        (dict(splits=dict(train=[1, 1])), ['splits.json', '1', 'twice']),
        (dict(splits=dict(val=[1])), ['splits.json has no key', 'train']),
        (dict(type_mapping=dict(drop=7)), ['type_mapping.json', '7']),
        (dict(type_mapping=dict(drop=['one.png'])), ['type_mapping.json', 'one.png']),
        (dict(type_mapping=dict(drop=[])), ['type_mapping.json', '1']),
        (dict(change_captions={}), ['change_captions.json', FIRST]),
        (dict(change_captions={FIRST: 'a text'}), ['change_captions.json', FIRST]),
        (dict(no_change_captions='{"a": '), ['no_change_captions.json, line 1']),
        (
            dict(no_change_captions=b'{"a":\n "\xff"}'),
            ['no_change_captions.json', 'line 2', 'not UTF-8'],
        ),
        (dict(splits=''), ['splits.json, line 1']),
    ],
)
def test_clevr_files(tmp_path, changed, words):
    fails(words, read_clevr_change, clevr(tmp_path, **changed), 'train')


def test_clevr_with_a_byte_order_mark(tmp_path):
    clevr(tmp_path)
    for p in tmp_path.glob('*.json'):
        write(p, b'\xef\xbb\xbf' + p.read_bytes() + b'\r\n')
    assert [t.kind for t in read_clevr_change(tmp_path, 'train')] == ['drop', 'distractor']


def has_problem(found, *words):
    return any(all(w in problem for w in words) for problem in found.problems)


def test_describe_names_missing_and_broken_images(tmp_path):
    clevr(tmp_path)
    write(tmp_path / 'images' / FIRST, 'no picture')
    found = describe_folder(tmp_path)
    assert found.counts == dict(train=2, val=0, test=0)
    assert has_problem(found, '2 of 3 images missing', 'CLEVR_semantic_000001.png')
    assert has_problem(found, '1 of 3 images not readable as images', FIRST)


def test_describe_goes_on_after_a_fault(tmp_path):
    clevr(tmp_path)
    (tmp_path / 'change_captions.json').unlink()
    found = describe_folder(tmp_path)
    assert found.counts['train'] == 2
    assert has_problem(found, 'change_captions.json is missing')
    fails('is not a folder', describe_folder, tmp_path / 'nowhere')
    (tmp_path / 'e').mkdir()
    assert describe_folder(tmp_path / 'e').counts == {}


# --- what tests/fuzz.py found


DEEP = '[' * 100_000 + ']' * 100_000
DIGITS = '9' * 5000  # Python refuses to read such a number


@pytest.mark.parametrize('text', [DEEP, DIGITS, f'{{"a": {DEEP}}}', f'[{DIGITS}]'])
@pytest.mark.parametrize(
    'read', [read_json, read_sentences, read_negatives, read_released_pairs, load_vocab]
)
def test_json_that_is_too_deep_or_too_long(tmp_path, read, text):
    fails('x.json', read, write(tmp_path / 'x.json', text))


@pytest.mark.parametrize('sign', ['\t', ',', ';', ' '])
@pytest.mark.parametrize('head', ['', 'img1{}img2\n', 'a.png{}b.png\n'])
def test_a_list_with_a_field_that_is_too_long(tmp_path, sign, head):
    line = f'"{"x" * 200_000}{sign}b"{sign}c'
    fails('x.txt, line', read_list, write(tmp_path / 'x.txt', head.format(sign) + line))


def test_a_list_with_a_name_that_no_file_can_have(tmp_path):
    long = 'x' * 5000 + '.png'
    assert read_list(write(tmp_path / 'x.txt', f'{long}\tb.png')) == [(long, 'b.png')]


def saved(x, **changed):  # what torch.save writes, with the pickle changed and right checksums
    whole, out = io.BytesIO(), io.BytesIO()
    torch.save(x, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(out, 'w') as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name.split('/')[-1].split('.')[0], old.read(name)))
    return out.getvalue()


STATE = dict(global_step=1, state_dict={'a': torch.ones(3)})


@pytest.mark.parametrize(
    'changed, words',
    [
        (dict(data=b'\x80\x02X\x01\0\0\0\xff.'), 'without running code'),
        (dict(data=b'\x80\x02.'), 'without running code'),
        (dict(data=b'\x80\x02cos\nsystem\n.'), 'without running code'),
        (dict(data=b'\x80\x02h\x07.'), 'without running code'),
        (dict(data=b''), 'without running code'),
        (dict(data=b'\x80\x02K\x01.'), 'holds a int: expected a checkpoint'),
        (dict(byteorder=b'middle'), 'without running code'),
        (dict(byteorder=b'\xff'), 'without running code'),
        (dict(version=b'x'), 'without running code'),
    ],
)
def test_a_checkpoint_with_right_checksums(tmp_path, changed, words):
    path = write(tmp_path / 'last.ckpt', saved(STATE, **changed))
    assert newest_checkpoint(tmp_path) == path
    fails(['last.ckpt', words], read_state, path)


@pytest.mark.parametrize(
    'changed',  # byte of the entry in the directory -> what stands there
    [
        {8: b'\x01\0'},  # encrypted
        {8: b'\x41\0'},  # in the strong way
        {8: b'\0\x08', 46: b'\xff' * 7},  # a name in UTF-8, which it is not
        {10: b'\x63\0'},  # a compression that nobody knows
        {42: b'\xff\xff\xff\x7f'},  # its place
        {20: b'\xff' * 8},  # its sizes
        {46: b'\xff' * 7},  # its name
    ],
)
def test_a_zip_whose_directory_is_damaged(tmp_path, changed):
    raw = bytearray(saved(STATE))
    entry = raw.index(b'PK\x01\x02')
    for place, value in changed.items():
        raw[entry + place : entry + place + len(value)] = value
    write(tmp_path / 'last.ckpt', bytes(raw))
    with pytest.warns(UserWarning, match='last.ckpt is damaged'):
        fails('last.ckpt are damaged', newest_checkpoint, tmp_path)


CONFIG = dict(channels=5, vocab=7, dim=8, heads=2, ff=12)


@pytest.mark.parametrize(
    'text',
    [
        '',
        'no json',
        '[]',
        '{}',
        DEEP,
        dict(config=3, words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(surprise=1), words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(dim=7), words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(dim='8'), words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(cross_layers=10**9), words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(cells=10**9, matcher=True), words=['a'], backbone='x', about={}),
        dict(config=CONFIG | dict(dim=2**40), words=['a'], backbone='x', about={}),
        dict(config=CONFIG, words=3, backbone='x', about={}),
        dict(config=CONFIG, words=['a'], backbone='x', about=3),
        dict(config=CONFIG, words=['a'], backbone='x', about={}),  # without these weights
    ],
)
def test_settings_of_a_captioner(tmp_path, text):
    text = text if isinstance(text, str) else json.dumps(text)
    content = safetensors.torch.save(dict(a=torch.ones(3)), dict(idc_nb=text))
    fails('x.safetensors', load_captioner, write(tmp_path / 'x.safetensors', content))


# --- a large pickle; a large store is in test_memory.py


def write_large_pickle(path, n, channels):
    "`n` grids of zeros, as holes of the file: it takes hardly any room on the disk."
    raw = channels * 49 * 4  # bytes of the numbers
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=3)
    pickler.fast = True  # without memo, so that entries can be repeated
    pickler.dump(np.zeros((channels, 7, 7), np.float32))
    one = out.getvalue()
    place = one.index(b'B' + struct.pack('<I', raw)) + 5
    head, tail = one[2:place], one[place + raw : -1]
    with open(path, 'wb') as f:
        f.write(b'\x80\x03}(')
        for k in range(n):
            name = f'CLEVR_default_{k:06d}'.encode()
            f.write(b'X' + struct.pack('<I', len(name)) + name + head)
            f.seek(raw, 1)
            f.write(tail)
            if k == 99 and path.stat().st_blocks * 512 > 50 * raw:
                return False  # this file system has no holes
        f.write(b'u.')
    return True


def test_large_pickle(tmp_path):
    from bench.memory import peak, reset_peak

    path, n, channels = tmp_path / 'full_img.pkl', 10_400, 2048
    if not write_large_pickle(path, n, channels):
        pytest.skip('no sparse files here')
    assert path.stat().st_size > 4e9
    reset_peak()
    before = peak()
    found = _contents([path])
    assert len(found) == n and _channels(found) == channels
    last = found[f'CLEVR_default_{n - 1:06d}'][2]
    assert as_cells(last.read()).shape == (49, channels)
    assert peak() - before < 0.04  # GB, a hundredth of the file

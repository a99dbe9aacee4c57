"""Files that are broken, or mean harm: each gives an error that names file, line or key, or is read right. Nothing runs, nothing half-written stays."""

import io, json, os, pickle, struct, subprocess, sys, textwrap
from pathlib import Path
import numpy as np, pytest
from idc_nb.lab.store import FeatureStore
from idc_nb.lab.readers import read_birds_to_words, read_cub, read_hierarchy, read_nabirds
from idc_nb.pairs import read_clevr_change
from idc_nb.lab.released import (
    describe_folder,
    import_features,
    read_pickle,
    read_released_pairs,
    read_released_photo_pairs,
    read_released_photos,
    write_references,
    write_results,
)
from idc_nb.vocab import load_vocab

GRID = np.arange(6 * 49, dtype=np.float32).reshape(6, 7, 7) / 7
COLUMNS = [
    f'img{i}{c}' for i in (1, 2) for c in ('ObservationURL', 'ImgURL', 'Species', 'Selection')
] + ['split', 'annN', 'description']


def fails(words, call, kind=(ValueError, KeyError, FileNotFoundError)):
    with pytest.raises(kind) as e:
        call()
    message = str(e.value.args[0])
    missing = [w for w in ([words] if isinstance(words, str) else words) if w not in message]
    assert not missing, f'{missing} not in {message!r}'


# --- pickles


class Runs:
    "Unpickled by pickle.load, this makes a file: the sign that a command ran."

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'echo ran > {self.path}',)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def stored(tmp_path, items, **how):
    return write(tmp_path / 'full_img.pkl', pickle.dumps(items, **how))


def refused(words, path):
    "Neither read nor imported, and the folder of the store stays empty."
    store = path.parent / 'store'
    fails(
        [path.name, *([words] if isinstance(words, str) else words)],
        lambda: import_features([path], store),
    )
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
    fails('sets the inside of a function', lambda: read_pickle(path))


def test_foreign_class(tmp_path):
    refused('pathlib', stored(tmp_path, {'a': GRID, 'b': Path('x')}))


@pytest.mark.parametrize('keep', [1, 2, 11, 60, 500, -700, -200, -1])
def test_truncated_pickle(tmp_path, keep):
    whole = pickle.dumps({f'bird_{i}': GRID + i for i in range(3)}, protocol=4)
    refused('cut off at byte', write(tmp_path / 'x.pkl', whole[:keep]))


def test_promises_more_bytes_than_there_are(tmp_path):
    for op in (
        b'B' + struct.pack('<I', 2**32 - 1),
        b'\x8e' + struct.pack('<Q', 2**60),
        b'\x8b' + struct.pack('<i', 2**31 - 1),
        b'\x96' + struct.pack('<Q', 2**62),
    ):
        refused('cut off', write(tmp_path / 'x.pkl', b'\x80\x05' + op + b'abc'))


def test_empty_and_text_for_a_pickle(tmp_path):
    refused('no pickle', write(tmp_path / 'x.pkl', b''))
    refused('no pickle', write(tmp_path / 'x.pkl', 'version https://git-lfs.github.com/spec/v1\n'))
    refused('no pickle', stored(tmp_path, {'a': GRID}, protocol=0))
    fails(
        'gone.pkl is missing', lambda: import_features([tmp_path / 'gone.pkl'], tmp_path / 'store')
    )


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
    refused(
        ["key 'y/a.jpg'", "'a' stands already"],
        stored(tmp_path, {'x/a.jpg': GRID, 'y/a.jpg': GRID}),
    )
    for n in ('img', 'sc_img'):
        write(tmp_path / f'{n}.pkl', pickle.dumps({'a': GRID}))
    fails(
        ['sc_img.pkl', 'stands already in', 'img.pkl'],
        lambda: import_features(
            [tmp_path / 'img.pkl', tmp_path / 'sc_img.pkl'], tmp_path / 'store'
        ),
    )


def test_every_protocol_and_both_names_of_numpy(tmp_path):
    for protocol in range(2, 6):
        for a, b in ((b'numpy._core', b'numpy._core'), (b'numpy._core.', b'numpy.core.')):
            whole = pickle.dumps({'a': GRID}, protocol=protocol)
            if a != b and protocol >= 4:
                continue  # the names carry their length there
            assert np.array_equal(
                read_pickle(write(tmp_path / 'x.pkl', whole.replace(a, b)))['a'].read(), GRID
            )


def test_python_2_text_is_an_array(tmp_path):
    raw = GRID.tobytes()
    state = (
        b'(K\x01K\x06K\x07K\x07\x87cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T'
        + struct.pack('<i', len(raw))
        + raw
        + b'tb'
    )
    path = write(
        tmp_path / 'x.pkl',
        b'\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R'
        + state
        + b's.',
    )
    assert np.array_equal(read_pickle(path)['a'].read(), GRID)


def test_import_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    import idc_nb.lab.released as r

    path = stored(tmp_path, {f'b{i}': GRID * i / 200 for i in range(200)})
    cells, done = r._cells, []

    def stops(p, key, a):
        done.append(key)
        if len(done) == 150:
            raise KeyboardInterrupt
        return cells(p, key, a)

    monkeypatch.setattr(r, '_cells', stops)
    with pytest.raises(KeyboardInterrupt):
        import_features([path], tmp_path / 'store')
    fails('no finished feature store', lambda: FeatureStore(tmp_path / 'store'))
    assert not (tmp_path / 'store/index.json').exists()
    again = import_features([path], tmp_path / 'store')
    assert len(done) == 150 + 200 - 128 and len(again) == 200  # two blocks of 64 were safe
    assert all(np.allclose(again[f'b{i}'], r.as_cells(GRID * i / 200)) for i in range(200))
    assert sorted(p.name for p in (tmp_path / 'store').iterdir()) == ['grids.npy', 'index.json']


def test_another_store_is_not_overwritten(tmp_path):
    import_features([stored(tmp_path, {'a': GRID})], tmp_path / 'store')
    fails(
        'another folder',
        lambda: import_features([stored(tmp_path, {'c': GRID})], tmp_path / 'store'),
    )
    assert list(FeatureStore(tmp_path / 'store').rows) == ['a']


# --- JSON lines and the dictionary

PAIR = dict(
    img1='CLEVR_default_000001', img2='CLEVR_semantic_000001', sentences=['the cube is gone']
)


@pytest.mark.parametrize(
    'line, words',
    [
        (json.dumps(PAIR)[:40], 'not JSON'),
        ('[1, 2]', "no 'img1'"),
        ('{"img1": "a"}', "no 'img2'"),
        ('{"img1": "a", "img2": "b"}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": "one text"}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": []}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": [""]}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "description": [["a"], "b", 3]}', 'expected "sentences"'),
        ('{"img1": "a", "img2": "b", "sentences": [3]}', 'expected "sentences"'),
    ],
)
def test_line_of_pairs(tmp_path, line, words):
    fails(
        ['val.json, line 2', words],
        lambda: read_released_pairs(write(tmp_path / 'val.json', json.dumps(PAIR) + '\n' + line)),
    )


def test_lines_with_crlf_byte_order_mark_and_empty_ones(tmp_path):
    path = write(
        tmp_path / 'a.json',
        b'\xef\xbb\xbf'
        + json.dumps(PAIR).encode()
        + b'\r\n\r\n'
        + json.dumps(PAIR).encode()
        + b'\r\n',
    )
    (t,) = read_released_pairs(path)
    assert t.captions == ('the cube is gone',) * 2 and t.changed


def test_lines_empty_missing_not_utf8(tmp_path):
    fails('a.json is empty', lambda: read_released_pairs(write(tmp_path / 'a.json', b'')))
    fails('b.json is missing', lambda: read_released_pairs(tmp_path / 'b.json'))
    fails(
        'a.json, line 2: byte 6',
        lambda: read_released_pairs(
            write(tmp_path / 'a.json', json.dumps(PAIR).encode() + b'\n{"a":\xff}')
        ),
    )


def test_name_without_a_feature(tmp_path):
    store = import_features([stored(tmp_path, {PAIR['img1']: GRID})], tmp_path / 'store')
    triplets = read_released_pairs(write(tmp_path / 'a.json', json.dumps(PAIR)))
    fails("'CLEVR_semantic_000001'", lambda: store.row(triplets[0].img2))
    assert read_released_pairs(tmp_path / 'a.json', store=store) == []
    from idc_nb.training import PairBatches
    from idc_nb.vocab import Vocab

    fails(
        "'CLEVR_semantic_000001'",
        lambda: PairBatches(triplets, store, Vocab(['cube']), batch=1, steps=1),
    )


@pytest.mark.parametrize(
    'change',
    [
        dict(label=2),
        dict(label=True),
        dict(class_id1=-1),
        dict(class_id2='3'),
        dict(class_id1=None),
    ],
)
def test_photo_pairs(tmp_path, change):
    good = dict(img1='a', img2='b', class_id1=1, class_id2=2, label=0)
    assert read_released_photo_pairs(write(tmp_path / 'n.json', json.dumps(good)))[0].same is False
    fails(
        ['n.json, line 1', next(iter(change))],
        lambda: read_released_photo_pairs(write(tmp_path / 'n.json', json.dumps(good | change))),
    )


def test_photos(tmp_path):
    fails(
        ['c.json, line 1', "no 'img'"],
        lambda: read_released_photos(write(tmp_path / 'c.json', '{"description": ["a"]}')),
    )


@pytest.mark.parametrize(
    'ids, words',
    [
        ({'<PAD>': 0, '<BOS>': 2}, 'gaps'),
        ({'<PAD>': 0, '<BOS>': 0}, 'gaps'),
        (
            {
                w: i
                for i, w in enumerate(['<PAD>', '<BOS>', '<EOS>', '<UNK>', '<MASK>', '<CLS>', 'a'])
            },
            'special tokens',
        ),
    ],
)
def test_dictionary(tmp_path, ids, words):
    fails(['dict.json', words], lambda: load_vocab(write(tmp_path / 'dict.json', json.dumps(ids))))


def test_results_that_the_script_could_not_read(tmp_path):
    from idc_nb.lab.readers import BIRDS
    from idc_nb.pairs import Triplet

    birds = [Triplet('1', '12_3.jpg', '4.jpg', ('a',), BIRDS)]
    for write_it in (
        lambda p: write_results(p, birds, ['a']),
        lambda p: write_references(p, birds),
        lambda p: write_results(p, birds, []),
    ):
        fails('', lambda: write_it(tmp_path / 'r.json'), ValueError)
    assert not list(tmp_path.iterdir())


# --- Birds-to-Words


def annotation(n=1, split='train', said='Animal 1 is small.', a=3, b=5):
    return [
        f'o/{a}',
        f'p/{a}/large.jpg',
        'Parus',
        'base',
        f'o/{b}',
        f'p/{b}/large.jpg',
        'Parus',
        'visual',
        split,
        str(n),
        said,
    ]


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
    fails(['b.tsv', *words], lambda: read_birds_to_words(tsv(tmp_path, *rows), 'train'))


@pytest.mark.parametrize('column', ['annN', 'split', 'description', 'img2ImgURL'])
def test_missing_column(tmp_path, column):
    head = [c for c in COLUMNS if c != column]
    fails(
        ['b.tsv, line 1', repr(column)],
        lambda: read_birds_to_words(tsv(tmp_path, head=head), 'train'),
    )


def test_birds_crlf_mark_order_and_wrong_split(tmp_path):
    path = tsv(
        tmp_path,
        annotation(2, said='Animal 2 sings.'),
        annotation(1),
        annotation(1, 'val', a=8),
        end='\r\n',
    )
    write(path, b'\xef\xbb\xbf' + path.read_bytes())
    (t,) = read_birds_to_words(path, 'train')
    assert t.captions == ('animal1 is small .', 'animal2 sings .') and t.changed
    fails("has no split 'Train'", lambda: read_birds_to_words(path, 'Train'))
    fails('x.tsv is missing', lambda: read_birds_to_words(tmp_path / 'x.tsv', 'train'))
    fails(
        'b.tsv, line 2: byte',
        lambda: read_birds_to_words(
            write(
                path,
                '\t'.join(COLUMNS).encode()
                + b'\n'
                + '\t'.join(annotation(said='caf\xe9')).encode('latin-1'),
            ),
            'train',
        ),
    )


# --- CUB, NABirds

GOOD = {
    'images.txt': 'a x/a.jpg\nb x/b.jpg\n',
    'image_class_labels.txt': 'a 4\nb 2\n',
    'classes.txt': '0 Birds\n2 Geese\n3 Tits\n4 Great Tit\n',
    'train_test_split.txt': 'a 1\nb 0\n',
    'hierarchy.txt': '2 0\n3 0\n4 3\n',
}


def birds(tmp_path, **changed):
    for name, text in (GOOD | {f'{k}.txt': v for k, v in changed.items()}).items():
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
    fails(words, lambda: read_nabirds(birds(tmp_path, **changed), 'train'))


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
    fails(['hierarchy.txt', *words], lambda: read_hierarchy(birds(tmp_path, hierarchy=tree)))


def test_labels_with_crlf_and_mark(tmp_path):
    birds(tmp_path)
    for name in GOOD:
        write(
            tmp_path / name,
            b'\xef\xbb\xbf' + (tmp_path / name).read_bytes().replace(b'\n', b'\r\n'),
        )
    assert [p.label for p in read_nabirds(tmp_path, 'train')] == [4] and read_hierarchy(
        tmp_path
    ) == {2: 0, 3: 0, 4: 3}
    fails("has no split 'val'", lambda: read_nabirds(tmp_path, 'val'))


def test_captions_of_photos(tmp_path):
    birds(tmp_path)
    (tmp_path / 'text/x').mkdir(parents=True)
    fails('a.txt is missing', lambda: read_cub(tmp_path, 'train', tmp_path / 'text'))
    fails(
        'a.txt is empty',
        lambda: (
            write(tmp_path / 'text/x/a.txt', '\n')
            and read_cub(tmp_path, 'train', tmp_path / 'text')
        ),
    )
    fails(
        'a.txt, line 2',
        lambda: (
            write(tmp_path / 'text/x/a.txt', b'a bird\n\xff')
            and read_cub(tmp_path, 'train', tmp_path / 'text')
        ),
    )


# --- CLEVR-Change, describe


def clevr(tmp_path, **changed):
    for f in ('images', 'sc_images', 'nsc_images'):
        (tmp_path / f).mkdir(exist_ok=True)
    files = (
        dict(
            splits=dict(train=[1], val=[], test=[]),
            type_mapping=dict(drop=['000001.png']),
            change_captions={'CLEVR_default_000001.png': ['it is gone']},
            no_change_captions={'CLEVR_default_000001.png': ['no change']},
        )
        | changed
    )
    for name, x in files.items():
        write(tmp_path / f'{name}.json', x if isinstance(x, (bytes, str)) else json.dumps(x))
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
        (dict(change_captions={}), ['change_captions.json', 'CLEVR_default_000001.png']),
        (
            dict(change_captions={'CLEVR_default_000001.png': 'a text'}),
            ['change_captions.json', 'CLEVR_default_000001.png'],
        ),
        (dict(no_change_captions='{"a": '), ['no_change_captions.json, line 1']),
        (
            dict(no_change_captions=b'{"a":\n "\xff"}'),
            ['no_change_captions.json', 'line 2', 'not UTF-8'],
        ),
        (dict(splits=''), ['splits.json, line 1']),
    ],
)
def test_clevr_files(tmp_path, changed, words):
    fails(words, lambda: read_clevr_change(clevr(tmp_path, **changed), 'train'))


def test_clevr_with_a_byte_order_mark(tmp_path):
    clevr(tmp_path)
    for p in tmp_path.glob('*.json'):
        write(p, b'\xef\xbb\xbf' + p.read_bytes() + b'\r\n')
    assert [t.kind for t in read_clevr_change(tmp_path, 'train')] == ['drop', 'distractor']


def test_describe_names_missing_and_broken_images(tmp_path):
    clevr(tmp_path)
    write(tmp_path / 'images/CLEVR_default_000001.png', 'no picture')
    found = describe_folder(tmp_path)
    assert found.counts == dict(train=2, val=0, test=0)
    assert any(
        '2 of 3 images missing' in p and 'CLEVR_semantic_000001.png' in p for p in found.problems
    )
    assert any(
        '1 of 3 images neither PNG nor JPEG' in p and 'CLEVR_default_000001.png' in p
        for p in found.problems
    )


def test_describe_goes_on_after_a_fault(tmp_path):
    clevr(tmp_path)
    (tmp_path / 'change_captions.json').unlink()
    found = describe_folder(tmp_path)
    assert found.counts['train'] == 2 and any(
        'change_captions.json is missing' in p for p in found.problems
    )
    fails('is not a folder', lambda: describe_folder(tmp_path / 'nowhere'))
    (tmp_path / 'e').mkdir()
    assert describe_folder(tmp_path / 'e').counts == {}


# --- large


def peak(code, *arguments):  # MB of resident memory at the highest
    code = (
        textwrap.dedent(code)
        + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=550,
        env=os.environ | dict(OMP_NUM_THREADS='1'),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def sparse(path, size):  # is a file of this many bytes written as a hole?
    with open(path, 'wb') as f:
        f.truncate(size)
    if path.stat().st_blocks * 512 > size // 100:
        path.unlink()
        pytest.skip('no sparse files here')


def test_twenty_gigabytes_of_features(tmp_path):
    n, cells, channels = 100_000, 49, 2048
    folder = tmp_path / 'store'
    folder.mkdir()
    sparse(folder / 'probe', 10**9)
    (folder / 'probe').unlink()
    del_me = np.lib.format.open_memmap(
        folder / 'grids.npy', mode='w+', dtype=np.float16, shape=(n, cells, channels)
    )
    del del_me
    write(
        folder / 'index.json',
        json.dumps(dict(backbone='resnet101', names=[f'i{k}' for k in range(n)])),
    )
    assert (folder / 'grids.npy').stat().st_size > 20e9 and (
        folder / 'grids.npy'
    ).stat().st_blocks * 512 < 1e8
    mb = peak(
        '''
        import sys, torch
        from idc_nb.lab.store import FeatureStore
        from idc_nb.pairs import Triplet
        from idc_nb.training import PairBatches
        from idc_nb.vocab import Vocab
        torch.set_num_threads(1)
        store = FeatureStore(sys.argv[1])
        triplets = [Triplet(str(k), f'i{k}', f'i{k + 1}', ('the cube is gone',), 'drop') for k in range(0, len(store), 2)]
        batches, seen = PairBatches(triplets, store, Vocab.build(['the cube is gone']), batch=200, steps=20), 0
        for b in batches: assert b['img1'].shape == (200, 49, 2048) and not b['img2'].any(); seen += len(b['img1'])
        assert seen == 4000
    ''',
        folder,
    )
    print(f'peak resident memory: {mb} MB')
    assert mb < 1500


def test_twenty_gigabyte_pickle(tmp_path):
    raw, path = 2048 * 49 * 4, tmp_path / 'full_img.pkl'
    sparse(path, 10**9)
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=3)
    pickler.fast = True  # without memo, so that entries can be repeated
    pickler.dump(np.zeros((2048, 7, 7), np.float32))
    one = out.getvalue()
    place = one.index(b'B' + struct.pack('<I', raw)) + 5
    head, tail = one[2:place], one[place + raw : -1]
    n = 52_000
    with open(path, 'wb') as f:
        f.write(b'\x80\x03}(')
        for k in range(n):
            name = f'CLEVR_default_{k:06d}'.encode()
            f.write(b'X' + struct.pack('<I', len(name)) + name + head)
            f.seek(raw, 1)
            f.write(tail)
        f.write(b'u.')
    assert path.stat().st_size > 20e9
    mb = peak(
        '''
        import sys
        from idc_nb.lab.released import _channels, _contents, as_cells, read_pickle
        found = _contents([sys.argv[1]])
        assert len(found) == 52_000 and _channels(found) == 2048
        assert as_cells(found['CLEVR_default_051999'][2].read()).shape == (49, 2048)
    ''',
        path,
    )
    print(f'peak resident memory: {mb} MB')
    assert mb < 1500

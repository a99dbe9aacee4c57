"""More than a hundred wrong inputs: each is refused with one sentence, none by a traceback.

Each goes through the command that a user would type. The sentence names the file.
"""

import json
import shutil
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from idc_nb.lab import commands
from idc_nb.lab.evaluate import idc_evaluate

COMMANDS = {c: getattr(commands, c) for c in commands.__all__ if c.startswith('idc_')}
COMMANDS['idc_evaluate'] = idc_evaluate
REFS = {'1': ['a red cube'], '2': ['no change']}
RECORD = dict(id='1', references=['a'], candidate='a', kind='move')
DATA = {  # of one record, as it should be
    'splits.json': {'train': [0], 'val': [0], 'test': [0]},
    'type_mapping.json': {'color': ['000000.png']},
    'change_captions.json': {'CLEVR_default_000000.png': ['the ball is gone']},
    'no_change_captions.json': {'CLEVR_default_000000.png': ['no change']},
}
PICTURES = [f'{f}/CLEVR_{n}_000000.png' for f, n in (
    ('images', 'default'), ('sc_images', 'semantic'), ('nsc_images', 'nonsemantic'))]  # fmt: skip
CASES = []  # (name of the wrong file, its content, the command line)


def add(name, line, *contents):
    CASES.extend((name, content, line) for content in contents)


def text(x):
    return x if isinstance(x, (str, bytes)) else json.dumps(x)


def lines(*objects):
    return '\n'.join(map(text, objects))


# candidates and references
SCORE = 'idc_score refs.json bad.json --no-meteor'
add(
    'bad.json',
    SCORE,
    '',
    ' \n',
    '{',
    '[',
    'null',
    '3',
    'true',
    '"text"',
    '[]',
    '{}',
    b'\xff\xfe\x00',
)
add('bad.json', SCORE, b'\x80abc', 'a\0b', {'1': 3, '2': 'a'}, {'1': None, '2': 'a'})
add(
    'bad.json',
    SCORE,
    {'1': 'a'},
    {'3': 'a'},
    {'1': 'a', '2': 'b', '3': 'c'},
    {'1': ['a', 'b'], '2': 'c'},
)
add(
    'bad.json',
    SCORE,
    '{"1": "a", "1": "b", "2": "c"}',
    [1, 2],
    [{'image_id': 1}],
    [{'caption': 'a'}],
)
add('bad.json', SCORE, [{'image_id': 1, 'caption': 3}], [dict(image_id=1, caption='a')] * 2)
add('bad.json', SCORE, lines({'ImgId': '1', 'candidates': 'a'}, '{'), lines(RECORD, [1]))
add(
    'bad.json',
    SCORE,
    lines(RECORD, RECORD),
    lines(RECORD | dict(candidate=3)),
    {'1': ['a ' * 6000], '2': 'b'},
)
add(
    'bad.json',
    'idc_score bad.json --no-meteor',
    {'1': ['a']},
    lines({'id': '1'}),
    lines(RECORD | dict(references=3)),
)
add(
    'bad.json',
    'idc_score bad.json --no-meteor',
    lines(RECORD | dict(references=[])),
    lines(RECORD | dict(references=[' '])),
)
add(
    'bad.json',
    'idc_score refs.json refs1.json --no-meteor --by bad.json',
    '',
    '{',
    [],
    3,
    {},
    {'1': 'a'},
    {'move': ['1']},
)
# lists of pictures
LIST = 'idc_caption --list bad.json'
add(
    'bad.json',
    LIST,
    '',
    '\n\n',
    'one.png',
    'a.png b.png c.png',
    'a.png\tb.png\tc.png',
    'a.png,',
    ',b.png',
)
add('bad.json', LIST, 'img1,img2\n', 'img1,img2\na.png\n', b'\xff\xfe\x00', 'a\0b', b'\x80\x81')
# pictures
IMAGE = 'idc_caption good.png bad.png'
add(
    'bad.png',
    IMAGE,
    '',
    'text',
    b'\x89PNG\r\n\x1a\n',
    b'\x89PNG\r\n\x1a\n' + b'\0' * 50,
    b'\xff\xd8\xff\xe0',
    'GIF89a',
)
add(
    'bad.png',
    IMAGE,
    b'BM' + b'\xff' * 60,
    b'RIFF\xff\xff\xff\xffWEBP',
    b'II*\0\x08\0\0\0',
    '%PDF-1.4',
    '<svg/>',
)
# captioners
CAPTIONER = 'idc_caption good.png good.png --checkpoint bad.json'
add(
    'bad.json',
    CAPTIONER,
    '',
    'text',
    '{}',
    b'\x80\x02.',
    b'PK\x03\x04',
    b'\x08\0\0\0\0\0\0\0{}      ',
    b'\xff' * 16,
)
add('bad.json', CAPTIONER + ' --vocabulary words.json', '', 'text', b'\x80\x02.', b'PK\x03\x04')
add('bad.json', 'idc_evaluate bad.json --data data', '', 'text', b'PK\x03\x04')
# the files of CLEVR-Change
TRAIN = 'idc_train --data data --steps 1 --batch 1 --accelerator cpu'
for name in DATA:
    add(f'data/{name}', TRAIN, '', '{', '[]', '3', '{}', b'\x80')
add(
    'data/splits.json',
    TRAIN,
    {'train': 0},
    {'train': ['0']},
    {'train': [0, 0]},
    {'train': [-1]},
    {'train': [True]},
)
add('data/type_mapping.json', TRAIN, {'color': ['x.png']}, {'color': 3}, {'color': [None]})
add(
    'data/change_captions.json',
    TRAIN,
    {'CLEVR_default_000000.png': 'a'},
    {'CLEVR_default_000000.png': [3]},
)
# other pairs
PAIRS = 'idc_train --data pairs --steps 1 --batch 1 --accelerator cpu'
PAIR = dict(img1='a.png', img2='b.png', captions=['a'])
add(
    'pairs/train.jsonl',
    PAIRS,
    '',
    '{',
    '3',
    '[]',
    {},
    PAIR | dict(img1=3),
    PAIR | dict(captions=3),
    PAIR | dict(captions=[3]),
)
add(
    'pairs/train.csv',
    PAIRS,
    '',
    'a,b,c\n',
    'img1,img2,caption\na\n',
    'img1,img2,caption\n,,x\n',
    b'\x80',
)
add('pairs/train.json', PAIRS, '', '{}', '[]', '[3]', '[{}]', [{'img_id': 1}], [{'uid': 1}])
add(
    'pairs/LevirCCcaptions.json',
    PAIRS,
    '',
    '[]',
    '{}',
    {'images': 3},
    {'images': [3]},
    {'images': [{}]},
)
# features
add(
    'data/features/index.json',
    TRAIN + ' --features data/features',
    '',
    '{',
    '{}',
    '[]',
    '3',
    {'backbone': 'x'},
)
for ending in ('npy', 'npz', 'pt', 'h5'):
    line = f'idc_features pictures --arrays arrays/good.{ending} --backbone x'
    add(f'arrays/good.{ending}', line, '', 'text', b'PK\x03\x04', b'\x93NUMPY\x01\x00')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):  # a folder in which all is right
    root = tmp_path_factory.mktemp('whole')
    for name, x in DATA.items():
        (root / 'data').mkdir(exist_ok=True)
        (root / 'data' / name).write_text(json.dumps(x))
    picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name in (*(f'data/{p}' for p in PICTURES), 'good.png', 'pictures/good.png', 'pairs/a.png'):
        (root / name).parent.mkdir(exist_ok=True)
        picture.save(root / name)
    (root / 'arrays').mkdir()
    for name, x in {'refs.json': REFS, 'refs1.json': REFS}.items():
        x = {id: said[0] for id, said in x.items()} if name == 'refs1.json' else x
        (root / name).write_text(json.dumps(x))
    specials = '<pad>', '<bos>', '<eos>', '<unk>', '<cls>', '<mask>'
    (root / 'words.json').write_text(json.dumps({w: i for i, w in enumerate(specials)}))
    return root


def test_there_are_more_than_a_hundred():
    assert len(CASES) > 150 and len({(n, text(c), line) for n, c, line in CASES}) == len(CASES)


@pytest.mark.parametrize('case', range(len(CASES)))
def test_refused_with_one_sentence(case, whole, tmp_path, monkeypatch, capsys):
    name, content, line = CASES[case]
    if name.endswith('.h5'):
        pytest.importorskip('h5py')
    root = tmp_path / 'here'
    shutil.copytree(whole, root)
    monkeypatch.chdir(root)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    content = text(content)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(str(p) for p in root.rglob('*'))
    command, *argv = line.split()
    code = COMMANDS[command](argv)
    out, err = capsys.readouterr()
    said = err.strip().splitlines()
    assert code in (1, 2) and said, (line, content, out)
    assert 'Traceback' not in err and said[-1].startswith(f'{command}: '), err
    assert len(said[-1]) > 25 and Path(name).name.split('.')[0] in err, err
    left = [p for p in map(str, root.rglob('*')) if p not in before and Path(p).is_file()]
    assert not left, left

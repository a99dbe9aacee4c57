"""Pairs of other data sets: what a broken file says, and that they can be trained on and scored."""

import json
import re
import shutil
from pathlib import Path
import pytest
from idc_nb.lab import commands
from idc_nb.lab.other_pairs import (
    PAIR,
    free_negatives,
    holds_pairs,
    maybe_same,
    read_edit_requests,
    read_levir_cc,
    read_pair_file,
    read_pairs,
    read_spot_the_diff,
)
from idc_nb.pairs import DISTRACTOR, lesson_data

GOOD = dict(img1='a.png', img2='b.png', captions=['crop it'])
SPOT = dict(img_id='7', sentences=['a car left'])
EDIT = dict(uid='u', img0='a.jpg', img1='b.jpg', sents=['crop it'])
LEVIR = dict(filename='x.png', split='test', changeflag=1, sentences=[dict(raw='a road')])


def without(x, name):
    return {k: v for k, v in x.items() if k != name}


LINES = [  # (text of pairs.jsonl, words of the error)
    ('', 'is empty'),
    ('no json', 'line 1: not JSON'),
    (json.dumps(GOOD) + '\n{', 'line 2: not JSON'),
    ('[1]', 'list'),
    ('3', 'expected an object, found a int'),
    (json.dumps(GOOD) + '\n3', 'line 2: expected an object'),
    (json.dumps(without(GOOD, 'img1')), "line 1: no 'img1'"),
    (json.dumps(without(GOOD, 'captions')), 'line 1: expected captions, caption or sentences'),
    (json.dumps(GOOD | dict(img1=3)), 'line 1: expected the name of an image, found 3'),
    (json.dumps(GOOD | dict(img2=' ')), 'line 1: expected the name of an image'),
    (json.dumps(GOOD | dict(captions=3)), 'line 1: expected captions, found'),
    (json.dumps(GOOD | dict(captions=[3])), 'line 1: expected a sentence, found'),
    (json.dumps(GOOD | dict(captions=None)), 'line 1: expected captions'),
    (json.dumps(GOOD | dict(id=['x'])), 'line 1: expected an id'),
    (json.dumps(GOOD | dict(kind=3)), 'line 1: expected a kind'),
    (
        json.dumps(GOOD | dict(id='x')) + '\n' + json.dumps(GOOD | dict(id='x', img2='c.png')),
        'has other images',
    ),
    ('{"img1": "a", "img1": "b", "img2": "c", "caption": "d"}', 'stands there twice'),
]


TABLES = [
    ('', 'line 1: expected the columns'),
    ('img1,img2\na,b\n', 'line 1: expected the columns'),
    ('img1,img1,img2,caption\n', 'line 1: expected the columns'),
    ('img1,img2,caption\na,b\n', 'line 2: 2 fields, expected 3'),
    ('img1,img2,caption\na,b,c,d\n', 'line 2: 4 fields, expected 3'),
    ('img1,img2,caption\n,b,c\n', 'line 2: expected the name of an image'),
    ('img1,img2,caption\na,b,"c\n', 'not CSV'),
    ('before;after;text\n', 'found before, after, text'),
    ('img1;img2;caption\na;b\n', 'line 2: 2 fields, expected 3'),
]


@pytest.mark.parametrize('sign', [',', ';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_tables_of_every_language(tmp_path, sign, encoding):
    rows = ['img1', 'img2', 'caption'], ['a.png', 'b.png', '"gone, or left; no\ttrace"']
    text = '\r\n'.join(sign.join(row) for row in rows)
    (tmp_path / 'pairs.csv').write_bytes(text.encode(encoding))
    (t,) = read_pair_file(tmp_path / 'pairs.csv', on_disk=False)[0]
    assert t.captions == ('gone , or left ; no trace',)


BROKEN = [('pairs.jsonl', *line) for line in LINES] + [('pairs.csv', *table) for table in TABLES]


@pytest.mark.parametrize('name, text, words', BROKEN)
def test_broken_files(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError) as e:
        read_pair_file(path)
    assert words in str(e.value) and name in str(e.value)


ITEMS = [
    (read_spot_the_diff, {}, 'expected a list of objects, found a dict'),
    (read_spot_the_diff, [3], 'item 1: expected an object'),
    (read_spot_the_diff, [SPOT, without(SPOT, 'sentences')], "item 2: no 'sentences'"),
    (read_spot_the_diff, [SPOT | dict(sentences='one')], 'item 1: expected a list in'),
    (read_spot_the_diff, [SPOT | dict(sentences=[['a']])], 'item 1: expected a sentence'),
    (read_edit_requests, [without(EDIT, 'uid')], "item 1: no 'uid'"),
    (read_edit_requests, [EDIT | dict(img0=None)], 'item 1: expected the name of an image'),
    (read_edit_requests, [EDIT | dict(sents=3)], 'item 1: expected a list in'),
    (read_levir_cc, [], 'expected an object with a list "images"'),
    (read_levir_cc, dict(images=3), 'expected an object with a list "images"'),
    (read_levir_cc, dict(images=[3]), 'item 1: expected an object'),
    (read_levir_cc, dict(images=[without(LEVIR, 'changeflag')]), "item 1: no 'changeflag'"),
    (read_levir_cc, dict(images=[LEVIR | dict(changeflag=2)]), 'changeflag 2, expected 0 or 1'),
    (read_levir_cc, dict(images=[LEVIR | dict(filename=3)]), 'expected a file name'),
    (read_levir_cc, dict(images=[LEVIR | dict(sentences=[{}])]), "no 'raw'"),
]


@pytest.mark.parametrize('reader, content, words', ITEMS)
def test_broken_items(tmp_path, reader, content, words):
    path = tmp_path / 'test.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as e:
        reader(path, 'test') if reader is read_levir_cc else reader(path)
    assert words in str(e.value) and 'test.json' in str(e.value)


def test_folders_without_pairs(tmp_path):
    assert not holds_pairs(tmp_path)
    with pytest.raises(FileNotFoundError, match='expected one of train.jsonl'):
        read_pairs(tmp_path, 'train')
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        read_pairs(tmp_path / 'none', 'train')
    with pytest.raises(KeyError, match='no split'):
        read_pairs(tmp_path, 'night')
    (tmp_path / 'train.json').write_text('[{"a": 1}]')
    with pytest.raises(ValueError, match='img_id .* or uid'):
        read_pairs(tmp_path, 'train')


def test_a_paraphrase_is_no_negative():
    said = {
        'a': ['make all the colors more vivid'],
        'b': ['make colors more vibrant'],
        'c': ['crop the left side'],
        'd': ['add a hat to the dog'],
        'e': ['remove the man behind the car'],
    }
    judge = maybe_same(said)
    assert judge('a', 'make colors more vibrant') and judge('b', 'make all the colors more vivid')
    assert not judge('a', 'crop the left side')
    negatives = free_negatives(said, 3)
    assert said['b'][0] not in [x.text for x in negatives['a']]
    assert {x.kind for some in negatives.values() for x in some} == {'retrieve'}
    with pytest.raises(ValueError, match='more captions are needed'):
        free_negatives(said, 4)
    assert maybe_same(said)('a', '')  # a sentence that says nothing is not wrong


ADJECTIVES = 'blue red dark bright small huge round old'.split()
THINGS = 'sky car dog house tree face hat sign'.split()


@pytest.fixture(scope='module')
def requests(tmp_path_factory):  # invented requests about the lesson pictures, and their grids
    from idc_nb.lab.store import lesson_store

    root = tmp_path_factory.mktemp('data') / 'edits'
    root.mkdir()
    for name in ('images', 'sc_pictures'):
        source = lesson_data() / name.replace('pictures', 'images')
        (root / name).symlink_to(source.resolve())
    store = root / 'features'
    shutil.copytree(lesson_store().folder, store)
    index = json.loads((store / 'index.json').read_text())
    index['names'] = [name.replace('sc_images', 'sc_pictures') for name in index['names']]
    (store / 'index.json').write_text(json.dumps(index))
    for split, numbers in dict(train=range(40), val=range(40, 50), test=range(50, 60)).items():
        lines = []
        for i in numbers:
            a, b = ADJECTIVES[i % 8], THINGS[(i * 3 + i // 8) % 8]
            first = f'images/CLEVR_default_{i:06d}.png'
            second = f'sc_pictures/CLEVR_semantic_{i:06d}.png'
            said = [f'Make the {b} {a}.', f'paint the {b} {a} please', '']
            lines.append(json.dumps(dict(img1=first, img2=second, captions=said)) + '\n')
        (root / f'{split}.jsonl').write_text(''.join(lines))
    return root


def test_it_trains_without_a_judge(requests, tmp_path, monkeypatch, capsys):
    from idc_nb.captioner import load_captioner

    monkeypatch.chdir(tmp_path)
    assert commands.idc_data([str(requests), '--describe']) == 0
    assert 'train: 40 pairs (pair), 80 captions' in capsys.readouterr().out
    common = ['--data', str(requests), '--accelerator', 'cpu', '--batch', '8', '--steps', '2']
    common += ['--validate-every', '2']
    assert commands.idc_train(common) == 0
    out = capsys.readouterr().out
    assert 'train: left out 40 empty sentences' in out and 'fda_accuracy' in out
    assert commands.idc_train([*common, '--stage', 'finetune']) == 0
    captioner = load_captioner('runs/tiny_0/captioner.safetensors')
    assert captioner.about['judge'] is False
    capsys.readouterr()
    pictures = [str(requests / x) for x in ('images', 'sc_pictures')]
    code = commands.idc_caption([*pictures, '--checkpoint', 'runs/tiny_0/captioner.safetensors'])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0 and len(lines) == 60 and 'change' not in lines[0]


def test_what_was_said_can_be_written_and_scored(requests, tmp_path, capsys):
    from idc_nb.lab.released import write_references, write_results

    triplets, _ = read_pairs(requests, 'test')
    assert {t.kind for t in triplets} == {PAIR} and all(t.changed for t in triplets)
    write_references(tmp_path / 'references.json', triplets)
    write_results(tmp_path / 'said.json', triplets, [t.captions[1] for t in triplets])
    argv = [str(tmp_path / 'references.json'), str(tmp_path / 'said.json'), '--no-meteor', '--json']
    assert commands.idc_score(argv) == 0
    assert json.loads(capsys.readouterr().out)['BLEU-4'] == pytest.approx(100)


def test_levir_has_distractors(tmp_path):
    images = [LEVIR | dict(filename=f'x{i}.png', changeflag=i % 2) for i in range(4)]
    path = tmp_path / 'LevirCCcaptions.json'
    path.write_text(json.dumps(dict(images=images)))
    triplets, _ = read_pairs(tmp_path, 'test')
    assert [t.kind for t in triplets] == [DISTRACTOR, PAIR] * 2
    assert re.search(r'images/test/A/x0\.png$', Path(triplets[0].img1).as_posix())

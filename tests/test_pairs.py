"""Readers of CLEVR-Change on folders that are incomplete or broken: the error names file and key.

tests/faults/test_hostile.py has the contents of the files; here it is folders, parts and made data.
"""

import json
import shutil
import pytest
from idc_nb.lab.files import read_json, write_json
from idc_nb.pairs import image_paths, lesson_data, read_clevr_change, read_kinds, read_more_pairs


@pytest.fixture
def folder(tmp_path):  # a copy of the lesson data
    root = tmp_path / 'clevr'
    shutil.copytree(lesson_data(), root, ignore=shutil.ignore_patterns('features*', 'birds'))
    return root


def test_no_folder():
    with pytest.raises(FileNotFoundError, match='nowhere is not a folder; expected CLEVR-Change'):
        read_clevr_change('nowhere', 'train')


@pytest.mark.parametrize('name', ['images', 'sc_images', 'nsc_images'])
def test_folder_of_images_is_missing(folder, name):
    shutil.rmtree(folder / name)
    with pytest.raises(FileNotFoundError, match=f'has no folder {name}/'):
        read_clevr_change(folder, 'train')


@pytest.mark.parametrize('name', ['change_captions', 'no_change_captions'])
def test_captions_are_missing(folder, name):
    (folder / f'{name}.json').unlink()
    with pytest.raises(FileNotFoundError, match=f'{name}.json is missing'):
        read_clevr_change(folder, 'train')
    triplets = read_clevr_change(folder, 'train', captioned=False)
    assert len(triplets) == 100 and {t.captions for t in triplets} == {()}


@pytest.mark.parametrize('name', ['splits', 'type_mapping', 'change_captions', 'scenes'])
def test_list_where_an_object_belongs(folder, name):
    write_json(folder / f'{name}.json', ['a'])
    with pytest.raises((ValueError, KeyError), match=f'{name}.json'):
        read_more_pairs(folder) if name == 'scenes' else read_clevr_change(folder, 'train')
    if name == 'type_mapping':
        with pytest.raises(ValueError, match='found a list'):
            read_kinds(folder / 'type_mapping.json')


def test_one_record_has_no_captions(folder):
    path = folder / 'change_captions.json'
    captions = read_json(path)
    del captions['CLEVR_default_000002.png']
    write_json(path, captions)
    splits = [s for s, ids in read_json(folder / 'splits.json').items() if 2 in ids]
    with pytest.raises(KeyError, match="has no key 'CLEVR_default_000002.png'"):
        read_clevr_change(folder, splits[0])


@pytest.mark.parametrize(
    'ids, words',
    [
        (['7'], "expected a list of numbers, found '7'"),
        (7, 'expected a list of numbers, found 7'),
        ([-1], 'found -1'),
        ([1.0], 'found 1.0'),
        ([3, 1, 3], '3 stands there twice'),
    ],
)
def test_wrong_numbers(folder, ids, words):
    write_json(folder / 'splits.json', dict(train=ids))
    with pytest.raises(ValueError, match=f'splits.json, train: .*{words}'):
        read_clevr_change(folder, 'train')


@pytest.mark.parametrize('which', ['img1', 'img2'])
def test_part_of_the_images(folder, which):
    whole = read_clevr_change(folder, 'train')
    (folder / getattr(whole[0], which)).unlink()
    part = read_clevr_change(folder, 'train', on_disk=True)
    assert part == whole[2:]  # both pairs of the record are gone
    assert read_clevr_change(folder, 'train') == whole  # the files are not asked for


def test_more_pairs_of_data_with_three_pictures(folder):
    shutil.rmtree(folder / 'again_images')
    triplets = read_more_pairs(folder)
    assert len(triplets) == 4 * 50 and len(image_paths(triplets)) == 3 * 50
    assert not any('again' in t.id for t in triplets)
    with_four = read_more_pairs(lesson_data())
    sentences = {t.id: t.captions for t in with_four}
    assert all(sentences[t.id] == t.captions for t in triplets)  # the fourth changes no sentence


def test_more_pairs_of_an_unknown_record(folder):
    splits = json.loads((folder / 'splits.json').read_text())
    write_json(folder / 'splits.json', splits | dict(train=[*splits['train'], 999]))
    with pytest.raises(KeyError, match="scenes.json has no key 'CLEVR_default_000999.png'"):
        read_more_pairs(folder)

"""Readers of the bird data: names of photos, photos on disk, order of captions.

tests/faults/test_hostile.py has the broken files.
"""

import pytest
from idc_nb.lab.readers import (
    BIRDS,
    Photo,
    check_split,
    image_name,
    read_birds_to_words,
    read_cub,
    read_hierarchy,
    read_nabirds,
    tokenise,
)

HEAD = (
    'img1ObservationURL img1ImgURL img1Species img1Selection '
    'img2ObservationURL img2ImgURL img2Species img2Selection split annN description'
).split()


def annotation(a, b, n, description, split='train'):
    first, second = ([f'o/{bird}', f'p/{bird}/large.jpg', 'Parus', 'base'] for bird in (a, b))
    return [*first, *second, split, str(n), description]


def write_tsv(path, *rows):
    path.write_text('\n'.join('\t'.join(row) for row in (HEAD, *rows)) + '\n')
    return path


@pytest.mark.parametrize(
    'url, name',
    [
        ('https://site/photos/647514/large.jpg?1545', '647514.jpg'),
        ('https://site/photos/647514/original.jpeg', '647514.jpeg'),
        ('https://site/photos/647514/', '647514.jpg'),
        ('https://site/photos/647514/medium', '647514.jpg'),
        ('large.jpg', 'large.jpg'),
        ('000012_a.png', '000012_a.png'),
    ],
)
def test_image_name(url, name):
    assert image_name(url) == name


def test_captions_in_the_order_of_their_numbers(tmp_path):
    tsv = write_tsv(
        tmp_path / 'b.tsv',
        annotation(3, 5, 10, 'Ten.'),
        annotation(5, 3, 1, 'The other way round.'),
        annotation(3, 5, 2, 'Two.'),
    )
    first, second = read_birds_to_words(tsv, 'train')
    assert (first.id, first.captions, first.kind) == ('3_5', ('two .', 'ten .'), BIRDS)
    assert (second.id, second.captions) == ('5_3', ('the other way round .',))
    assert first.img1 == str(tmp_path / 'images' / '3.jpg')


def test_only_pairs_whose_photos_exist(tmp_path):
    tsv = write_tsv(tmp_path / 'b.tsv', annotation(3, 5, 1, 'A.'), annotation(3, 8, 1, 'B.'))
    (tmp_path / 'images').mkdir()
    for bird in (3, 8):
        (tmp_path / 'images' / f'{bird}.jpg').write_text('')
    assert [t.id for t in read_birds_to_words(tsv, 'train', on_disk=True)] == ['3_8']
    assert len(read_birds_to_words(tsv, 'train')) == 2


def test_photos(tmp_path):
    files = {
        'images.txt': 'a x/a.jpg\nb x/b.jpg\nc y/c.jpg',
        'image_class_labels.txt': 'a 4\nb 4\nc 2',
        'classes.txt': '0 Birds\n2 Geese\n3 Tits\n4 Great Tit',
        'train_test_split.txt': 'a 1\nb 0\nc 1',
        'hierarchy.txt': '2 0\n3 0\n4 3',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / 'images' / 'x' / 'a.jpg'
    assert read_nabirds(tmp_path, 'train')[0] == Photo('a', str(path), 4, ())
    assert read_cub(tmp_path, 'train', on_disk=True) == []
    path.parent.mkdir(parents=True)
    path.write_text('')
    assert [p.id for p in read_cub(tmp_path, 'train', on_disk=True)] == ['a']
    assert read_hierarchy(tmp_path) == {2: 0, 3: 0, 4: 3}


def test_check_split():
    check_split('val', ('train', 'val'), 'a.tsv')
    with pytest.raises(KeyError, match="a.tsv has no split 'test'; it has train, val"):
        check_split('test', ('train', 'val'), 'a.tsv')


@pytest.mark.parametrize('text', ["It's 3 animals.", 'Animal #1, animal-2 & ANIMAL 1', 'a  "b" é!'])
def test_tokenise_twice(text):
    assert tokenise(tokenise(text)) == tokenise(text)

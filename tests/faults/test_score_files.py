"""Files of sentences as people have them, and what `idc_score` says of them."""

import json
from contextlib import nullcontext
from pathlib import Path
import pytest
from idc_nb.lab import commands
from idc_nb.lab.files import read_json, read_lines
from idc_nb.lab.java import java
from idc_nb.lab.released import read_released_pairs
from idc_nb.lab.sentence_files import read_sentences, write_records
from idc_nb.metrics import METRICS, score_tree

CASES = Path(__file__).parents[2] / '../shared/data/cases/formats'
REFS = {'1.png': ['the red car is gone', 'one car left'], '2.png': ['no difference']}
SAID = {'1.png': 'the red car has left', '2.png': 'no difference'}
COCO = [dict(image_id=i, caption=c) for i, refs in REFS.items() for c in refs]
FORMS = dict(
    coco=dict(images=[], annotations=COCO),
    lists=REFS,
    results=[dict(image_id=i, caption=c) for i, c in SAID.items()],
    one=SAID,
    in_lists={i: [c] for i, c in SAID.items()},
    without_ending={i[0]: c for i, c in SAID.items()},
    coco_dicts={i: [dict(caption=c)] for i, c in SAID.items()},
)


def write(path, x):  # a JSON value, or a list of lines
    lines = x if path.suffix == '.jsonl' else [x]
    path.write_text('\n'.join(map(json.dumps, lines)))
    return str(path)


def asked(capsys, *argv):  # exit code, what JSON holds, or the error
    code = commands.idc_score([*map(str, argv), '--json'])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else err


@pytest.mark.parametrize('references', ['coco', 'lists'])
@pytest.mark.parametrize(
    'candidates', ['results', 'one', 'in_lists', 'without_ending', 'coco_dicts']
)
def test_every_form_gives_the_same_numbers(tmp_path, capsys, references, candidates):
    files = [write(tmp_path / f'{n}.json', FORMS[n]) for n in (references, candidates)]
    code, found = asked(capsys, *files, '--no-meteor')
    assert code == 0 and found['pairs'] == 2 and found['scale'] == 100
    assert found['BLEU-1'] == pytest.approx(85.714286)
    assert found['CIDEr-D'] == pytest.approx(370.11404391)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_encodings_and_windows_lines(tmp_path, encoding):
    path = tmp_path / 'a.json'
    path.write_bytes('{"é":\r\n ["größer"]}\r\n'.encode(encoding))
    assert read_json(path) == {'é': ['größer']} == read_sentences(path).texts
    assert [n for n, _ in read_lines(path)] == [1, 2]


def test_identical_to_pycocoevalcap_on_the_same_text(tmp_path, capsys, monkeypatch):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    typed = {
        7: ["The red car's gone.", 'One car left!'],
        8: ['No difference.', 'It is the same, really.'],
        9: ['A man (in white) walks away'],
    }
    said = {7: 'The red car has left.', 8: 'no difference', 9: 'a man walked away - in white'}
    coco = [dict(image_id=i, caption=c) for i, refs in typed.items() for c in refs]
    results = [dict(image_id=i, caption=c) for i, c in said.items()]
    files = write(tmp_path / 'r.json', dict(annotations=coco)), write(tmp_path / 'c.json', results)
    with java():
        split = PTBTokenizer().tokenize
        gts = split({i: [dict(caption=c) for c in refs] for i, refs in typed.items()})
        res = split({i: [dict(caption=c)] for i, c in said.items()})
        meteor = Meteor()
        theirs = dict(zip(METRICS, Bleu(4).compute_score(gts, res, verbose=0)[0]))
        theirs['METEOR'] = meteor.compute_score(gts, res)[0]
    theirs['ROUGE-L'] = Rouge().compute_score(gts, res)[0]
    theirs['CIDEr-D'] = Cider().compute_score(gts, res)[0]
    # one start of METEOR's Java for both
    monkeypatch.setattr('idc_nb.lab.java.open_meteor', lambda: nullcontext(meteor))
    code, ours = asked(capsys, *files, '--tokens', 'ptb')
    meteor.meteor_p.kill()
    assert code == 0
    assert {name: ours[name] for name in METRICS} == {m: 100 * v for m, v in theirs.items()}


def test_ids_of_one_side_and_a_subset(tmp_path, capsys):
    refs, said = write(tmp_path / 'r.json', REFS), write(tmp_path / 'c.json', {'1.png': 'a car'})
    code, error = asked(capsys, refs, said)
    assert code == 2 and "1 references have no candidate, such as ['2.png']" in error
    assert '--subset' in error
    code, found = asked(capsys, refs, said, '--subset', '--no-meteor')
    assert code == 0 and found['pairs'] == 1
    assert 'a subset: 1 pairs without a candidate are left out' in found['read']
    assert 'a single pair: CIDEr-D is 0' in found['notes'][0]
    code, error = asked(capsys, said, refs)
    assert code == 2 and 'expected one' in error
    code, error = asked(capsys, refs, write(tmp_path / 'x.json', SAID | {'3': 'a'}), '--subset')
    assert code == 2 and "1 candidates have no references, such as ['3']" in error


RECORDS = [
    dict(id='a', references=['the cube moved'], candidate='the cube moved', kind='move', true=True),
    dict(id='b', references=['no change'], candidate='it is gone', kind='distractor', true=False),
]


def test_records_are_scored_alone_and_as_a_map_of_kinds(tmp_path, capsys):
    path = tmp_path / 'said.jsonl'
    write_records(path, RECORDS)
    code, found = asked(capsys, path, '--no-meteor')
    tree = score_tree(RECORDS, meteor=False)
    assert code == 0 and found['groups'] == tree and tree['move']['truth'] == 100
    refs = write(tmp_path / 'r.json', {r['id']: r['references'] for r in RECORDS})
    said = write(tmp_path / 'c.json', {r['id']: r['candidate'] for r in RECORDS})
    code, found = asked(capsys, refs, said, '--no-meteor', '--by', path)
    assert code == 0 and found['groups']['move']['CIDEr-D'] == 0
    assert set(found['groups']) == {'all', 'change', 'distractor', 'move'}
    own = write(tmp_path / 'k.json', {'easy': ['a'], 'hard': ['b']})
    code, found = asked(capsys, refs, said, '--no-meteor', '--by', own)
    assert code == 0 and set(found['groups']) == {'all', 'easy', 'hard'}
    code, error = asked(capsys, refs, said, '--by', write(tmp_path / 'o.json', {'easy': ['a']}))
    assert code == 2 and "tells no kind of 1 pairs, such as ['b']" in error


def test_captions_are_kept_when_scoring_fails(tmp_path, capsys, monkeypatch):
    path = tmp_path / 'said.jsonl'
    write_records(path, RECORDS)
    monkeypatch.setattr('idc_nb.metrics.meteor_scores', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_tree(RECORDS)
    assert asked(capsys, path)[0] == 1  # Java failed
    assert asked(capsys, path, '--no-meteor')[0] == 0  # and the sentences are there


BAD = [
    ('[]', 'is an empty list'),
    ('', 'is empty'),
    ('7', 'got a int'),
    ('[3]', 'item 1: expected an object'),
    ('{"annotations": [{"id": 1}]}', 'annotation 1: expected an object with image_id, caption'),
    ('{"a": 3}', "key 'a': expected a sentence"),
    ('{"a": null}', "key 'a': expected a sentence"),
    ('{"a": [["x"]]}', "key 'a': expected a sentence"),
    ('{"a": "x", "a": "y"}', "the key 'a' stands there twice"),
    ('[{"image_id": 1, "caption": 5}]', 'item 1: expected a sentence'),
    ('[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]', 'item 2: the id'),
    ('{"img1": "a", "img2": "b"}', 'line 1: expected an object'),
    ('{"img1": "a", "img2": "b", "sentences": []}', 'line 1: expected "sentences"'),
    ('{"img1": "a", "img2": "b", "sentences": ["a"]}\n{', 'line 2: not JSON'),
    ('{"a": \n oh}', 'line 2: not JSON'),
    ('\x89PNG\0', 'a zero byte'),
]


@pytest.mark.parametrize('text, words', BAD)
def test_bad_files_are_named_with_their_line(tmp_path, capsys, text, words):
    bad = tmp_path / 'bad.json'
    bad.write_text(text, encoding='utf-8')
    good = write(tmp_path / 'r.json', REFS)
    for files in ((bad, good), (good, bad)):
        code, error = asked(capsys, *files)
        assert code == 2 and 'bad.json' in error and words in error, error


def test_one_sentence_and_png_names(tmp_path):
    names = dict(img1='CLEVR_default_000001.png', img2='CLEVR_semantic_000001.png')
    path = tmp_path / 'test.json'
    path.write_text(json.dumps(names | dict(sentences='the cube moved')))
    (t,) = read_released_pairs(path)
    assert (t.id, t.captions) == ('CLEVR_default_000001_CLEVR_semantic_000001', ('the cube moved',))
    path.write_text(json.dumps(dict(img1='CLEVR_x', img2='y', sentences='a')))
    assert read_released_pairs(path)[0].kind == 'change'  # a name without a number


@pytest.mark.skipif(not CASES.exists(), reason='needs ../shared')
@pytest.mark.parametrize(
    'references, candidates',
    [
        ('references', 'candidates_in_lists'),
        ('coco_references', 'coco_results'),
        ('released_references', 'released_results'),
    ],
)
def test_cases(capsys, references, candidates):
    files = [CASES / f'{name}.json' for name in (references, candidates)]
    code, found = asked(capsys, *files, '--no-meteor')
    assert code == 0 and found['pairs'] == 2 and found['BLEU-1'] > 80


@pytest.mark.skipif(not CASES.exists(), reason='needs ../shared')
def test_released_cases():
    (t,) = read_released_pairs(CASES / 'released_with_png.json')
    assert t.img1 == 'CLEVR_default_000001'
    (t,) = read_released_pairs(CASES / 'released_one_string.json')
    assert t.captions == ('make it brighter',)

"""Bad input to the scores is an error that names the pair; what is not known stays unknown."""

import pytest
from idc_nb.lab.sentences import MAX_WORDS
from idc_nb.metrics import METRICS, PAIR_KINDS, SCORE_COLUMNS, caption_score, counted, per_cent
from idc_nb.metrics import score, score_tree, table
from idc_nb.world.language import is_true
from idc_nb.world.mini import sample_record

NAN = float('nan')
REFERENCES = {1: ['the red cube vanished', 'the red cube is gone'], 2: ['there is no change']}


@pytest.mark.parametrize(
    'references, candidates, error, words',
    [
        ({}, {}, ValueError, 'no pairs to score'),
        ({'a': ['x'], 'b': ['y']}, {'a': 'x'}, ValueError, r"1 ids have no candidate.*\['b'\]"),
        ({'a': ['x']}, {'a': 'x', 7: 'y'}, ValueError, r'1 ids have no references.*\[7\]'),
        ({'a': ['x'], 7: ['y']}, {}, ValueError, r"2 ids have no candidate.*\[7, 'a'\]"),
        ({'a': []}, {'a': 'x'}, ValueError, "references of 'a' hold no word"),
        ({'a': [' ', '\n']}, {'a': 'x'}, ValueError, "references of 'a' hold no word"),
        ({'a': 'x y'}, {'a': 'x'}, TypeError, "references of 'a' are a str, expected a list"),
        ({'a': [None]}, {'a': 'x'}, TypeError, "a reference of 'a' is a NoneType"),
        ({'a': ['x']}, {'a': ['x']}, TypeError, "candidate of 'a' is a list, expected a str"),
        ({'a': ['x']}, {'a': NAN}, TypeError, "candidate of 'a' is a float"),
        ({'a': ['x']}, {'a': 'x ' * (MAX_WORDS + 1)}, ValueError, 'more than 5000 words'),
        ({'a': ['x ' * (MAX_WORDS + 1)]}, {'a': 'x'}, ValueError, "a reference of 'a' has more"),
    ],
)
def test_an_error_names_the_pair(references, candidates, error, words):
    with pytest.raises(error, match=words):
        score(references, candidates, meteor=False)


def test_a_score_has_the_tables_columns_in_order():
    scores = score(REFERENCES, {1: 'the red cube vanished', 2: 'there is no change'}, meteor=False)
    assert list(scores) == [name for name in METRICS if name != 'METEOR']
    assert scores['BLEU-1'] == pytest.approx(1) and scores['ROUGE-L'] == pytest.approx(1)
    assert scores['CIDEr-D'] < 9, 'it averages over references that differ'
    assert per_cent(scores)['CIDEr-D'] == 100 * scores['CIDEr-D']


def test_tokenisers():
    same = dict(references={1: ['Gone!']}, candidates={1: 'gone'}, meteor=False)
    assert score(**same)['BLEU-1'] == pytest.approx(0, abs=1e-6)
    assert score(**same, tokenize='ptb')['BLEU-1'] == pytest.approx(1)
    with pytest.raises(ValueError, match="unknown tokeniser 'spacy'"):
        score(**same, tokenize='spacy')


def test_a_double_space_is_an_empty_word_to_rouge():
    one, two = (counted({1: ['the cube']}, {1: s})['ROUGE-L'] for s in ('the cube', 'the  cube'))
    assert one == 1 and two < 1


def records():
    return [
        dict(id=1, kind='color', references=['it turned red'], candidate='it turned blue'),
        dict(id=2, kind='drop', references=['it is gone'], candidate='it is gone'),
        dict(id=3, kind='distractor', references=['no change'], candidate='no change'),
    ]


@pytest.mark.parametrize(
    'bad, words',
    [
        (lambda: [], 'no pairs to score'),
        (lambda: records() + records()[:1], 'two records have the id 1'),
        (lambda: [records()[0] | dict(kind='resize')], "record 1 has kind 'resize'"),
        (lambda: [dict(id=1)], r"record 0 lacks \['references', 'candidate', 'kind'\]"),
    ],
)
def test_bad_records(bad, words):
    with pytest.raises(ValueError, match=words):
        score_tree(bad(), meteor=False)


def test_what_is_not_known_stays_unknown():
    rows = records()
    for row, true, judged in zip(rows, (False, True, None), (True, False, NAN)):
        row.update(true=true, judged=judged)
    tree = score_tree(rows, meteor=False)
    assert list(tree) == ['all', 'change', 'distractor', 'color', 'drop']
    assert [group['truth'] for group in tree.values()] == [50, 50, None, 0, 100]
    assert [group['judge_accuracy'] for group in tree.values()] == [50, 50, None, 100, 0]
    assert tree['drop']['CIDEr-D'] == 0, 'one pair alone'
    t = table(tree)
    assert list(t.columns) == [name for name in SCORE_COLUMNS if name != 'METEOR']
    assert t['truth'].isna()['distractor'] and t['n'].dtype == int
    nothing = score_tree(records(), meteor=False)['all']
    assert nothing['truth'] is None and nothing['judge_accuracy'] is None


def test_a_verdict_counts_as_true_or_false():
    made, rows = sample_record(0, 0), []
    for id, sentence in enumerate((made['captions'][0], 'there is no change')):
        verdict = is_true(sentence, made['before'], made['after'])
        said = dict(references=made['captions'], candidate=sentence, true=verdict)
        rows.append(dict(said, id=id, kind=PAIR_KINDS[0]))
    assert score_tree(rows, meteor=False)['all']['truth'] == 50


def test_caption_score_is_the_score_of_the_captions(tmp_path):
    import torch
    from idc_nb.decode import caption_share
    from idc_nb.model import DifferenceModel
    from made_up import config, made_up

    triplets, store, vocab = made_up(tmp_path)
    torch.manual_seed(0)
    model = DifferenceModel(config(vocab)).eval()
    said = caption_share(model, vocab, triplets, store)
    references = {t.id: list(t.captions) for t in triplets}
    for metric in ('CIDEr-D', 'ROUGE-L', 'BLEU-4'):
        evaluate = caption_score(triplets, store, vocab, metric)
        assert evaluate(model) == score(references, said, meteor=False)[metric]
    with pytest.raises(ValueError, match="'CIDEr': expected 'CIDEr-D'"):
        caption_score(triplets, store, vocab, metric='CIDEr')

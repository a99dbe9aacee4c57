"""Our scores beside numbers of the authors' released code.

The numbers lie outside the repository; the tests are skipped where they are missing.
"""

import json
from pathlib import Path
import pytest
from idc_nb.metrics import counted, score

FIXTURE = Path(__file__).parents[2] / 'shared' / 'fixtures' / 'metrics.json'
pytestmark = pytest.mark.skipif(not FIXTURE.exists(), reason='no ../shared/fixtures/metrics.json')
OUR_NAME = dict(
    Bleu_1='BLEU-1',
    Bleu_2='BLEU-2',
    Bleu_3='BLEU-3',
    Bleu_4='BLEU-4',
    ROUGE_L='ROUGE-L',
    CIDEr='CIDEr-D',
    CIDErD='CIDEr-D',
)


def cases():
    return json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}


@pytest.mark.parametrize('name', cases())
@pytest.mark.parametrize('source', ['official', 'pycocoevalcap_1_2'])
def test_corpus_scores(name, source):
    case = cases()[name]
    ours = score(case['references'], case['candidates'], meteor=False)
    listed = {k: v for k, v in case[source].items() if k != 'per'}
    assert len(listed) >= 6
    for k, v in listed.items():
        assert ours[OUR_NAME[k]] == pytest.approx(v, abs=1e-6), k


@pytest.mark.parametrize('name', cases())
def test_per_pair_scores(name):
    "BLEU and ROUGE-L of one pair do not depend on the others; CIDEr-D does, so it is left out."
    case = cases()[name]
    for n, (i, refs) in enumerate(case['references'].items()):
        ours = counted({i: refs}, {i: case['candidates'][i]})
        for k, v in case['official']['per'].items():
            if 'CIDEr' not in k:
                assert ours[OUR_NAME[k]] == pytest.approx(v[n], abs=1e-6), (i, k)

"""Captions of a whole store, where the model never says EOS."""

import torch
from idc_nb.decode import caption_pairs, caption_share
from idc_nb.model import DifferenceModel
from idc_nb.vocab import SPECIALS
from made_up import config, made_up


def test_a_caption_has_39_words_at_most_unless_one_asks_for_more(tmp_path):
    triplets, store, vocab = made_up(tmp_path, pairs=2)
    model = DifferenceModel(config(vocab)).eval()
    model.word_head.bias.data[: len(SPECIALS)] -= 100

    def lengths(**options):
        pairs = [
            sentence for sentence, _ in caption_pairs(model, vocab, triplets, store, **options)
        ]
        share = caption_share(model, vocab, triplets, store, **options)
        return {len(sentence.split()) for sentence in (*pairs, *share.values())}

    assert lengths() == {39}  # BOS is the fortieth
    assert lengths(max_len=45) == {44}

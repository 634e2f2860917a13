"""Digits and the comma behind them, by the predecessors' rule applied to strings."""

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import split, texts_with_literals, train_pieces

from uer.tokenizers.sentencepiece_comma import SentencepieceCommaTokenizer

NUMBERS = st.sampled_from(["19,", "1999,5", "7,7,", "the 23,", ",", "a,", " 99, ", "1,000,000"])


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    path = train_pieces(
        tmp_path_factory.mktemp("comma") / "m.model",
        user_defined_symbols=["9,", "▁19,", "000,", "²,"],
    )
    return SentencepieceCommaTokenizer(spm_model_path=path)


def by_strings(model, text):
    """Ids by the rule on the pieces' spelling, piece by piece."""
    found = []
    for piece in model.encode(text, out_type=str):
        if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
            parts = model.encode(piece[:-1].replace("▁", ""), out_type=str)
            if not piece.startswith("▁") and parts[0].startswith("▁"):
                parts = [parts[0][1:], *parts[1:]] if len(parts[0]) > 1 else parts[1:]
            found += [*parts, ","]
        else:
            found.append(piece)
    return [model.piece_to_id(piece) for piece in found]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.one_of(NUMBERS, texts_with_literals), max_size=5).map("".join)))
def test_equals_the_rule(ours, batch):
    model = sentencepiece.SentencePieceProcessor(model_proto=ours.files["spm_model_path"].content)
    encoded = ours.encode_batch(batch, offsets=True)
    found = split(encoded.ids, encoded.lengths) if batch else []
    assert found == [by_strings(model, text) for text in batch]
    assert len(encoded.offsets) == len(encoded.word_starts) == len(encoded.ids)
    for text, length, places in zip(
        batch, encoded.lengths, split(encoded.offsets, encoded.lengths) if batch else [],
        strict=True,
    ):  # fmt: skip
        assert len(places) == length and places == sorted(places)
        assert not places or places[-1] < len(text)
    assert np.array_equal(encoded.ids, ours.encode_batch(batch).ids)


def test_an_example(ours):
    tokens = ours.tokens(ours.encode("in 19, 9,"))
    joined = "".join(tokens)
    assert joined == "▁in▁19,▁9," and "▁19," not in tokens and "9," not in tokens


def test_there_are_no_sentinels_to_add(ours):
    assert ours.options == {} and ours.kind == "sentencepiece_comma"

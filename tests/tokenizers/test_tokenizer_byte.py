"""The ids are those of transformers' ByT5Tokenizer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import split, texts_with_literals
from transformers import ByT5Tokenizer

from uer.errors import ConfigError, UserError
from uer.tokenizers.byte import ByteTokenizer

OURS, REFERENCE = ByteTokenizer(), ByT5Tokenizer()


@settings(max_examples=150, deadline=None)
@given(st.lists(texts_with_literals, max_size=4))
def test_equals_transformers(batch):
    encoded = OURS.encode_batch(batch, offsets=True)
    ids = split(encoded.ids, encoded.lengths) if batch else []
    for text, found in zip(batch, ids, strict=True):
        made = REFERENCE(text, add_special_tokens=False, split_special_tokens=True)
        assert found == made["input_ids"]
        assert OURS.decode(found) == text
    places = [n for text in batch for n, letter in enumerate(text) for _ in letter.encode()]
    assert encoded.offsets.tolist() == places


def test_special_ids_equal_transformers():
    assert OURS.vocab_size == len(REFERENCE) == 384
    assert OURS.special == {"pad": 0, "unk": 2, "sep": 1, "eos": 1, "sentinel": 259}
    names = [f"<extra_id_{number}>" for number in range(125)]
    assert OURS.sentinel_ids == REFERENCE.convert_tokens_to_ids(names)


def test_words_start_behind_white_space():
    encoded = OURS.encode_batch([" ab  é\nc", "", "d"])
    starts = "".join("^" if start else "." for start in encoded.word_starts)
    assert starts == "^^...^..^" + "^"


def test_bytes_that_are_no_text_are_left_out():
    assert OURS.decode([*OURS.encode("é")[:1], *OURS.encode("x"), 1, 260]) == "x"


def test_the_number_of_sentinels_is_free():
    none = ByteTokenizer(extra_ids=0)
    assert none.vocab_size == 259
    assert "sentinel_ids" not in none.facts()
    with pytest.raises(ConfigError, match="extra_ids: -1 is negative"):
        ByteTokenizer(extra_ids=-1)


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(UserError, match="surrogate"):
        OURS.encode("a\ud83d")

"""Segmented text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.tokenizers.space import SpaceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, "中国", "人", "a", "A"]), encoding="utf-8")
    return SpaceTokenizer(vocab_path=str(path))


def test_a_run_of_white_space_counts_once(tokenizer):
    text = " 中国  人\t\u3000a b"
    assert tokenizer.tokens(tokenizer.encode(text)) == ["中国", "人", "a", "[UNK]"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("中国人aA \t\u3000\x1c"), max_size=12), max_size=5))
def test_equals_the_plain_rule(tokenizer, batch):
    encoded = tokenizer.encode_batch(batch, offsets=True)
    known = {token: number for number, token in enumerate(tokenizer.vocabulary)}
    words = [text.split() for text in batch]
    assert encoded.ids.tolist() == [known.get(w, 1) for sentence in words for w in sentence]
    assert encoded.lengths.tolist() == [len(sentence) for sentence in words]
    assert encoded.word_starts.all()
    ends = encoded.lengths.cumsum()
    for text, sentence, end in zip(batch, words, ends, strict=True):
        for word, place in zip(sentence, encoded.offsets[end - len(sentence) : end], strict=True):
            assert text.startswith(word, place)


def test_decode_puts_a_blank_between_tokens(tokenizer):
    assert tokenizer.decode(tokenizer.encode("中国  人 a")) == "中国 人 a"

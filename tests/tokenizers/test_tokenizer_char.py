"""Characters as tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.errors import UserError
from uer.tokenizers.base import load
from uer.tokenizers.char import CharTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("char") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *"中国aA", "\u3000", "ab", "😀"]), encoding="utf-8")
    return CharTokenizer(vocab_path=str(path))


def test_case_is_kept_and_unknown_characters_are_unknown(tokenizer):
    assert tokenizer.tokens(tokenizer.encode(" 中aA b\u3000国 ")) == [
        *["中", "a", "A", "[UNK]", "[UNK]", "\u3000", "国"]
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("中国aAb \t\n\u3000😀[]"), max_size=12), max_size=5))
def test_equals_the_plain_rule(tokenizer, batch):
    encoded = tokenizer.encode_batch(batch, offsets=True)
    known = {token: number for number, token in enumerate(tokenizer.vocabulary)}
    stripped = [text.strip() for text in batch]
    assert encoded.ids.tolist() == [known.get(c, 1) for text in stripped for c in text]
    assert encoded.lengths.tolist() == [len(text) for text in stripped]
    assert encoded.word_starts.all()
    ends = encoded.lengths.cumsum()
    for text, end, length in zip(batch, ends, encoded.lengths, strict=True):
        places = encoded.offsets[end - length : end]
        assert "".join(text[place] for place in places) == text.strip()


def test_decode_puts_characters_together(tokenizer):
    assert tokenizer.decode(tokenizer.encode("中国aA")) == "中国aA"


def test_another_token_stands_for_a_blank(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *"ab|"]), encoding="utf-8")
    spelt = CharTokenizer(vocab_path=str(path), word_delimiter="|")
    assert spelt.tokens(spelt.encode(" a b\n")) == ["a", "|", "b"]
    assert spelt.decode(spelt.encode("ab ba")) == "ab ba"
    spelt.save(tmp_path / "saved")
    assert load(tmp_path / "saved").encode("a b").tolist() == spelt.encode("a b").tolist()
    with pytest.raises(UserError, match="lacks the word_delimiter '_'; name a token of it"):
        CharTokenizer(vocab_path=str(path), word_delimiter="_")

"""Vocabularies built from corpora."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.vocabulary import build_characters, build_wordpiece, write_vocabulary
from uer.errors import DataError, UserError
from uer.tokenizers.base import read_vocabulary
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.char import CharTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.sampled_from("ab中国 \t\r\u3000😀"), max_size=10), max_size=12),
    st.sampled_from(["char", "space"]),
    st.integers(1, 3),
    st.integers(1, 50),
)
def test_every_line_counts(tmp_path_factory, lines, delimiter, min_count, size):
    path = tmp_path_factory.mktemp("corpus") / "c.txt"
    path.write_bytes("\n".join(lines).encode())
    kept = [line.removesuffix("\r") for line in lines]
    tokens = [
        token
        for line in kept
        for token in (line.split() if delimiter == "space" else line.strip())
        if token not in " \t\r"
    ]
    if not tokens:
        with pytest.raises(DataError, match=r"the corpus holds no text: .*c\.txt"):
            build_characters([path], delimiter=delimiter)
        return
    listed = sorted(Counter(tokens).items(), key=lambda item: (-item[1], item[0]))
    expected = [*SPECIALS, *[token for token, count in listed if count >= min_count]]
    found = build_characters([path], delimiter=delimiter, min_count=min_count, block_bytes=size)
    assert found == expected


def test_the_number_of_processes_changes_nothing(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("中国 ab\nab\n" * 20 + "last", encoding="utf-8")
    for delimiter in ("char", "space"):
        one, two = (
            build_characters([path], delimiter=delimiter, processes=n, block_bytes=50)
            for n in (1, 2)
        )
        assert one == two
    assert one == [*SPECIALS, "ab", "中国", "last"]


def test_reserved_tokens_come_first_and_once(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("bba")
    assert build_characters([path], reserved=["<pad>", "a"]) == ["<pad>", "a", "b"]
    for build in (build_characters, lambda paths, **kw: build_wordpiece(paths, 30, **kw)):
        with pytest.raises(UserError, match="reserved: x stands there twice"):
            build([path], reserved=["x", "a", "x"])
        with pytest.raises(UserError, match="reserved: the first token is the padding"):
            build([path], reserved=[])


def test_a_character_vocabulary_serves_its_tokenizer(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("中国 a\u3000b\u2028c\n")
    write_vocabulary(build_characters([path]), tmp_path / "vocab.txt")
    tokenizer = CharTokenizer(vocab_path=str(tmp_path / "vocab.txt"))
    assert 1 not in tokenizer.encode("中国a\u3000b\u2028c")


def test_wordpiece(tmp_path):
    path = tmp_path / "c.txt"
    lines = ["Walking talking 中国人", "walked talked, 中国", "Walk talk é 罕"] * 3 + ["x"]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = build_wordpiece([path], 60)
    assert found[:5] == SPECIALS
    # Many ties: the trainer alone would number them by chance.
    assert all(found == build_wordpiece([path], 60) for _ in range(20))
    assert len(found) == len(set(found)) <= 60
    assert {"walk", "talk", "中", "国", "e", ","} <= set(found)
    assert not {"中国", "Walk", "é", "x"} & set(found)
    write_vocabulary(found, tmp_path / "vocab.txt")
    tokenizer = BertTokenizer(vocab_path=str(tmp_path / "vocab.txt"))
    assert 1 not in tokenizer.encode("Walking talked 中国人")
    assert "é" in build_wordpiece([path], 90, do_lower_case=False)


def test_wordpiece_says_when_the_characters_do_not_fit(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("abcdefg " * 3)
    with pytest.raises(UserError, match=r"size: 8 is too small.* need \d+ tokens"):
        build_wordpiece([path], 8)
    for size in (-5, 4):
        with pytest.raises(UserError, match=rf"size: {size} is too small, 5 special tokens come"):
            build_wordpiece([path], size)


def test_wordpiece_refuses_an_empty_corpus(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("\n \x00\n")
    with pytest.raises(DataError, match="holds no text"):
        build_wordpiece([path], 30)
    with pytest.raises(DataError, match="holds no text: no files"):
        build_wordpiece([], 30)


def test_writing_is_exact(tmp_path):
    tokens = ["[PAD]", "\u2028", "中"]
    write_vocabulary(tokens, tmp_path / "new" / "vocab.txt")
    assert (tmp_path / "new" / "vocab.txt").read_bytes() == "[PAD]\n\u2028\n中\n".encode()
    assert read_vocabulary(tmp_path / "new" / "vocab.txt") == tokens
    with pytest.raises(UserError, match="cannot write to"):
        write_vocabulary(tokens, tmp_path / "new" / "vocab.txt" / "under")

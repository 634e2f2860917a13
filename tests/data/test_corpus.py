"""Blocks, lines and formats."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.corpus import cut_blocks, read_documents, read_lines
from uer.data.formats import require_format
from uer.errors import ConfigError, DataError


def blocks_of(path, content, size):
    path.write_bytes(content)
    return cut_blocks([path], size)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["", "a", "中国", "\r", "a\rb", "x" * 30, "\u2028", " "]), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 40),
)
def test_every_line_is_read_once_wherever_blocks_cut(
    tmp_path_factory, lines, end, ended, marked, size
):
    text = end.join(lines) + (end if ended else "")
    content = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    path = tmp_path_factory.mktemp("corpus") / "c.txt"
    found = [line for block in blocks_of(path, content, size) for line in read_lines(block)]
    plain = text.split("\n")
    # Behind the last line end stands no line.
    expected = plain if plain[-1] else plain[:-1]
    assert found == [line.removesuffix("\r") for line in expected]


def test_blocks_do_not_depend_on_the_reader(tmp_path):
    assert [(b.start, b.end) for b in blocks_of(tmp_path / "c", b"x" * 10, 4)] == [
        *[(0, 4), (4, 8), (8, 10)]
    ]
    assert blocks_of(tmp_path / "c", b"", 4) == []


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_line_of_bad_utf8_is_exact(tmp_path, size):
    content = b"\xef\xbb\xbfgood\r\n\n" + b"more\n" * 5 + b"bad \xff one\n" + b"good\n" * 3
    with pytest.raises(DataError, match=r"c\.txt:8: this line is not UTF-8"):
        for block in blocks_of(tmp_path / "c.txt", content, size):
            read_lines(block)


def test_a_compressed_corpus_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"c\.gz:1: this line is not UTF-8"):
        read_lines(blocks_of(tmp_path / "c.gz", gzip.compress(b"text", mtime=0), 1000)[0])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: there is no such file"):
        cut_blocks([tmp_path / "none.txt"])
    with pytest.raises(DataError, match="this is a folder"):
        cut_blocks([tmp_path])


def test_sentences(tmp_path):
    block = blocks_of(tmp_path / "c", b"\na\nb\n \n\nc\n\n", 100)[0]
    parsed = read_documents(block, "sentences")
    assert parsed.texts == ["a", "b", "c"]
    assert parsed.document_starts.tolist() == [0, 2, 2, 3]
    assert parsed.blank_lines == 4


def test_lines(tmp_path):
    parsed = read_documents(blocks_of(tmp_path / "c", b"a\n\n b\n", 100)[0], "lines")
    assert parsed.texts == ["a", " b"]
    assert parsed.document_starts.tolist() == [0, 1]
    assert parsed.blank_lines == 1


def test_labelled(tmp_path):
    parsed = read_documents(blocks_of(tmp_path / "c", b"1\ta\n\n0\tb\tc\n", 100)[0], "labelled")
    assert parsed.texts == ["a", "b", "c"]
    assert parsed.document_starts.tolist() == [0, 1]
    assert parsed.columns["label"].tolist() == [1, 0]
    assert parsed.blank_lines == 1


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("label\ttext_a", "the label 'label' is not one of"),
        ("-1\ta", "the label '-1' is not one of"),
        ("٣\ta", "is not one of"),
        ("9" * 19 + "\ta", "is not one of"),
        ("1", "has 1 fields"),
        ("1\ta\tb\tc", "has 4 fields"),
        ("1\ta\t", "has an empty text"),
        ("1\t ", "has an empty text"),
    ],
)
def test_a_wrong_labelled_line_is_named_with_the_expected_shape(tmp_path, size, line, message):
    content = f"0\tfine\n\n1\tfine\ttoo\n{line}\n0\tfine\n".encode()
    with pytest.raises(DataError, match=rf"c\.tsv:4: .*{message}.*'label<TAB>text'"):
        for block in blocks_of(tmp_path / "c.tsv", content, size):
            read_documents(block, "labelled")


def test_an_unknown_format_is_refused():
    with pytest.raises(ConfigError, match="'sentence'; did you mean 'sentences'"):
        require_format("sentence")

"""Pairs and JSON lines, and stores of two sides."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.corpus import cut_blocks, read_documents
from uer.data.preprocess import preprocess
from uer.data.store import Store
from uer.errors import ConfigError, DataError
from uer.tokenizers.char import CharTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabularies")
    made = []
    for name, letters in (("one", "abcde"), ("other", "edxyz")):
        path = folder / name
        path.write_text("\n".join([*SPECIALS, *letters]))
        made.append(CharTokenizer(vocab_path=str(path)))
    return made


def parse(tmp_path, text, corpus_format):
    path = tmp_path / "c.txt"
    path.write_text(text, encoding="utf-8")
    return read_documents(cut_blocks([path])[0], corpus_format)


def test_golden(tmp_path):
    pairs = parse(tmp_path, "a b\tc\n\nd\te f\n", "pairs")
    assert pairs.texts == ["a b", "c", "d", "e f"] and pairs.document_starts.tolist() == [0, 2]
    assert pairs.blank_lines == 1
    lines = '{"text": "a\\nb", "id": 3}\n{"text": " "}\n \n{"text": "中"}\n'
    documents = parse(tmp_path, lines, "jsonl")
    assert documents.texts == ["a\nb", "中"] and documents.document_starts.tolist() == [0, 1]
    assert documents.blank_lines == 2
    rows = (
        '{"instruction": "say", "input": " it", "output": "it"}\n'
        '{"instruction": "go", "output": "gone"}\n'
    )
    asked = parse(tmp_path, rows, "instructions")
    assert asked.texts == ["say it", "it", "go", "gone"]
    assert asked.document_starts.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("corpus_format", "line", "sentence"),
    [
        ("pairs", "ab", "the line has no tab; .* 'text<TAB>target text' in each line"),
        ("pairs", "a\tb\tc", "the line has 3 fields"),
        ("pairs", "a\t ", "the line has an empty text"),
        ("jsonl", "{'text': 1}", r"the line is not JSON \(Expecting property name"),
        ("jsonl", '["a"]', "the line is no JSON object"),
        ("jsonl", '{"txt": "a"}', "the line has no 'text'; .* a JSON object"),
        ("jsonl", '{"text": 3}', "'text' is no text"),
        ("instructions", '{"instruction": "a"}', "the line has no 'output'"),
        ("instructions", '{"output": "a"}', "the line has no 'instruction'"),
        (
            "instructions",
            '{"instruction": " ", "output": "a"}',
            "the line has an empty 'instruction'",
        ),
        ("instructions", '{"instruction": "a", "output": ""}', "the line has an empty 'output'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, corpus_format, line, sentence):
    good = {"pairs": "a\tb", "jsonl": '{"text": "a"}'}
    first = good.get(corpus_format, '{"instruction": "a", "output": "b"}')
    with pytest.raises(DataError, match=rf"c\.txt:3: {sentence}"):
        parse(tmp_path, f"{first}\n\n{line}\n", corpus_format)


def documents(side):
    texts = [part.tolist() for part in np.split(side.tokens, side.sentences[1:-1])]
    return [texts[a:b] for a, b in zip(side.documents[:-1], side.documents[1:], strict=True)]


fields = st.text(st.sampled_from("abxz é"), min_size=1, max_size=6).filter(str.strip)
pairs = st.lists(st.tuples(fields, fields), min_size=1, max_size=12)


@given(pairs=pairs, size=st.integers(1, 40), two=st.booleans(), form=st.booleans())
@settings(max_examples=50, deadline=None)
def test_pairs_stay_pairs_wherever_blocks_cut(tmp_path_factory, tokenizers, pairs, size, two, form):
    folder = tmp_path_factory.mktemp("pairs")
    path = folder / "c.txt"
    lines = [json.dumps({"instruction": a, "output": b}) if form else f"{a}\t{b}" for a, b in pairs]
    path.write_text("\n".join(lines), encoding="utf-8")
    one, other = tokenizers if two else (tokenizers[0], tokenizers[0])
    summary = preprocess(
        [path], folder / "s", tokenizer=one, tgt_tokenizer=other if two else None,
        corpus_format="instructions" if form else "pairs", block_bytes=size,
    )  # fmt: skip
    store = Store.open(folder / "s")
    expected = [(one.encode(a).tolist(), other.encode(b).tolist()) for a, b in pairs]
    if two:
        found = [documents(store.sides[name]) for name in ("src", "tgt")]
        assert [(a, b) for [a], [b] in zip(*found, strict=True)] == expected
    else:
        assert [tuple(d) for d in documents(store.sides["src"])] == expected
    assert summary.documents == len(store) == len(pairs)
    assert summary.sentences == store.sentences == 2 * len(pairs)
    assert summary.tokens == store.tokens == sum(len(t) for pair in expected for t in pair)
    unknown = sum(t == 1 for pair in expected for text in pair for t in text)
    assert summary.unknown_tokens == unknown


class Silent(CharTokenizer):
    """Gives no token for a text that starts with x."""

    def encode_batch(self, texts, *, offsets=False):
        return super().encode_batch(
            ["" if text.startswith("x") else text for text in texts], offsets=offsets
        )


@pytest.mark.parametrize("two", [False, True])
def test_a_pair_that_lost_a_text_is_left_out_and_counted(tmp_path, tokenizers, two, monkeypatch):
    import uer.data.block_encoder as worker

    path = tmp_path / "c.txt"
    path.write_text("ab\tcd\nxa\tc\nb\txd\nx\tx\na\tb\n")
    vocabulary = tmp_path / "v.txt"
    vocabulary.write_text("\n".join([*SPECIALS, *"abcdx"]))
    monkeypatch.setattr(worker, "load", lambda folder: Silent(vocab_path=str(vocabulary)))
    made = Silent(vocab_path=str(vocabulary))
    summary = preprocess(
        [path], tmp_path / "s", tokenizer=made, tgt_tokenizer=made if two else None,
        corpus_format="pairs",
    )  # fmt: skip
    store = Store.open(tmp_path / "s")
    assert (summary.documents, summary.halved_pairs, summary.empty_sentences) == (2, 3, 4)
    if two:
        assert documents(store.sides["src"]) == [[[5, 6]], [[5]]]
        assert documents(store.sides["tgt"]) == [[[7, 8]], [[6]]]
    else:
        assert documents(store.sides["src"]) == [[[5, 6], [7, 8]], [[5], [6]]]
    assert summary.tokens == 6


def test_the_number_of_processes_changes_no_byte(tmp_path, tokenizers):
    path = tmp_path / "c.txt"
    path.write_text("".join(f"{'ab' * (n % 5 + 1)}\t{'xy' * (n % 3 + 1)}\n" for n in range(300)))
    made = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        preprocess(
            [path, path], folder, tokenizer=tokenizers[0], tgt_tokenizer=tokenizers[1],
            corpus_format="pairs", processes=processes, block_bytes=333,
        )  # fmt: skip
        files = (p for p in folder.rglob("*") if p.is_file())
        made.append({p.relative_to(folder): p.read_bytes() for p in files})
    assert made[0] == made[1]
    assert len(Store.open(tmp_path / "2")) == 600


def test_a_format_without_a_second_text_has_no_second_tokenizer(tmp_path, tokenizers):
    with pytest.raises(ConfigError, match=r"'lines' has no second text .* pairs, instructions"):
        preprocess(
            [tmp_path / "c"], tmp_path / "s", tokenizer=tokenizers[0],
            tgt_tokenizer=tokenizers[1], corpus_format="lines",
        )  # fmt: skip

"""From text to store: nothing lost, the same bytes always, whole or not there."""

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.preprocess import preprocess
from uer.data.store import Store
from uer.errors import ConfigError, DataError, UserError
from uer.tokenizers.base import tokenizers
from uer.tokenizers.bert import BertTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"中国人民银行你好ab,.", "hello", "wor", "##ld", "##b", "##a"]
SHARED = Path(os.environ.get("UER_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared/data"))


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *WORDS]), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(vocab):
    return BertTokenizer(vocab_path=vocab)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def documents(store):
    """Documents as lists of sentences as lists of ids."""
    side = store.sides["src"]
    sentences = [part.tolist() for part in np.split(side.tokens, side.sentences[1:-1])]
    return [sentences[a:b] for a, b in zip(side.documents[:-1], side.documents[1:], strict=True)]


def naive(files, corpus_format, tokenizer):
    """Documents and labels by the plainest reading; also how many sentences gave nothing."""
    found, labels, empty = [], [], 0
    for text in files:
        document = []
        for line in [line.removesuffix("\r") for line in text.split("\n")]:
            fields = line.split("\t") if corpus_format == "labelled" else [line]
            if corpus_format == "labelled" and line.strip():
                label, *fields = fields
            if corpus_format != "sentences" or not line.strip():
                found.append(document)
                document = []
            for field in fields:
                ids = tokenizer.encode(field).tolist()
                document += [ids] if ids else []
                empty += bool(field.strip()) and not ids
            if corpus_format == "labelled" and document:
                labels.append(int(label))
        found.append(document)
    return [document for document in found if document], labels, empty


texts = st.text(st.sampled_from("中国人ab, \t\x00\u3000é"), max_size=8)
long = st.integers(1, 300).map("hello中 ".__mul__)
plain = st.lists(st.one_of(texts, long, st.just(""), st.just("\r"), st.just("a\r")), max_size=10)
fields = st.sampled_from(["中", "ab hello", "\x00", "world!", "a b" * 30])
labelled = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 5).map(str), fields).map("\t".join),
        st.tuples(st.integers(0, 5).map(str), fields, fields).map("\t".join),
        st.just(""),
    ),
    max_size=8,
)
corpora = st.one_of(
    st.tuples(st.sampled_from(["sentences", "lines"]), st.lists(plain, min_size=1, max_size=3)),
    st.tuples(st.just("labelled"), st.lists(labelled, min_size=1, max_size=3)),
)


@settings(max_examples=60, deadline=None)
@given(corpora, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 60))
def test_every_sentence_is_in_the_store_once_and_in_order(
    tmp_path_factory, tokenizer, corpus, end, ended, size
):
    corpus_format, files = corpus
    folder = tmp_path_factory.mktemp("pre")
    joined = [end.join(lines) + (end if ended else "") for lines in files]
    paths = [folder / f"{number}.txt" for number in range(len(joined))]
    for path, text in zip(paths, joined, strict=True):
        path.write_bytes(text.encode())
    found, labels, empty = naive(joined, corpus_format, tokenizer)
    options = {"tokenizer": tokenizer, "corpus_format": corpus_format}
    if not found:
        with pytest.raises(DataError, match="the corpus holds no text that gives a token"):
            preprocess(paths, folder / "s", **options, block_bytes=size)
        assert not (folder / "s").exists()
        return
    summary = preprocess(paths, folder / "s", **options, block_bytes=size)
    store = Store.open(folder / "s")
    assert documents(store) == found
    if corpus_format == "labelled":
        assert store.columns["label"].tolist() == labels
    sentences = [sentence for document in found for sentence in document]
    assert summary.documents == len(store) == len(found)
    assert summary.sentences == store.sentences == len(sentences)
    assert summary.tokens == store.tokens == sum(map(len, sentences))
    assert summary.empty_sentences == empty
    assert summary.unknown_tokens == sum(sentence.count(1) for sentence in sentences)
    assert summary.one_sentence_documents == sum(len(document) == 1 for document in found)
    assert summary.bytes == summary.total_bytes == sum(len(text.encode()) for text in joined)
    expected = [not token.startswith("##") for s in sentences for token in tokenizer.tokens(s)]
    assert store.sides["src"].starts(np.arange(store.tokens)).tolist() == expected
    whole = preprocess(paths, folder / "whole", **options)
    assert content(folder / "s") == content(folder / "whole")
    assert whole.blank_lines == summary.blank_lines


CORPUS = "".join(
    f"中国人民 hello {'ab ' * (n % 7)}world\n" + "\n" * (n % 5 == 0) for n in range(300)
)
CORPORA = {
    "sentences": [CORPUS, "\n\n" + CORPUS.replace("\n", "\r\n"), "银行"],
    "lines": [CORPUS, "你好"],
    "labelled": ["".join(f"{n % 3}\t你好 {n}\t中\n" for n in range(200)) + "1\t你"],
}


@pytest.mark.parametrize("corpus_format", CORPORA)
def test_the_number_of_processes_changes_no_byte(tmp_path, tokenizer, corpus_format):
    paths = [tmp_path / f"{i}.txt" for i in range(len(CORPORA[corpus_format]))]
    for path, text in zip(paths, CORPORA[corpus_format], strict=True):
        path.write_bytes(text.encode())
    made = []
    for processes in (1, 2, 5):
        folder = tmp_path / str(processes)
        preprocess(
            paths,
            folder,
            tokenizer=tokenizer,
            corpus_format=corpus_format,
            processes=processes,
            block_bytes=333,
            processor={"name": "mlm"},
        )
        made.append(content(folder))
    assert made[0] == made[1] == made[2]
    assert (
        documents(Store.open(tmp_path / "5"))
        == naive(CORPORA[corpus_format], corpus_format, tokenizer)[0]
    )


def small(tmp_path, tokenizer, text="中国\n\n你好\n", corpus_format="sentences", **options):
    """Preprocess a text; its path is `c.txt`, the store `s`."""
    path = tmp_path / "c.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    options = {"tokenizer": tokenizer, "corpus_format": corpus_format, **options}
    return preprocess([path], tmp_path / "s", **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_wrong_line_is_named_and_nothing_is_left(tmp_path, tokenizer, processes):
    options = {"processes": processes, "block_bytes": 40}
    with pytest.raises(DataError, match=r"c\.txt:31: this line is not UTF-8"):
        small(tmp_path, tokenizer, "你好\n".encode() * 30 + b"\xe4\xbd\n", **options)
    with pytest.raises(DataError, match=r"c\.txt:31: the label 'x' is not one of"):
        small(tmp_path, tokenizer, "1\t你好\n" * 30 + "x\t好\n", "labelled", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["c.txt"]


def test_an_empty_corpus_is_refused(tmp_path, tokenizer):
    for text in ("", "\n\n \n", "\ufeff", "\x00\n"):
        with pytest.raises(DataError, match=r"holds no text that gives a token: .*c\.txt"):
            small(tmp_path, tokenizer, text)
    with pytest.raises(DataError, match="no files"):
        preprocess([], tmp_path / "s", tokenizer=tokenizer, corpus_format="lines")


def test_an_unknown_format_is_refused(tmp_path, tokenizer):
    with pytest.raises(ConfigError, match="no corpus format is called 'sentence'"):
        small(tmp_path, tokenizer, corpus_format="sentence")


def test_a_place_that_cannot_be_written_is_refused_before_tokenising(tmp_path, tokenizer):
    path = tmp_path / "c.txt"
    path.write_bytes(b"\xff")  # reading it would be another error
    options = {"tokenizer": tokenizer, "corpus_format": "lines"}
    with pytest.raises(UserError, match="cannot write to"):
        preprocess([path], path / "below" / "store", **options)
    with pytest.raises(UserError, match="is a file"):
        preprocess([path], path, **options)
    with pytest.raises(UserError, match="holds other files"):
        preprocess([path], tmp_path, **options)


def test_an_older_store_stays_when_preprocessing_fails(tmp_path, tokenizer):
    small(tmp_path, tokenizer)
    before = content(tmp_path / "s")
    with pytest.raises(DataError, match="not UTF-8"):
        small(tmp_path, tokenizer, b"\xff")
    assert content(tmp_path / "s") == before
    small(tmp_path, tokenizer, "你\n")
    assert documents(Store.open(tmp_path / "s")) == [[tokenizer.encode("你").tolist()]]


def test_progress_comes_after_each_block(tmp_path, tokenizer):
    seen = []
    summary = small(
        tmp_path,
        tokenizer,
        "你\n\n好x\n",
        block_bytes=4,
        on_progress=lambda so_far: seen.append((so_far.bytes, so_far.tokens)),
    )
    assert seen == [(4, 1), (8, 2), (10, 3)] or seen == [(4, 1), (8, 3), (10, 3)]
    assert summary.unknown_rate == pytest.approx(1 / 3)
    assert summary.seconds > 0


def test_jieba_joins_tokens_to_words(tmp_path, tokenizer, monkeypatch):
    words = ["中国", "人民银行", ",", "hello", "world", " ", "wor", "ld"]
    fake = types.SimpleNamespace(cut=lambda text: words)
    monkeypatch.setitem(sys.modules, "jieba", fake)
    small(tmp_path, tokenizer, "".join(words) + "\n" + "".join(words), words="jieba")
    store = Store.open(tmp_path / "s")
    assert tokenizer.tokens(store.sides["src"].tokens[:9]) == [*"中国人民银行,", "[UNK]", "wor"]
    # helloworld is one run of letters; a token inside it never starts a word.
    starts = [1, 0, 1, 0, 0, 0, 1, 1, 1, 0]
    assert store.sides["src"].starts(np.arange(20)).tolist() == [bool(x) for x in starts * 2]


def test_jieba_itself(tmp_path, tokenizer):
    jieba = pytest.importorskip("jieba", reason="jieba (pip install uer[zh]) is not installed")
    text = "中国人民银行,hello 你好\x00 中国人 é"
    assert "".join(jieba.cut(text)) == text
    small(tmp_path, tokenizer, text, words="jieba", processes=2)
    side = Store.open(tmp_path / "s").sides["src"]
    assert side.starts(np.arange(2)).tolist() == [True, False]


def test_missing_jieba_names_the_extra(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(UserError, match=r"pip install uer\[zh\]"):
        small(tmp_path, tokenizer, words="jieba")


PLUGIN = """
from uer.tokenizers.char import CharTokenizer as Base

class Capitals(Base):
    "Characters, as capitals."

    def encode_batch(self, texts, *, offsets=False):
        return super().encode_batch([text.upper() for text in texts], offsets=offsets)
"""

RUN = """
import os, signal, sys
from pathlib import Path
from uer.data.preprocess import preprocess
from uer.registry import load_plugin
from uer.tokenizers.base import tokenizers
from uer.tokenizers.bert import BertTokenizer

def stop(summary):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), int(sys.argv[5]))

if __name__ == "__main__":
    folder, processes, left = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
    kind = BertTokenizer
    if sys.argv[3]:
        load_plugin(sys.argv[3])
        kind = tokenizers.get(Path(sys.argv[3]).stem)
    preprocess([folder / "c.txt"], folder / "s", tokenizer=kind(vocab_path=folder / "v.txt"),
               corpus_format="lines", processes=processes, block_bytes=500, on_progress=stop)
"""


def run(folder, *, processes, plugin="", after=0, kill=0):
    script = folder / "run.py"
    script.write_text(RUN)
    (folder / "v.txt").write_text("\n".join([*SPECIALS, *WORDS, *"AB"]), encoding="utf-8")
    (folder / "c.txt").write_text(CORPUS, encoding="utf-8")
    arguments = [str(folder), str(processes), str(plugin), str(after), str(int(kill))]
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60
    )


LAST = -(-len(CORPUS.encode()) // 500)


@pytest.mark.parametrize(
    ("processes", "kill", "after"),
    [
        (1, signal.SIGINT, LAST),
        (1, signal.SIGTERM, 1),
        (1, signal.SIGKILL, 20),
        (2, signal.SIGINT, 1),
        (2, signal.SIGTERM, 20),
        (2, signal.SIGKILL, LAST),
    ],
)
def test_an_interrupted_run_leaves_nothing_that_looks_whole(tmp_path, processes, kill, after):
    done = run(tmp_path, processes=processes, after=after, kill=kill)
    assert done.returncode == -kill, done.stderr
    left = {path.name for path in tmp_path.iterdir()} - {"run.py", "v.txt", "c.txt"}
    assert "s" not in left
    if kill == signal.SIGINT:
        assert not left
    assert all(name.startswith(".uer-unfinished-") for name in left)
    assert run(tmp_path, processes=processes).returncode == 0
    assert Store.open(tmp_path / "s").documents == 300


def test_a_plugin_tokenizer_works_in_workers(tmp_path):
    plugin = tmp_path / "capitals.py"
    plugin.write_text(PLUGIN)
    done = run(tmp_path, processes=2, plugin=plugin)
    assert done.returncode == 0, done.stderr
    store = Store.open(tmp_path / "s")
    assert store.meta.sides["src"].tokenizer.kind == "capitals"
    assert len(SPECIALS) + len(WORDS) in store.sides["src"].tokens  # the capital A
    assert "capitals" not in tokenizers.names()


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the shared data in {SHARED}")
def test_a_real_corpus_is_whole(tmp_path):
    corpus = SHARED / "corpora/CLUECorpusSmall_bert_sampled.txt"
    made = BertTokenizer(vocab_path=str(SHARED / "google_zh_vocab.txt"))
    summary = preprocess(
        [corpus], tmp_path / "s", tokenizer=made, corpus_format="sentences", block_bytes=100_000
    )
    assert summary.empty_sentences == 0
    found, _, _ = naive([corpus.read_bytes().decode()[:200_000]], "sentences", made)
    assert documents(Store.open(tmp_path / "s"))[: len(found) - 1] == found[:-1]

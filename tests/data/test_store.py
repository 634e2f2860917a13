"""Reading, writing and refusing stores."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.store import Store
from uer.data.store_writer import write_store
from uer.errors import DataError, UserError
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.char import CharTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return CharTokenizer(vocab_path=vocabulary(tmp_path_factory.mktemp("v"), list("abcdef")))


def vocabulary(folder, tokens):
    path = folder / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *tokens]), encoding="utf-8")
    return str(path)


def write(path, tokenizer, chunks, **columns):
    """Each chunk: (lengths of its sentences, where documents begin)."""
    with write_store(path, {"src": tokenizer}, corpus_format="sentences") as writer:
        count = 0
        for lengths, starts in chunks:
            total = sum(lengths)
            tokens = np.arange(count, count + total) % tokenizer.vocab_size
            writer.sides["src"].append(
                tokens=tokens.astype(np.uint32),
                word_starts=np.arange(count, count + total) % 3 == 0,
                sentence_lengths=np.array(lengths, np.int64),
                document_starts=np.array(starts, np.int64),
            )
            count += total
        for name, values in columns.items():
            writer.append_column(name, *values)
    return Store.open(path)


@pytest.fixture
def folder(tmp_path, tokenizer):
    label = np.array([3, 1]), None
    soft = np.array([[0.5, 0.5], [0.0, 1.0]], np.float32), None
    codes = np.array([7, 8, 9]), np.array([0, 3])
    columns = {"label": label, "soft": soft, "codes": codes}
    write(tmp_path / "store", tokenizer, [([2, 3], [0]), ([4, 1], [1])], **columns)
    return tmp_path / "store"


def test_what_was_written_is_read(folder, tokenizer):
    store = Store.open(folder)
    side = store.sides["src"]
    assert side.tokens.dtype == np.uint16
    assert side.tokens.tolist() == list(range(10))
    assert side.sentences.tolist() == [0, 2, 5, 9, 10]
    assert side.documents.tolist() == [0, 3, 4]
    assert side.starts(np.arange(10)).tolist() == [i % 3 == 0 for i in range(10)]
    assert side.starts(np.array([[9, 1], [0, 3]])).tolist() == [[True, False], [True, True]]
    assert (len(store), store.documents, store.sentences, store.tokens) == (2, 2, 4, 10)
    assert store.columns["label"].tolist() == [3, 1]
    assert store.columns["soft"].tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert [store.columns["codes"][i].tolist() for i in range(2)] == [[], [7, 8, 9]]
    assert len(store.columns["codes"]) == 2
    assert store.tokenizer().fingerprint() == tokenizer.fingerprint()
    assert store.tokenizer() is store.tokenizer("src")


def test_meta_holds_nothing_of_time_or_place(folder):
    stored = json.loads((folder / "meta.json").read_text())
    assert set(stored) == {
        *["format", "version", "documents", "corpus_format", "processor", "sides"],
        *["columns", "files"],
    }
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(stored["files"]) == on_disk - {"meta.json"}


def test_the_processor_is_kept_as_given(tmp_path, tokenizer):
    made = {"name": "bert", "options": {"seq_length": 128, "rates": [0.5, None]}}
    store = write_store(tmp_path / "s", {"src": tokenizer}, corpus_format="lines", processor=made)
    with store:
        pass
    opened = Store.open(tmp_path / "s")
    assert opened.meta.processor == made
    assert opened.meta.corpus_format == "lines"
    assert len(opened) == opened.tokens == 0


chunks = st.lists(
    st.lists(st.integers(1, 9), max_size=5).flatmap(
        lambda lengths: st.tuples(
            st.just(lengths), st.lists(st.integers(0, len(lengths)), max_size=4).map(sorted)
        )
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(chunks)
def test_chunks_do_not_show(tmp_path_factory, tokenizer, chunks):
    path = tmp_path_factory.mktemp("store") / "s"
    store = write(path, tokenizer, chunks)
    lengths = [length for part, _ in chunks for length in part]
    before = np.cumsum([0, *[len(part) for part, _ in chunks]])
    starts = {int(b) + s for b, (_, part) in zip(before, chunks, strict=False) for s in part}
    side = store.sides["src"]
    assert side.sentences.tolist() == np.cumsum([0, *lengths]).tolist()
    assert side.documents.tolist() == sorted({0, *starts, len(lengths)})
    assert side.starts(np.arange(sum(lengths))).tolist() == [
        i % 3 == 0 for i in range(sum(lengths))
    ]
    assert len(store) == len(side.documents) - 1


@pytest.mark.parametrize(("size", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_ids_are_as_narrow_as_the_vocabulary_allows(tmp_path, size, dtype):
    words = [f"w{i}" for i in range(size - len(SPECIALS))]
    made = BertTokenizer(vocab_path=vocabulary(tmp_path, words))
    store = Store.in_memory(made, [[words[-1]]])
    assert store.sides["src"].tokens.dtype == dtype
    assert store.sides["src"].tokens.tolist() == [size - 1]


def test_several_sides(tmp_path, tokenizer):
    other = BertTokenizer(vocab_path=vocabulary(tmp_path, ["x"]))
    sides = {"src": tokenizer, "tgt": other}
    with write_store(tmp_path / "s", sides, corpus_format="pairs") as writer:
        for side in writer.sides.values():
            side.append(
                tokens=np.array([5]),
                word_starts=np.array([True]),
                sentence_lengths=np.array([1]),
                document_starts=np.array([0]),
            )
    store = Store.open(tmp_path / "s")
    assert store.tokenizer("tgt").kind == "bert"
    assert (len(store), store.sentences, store.tokens) == (1, 2, 2)
    with pytest.raises(UserError, match="side 'tgt'"):
        store.require_tokenizer(tokenizer, "tgt")


def test_sides_that_disagree_are_never_written(tmp_path, tokenizer):
    with pytest.raises(AssertionError, match="disagree"):
        write(tmp_path / "s", tokenizer, [([1], [0])], label=(np.array([1, 2]),))
    assert list(tmp_path.iterdir()) == []


def test_another_tokenizer_is_refused(tmp_path, folder, tokenizer):
    store = Store.open(folder)
    store.require_tokenizer(tokenizer)
    other = BertTokenizer(vocab_path=vocabulary(tmp_path, ["x"]))
    with pytest.raises(UserError, match="char with 11 tokens, here is bert with 6 tokens"):
        store.require_tokenizer(other)


def test_every_file_is_missed_and_its_size_checked(folder, tmp_path):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "meta.json"]
    assert len(files) == 10
    for path in files:
        content = path.read_bytes()
        for wrong in (content[:-1], content + b"\0"):
            path.write_bytes(wrong)
            message = rf"{path.name}: the file has {len(wrong)} bytes where {len(content)} were"
            with pytest.raises(DataError, match=message):
                Store.open(folder)
        path.unlink()
        with pytest.raises(DataError, match=rf"{path.name}: this file of the dataset is missing"):
            Store.open(folder)
        path.write_bytes(content)
    Store.open(folder)


def test_every_cut_of_meta_is_refused(folder):
    meta = folder / "meta.json"
    content = meta.read_bytes()
    for end in range(len(content) - 2):
        meta.write_bytes(content[:end])
        with pytest.raises(DataError, match="not JSON"):
            Store.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format version 2, this uer reads up to 1; update uer"),
        ({"version": 0}, "damaged at version"),
        ({"format": "other"}, "does not describe a dataset"),
        ({"documents": "2"}, "damaged at documents"),
        ({"more": 1}, "damaged at more"),
    ],
)
def test_a_strange_meta_is_refused(folder, change, message):
    meta = folder / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        Store.open(folder)


def test_what_is_no_store_is_refused(tmp_path, folder):
    with pytest.raises(DataError, match=r"none: this folder does not exist; make one"):
        Store.open(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no meta\.json"):
        Store.open(tmp_path)
    old = tmp_path / "dataset.pt"
    old.write_bytes(pickle.dumps((([1, 2], 0), 1)))
    with pytest.raises(DataError, match=r"dataset\.pt: this is a file.*run preprocess again"):
        Store.open(old)
    (folder / "meta.json").write_text("[]")
    with pytest.raises(DataError, match="does not describe a dataset"):
        Store.open(folder)


def test_an_older_store_is_replaced_and_other_folders_are_not(folder, tokenizer, tmp_path):
    assert len(write(folder, tokenizer, [([1], [0])])) == 1
    shutil.rmtree(folder / "src")
    (folder / "meta.json").rename(folder / "notes.json")
    with pytest.raises(UserError, match="holds other files"):
        write(folder, tokenizer, [([1], [0])])


def test_in_memory_keeps_every_row(tokenizer):
    documents = [["ab", "c"], [""], [], ["def"]]
    store = Store.in_memory(
        tokenizer, documents, {"label": [1, 2, 3, 4], "soft": np.ones((4, 2)), "score": [0.5] * 4}
    )
    side = store.sides["src"]
    assert side.tokens.tolist() == [5, 6, 7, 8, 9, 10]
    assert side.sentences.tolist() == [0, 2, 3, 3, 6]
    assert side.documents.tolist() == [0, 2, 3, 3, 4]
    assert side.starts(np.arange(6)).all()
    assert (len(store), store.sentences, store.tokens) == (4, 4, 6)
    assert store.columns["label"].dtype == np.int64
    assert store.columns["soft"].dtype == store.columns["score"].dtype == np.float32
    assert store.meta.columns["soft"].width == 2
    assert store.tokenizer() is tokenizer
    store.require_tokenizer(tokenizer)
    assert len(Store.in_memory(tokenizer, [])) == 0


def test_columns_in_memory_must_fit(tokenizer):
    with pytest.raises(DataError, match=r"'label' has shape \[1\], but there are 2 rows"):
        Store.in_memory(tokenizer, [["a"], ["b"]], {"label": [1]})
    with pytest.raises(DataError, match="'label' has shape"):
        Store.in_memory(tokenizer, [["a"]], {"label": np.ones((1, 2, 3))})
    with pytest.raises(DataError, match=r"'label' holds <U1, expected integers or floats"):
        Store.in_memory(tokenizer, [["a"]], {"label": ["x"]})


FULL_DISK = """
import resource, sys
from pathlib import Path
from uer.data.preprocess import preprocess
from uer.errors import UserError
from uer.tokenizers.char import CharTokenizer

folder = Path(sys.argv[1])
tokenizer = CharTokenizer(vocab_path=str(folder / "vocab.txt"))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    preprocess([folder / "c.txt"], folder / "store", tokenizer=tokenizer, corpus_format="lines")
except UserError as error:
    sys.exit(0 if "cannot write" in str(error) and "File too large" in str(error) else 3)
sys.exit(4)
"""


def test_a_disk_that_takes_no_more_is_a_clear_error(tmp_path):
    vocabulary(tmp_path, list("ab"))
    (tmp_path / "c.txt").write_text("ab" * 5000)
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)])
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.txt", "c.txt"}

import numpy as np
import pytest
from fake_store import CLS, MARKS, SEP, store_of

from uer.data.ragged import gather
from uer.data.randomness import Draw
from uer.errors import DataError
from uer.processors.cls import Cls

DRAW = Draw(1, 0)
A, B = list(range(10, 30)), list(range(40, 60))


def prepared_of(store, length, which=None):
    processor = Cls(seq_length=length, **MARKS)
    made = processor.index(store, DRAW)
    which = np.arange(len(made)) if which is None else np.array(which)
    ragged = gather(store.sides["src"], made, which)
    return processor, made, processor.prepare({"src": ragged}, DRAW, made)


def ids_of(prepared):
    read = prepared.sides["src"]
    return [p.tolist() for p in np.split(read.ids, read.offsets[1:-1])]


def test_golden():
    store = store_of([[A[:3]], [A[:2], B[:1]], [], [A[:1]]], label=np.array([2, 0, 1, 1]))
    _, _, prepared = prepared_of(store, 16)
    assert ids_of(prepared) == [
        [CLS, 10, 11, 12, SEP],
        [CLS, 10, 11, SEP, 40, SEP],
        [CLS, SEP],
        [CLS, 10, SEP],
    ]
    segment = prepared.sides["src"].segment
    assert segment is not None
    assert segment.tolist() == [0] * 5 + [0, 0, 0, 0, 1, 1] + [0] * 2 + [0] * 3
    assert prepared.row_labels["cls"].tolist() == [2, 0, 1, 1]


def test_labels_follow_their_rows():
    store = store_of([[A[:3]], [B[:2]], [A[:1]]], label=np.array([2, 0, 1]))
    _, _, prepared = prepared_of(store, 16, which=[2, 0])
    assert prepared.row_labels["cls"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [(20, 0, (10, 0)), (20, 3, (6, 3)), (3, 20, (3, 6)), (20, 20, (5, 4)), (5, 4, (5, 4))],
)
def test_the_longer_text_is_cut_at_its_end_and_counted(first, second, left):
    store = store_of([[t for t in (A[:first], B[:second]) if t]])
    processor, made, prepared = prepared_of(store, 12)
    second_part = [*B[: left[1]], SEP] if second else []
    assert ids_of(prepared) == [[CLS, *A[: left[0]], SEP, *second_part]]
    truncated = processor.report(made, store)["tokens_truncated"]
    assert truncated == first + second - sum(left)


def test_rows_without_labels():
    _, _, prepared = prepared_of(store_of([[A[:3]]]), 16)
    assert prepared.row_labels == {}


def test_soft_labels():
    soft = np.array([[0.25, 0.75], [1.0, 0.0]])
    _, _, prepared = prepared_of(store_of([[A[:3]], [B[:2]]], label=soft), 16, which=[1, 0])
    assert prepared.row_labels["cls"].tolist() == [[1.0, 0.0], [0.25, 0.75]]


def test_three_texts_are_an_error():
    store = store_of([[A[:3]], [A[:1], A[:2], A[:3]]])
    with pytest.raises(DataError, match=r"row 2 of the data holds 3 texts, but .* 'cls' reads one"):
        prepared_of(store, 16)

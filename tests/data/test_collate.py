import numpy as np
import pytest
import torch
from fake_store import store_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS, model_of

from uer.data.collate import Rows, collate
from uer.data.instances import Constant, Instances, Span
from uer.data.ragged import Ragged, gather
from uer.processors.base import Prepared

PAIR = (Constant(1), Span(0, prefix=True), Constant(2), Span(1, segment=1))
PLAIN = (Constant(1), Span(0))
STORE = store_of([[list(range(10, 40))]])
TWO_SIDES = {
    **MODELS["gpt2"],
    "mask": "fully_visible",
    "tgt_embedding": ["word", "pos"],
    "decoder": "transformer",
    "tie_weights": False,
}


def ragged_of(lengths, layout=PAIR) -> Ragged:
    """Instances of one layout with the spans' lengths given."""
    lengths = np.array(lengths, np.int32).reshape(len(lengths), -1)
    start = np.cumsum(lengths, axis=1) - lengths
    made = Instances((layout,), np.zeros(len(lengths), np.uint8), start.astype(np.int64), lengths)
    return gather(STORE.sides["src"], made, np.arange(len(lengths)))


def batch_of(ragged, counts, *, width=None, packing="documents", **labels):
    rows = Rows(np.array(counts), {} if width is None else {"src": width}, packing)
    return collate(Prepared({"src": ragged}, **labels), rows, pad_id=99)


def listed(batch):
    return {name: value.tolist() for name, value in batch.items()}


def test_golden_documents():
    ragged = ragged_of([[2], [1], [3]], PLAIN)
    batch = batch_of(
        ragged,
        [2, 1],
        width=6,
        token_labels={"mlm": ("src", np.array([1, 4, 8]), np.array([7, 8, 9]))},
        row_labels={"cls": np.array([1, 0, 1], np.uint8)},
    )
    assert listed(batch) == {
        "src.ids": [[1, 10, 11, 1, 10, 99], [1, 10, 11, 12, 99, 99]],
        "src.validity": [[True] * 5 + [False], [True] * 4 + [False] * 2],
        "src.document": [[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, -1, -1]],
        "src.position": [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 0, 0]],
        "src.first": [0, 3, 6],
        "src.length": [3, 2, 4],
        "labels.mlm.index": [1, 4, 9],
        "labels.mlm.value": [7, 8, 9],
        "labels.cls.index": [0, 1, 2],
        "labels.cls.value": [1, 0, 1],
    }
    for name, value in batch.items():
        assert value.dtype == (torch.bool if name == "src.validity" else torch.int64)
    assert batch.tokens() == 9


def test_golden_joined():
    batch = batch_of(ragged_of([[2], [1], [3]], PLAIN), [2, 1], width=6, packing="joined")
    assert set(batch) == {"src.ids", "src.validity", "src.first", "src.length"}
    assert batch["src.first"].tolist() == [0, 3, 6]


def test_off_is_as_wide_as_the_longest_row():
    batch = batch_of(ragged_of([[2], [1]], PLAIN), [1, 1], packing="off")
    assert listed(batch) == {
        "src.ids": [[1, 10, 11], [1, 10, 99]],
        "src.validity": [[True] * 3, [True, True, False]],
        "src.length": [3, 2],
    }


def test_fields_that_say_nothing_are_absent():
    assert set(batch_of(ragged_of([[2], [2]], PLAIN), [1, 1])) == {"src.ids", "src.length"}
    assert set(batch_of(ragged_of([[1, 1], [1, 1]]), [2], width=8)) == {
        "src.ids",
        "src.length",
        "src.segment",
        "src.prefix",
        "src.first",
        "src.document",
        "src.position",
    }


@given(
    lengths=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=12),
    spare=st.integers(0, 9),
    packing=st.sampled_from(["documents", "joined"]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_unpacking_gives_the_instances_back(lengths, spare, packing, data):
    ragged = ragged_of(lengths)
    counts = []
    while sum(counts) < len(lengths):
        counts.append(data.draw(st.integers(1, min(4, len(lengths) - sum(counts)))))
    sizes = np.add.reduceat(ragged.lengths(), np.cumsum([0, *counts[:-1]]))
    place = np.array(data.draw(st.lists(st.integers(0, len(ragged.ids) - 1), unique=True)), int)
    batch = batch_of(
        ragged,
        counts,
        width=int(sizes.max()) + spare,
        packing=packing,
        token_labels={"mlm": ("src", place, ragged.ids[place])},
    )
    assert ragged.segment is not None and ragged.prefix is not None
    if "src.validity" in batch:
        real = batch["src.validity"].flatten()
    else:
        real = torch.ones(batch["src.ids"].numel(), dtype=torch.bool)
    for name, content in (("ids", ragged.ids), ("segment", ragged.segment)):
        assert batch[f"src.{name}"].flatten()[real].tolist() == content.tolist()
        assert set(batch[f"src.{name}"].flatten()[~real].tolist()) <= {99 if name == "ids" else 0}
    assert batch["src.prefix"].flatten()[real].tolist() == ragged.prefix.tolist()
    index, value = batch["labels.mlm.index"], batch["labels.mlm.value"]
    assert batch["src.ids"].flatten()[index].tolist() == value.tolist()
    if "src.first" in batch:
        for i, (first, size) in enumerate(
            zip(batch["src.first"], batch["src.length"], strict=True)
        ):
            part = batch["src.ids"].flatten()[first : first + size]
            assert part.tolist() == ragged.ids[ragged.offsets[i] : ragged.offsets[i + 1]].tolist()
    if "src.document" in batch:
        assert (batch["src.document"].flatten() >= 0).tolist() == real.tolist()
        assert batch["src.position"].flatten()[real].tolist() == ragged.positions().tolist()


def test_soft_labels_are_floats():
    soft = np.array([[0.25, 0.75], [1.0, 0.0]])
    batch = batch_of(ragged_of([[2], [2]], PLAIN), [1, 1], row_labels={"cls": soft})
    assert batch["labels.cls.value"].dtype == torch.float32
    assert batch["labels.cls.value"].tolist() == soft.tolist()


def test_without_labels_the_fields_stay_and_are_empty():
    ragged = ragged_of([[2]], PLAIN)
    prepared = Prepared(
        {"src": ragged},
        {"mlm": ("src", np.array([1]), np.array([5]))},
        {"cls": np.array([[0.5, 0.5]])},
    )
    batch = collate(prepared, Rows(np.array([1]), {}, "off"), pad_id=0, labelled=False)
    assert batch["labels.mlm.index"].shape == batch["labels.mlm.value"].shape == (0,)
    assert batch["labels.cls.index"].shape == (0,)
    assert batch["labels.cls.value"].shape == (0, 2)
    assert batch["src.ids"].tolist() == [[1, 10, 11]]
    assert batch["src.first"].shape == batch["src.length"].shape == (0,) and batch.tokens() == 0


@pytest.mark.parametrize("pooling", ["first", "last", "mean", "max"])
def test_without_labels_every_target_scores_a_connected_zero(pooling):
    keys = {**MODELS["classifier"], "target": ["mlm", "sp", "cls"], "pooling": pooling}
    model = model_of(keys)
    ragged = ragged_of([[2]], PLAIN)
    labels = {"mlm": ("src", np.array([1]), np.array([5]))}
    prepared = Prepared({"src": ragged}, labels, {"sp": np.array([1]), "cls": np.array([2])})
    batch = collate(prepared, Rows(np.array([1]), {}, "off"), pad_id=0, labelled=False)
    scores = model(batch)
    assert all(float(weight) == 0 for weight in model.weights(batch).values())
    assert all(float(score.loss_sum.detach()) == 0 for score in scores.values())
    sum(score.loss_sum for score in scores.values()).backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_without_labels_both_sides_have_no_documents():
    sides = {"src": ragged_of([[2]], PLAIN), "tgt": ragged_of([[3]], PLAIN)}
    prepared = Prepared(sides, {"lm": ("tgt", np.array([0, 1]), np.array([7, 8]))})
    rows = Rows(np.array([1]), {}, "off")
    batch = collate(prepared, rows, pad_id=0, tgt_pad_id=0, labelled=False)
    for side in sides:
        assert batch[f"{side}.first"].shape == batch[f"{side}.length"].shape == (0,)
    assert batch.tokens() == 0 and batch["tgt.ids"].tolist() == [[1, 10, 11, 12]]
    model = model_of(TWO_SIDES)
    score, weight = model(batch)["lm"], model.weights(batch)["lm"]
    assert float(weight) == float(score.loss_sum.detach()) == 0
    score.loss_sum.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_too_long_a_row_is_our_mistake():
    with pytest.raises(AssertionError, match="longer than the batch is wide"):
        batch_of(ragged_of([[2]], PLAIN), [1], width=2)


def test_two_sides_have_their_own_widths_and_equal_documents():
    source, target = ragged_of([[2], [1], [3]], PLAIN), ragged_of([[1], [1], [2]], PLAIN)
    prepared = Prepared(
        {"src": source, "tgt": target},
        {
            "lm": ("tgt", np.array([0, 3, 5]), np.array([7, 8, 9])),
            "lm.backward": ("src", np.array([8]), np.array([4])),
        },
    )
    rows = Rows(np.array([2, 1]), {"src": 6}, "documents")
    batch = listed(collate(prepared, rows, pad_id=99, tgt_pad_id=98))
    assert batch["src.ids"] == [[1, 10, 11, 1, 10, 99], [1, 10, 11, 12, 99, 99]]
    assert batch["tgt.ids"] == [[1, 10, 1, 10], [1, 10, 11, 98]]
    assert batch["src.document"] == [[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, -1, -1]]
    assert batch["tgt.document"] == [[0, 0, 1, 1], [0, 0, 0, -1]]
    assert batch["tgt.validity"] == [[True] * 4, [True] * 3 + [False]]
    assert batch["tgt.first"] == [0, 2, 4] and batch["tgt.length"] == [2, 2, 3]
    assert batch["labels.lm.index"] == [0, 3, 5] and batch["labels.lm.value"] == [7, 8, 9]
    assert batch["labels.lm.backward_index"] == [9]
    assert batch["labels.lm.backward_value"] == [4]

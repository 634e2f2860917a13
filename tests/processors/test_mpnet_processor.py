import numpy as np
import pytest
from fake_store import CLS, MASK, PAD, SEP, make_processor, random_store, store_of
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.ragged import gather_sides
from uer.data.randomness import Draw
from uer.data.text_stream import TextStream
from uer.errors import ConfigError

ALL_MASKED = {"mask_split": (1.0, 0.0, 0.0)}


def prepared(store, draw, which=None, **keys):
    processor = make_processor("mpnet", **keys)
    made = processor.index(store, draw)
    which = np.arange(len(made)) if which is None else which
    gathered = gather_sides(store, made, which)
    return processor, made, gathered["src"], processor.prepare(gathered, draw, made)


def test_copies_follow_the_text_in_their_turns():
    store = store_of([[[10, 11, 12], [13, 14, 15]], [[20, 21]]])
    _, _, _, made = prepared(store, Draw(4, 0), seq_length=11, mask_rate=0.5, **ALL_MASKED)
    side = made.sides["src"]
    text = [CLS, 10, 11, 12, 13, 14, 15, SEP]
    target, index, value = made.token_labels["mlm"]
    assert target == "src" and side.offsets.tolist() == [0, 11, 16]
    assert side.ids.tolist() == [*text, MASK, MASK, MASK, CLS, 20, 21, SEP, MASK]
    assert side.position.tolist() == [*range(8), 6, 1, 3, 0, 1, 2, 3, 2]
    assert side.order.tolist() == [0, 2, 0, 3, 0, 0, 1, 0, -1, -2, -3, 0, 0, 1, 0, -1]
    assert index.tolist() == [8, 9, 10, 15] and value.tolist() == [15, 10, 12, 21]


@given(
    seed=st.integers(0, 99),
    length=st.integers(6, 60),
    rate=st.floats(0.01, 1.0),
    masking=st.sampled_from(["token", "word", "span"]),
    across=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_predicted_token_has_one_copy_with_its_position(seed, length, rate, masking, across):
    store, draw = random_store(12, seed), Draw(seed, 1)
    keys = {"mask_rate": rate, "masking": masking, "full_sentences": across}
    processor, made, text, result = prepared(store, draw, seq_length=length, **keys)
    side, (_, index, value) = result.sides["src"], result.token_labels["mlm"]
    copy = side.order < 0
    # The text stands there unchanged, with its own positions.
    assert np.array_equal(side.ids[~copy], text.ids)
    assert np.array_equal(side.position[~copy], text.positions())
    assert np.array_equal(index, np.flatnonzero(copy))
    for begin, end in zip(side.offsets[:-1], side.offsets[1:], strict=True):
        order, position = side.order[begin:end], side.position[begin:end]
        turns = np.arange(1, (order > 0).sum() + 1)
        assert len(turns) >= 1 and np.array_equal(np.sort(order[order > 0]), turns)
        assert np.array_equal(order[order < 0], -turns)  # behind the text, in their turns
        assert (np.flatnonzero(order < 0) >= (order >= 0).sum()).all()
        token_of_turn = np.argsort(np.where(order > 0, order, len(order) + 1))[: len(turns)]
        assert np.array_equal(position[order < 0], position[token_of_turn])
        assert np.array_equal(
            value[np.searchsorted(index, begin) :][: len(turns)],
            side.ids[begin:end][token_of_turn],
        )
    most = processor.lengths(made)["src"]
    assert (side.lengths() <= most).all() and most.max() <= length
    if masking != "word":
        assert np.array_equal(side.lengths(), most)


def test_orders_are_random_and_depend_on_the_instance_alone():
    store, draw = random_store(300), Draw(3, 2)
    _, made, _, every = prepared(store, draw, seq_length=40, mask_rate=0.3)
    side = every.sides["src"]
    some = np.array([5, 2, 9])
    _, _, _, few = prepared(store, draw, some, seq_length=40, mask_rate=0.3)
    expected = np.concatenate([side.order[side.offsets[n] : side.offsets[n + 1]] for n in some])
    assert np.array_equal(few.sides["src"].order, expected)
    # Of two tokens that are predicted, either comes first in half of the cases.
    rising = [
        np.diff(side.position[begin:end][side.order[begin:end] < 0]) > 0
        for begin, end in zip(side.offsets[:-1], side.offsets[1:], strict=True)
    ]
    assert abs(np.concatenate(rising).mean() - 0.5) < 0.05 and len(made) > 9


def test_copies_are_masked_replaced_or_kept():
    _, _, _, made = prepared(random_store(600), Draw(3, 2), seq_length=60)
    side, (_, index, value) = made.sides["src"], made.token_labels["mlm"]
    now = side.ids[index]
    assert abs((now == MASK).mean() - 0.8) < 0.03 and abs((now == value).mean() - 0.1) < 0.03


@pytest.mark.parametrize("packing", ["documents", "off"])
def test_batches_carry_orders_and_the_copies_columns(packing):
    processor = make_processor("mpnet", seq_length=64)
    stream = TextStream(
        random_store(40), processor, batch_size=4, seq_length=64, packing=packing, seed=1
    )
    batch = stream.next()
    order, query = batch["src.order"], batch["src.query"]
    for row, columns in zip(order, query, strict=True):
        real = columns[columns >= 0]
        assert real.tolist() == (row < 0).nonzero().flatten().tolist()
        assert (columns[len(real) :] == -1).all()
    flat = batch["src.ids"].flatten()[batch["labels.mlm.index"]]
    assert (flat != PAD).all() and (order.flatten()[batch["labels.mlm.index"]] < 0).all()
    at = batch["src.position"].flatten()
    if packing == "documents":
        assert (at[batch["src.first"]] == 0).all()


def test_a_row_of_589_has_512_tokens_of_text():
    for length, most, room in ((589, 512, 510), (512, 512, 443), (128, None, 110), (4, None, 1)):
        processor = make_processor("mpnet", seq_length=length, max_seq_length=most)
        copies = max(1, round(0.15 * room))
        assert processor.room == room and room + 2 + copies <= length
    with pytest.raises(ConfigError, match="seq_length: 3 leaves no room for text"):
        make_processor("mpnet", seq_length=3)
    with pytest.raises(ConfigError, match="max_seq_length: 2 leaves no room for text"):
        make_processor("mpnet", seq_length=128, max_seq_length=2)

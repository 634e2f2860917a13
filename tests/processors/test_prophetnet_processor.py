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
    processor = make_processor("prophetnet", **keys)
    made = processor.index(store, draw)
    which = np.arange(len(made)) if which is None else which
    gathered = gather_sides(store, made, which)
    return processor, made, gathered["src"], processor.prepare(gathered, draw, made)


def test_a_stretch_of_each_block_is_masked_and_written():
    store = store_of([[[*range(10, 20)], [*range(20, 30)]], [[40, 41, 42]]])
    keys = {"seq_length": 22, "mask_block": 10, "mask_rate": 0.3, **ALL_MASKED}
    _, _, ragged, made = prepared(store, Draw(1, 0), **keys)
    source = [part.tolist() for part in np.split(made.sides["src"].ids, ragged.offsets[1:-1])]
    target = made.sides["tgt"]
    written = [part.tolist() for part in np.split(target.ids, target.offsets[1:-1])]
    side, index, value = made.token_labels["ngram"]
    assert source == [
        [CLS, *range(10, 15), *[MASK] * 3, *range(18, 22), *[MASK] * 3, *range(25, 30), SEP],
        [CLS, MASK, 41, 42, SEP],
    ]
    assert written == [[SEP, 15, 16, 17, 22, 23], [SEP]]
    assert value.tolist() == [15, 16, 17, 22, 23, 24, 40]
    assert side == "tgt" and index.tolist() == list(range(7))


@given(
    seed=st.integers(0, 99),
    length=st.integers(8, 60),
    rate=st.floats(0.01, 0.9),
    block=st.integers(1, 64),
    across=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_source_and_target_make_the_text_again(seed, length, rate, block, across):
    store, draw = random_store(12, seed), Draw(seed, 1)
    keys = {"mask_rate": rate, "mask_block": block, "full_sentences": across, **ALL_MASKED}
    processor, made, ragged, result = prepared(store, draw, seq_length=length, **keys)
    source, target = result.sides["src"], result.sides["tgt"]
    side, index, value = result.token_labels["ngram"]
    undone = source.ids.copy()
    undone[undone == MASK] = value
    assert np.array_equal(undone, ragged.ids)
    assert side == "tgt" and np.array_equal(index, np.arange(len(target.ids)))
    first = np.zeros(len(value), bool)
    first[target.offsets[:-1]] = True
    assert (target.ids[first] == SEP).all()
    assert np.array_equal(target.ids[1:][~first[1:]], value[:-1][~first[1:]])
    assert (target.lengths() >= 1).all()
    most = processor.lengths(made)
    assert np.array_equal(most["src"], source.lengths())
    assert np.array_equal(most["tgt"], target.lengths())


def test_neither_the_batch_nor_the_order_matters():
    store, draw = random_store(30), Draw(3, 2)
    _, made, _, every = prepared(store, draw, seq_length=40)
    some = np.array([5, 2, 9])
    _, _, _, few = prepared(store, draw, some, seq_length=40)
    offsets = every.sides["tgt"].offsets
    expected = [every.sides["tgt"].ids[offsets[n] : offsets[n + 1]] for n in some]
    assert np.array_equal(few.sides["tgt"].ids, np.concatenate(expected))
    assert len(made) > 9


def test_whole_words_may_be_masked_too():
    store = random_store(30)
    keys = {"masking": "word", "seq_length": 40, "tgt_seq_length": 40}
    processor, made, _, result = prepared(store, Draw(3, 2), **keys)
    assert (result.sides["tgt"].lengths() <= processor.lengths(made)["tgt"]).all()


@pytest.mark.parametrize("packing", ["documents", "off"])
def test_batches_have_both_sides(packing):
    processor = make_processor("prophetnet", seq_length=64, tgt_seq_length=16)
    stream = TextStream(
        random_store(40), processor, batch_size=4, seq_length=64, packing=packing, seed=1
    )
    batch = stream.next()
    ids = batch["tgt.ids"].flatten()
    assert batch["src.length"].shape == batch["tgt.length"].shape
    assert batch["tgt.ids"].shape[1] <= 16
    assert len(batch["labels.ngram.index"]) == batch["tgt.length"].sum()
    assert (ids[batch["labels.ngram.index"]] != PAD).all()


def test_a_target_side_too_short_is_refused():
    with pytest.raises(ConfigError, match="up to 75 of 502 tokens are masked and written; 64 are"):
        make_processor("prophetnet", seq_length=502, tgt_seq_length=64)

"""Texts and codes in one sequence: what stands where, what is predicted and what is seen."""

import numpy as np
import pytest
from fake_store import CLS, MARKS, SEP, store_of, store_of_lengths
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.ragged import gather
from uer.data.randomness import Draw
from uer.errors import ConfigError, DataError
from uer.processors.dalle import Dalle

DRAW = Draw(1, 0)
TEXT, CODES = 100, 20  # tokens of the text's vocabulary, codes behind them


def made(store, codes, draw=DRAW, **keys):
    store.columns["codes"] = np.array(codes)
    facts = {**MARKS, "vocab_size": TEXT + CODES}
    processor = Dalle(**{"seq_length": 32, "codes_num": CODES, **keys, **facts})
    instances = processor.index(store, draw)
    ragged = gather(store.sides["src"], instances, np.arange(len(instances)))
    prepared = processor.prepare({"src": ragged}, draw, instances)
    read = prepared.sides["src"]
    assert processor.lengths(instances)["src"].tolist() == read.lengths().tolist()
    side, index, value = prepared.token_labels["lm"]
    assert side == "src"
    rows = []
    for a, b in zip(read.offsets[:-1], read.offsets[1:], strict=True):
        here = (index >= a) & (index < b)
        rows.append(
            {
                "ids": read.ids[a:b].tolist(),
                "segment": read.segment[a:b].tolist(),
                "prefix": None if read.prefix is None else read.prefix[a:b].tolist(),
                "labels": dict(zip((index[here] - a).tolist(), value[here].tolist(), strict=True)),
            }
        )
    return rows


def test_a_text_then_its_image():
    (row,) = made(store_of([[[10, 11]]]), [[3, 0, 7]])
    assert row["ids"] == [CLS, 10, 11, SEP, 103, 100]
    assert row["segment"] == [0, 0, 0, 0, 1, 1]
    assert row["prefix"] == [True] * 4 + [False] * 2
    assert row["labels"] == {3: 103, 4: 100, 5: 107}


def test_an_image_then_its_text():
    (row,) = made(store_of([[[10, 11]]]), [[3, 0, 7]], to_text_rate=1.0)
    assert row["ids"] == [CLS, 103, 100, 107, SEP, 10, 11]
    assert row["segment"] == [0, 1, 1, 1, 0, 0, 0]
    assert row["prefix"] == [True] * 5 + [False] * 2
    assert row["labels"] == {4: 10, 5: 11, 6: SEP}


def test_a_causal_model_may_write_the_text_too():
    (row,) = made(store_of([[[10, 11]]]), [[3, 0]], predict_text=True)
    assert row["labels"] == {0: 10, 1: 11, 2: SEP, 3: 103, 4: 100}
    assert row["prefix"] is None or not any(row["prefix"])


def test_images_without_codes_are_left_out():
    rows = made(store_of([[[10]], [[20]], [[30]]]), [[1, 2], [-1, -1], [3, 4]])
    assert [row["ids"][1] for row in rows] == [10, 30]
    assert [row["labels"][2] for row in rows] == [101, 103]


def test_long_texts_are_cut_and_do_not_teach_their_end():
    store = store_of([[list(range(10, 22))]])
    (row,) = made(store, [[3, 0, 7]], seq_length=8)
    assert row["ids"] == [CLS, 10, 11, 12, 13, SEP, 103, 100]
    (row,) = made(store, [[3, 0, 7]], seq_length=8, to_text_rate=1.0)
    assert row["ids"] == [CLS, 103, 100, 107, SEP, 10, 11, 12][: len(row["ids"])]
    assert SEP not in row["labels"].values() and len(row["labels"]) == len(row["ids"]) - 4


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    length=st.integers(8, 24),
    rate=st.sampled_from([0.0, 0.4, 1.0]),
    predict=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_codes_are_whole_and_rows_fit(lengths, length, rate, predict):
    codes = np.arange(len(lengths) * 4).reshape(-1, 4) % CODES
    keys = {"seq_length": length, "to_text_rate": rate, "predict_text": predict}
    rows = made(store_of_lengths([[n] for n in lengths]), codes, **keys)
    for row, own in zip(rows, (codes + TEXT).tolist(), strict=True):
        assert len(row["ids"]) <= length
        shown = [token for token in row["ids"] if token >= TEXT]
        last = list(row["labels"].values())[-1]
        assert ([*shown, last])[:4] == own
        for place, value in row["labels"].items():
            if place + 1 < len(row["ids"]):
                assert value == row["ids"][place + 1]


def test_the_direction_is_drawn_anew_each_epoch():
    store, codes = store_of_lengths([[3]] * 200), [[1, 2]] * 200
    one, other = (
        [row["ids"][1] >= TEXT for row in made(store, codes, Draw(1, epoch), to_text_rate=0.3)]
        for epoch in (0, 1)
    )
    assert 40 < sum(one) < 80 and one != other


def test_what_does_not_fit_is_refused():
    store = store_of([[[10, 11]]])
    with pytest.raises(DataError, match="codes of the data go up to 20, but codes_num"):
        made(store, [[20]])
    with pytest.raises(ConfigError, match="seq_length"):
        made(store, [[1] * 40])
    with pytest.raises(ConfigError, match="to_text_rate"):
        made(store, [[1]], to_text_rate=1.5)
    del store.columns["codes"]
    with pytest.raises(DataError, match="uer codes"):
        facts = {**MARKS, "vocab_size": TEXT + CODES}
        Dalle(codes_num=CODES, **facts).index(store, DRAW)

"""Processors of pairs of texts: mt, prefixlm, llm_sft; and cls_mlm, which masks labelled texts."""

import numpy as np
import pytest
from fake_store import (
    CLS,
    FACTS,
    MASK,
    SEP,
    decoded,
    make_processor,
    pair_store,
    prepare_all,
    spoken,
    store_of,
    texts_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.randomness import Draw
from uer.errors import DataError

DRAW = Draw(1, 0)
PAIRS = [[[10, 11, 12], [50, 51]], [[13], [52, 53, 54, 55]]]
texts = st.lists(st.integers(5, 99), min_size=1, max_size=20)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


def rows(name, store, **keys):
    """(read, {column: predicted token}) of every instance."""
    prepared = prepare_all(make_processor(name, **keys), store, DRAW)[1]
    return [
        (read, dict(said))
        for read, said in zip(texts_of(prepared.sides["src"]), spoken(prepared), strict=True)
    ]


# ------------------------------------------------------------------------------------------ mt


@pytest.mark.parametrize("two_sides", [False, True])
def test_mt_golden(two_sides):
    store = pair_store(PAIRS, two_sides=two_sides)
    prepared = prepare_all(make_processor("mt", tgt_seq_length=3, seq_length=4), store, DRAW)[1]
    assert decoded(prepared) == [
        ([CLS, 10, 11, SEP], [CLS, 50, 51], [50, 51, SEP]),
        ([CLS, 13, SEP], [CLS, 52, 53], [52, 53, 54]),
    ]


def test_each_side_has_its_tokenizer_s_marks():
    other = {"tgt_pad_id": 90, "tgt_bos_id": 91, "tgt_eos_id": 92}
    processor = make_processor("mt", facts={**FACTS, **other})
    assert (processor.pad_id, processor.tgt_pad_id) == (0, 90)
    prepared = prepare_all(processor, pair_store(PAIRS, two_sides=True), DRAW)[1]
    assert decoded(prepared)[0] == ([CLS, 10, 11, 12, SEP], [91, 50, 51], [50, 51, 92])


@given(pairs=pairs, two_sides=st.booleans(), room=st.tuples(st.integers(3, 25), st.integers(1, 25)))
@settings(max_examples=60, deadline=None)
def test_mt_keeps_what_fits_and_counts_the_rest(pairs, two_sides, room):
    store = pair_store(pairs, two_sides=two_sides)
    processor = make_processor("mt", seq_length=room[0], tgt_seq_length=room[1])
    instances, prepared = prepare_all(processor, store, DRAW)
    used = 0
    for (source, target), (read, _, labels) in zip(pairs, decoded(prepared), strict=True):
        assert read == [CLS, *source[: room[0] - 2], SEP]
        assert labels == [*target, SEP][: room[1]]
        used += len(read) - 2 + len(labels) - (len(labels) == len(target) + 1)
    report = processor.report(instances, store)
    assert report["tokens"] == sum(len(text) for pair in pairs for text in pair)
    assert report["tokens_truncated"] == report["tokens"] - used


def test_data_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"row 2 of the data has 3 texts .* 'mt' needs 2"):
        prepare_all(make_processor("mt"), store_of([[[5], [6]], [[7], [8], [9]]]), DRAW)
    with pytest.raises(DataError, match=r"target side .* 'prefixlm' .* without --tgt_"):
        prepare_all(make_processor("prefixlm"), pair_store(PAIRS, two_sides=True), DRAW)


# ------------------------------------------------------------------------------------ prefixlm


def test_prefixlm_golden():
    prepared = prepare_all(make_processor("prefixlm"), pair_store(PAIRS), DRAW)[1]
    read = prepared.sides["src"]
    assert texts_of(read) == [[CLS, 10, 11, 12, SEP, 50, 51], [CLS, 13, SEP, 52, 53, 54, 55]]
    assert read.segment is not None and read.prefix is not None
    assert read.segment.tolist() == [0] * 5 + [1] * 2 + [0] * 3 + [1] * 4
    assert read.prefix.tolist() == [True] * 5 + [False] * 2 + [True] * 3 + [False] * 4
    assert spoken(prepared) == [
        [(4, 50), (5, 51), (6, SEP)],
        [(2, 52), (3, 53), (4, 54), (5, 55), (6, SEP)],
    ]


def test_a_cut_target_does_not_teach_its_end():
    # Both together may have 4 tokens; the longer text loses its end.
    made = rows("prefixlm", pair_store(PAIRS), seq_length=6)
    assert made[0] == ([CLS, 10, 11, SEP, 50, 51], {3: 50, 4: 51, 5: SEP})
    assert made[1] == ([CLS, 13, SEP, 52, 53], {2: 52, 3: 53, 4: 54})


# ------------------------------------------------------------------------------------- llm_sft


def test_llm_sft_golden():
    assert rows("llm_sft", pair_store(PAIRS)) == [
        ([CLS, 10, 11, 12, 50, 51], {3: 50, 4: 51, 5: SEP}),
        ([CLS, 13, 52, 53, 54, 55], {1: 52, 2: 53, 3: 54, 4: 55, 5: SEP}),
    ]


@given(pairs=pairs, room=st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_llm_sft_predicts_the_output_only(pairs, room):
    store = pair_store(pairs)
    processor = make_processor("llm_sft", seq_length=room)
    fitting = [(prompt, output) for prompt, output in pairs if len(prompt) < room]
    instances = processor.index(store, DRAW)
    report = processor.report(instances, store)
    assert report["rows_left_out"] == len(pairs) - len(fitting)
    used = 0
    if fitting:
        for (prompt, output), (read, said) in zip(
            fitting, rows("llm_sft", store, seq_length=room), strict=True
        ):
            whole = [CLS, *prompt, *output, SEP][: room + 1]
            assert read == whole[:-1]
            assert said == dict(enumerate(whole[1 + len(prompt) :], len(prompt)))
            used += len(whole) - 1 - (whole == [CLS, *prompt, *output, SEP])
    assert report["tokens"] - report["tokens_truncated"] == used


# ------------------------------------------------------------------------------------- cls_mlm


def test_cls_mlm_is_cls_with_masks():
    store = store_of([[[10 + n] * 12, [40] * 3] for n in range(9)], label=np.arange(9) % 3)
    plain = prepare_all(make_processor("cls", seq_length=32), store, DRAW)[1]
    both = prepare_all(make_processor("cls_mlm", seq_length=32), store, DRAW)[1]
    assert both.row_labels["cls"].tolist() == plain.row_labels["cls"].tolist()
    side, index, value = both.token_labels["mlm"]
    ids = both.sides[side].ids.copy()
    assert MASK in ids
    ids[index] = value
    assert ids.tolist() == plain.sides["src"].ids.tolist()
    assert len(index) == 9 * round(0.15 * 15)

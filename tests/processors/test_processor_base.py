import subprocess
import sys

import numpy as np
import pytest
from fake_store import make_processor, pair_store, prepare_all, random_store, store_of

from uer.data.formats import FORMATS
from uer.data.randomness import Draw
from uer.data.text_stream import TextStream
from uer.errors import ConfigError
from uer.processors.base import Prepared, processors

STORE = random_store(20)
NAMES = tuple(processors.names())
OF_TEXT = [name for name in NAMES if not FORMATS[processors.get(name).corpus].fields]
every = pytest.mark.parametrize("name", OF_TEXT)
any_kind = pytest.mark.parametrize("name", NAMES)


def made(name, **more):
    return make_processor(name, **{"seq_length": 16, **more})


@any_kind
def test_importing_a_processor_leaves_torch_out(name):
    code = f"import sys, uer.processors.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@any_kind
def test_is_found_by_name_with_a_summary(name):
    assert name in processors.names()
    doc = processors.get(name).__doc__
    assert doc is not None and processors.summary(name) == doc.partition("\n")[0]


PAIRS = pair_store([[[5 + n] * (1 + n % 5), [50 + n] * (1 + n % 7)] for n in range(20)])
LABELLED = store_of(
    [[[5 + n] * (1 + n)] for n in range(20)], label=np.arange(20, dtype=np.int64) % 3
)
STORES = {"pairs": PAIRS, "instructions": PAIRS, "labelled": LABELLED}
KEYS = {
    "albert": {"masking": "ngram"},
    "bart": {"seq_length": 40, "tgt_seq_length": 40},
    "gsg": {"seq_length": 60, "tgt_seq_length": 40, "sentence_selection_strategy": "principal"},
    "t5": {"seq_length": 40, "tgt_seq_length": 20},
    "ul2": {"seq_length": 40, "tgt_seq_length": 30},
    "mt": {"tgt_seq_length": 12},
}


def case(name):
    processor = made(name, **KEYS.get(name, {}))
    return processor, STORES.get(processor.corpus, STORE)


def equal(one: Prepared, other: Prepared) -> bool:
    def listed(prepared):
        sides = {
            name: (side.ids.tolist(), side.offsets.tolist())
            for name, side in prepared.sides.items()
        }
        labels = {
            name: (side, index.tolist(), value.tolist())
            for name, (side, index, value) in prepared.token_labels.items()
        }
        rows = {name: value.tolist() for name, value in prepared.row_labels.items()}
        return sides, labels, rows

    return listed(one) == listed(other)


@every
def test_an_instance_does_not_depend_on_its_batch(name):
    processor, store = case(name)
    _, whole = prepare_all(processor, store, Draw(1, 0), [3, 1, 4, 0])
    parts = [prepare_all(processor, store, Draw(1, 0), some)[1] for some in ([3], [1, 4], [0])]
    assert equal(Prepared.join(parts), whole)


@every
def test_the_seed_and_the_epoch_decide(name):
    processor, store = case(name)
    one, again, epoch, seed = (
        prepare_all(processor, store, draw)[1]
        for draw in (Draw(1, 0), Draw(1, 0), Draw(1, 1), Draw(2, 0))
    )
    assert equal(one, again)
    fixed = name in ("lm", "llm_pretrain", "llm_sft", "bilm", "cls", "mt", "prefixlm", "gsg")
    assert equal(one, epoch) == equal(one, seed) == fixed


@every
def test_provides_exactly_what_it_promises(name):
    processor, store = case(name)
    _, prepared = prepare_all(processor, store, Draw(1, 0))
    provided = {f"labels.{t}" for t in prepared.row_labels}
    provided |= {f"labels.{t.partition('.')[0]}" for t in prepared.token_labels}
    for side, ragged in prepared.sides.items():
        provided |= {f"{side}.ids"}
        more = ("segment", "prefix", "order")
        provided |= {f"{side}.{f}" for f in more if getattr(ragged, f) is not None}
    assert provided == processor.provides


@every
def test_lengths_are_bounds_within_what_the_model_sees(name):
    processor, store = case(name)
    instances, prepared = prepare_all(processor, store, Draw(1, 0))
    lengths = processor.lengths(instances)
    assert lengths.keys() == prepared.sides.keys()
    loose = {"bart": ["src"], "gsg": ["src", "tgt"]}.get(name, [])
    for side, bound in lengths.items():
        real = prepared.sides[side].lengths()
        assert (real <= bound).all() if side in loose else real.tolist() == bound.tolist()
        limit = processor.tgt_seq_length if side == "tgt" else processor.seq_length
        assert limit is not None and bound.max() <= limit


@every
def test_batches_come_out_of_the_stream(name):
    processor, store = case(name)
    stream = TextStream(
        store, processor, batch_size=3, seq_length=processor.seq_length + 5,
        packing="documents", seed=1,
    )  # fmt: skip
    for batch in (stream.next(), *stream.once()):
        for target in processor.provides:
            if target.startswith("labels."):
                assert f"{target}.value" in batch
        if "tgt.ids" in batch:
            assert ("src.document" in batch) == ("tgt.document" in batch)
            assert batch["src.length"].shape == batch["tgt.length"].shape
            (labels,) = (each for each in processor.provides if each.startswith("labels."))
            value = batch[f"{labels}.value"]
            read = batch["tgt.ids"].flatten()[batch[f"{labels}.index"]]
            assert len(value) == int(batch["tgt.length"].sum()) == len(read)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("bert", 5),
        ("albert", 5),
        ("mlm", 3),
        ("lm", 1),
        ("bilm", 1),
        ("cls", 5),
        ("prefixlm", 4),
        ("llm_sft", 2),
        ("mt", 3),
        ("t5", 3),
        ("ul2", 4),
        ("bart", 3),
        ("gsg", 4),
    ],
)
def test_too_short_rows_are_refused(name, least):
    assert made(name, seq_length=least).seq_length == least
    with pytest.raises(ConfigError, match=f"seq_length: {least - 1} leaves no room .* '{name}'"):
        made(name, seq_length=least - 1)

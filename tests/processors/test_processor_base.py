import subprocess
import sys

import numpy as np
import pytest
from fake_store import make_processor, random_store

from uer.data.instances import gather
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.processors.base import Prepared, processors

STORE = random_store(20)
NAMES = ("bert", "mlm", "lm", "cls")


def made(name, **more):
    return make_processor(name, **{"seq_length": 16, **more})


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_processor_leaves_torch_out(name):
    code = f"import sys, uer.processors.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_is_found_by_name_with_a_summary(name):
    assert name in processors.names()
    doc = processors.get(name).__doc__
    assert doc is not None and processors.summary(name) == doc.partition("\n")[0]


@pytest.mark.parametrize("name", ["bert", "mlm", "lm"])
def test_parts_join_to_the_whole(name):
    processor, draw = made(name), Draw(1, 0)
    instances = processor.index(STORE, draw)

    def prepared(which):
        ragged = gather(STORE.sides["src"], instances, np.array(which))
        return processor.prepare({"src": ragged}, draw, instances)

    whole = prepared([3, 1, 4, 0])
    joined = Prepared.join([prepared([3]), prepared([1, 4]), prepared([0])])
    assert np.array_equal(joined.sides["src"].ids, whole.sides["src"].ids)
    assert np.array_equal(joined.sides["src"].offsets, whole.sides["src"].offsets)
    assert joined.token_labels.keys() == whole.token_labels.keys()
    for target, (side, index, value) in whole.token_labels.items():
        assert joined.token_labels[target][0] == side
        assert np.array_equal(joined.token_labels[target][1], index)
        assert np.array_equal(joined.token_labels[target][2], value)
    assert joined.row_labels.keys() == whole.row_labels.keys()
    for target, value in whole.row_labels.items():
        assert np.array_equal(joined.row_labels[target], value)


@pytest.mark.parametrize("name", ["bert", "mlm", "lm"])
def test_provides_exactly_what_it_promises(name):
    processor, draw = made(name), Draw(1, 0)
    instances = processor.index(STORE, draw)
    ragged = gather(STORE.sides["src"], instances, np.arange(3))
    prepared = processor.prepare({"src": ragged}, draw, instances)
    provided = {"src.ids"} | {f"labels.{t}" for t in (*prepared.token_labels, *prepared.row_labels)}
    if ragged.segment is not None:
        provided.add("src.segment")
    assert provided == processor.provides
    lengths = prepared.sides["src"].lengths()
    assert lengths.tolist() == processor.lengths(instances)["src"][:3].tolist()
    assert processor.lengths(instances)["src"].max() <= processor.seq_length


@pytest.mark.parametrize(("name", "least"), [("bert", 5), ("mlm", 3), ("lm", 1), ("cls", 5)])
def test_too_short_rows_are_refused(name, least):
    assert made(name, seq_length=least).seq_length == least
    with pytest.raises(ConfigError, match=f"seq_length: {least - 1} leaves no room .* '{name}'"):
        made(name, seq_length=least - 1)

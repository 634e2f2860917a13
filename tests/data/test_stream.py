from itertools import islice

import numpy as np
import pytest
import torch
from fake_store import (
    MARKS,
    make_processor,
    pair_store,
    random_store,
    store_of,
    store_of_lengths,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from uer.data.bucket_stream import BucketStream
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError
from uer.processors.cls import Cls
from uer.processors.lm import Lm
from uer.tokenizers.char import CharTokenizer

STORE = random_store(60, seed=1)
MANY = store_of([[[5 + i, 50 + i]] for i in range(40)])
ROWS = store_of(
    [[[5 + i] * (1 + i * 7 % 23)] for i in range(41)], label=np.arange(41, dtype=np.int64)
)


@pytest.fixture(autouse=True, scope="module")
def small_windows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uer.data.text_stream.WINDOW", 16)
        yield


def text(store=STORE, processor=None, **changes):
    processor = processor or make_processor("bert", seq_length=32)
    settings = {"batch_size": 4, "seq_length": 32, "packing": "documents", "seed": 3}
    return TextStream(store, processor, **{**settings, **changes})


def buckets(store=ROWS, **changes):
    if "batch_tokens" not in changes:
        changes.setdefault("batch_size", 4)
    return BucketStream(store, Cls(seq_length=16, **MARKS), **{"seed": 3, **changes})


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def documents(batch):
    """The tokens of every document of a batch."""
    flat, width = batch["src.ids"].flatten(), batch["src.ids"].shape[1]
    firsts = batch["src.first"].tolist() if "src.first" in batch else range(0, len(flat), width)
    lengths = batch["src.length"].tolist()
    return [tuple(flat[a : a + n].tolist()) for a, n in zip(firsts, lengths, strict=True)]


MAKERS = {
    "documents": lambda **more: text(**more),
    "joined": lambda **more: text(packing="joined", **more),
    "off": lambda **more: text(packing="off", **more),
    "windows": lambda **more: text(MANY, Lm(seq_length=8, **MARKS), seq_length=8, **more),
    "bucket rows": lambda **more: buckets(**more),
    "bucket tokens": lambda **more: buckets(batch_tokens=40, **more),
}
streams = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@streams
def test_same_seed_same_stream(make):
    one, two, other = make(), make(), make(seed=4)
    batches = [(one.next(), two.next(), other.next()) for _ in range(6)]
    assert all(same(a, b) for a, b, _ in batches)
    assert not all(same(a, c) for a, _, c in batches)


@streams
@given(stops=st.lists(st.integers(0, 30), min_size=1, max_size=3))
@settings(max_examples=5, deadline=None)
def test_seek_continues_identically(make, stops):
    stream = make()
    for steps in stops:
        for _ in range(steps):
            stream.next()
        resumed = make()
        resumed.seek(stream.position())
        assert resumed.position() == stream.position()
        assert all(same(stream.next(), resumed.next()) for _ in range(12))


def test_seek_across_windows_and_epochs():
    stream = MAKERS["windows"]()
    seen = set()
    for _ in range(80):
        stream.next()
        resumed = MAKERS["windows"]()
        resumed.seek(stream.position())
        seen.add((stream.position()["epoch"], stream.position()["window"]))
        assert resumed.position() == stream.position()
    assert len(seen) > 3
    assert same(stream.next(), resumed.next())


@pytest.mark.parametrize("world", [2, 4])
@streams
def test_any_number_of_ranks_reads_the_same_in_the_same_order(make, world):
    alone = make()
    ranks = [make(rank=rank, world=world) for rank in range(world)]
    for _ in range(5):
        together = [document for rank in ranks for document in documents(rank.next())]
        assert together == [d for _ in range(world) for d in documents(alone.next())]
        assert all(rank.position() == alone.position() for rank in ranks)


def test_a_run_resumes_on_more_ranks():
    alone = text()
    for _ in range(8):
        alone.next()
    ranks = [text(rank=rank, world=2) for rank in range(2)]
    for rank in ranks:
        rank.seek(alone.position())
    assert [d for rank in ranks for d in documents(rank.next())] == [
        d for _ in range(2) for d in documents(alone.next())
    ]


@pytest.mark.parametrize("packing", ["documents", "joined", "off"])
@pytest.mark.parametrize("windowed", [False, True])
def test_an_epoch_holds_every_instance_once(packing, windowed):
    store, length = (MANY, 8) if windowed else (STORE, 32)
    processor = Lm(seq_length=length, **MARKS)
    stream = text(store, processor, seq_length=length, packing=packing, batch_size=1)
    ordered = sorted(d for batch in stream.once() for d in documents(batch))
    orders = []
    for epoch in range(2):
        seen = []
        while stream.position()["epoch"] == epoch:
            seen += documents(stream.next())
        assert sorted(seen) == ordered
        orders.append(seen)
    assert orders[0] != orders[1]


def test_buckets_hold_every_row_once_per_epoch():
    for make in (MAKERS["bucket rows"], MAKERS["bucket tokens"]):
        stream = make()
        epochs = []
        for epoch in range(2):
            labels = []
            while stream.position()["epoch"] == epoch:
                labels += stream.next()["labels.cls.value"].tolist()
            assert sorted(labels) == list(range(41))
            epochs.append(labels)
        assert epochs[0] != epochs[1]


def test_batches_cross_the_borders_of_epochs():
    few = store_of_lengths([[6], [5], [7]])
    stream = text(few, Lm(seq_length=8, **MARKS), seq_length=8, batch_size=8, packing="off")
    batch = stream.next()
    assert batch["src.ids"].shape == (8, 8)
    assert stream.position().items() >= {"epoch": 2, "window": 0, "item": 2}.items()
    index = batch["labels.lm.index"]
    inputs, values = batch["src.ids"].flatten(), batch["labels.lm.value"]
    inside = (index[1:] == index[:-1] + 1) & (index[1:] % 8 > 0)
    assert inside.sum() > 30
    assert torch.equal(inputs[index[1:]][inside], values[:-1][inside])


def test_epochs_are_corrupted_anew():
    few = store_of_lengths([[20], [20]])
    stream = text(few, make_processor("mlm", seq_length=32), packing="off", batch_size=2)
    first, second = stream.next(), stream.next()
    assert not torch.equal(
        first["labels.mlm.index"].sort().values, second["labels.mlm.index"].sort().values
    )


def test_packing_does_not_change_what_is_trained():
    def contents(packing):
        batches = list(text(packing=packing, batch_size=3).once())
        labels = sorted(v for b in batches for v in b["labels.mlm.value"].tolist())
        sp = sorted(
            (documents(b)[i], v)
            for b in batches
            for i, v in zip(
                b["labels.sp.index"].tolist(), b["labels.sp.value"].tolist(), strict=True
            )
        )
        return labels, sp

    assert contents("documents") == contents("off") == contents("joined")


@pytest.mark.parametrize("packing", ["documents", "joined"])
def test_packed_rows_have_exactly_the_width(packing):
    stream = text(seq_length=48, packing=packing)
    assert {tuple(stream.next()["src.ids"].shape) for _ in range(10)} == {(4, 48)}


def test_documents_of_a_row_are_numbered_and_positions_restart():
    batch = text(STORE, Lm(seq_length=16, **MARKS), seq_length=64).next()
    document, position = batch["src.document"], batch["src.position"]
    assert (document.max(dim=1).values > 0).any()
    starts = batch["src.first"]
    assert (position.flatten()[starts] == 0).all()
    assert (position == 0).sum() == len(starts) + (document == -1).sum()


def test_unpacked_batches_are_as_long_as_their_longest_instance():
    widths = set()
    short = make_processor("bert", seq_length=32, short_seq_prob=1.0)
    for batch in islice(text(STORE, short, packing="off", batch_size=2).once(), 40):
        widths.add(batch["src.ids"].shape[1])
        assert batch["src.ids"].shape[1] == batch["src.length"].max()
    assert len(widths) > 1


def test_once_goes_in_order_and_does_not_disturb():
    stream, undisturbed = text(), text()
    for _ in range(3):
        assert same(stream.next(), undisturbed.next())
    first = list(stream.once())
    again = list(stream.once())
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert same(stream.next(), undisturbed.next())
    lm = text(STORE, Lm(seq_length=32, **MARKS), packing="off")
    rows = [d for batch in lm.once() for d in documents(batch)]
    assert rows == [d for one in lm.numbered() for d in documents(one.batch)]
    assert [n for one in lm.numbered() for n in one.numbers.tolist()] == list(range(len(rows)))


@pytest.mark.parametrize("world", [1, 2, 3, 50])
@streams
def test_once_covers_all_rows_with_equally_many_batches_on_every_rank(make, world):
    alone = [d for batch in make().once() for d in documents(batch)]
    ranks = [list(make(rank=rank, world=world).numbered()) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    found, numbers = [], []
    for step in zip(*ranks, strict=True):
        for batch, which, _ in step:
            numbers += which.tolist()
            if len(which):
                found += documents(batch)
                assert len(which) == len(documents(batch))
            else:
                labels = [v for name, v in batch.items() if name.startswith("labels.")]
                assert labels and all(len(v) == 0 for v in labels)
                assert len(batch["src.ids"]) > 0
    assert found == alone
    assert sorted(numbers) == list(range(len(alone)))


def test_numbers_put_predictions_into_input_order():
    result = np.full(41, -1)
    for batch, numbers, _ in buckets(batch_tokens=30).numbered():
        result[numbers] = batch["labels.cls.value"].numpy()
    assert result.tolist() == list(range(41))


@pytest.mark.parametrize("rank", [0, 1])
def test_the_instances_at_a_position_are_those_of_its_batch(rank):
    stream, twin = (buckets(rank=rank, world=2) for _ in range(2))
    for _ in range(14):  # more than two epochs
        position, epoch = stream.position(), stream.position()["epoch"]
        batch = stream.next()
        found = twin.instances(position)
        assert found.keys() <= {epoch, epoch + 1}
        assert [n for numbers in found.values() for n in numbers] == batch[
            "labels.cls.value"
        ].tolist()
        assert stream.instances(position) == found
        assert same(batch, twin.next())  # it stands where it stood


def test_buckets_hold_rows_of_similar_length_within_the_budget():
    wasted = total = 0
    for batch in buckets(batch_tokens=48).once():
        shape = batch["src.ids"].shape
        assert shape[0] * shape[1] <= 48
        total += shape[0] * shape[1]
        wasted += shape[0] * shape[1] - int(batch["src.length"].sum())
    assert wasted / total < 0.1


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own():
    batches = list(buckets(batch_tokens=5).once())
    assert sorted(v for b in batches for v in b["labels.cls.value"].tolist()) == list(range(41))
    assert max(len(b["src.ids"]) for b in batches if b["src.ids"].shape[1] > 5) == 1


@streams
def test_count_is_what_the_epochs_take(make):
    for world in (1, 3):
        stream = make(rank=world - 1, world=world)
        for epochs in (1, 2):
            steps, fresh = 0, make(rank=world - 1, world=world)
            while fresh.position()["epoch"] < epochs:
                fresh.next()
                steps += 1
            assert stream.count(epochs) == steps


@streams
def test_tokens_are_those_of_an_epochs_instances(make):
    for world in (1, 3):
        ranks = [make(rank=rank, world=world) for rank in range(world)]
        dealt = [one for rank in ranks for one in rank.numbered()]
        seen = sum(one.batch.tokens() for one in dealt if len(one.numbers))
        assert [rank.tokens() for rank in ranks] == [seen] * world


def test_count_of_no_epoch():
    assert text().count(0) == 0


def test_a_real_store_and_tokenizer(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary.write_text("\n".join([*marks, *"abcdef"]), encoding="utf-8")
    tokenizer = CharTokenizer(vocab_path=str(vocabulary))
    store = Store.in_memory(tokenizer, [["ab", "c"], [""], ["fed"]], {"label": [1, 0, 2]})
    facts = tokenizer.facts()
    processor = Cls(seq_length=8, **{name: facts[name] for name in MARKS})
    (batch,) = BucketStream(store, processor, batch_size=8, seed=1).once()
    read = [tokenizer.tokens(document) for document in documents(batch)]
    assert read == [
        ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"],
        ["[CLS]", "f", "e", "d", "[SEP]"],
        ["[CLS]", "[SEP]"],
    ]
    assert batch["labels.cls.value"].tolist() == [1, 2, 0]


def test_report_is_the_processors():
    figures = buckets().report()
    assert figures["instances"] == 41
    assert figures["tokens"] == len(ROWS.sides["src"].tokens)


@pytest.mark.parametrize(
    "position",
    [{}, {"epoch": 0}, {"epoch": 0, "window": 0, "item": -1}, {"epoch": 0, "batch": 1}],
)
def test_foreign_positions_are_refused(position):
    with pytest.raises(DataError, match="is no position of a data stream; it needs epoch, window"):
        text().seek(position)


@pytest.mark.parametrize(
    "position",
    [{"epoch": 0, "window": 99, "item": 0}, {"epoch": 1, "window": 0, "item": 100_000}],
)
def test_positions_behind_the_end_are_refused(position):
    with pytest.raises(DataError, match="lies behind the end of the data; resume with the data"):
        text().seek({**text().position(), **position})


def test_the_position_in_other_data_is_refused():
    stream = text()
    with pytest.raises(DataError, match="resume with its own data, or start from its weights"):
        stream.seek({**stream.position(), "documents": 3})


class NoInstance(Lm):
    def index(self, store, draw):
        made = super().index(store, draw)
        return type(made)(made.layouts, made.layout[:0], made.start[:0], made.length[:0])


@pytest.mark.parametrize(
    "use", [lambda s: s.next(), lambda s: list(s.once()), lambda s: s.count(1)]
)
def test_an_empty_index_is_an_error(use):
    with pytest.raises(
        DataError, match=r"\(60 documents\); a corpus for it has one document per l"
    ):
        use(text(STORE, NoInstance(seq_length=32, **MARKS)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 0}, "batch_size: 0 is not positive"),
        ({"packing": "none"}, "packing: 'none' is none of documents, joined, off"),
        ({"seq_length": 16}, "seq_length: rows of 16 tokens cannot hold .* of up to 32"),
    ],
)
def test_wrong_settings_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        text(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": None}, "give either batch_size .* or batch_tokens"),
        ({"batch_size": 1, "batch_tokens": 1}, "not both or none"),
        ({"batch_size": 0}, "batch_size: 0 is not positive"),
        ({"batch_tokens": -1}, "batch_tokens: -1 is not positive"),
    ],
)
def test_wrong_bucket_sizes_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        buckets(**changes)


def sided(**changes):
    random = np.random.default_rng(2)
    sizes = random.integers(1, 20, (50, 2)).tolist()
    pairs = [[[5 + n] * a, [60] * b] for n, (a, b) in enumerate(sizes)]
    processor = make_processor("mt", seq_length=32, tgt_seq_length=24)
    return BucketStream(pair_store(pairs), processor, **{"seed": 3, **changes})


def test_batches_of_two_sides_keep_their_token_budget():
    seen = 0
    widths = []
    for batch in sided(batch_tokens=200).once():
        shapes = [batch[f"{side}.ids"].shape for side in ("src", "tgt")]
        rows = shapes[0][0]
        seen += rows
        assert rows == shapes[1][0]
        assert rows * (shapes[0][1] + shapes[1][1]) <= 200 or rows == 1
        widths.append(shapes[0][1] + shapes[1][1])
    assert seen == 50
    assert widths[0] > 2 * widths[-1]  # from the longest to the shortest


def test_two_sides_share_rows_and_documents():
    store = pair_store([[[5 + n] * (1 + n % 9), [50 + n] * (1 + n % 7)] for n in range(40)])
    processor = make_processor("mt", seq_length=16, tgt_seq_length=12)
    stream = TextStream(store, processor, batch_size=4, seq_length=24, packing="documents", seed=3)
    seen = []
    for batch in stream.once():
        assert batch["src.ids"].shape[1] == 24 and batch["tgt.ids"].shape[1] <= 12
        tgt = {}
        for row, column in (batch["tgt.document"] >= 0).nonzero().tolist():
            key = (row, int(batch["tgt.document"][row, column]))
            tgt.setdefault(key, []).append(int(batch["tgt.ids"][row, column]))
        src = {}
        for row, column in (batch["src.document"] >= 0).nonzero().tolist():
            key = (row, int(batch["src.document"][row, column]))
            src.setdefault(key, []).append(int(batch["src.ids"][row, column]))
        assert src.keys() == tgt.keys()
        for key, source in src.items():
            assert tgt[key][1] == source[1] + 45  # the pair's own target
            seen.append(source[1])
    assert sorted(seen) == list(range(5, 45))

"""Captions beside regions: from files of numpy's to what a model reads."""

import io
import zipfile

import numpy as np
import pytest
import torch
from support import WORDS

from uer.builder import Planner, build
from uer.data.media.references import MediaColumn, MediaError, Reference
from uer.data.media.regions import open_regions
from uer.data.preprocess import preprocess_media
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import DataError
from uer.processors.base import Processor
from uer.tokenizers.base import Tokenizer


@pytest.fixture
def tokenizer(vocabulary):
    return build(Tokenizer, "bert", vocab_path=str(vocabulary))


def written(folder, rows=40):
    """A manifest of captions and files of regions; the n-th has 1 + n % 4 of them."""
    draw = np.random.default_rng(0)
    lines = []
    for number in range(rows):
        count = 1 + number % 4
        arrays = {"regions": draw.random((count, 6)) + 0.1, "boxes": draw.random((count, 5))}
        np.savez_compressed(folder / f"{number}.npz", **arrays)
        text = " ".join(WORDS[(number + k) % len(WORDS)] for k in range(3 + number % 5))
        lines.append(f"{text}\t{number}.npz")
    path = folder / "captions.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def stream_of(store, tokenizer, batch_size=40, **keys):
    planner = Planner({"data_processor": "vlp", "region_size": 6, **keys})
    plan = planner.choice("data_processor", Processor)
    planner.finish()
    processor = plan.build(tokenizer.facts())
    length = processor.seq_length
    options = {"batch_size": batch_size, "seq_length": length, "packing": "off", "seed": 1}
    return TextStream(store, processor, **options)


@pytest.fixture
def store(tmp_path, tokenizer):
    path = written(tmp_path)
    preprocess_media(
        [path], tmp_path / "data", tokenizer=tokenizer, corpus_format="captioned_regions"
    )
    return Store.open(tmp_path / "data")


def test_a_batch_of_both_kinds(store, tokenizer):
    batch = stream_of(store, tokenizer).next()
    rows, length = batch["src.ids"].shape
    assert batch["src.regions"].shape == (40, 4, 6) and batch["src.boxes"].shape == (40, 4, 5)
    assert (batch["src.regions"].sum(-1) > 0).sum(1).tolist() == counts_of(batch)
    real = batch.get("src.validity", torch.ones(rows, length, dtype=torch.bool))
    kinds = batch["src.segment"][:, 0]
    assert set(kinds.tolist()) == {1, 3} and 20 < (kinds == 3).sum() < 38
    for row, kind in enumerate(kinds.tolist()):
        assert (batch["src.prefix"][row, real[row]] == (kind == 1)).all()
        assert (batch["src.segment"][row, real[row]] == kind).all()
    index, value = batch["labels.mlm.index"], batch["labels.mlm.value"]
    assert len(index) >= 40
    sep = tokenizer.facts()["sep_id"]
    ends = batch["src.length"] - 1 + torch.arange(rows) * length
    assert bool(torch.isin(index[value == sep], ends).all()) and (value == sep).any()
    assert not torch.isin(index, torch.arange(rows) * length).any()  # never [CLS]


def counts_of(batch):
    """How many regions a row has, by its boxes."""
    return [int((row.abs().sum(-1) > 0).sum()) for row in batch["src.boxes"]]


def test_regions_belong_to_their_text(store, tokenizer):
    (batch,) = stream_of(store, tokenizer, mask_rate=0.01).once()
    counts = (batch["src.regions"].sum(-1) > 0).sum(1)
    assert counts.tolist() == [1 + number % 4 for number in range(40)]
    assert batch["src.length"].tolist() == [2 + 3 + number % 5 for number in range(40)]


def test_keys_bound_regions_text_and_kind(store, tokenizer):
    keys = {"regions_num": 2, "seq_length": 6, "seq2seq_rate": 1.0}
    batch = stream_of(store, tokenizer, **keys).next()
    assert batch["src.regions"].shape[1] == 2 and batch["src.ids"].shape[1] == 6
    assert not batch["src.prefix"].any()
    batch = stream_of(store, tokenizer, **{**keys, "seq2seq_rate": 0.0}).next()
    assert (batch["src.segment"][:, 0] == 1).all()


def test_damaged_regions_are_replaced_and_named(tmp_path, tokenizer):
    path = written(tmp_path)
    (tmp_path / "3.npz").write_bytes(b"PK nothing")
    data = tmp_path / "data"
    preprocess_media([path], data, tokenizer=tokenizer, corpus_format="captioned_regions")
    stream = stream_of(Store.open(data), tokenizer)
    assert len(stream.next()["src.length"]) == 40
    assert "no file of regions" in stream.media_report.line()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"regions": np.ones((2, 3))}, "without regions and boxes"),
        ({"regions": np.ones((2, 3)), "boxes": np.ones((3, 4))}, "not one box for each"),
        ({"regions": np.ones((0, 3)), "boxes": np.ones((0, 4))}, "not one box for each"),
        ({"regions": np.ones(3), "boxes": np.ones((3, 4))}, "no table of numbers"),
        ({"regions": np.full((1, 3), np.nan), "boxes": np.ones((1, 4))}, "not finite"),
        ({"regions": np.array([[object()]]), "boxes": np.ones((1, 4))}, "no table of numbers"),
    ],
)
def test_what_holds_no_regions_is_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(MediaError, match=reason):
        open_regions(MediaColumn.of(tmp_path, [Reference("a.npz")])[0], 10)


def test_a_bomb_is_refused_before_it_is_decompressed(tmp_path):
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 10)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("regions", "boxes"):
            file.writestr(f"{name}.npy", header.getvalue() + bytes(1 << 16))
    with pytest.raises(MediaError, match="too many numbers"):
        open_regions(MediaColumn.of(tmp_path, [Reference("a.npz")])[0], 10)


def test_features_in_other_names_types_and_orders_are_read(tmp_path):
    features = np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3))
    np.savez(tmp_path / "a.npz", features=features, bbox=np.ones((2, 4), np.int64))
    regions, boxes = open_regions(MediaColumn.of(tmp_path, [Reference("a.npz")])[0], 10)
    assert regions.tolist() == [[0, 1, 2], [3, 4, 5]] and boxes.dtype == np.float32


def test_data_without_regions_are_refused(tokenizer):
    store = Store.in_memory(tokenizer, [["the cat"]])
    with pytest.raises(DataError, match="regions"):
        stream_of(store, tokenizer).next()

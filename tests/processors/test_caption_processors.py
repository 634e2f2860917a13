"""clip and siglip: captions and their images as two streams, from manifest to batch."""

import numpy as np
import pytest
import torch
from fake_store import CLS, FACTS, PAD, SEP, make_processor
from PIL import Image
from support import SPECIALS, TINY, WORDS, model_of

from uer.builder import build
from uer.data.media.report import MediaReport
from uer.data.preprocess import preprocess_media
from uer.data.randomness import Draw
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import ConfigError, DataError
from uer.tokenizers.base import Tokenizer

CAPTIONS = ["the cat sees here", "a dog", "red house under tree and river now", "small bird"]
SIZE = {"image_height": 8, "image_width": 8, "patch_size": 4}


@pytest.fixture
def corpus(tmp_path):
    """A manifest with a header, in the predecessors' order, and its images."""
    lines = ["text\tpath"]
    for number, caption in enumerate(CAPTIONS):
        Image.new("RGB", (10, 6), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(f"{caption}\t{number}.png")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in [*SPECIALS, *WORDS]))
    return tmp_path


def store_of(folder, name="clip"):
    tokenizer = build(Tokenizer, "bert", vocab_path=str(folder / "vocab.txt"))
    preprocess_media(
        [folder / "pairs.tsv"], folder / "data", tokenizer=tokenizer, corpus_format=corpus_of(name)
    )
    return Store.open(folder / "data"), tokenizer


def corpus_of(name):
    return processor_of(name).corpus


def processor_of(name, facts=FACTS, **keys):
    return make_processor(name, facts=facts, **{**SIZE, "seq_length": 6, **keys})


def stream_of(store, processor, **keys):
    options = {"batch_size": 4, "seed": 1, "packing": "off", "seq_length": 6, **keys}
    stream = TextStream(store, processor, **options)
    stream.media_report = MediaReport(None)
    return stream


def test_a_caption_and_its_image_stand_in_one_row(corpus):
    store, tokenizer = store_of(corpus)
    processor = processor_of("clip", tokenizer.facts())
    (batch,) = stream_of(store, processor).once()
    assert batch["src.1.image"].shape == (4, 3, 8, 8)
    red = batch["src.1.image"][:, 0].mean((1, 2))
    torch.testing.assert_close(red, torch.arange(4) * 60 / 255)
    assert batch["src.1.length"].tolist() == [4] * 4
    words = [tokenizer.vocabulary[n] for n in batch["src.0.ids"][0].tolist()]
    assert words == ["[CLS]", "the", "cat", "sees", "here", "[SEP]"]
    assert batch["src.0.length"].tolist() == [6, 4, 6, 4]  # the third is cut
    assert batch["src.0.ids"][2, -1] == tokenizer.special["sep"]
    assert batch["src.0.validity"].sum(1).tolist() == [6, 4, 6, 4]


def test_siglip_reads_its_padding(corpus):
    store, tokenizer = store_of(corpus, "siglip")
    (batch,) = stream_of(store, processor_of("siglip", tokenizer.facts())).once()
    assert batch["src.0.length"].tolist() == [6] * 4 and "src.0.validity" not in batch
    special = tokenizer.special
    assert batch["src.0.ids"][3, 3:].tolist() == [special["sep"], special["pad"], special["pad"]]


def test_training_shuffles_pairs_and_keeps_them(corpus):
    store, tokenizer = store_of(corpus)
    stream, seen = stream_of(store, processor_of("clip", tokenizer.facts()), batch_size=2), set()
    for _ in range(6):
        batch = stream.next()
        for row in range(2):
            length = int(batch["src.0.length"][row])
            red = round(float(batch["src.1.image"][row, 0].mean()) * 255)
            seen.add((red // 60, length, int(batch["src.0.ids"][row, 1])))
    assert {(number, length) for number, length, _ in seen} == {(0, 6), (1, 4), (2, 6), (3, 4)}
    assert len(seen) == 4


def test_marks_follow_the_tokenizers_roles():
    begin, end = 90, 91
    clip = {"pad_id": end, "bos_id": begin, "eos_id": end, "cls_id": begin, "sep_id": end}
    assert [p.id for p in processor_of("clip", clip).layout[::2]] == [begin, end]
    bare = processor_of("siglip", {"pad_id": 1, "eos_id": 1}).layout
    assert bare[-1].id == 1 and len(bare) == 2
    assert [p.id for p in processor_of("clip").layout[::2]] == [CLS, SEP]
    assert processor_of("clip").pad_id == PAD


def test_a_rank_without_rows_has_no_pair(corpus):
    store, tokenizer = store_of(corpus)
    processor = processor_of("clip", tokenizer.facts())
    (batch,) = stream_of(store, processor, batch_size=1, rank=0, world=5).once()
    assert len(batch["src.0.length"]) == len(batch["src.1.first"]) == 0
    assert len(batch["src.1.image"]) == 1


def test_what_does_not_fit_is_said(corpus):
    with pytest.raises(ConfigError, match="seq_length: 2 leaves no room for text"):
        processor_of("clip", seq_length=2)
    with pytest.raises(ConfigError, match="larger than an image"):
        processor_of("clip", patch_size=16)
    (corpus / "pairs.tsv").write_text("a cat\n")
    with pytest.raises(DataError, match="the line has 1 fields; expected are text<TAB>image"):
        store_of(corpus)


def test_lengths_are_those_of_the_batch(corpus):
    store, tokenizer = store_of(corpus)
    for name, longest in (("clip", [6, 4, 6, 4]), ("siglip", [6] * 4)):
        processor = processor_of(name, tokenizer.facts())
        lengths = processor.lengths(processor.index(store, Draw(1, 0)))
        assert np.array_equal(lengths["src.0"], longest)
        assert lengths["src.1"].tolist() == [4] * 4


def test_texts_share_rows_without_seeing_each_other(corpus):
    """And the loss is that of texts with rows of their own."""
    store, tokenizer = store_of(corpus)
    facts = {**tokenizer.facts(), "share_rows": True}
    processor = processor_of("clip", facts, seq_length=10)
    (shared,) = stream_of(store, processor, seq_length=10).once()
    plain = processor_of("clip", tokenizer.facts(), seq_length=10)
    (alone,) = stream_of(store, plain, seq_length=10).once()
    assert shared["src.0.ids"].shape[0] == 3 and alone["src.0.ids"].shape[0] == 4
    assert shared["src.0.length"].tolist() == alone["src.0.length"].tolist() == [6, 4, 9, 4]
    assert shared["src.0.document"][0].tolist() == [0] * 6 + [1] * 4
    assert torch.equal(shared["src.1.image"], alone["src.1.image"])
    stream = {**TINY, "encoder": "transformer"}
    config = {
        "embedding": "dual",
        "encoder": "dual",
        "stream_0": {**stream, "embedding": ["word", "pos"], "mask": "causal"},
        "stream_1": {**stream, "embedding": ["patch", "pos"]},
        "target": "clr",
        "pooling": "last",
        "pooling_1": "first",
        **SIZE,
    }
    model = model_of(config, vocab_size=tokenizer.vocab_size)
    with torch.no_grad():
        one, other = (model(batch)["clr"].loss_sum for batch in (shared, alone))
    torch.testing.assert_close(one, other)

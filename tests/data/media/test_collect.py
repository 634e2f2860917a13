"""Manifests, folders and tar files become data sets; what leads out of their folder is refused."""

import io
import json
import tarfile

import numpy as np
import pytest
from pictures import colours, encoded, processor
from PIL import Image

from uer.data.preprocess import preprocess_media
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.errors import DataError
from uer.tokenizers.char import CharTokenizer

NAMES = ["a/0.png", "a/1.png", "b/2.png", "b/3.png", "b/ü 4.png"]
LABELS = [0, 0, 1, 1, 1]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "images"
    for number, name in enumerate(NAMES):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.fromarray(colours(number)), "PNG"))
    return made


def made(tmp_path, *corpora, corpus_format="labelled_images", tokenizer=None, **options):
    summary = preprocess_media(
        corpora, tmp_path / "data", tokenizer=tokenizer, corpus_format=corpus_format, **options
    )
    return Store.open(tmp_path / "data"), summary


def read(store):
    """The image and the label of every document, as the stream gives them."""
    stream = TextStream(store, processor(), batch_size=3, seq_length=4, packing="off", seed=1)
    found = {}
    for numbered in stream.numbered():
        images = numbered.batch["src.image"].numpy()
        labels = numbered.batch["labels.cls.value"].tolist()
        found |= dict(zip(numbered.numbers.tolist(), zip(images, labels, strict=True), strict=True))
    assert not stream.media_report.counts
    return [found[number] for number in range(len(store))]


def expected(number):
    """What `processor` makes of an image, by hand."""
    picture = Image.fromarray(colours(number)).resize((16, 16), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1) / np.float32(255)


def check(store, order=range(5)):
    rows = read(store)
    assert [label for _, label in rows] == [LABELS[number] for number in order]
    for (image, _), number in zip(rows, order, strict=True):
        np.testing.assert_allclose(image, expected(number), atol=1e-6)


def tsv(folder, rows, name="list.tsv"):
    path = folder / name
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def labelled():
    return [f"{label}\t{name}" for label, name in zip(LABELS, NAMES, strict=True)]


def test_lines_of_label_and_path(folder, tmp_path):
    check(made(tmp_path, tsv(folder, labelled()))[0])


def test_a_header_may_name_the_columns_in_another_order(folder, tmp_path):
    rows = [f"{name}\tx\t{label}" for label, name in zip(LABELS, NAMES, strict=True)]
    check(made(tmp_path, tsv(folder, ["path\tsource\tlabel", *rows]))[0])


def test_json_lines(folder, tmp_path):
    rows = [
        json.dumps({"image": name, "label": label, "more": None})
        for name, label in zip(NAMES, LABELS, strict=True)
    ]
    check(made(tmp_path, tsv(folder, rows, "list.jsonl"))[0])


def test_parquet(folder, tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'parquet'")
    table = arrow.table({"path": NAMES, "label": LABELS})
    parquet.write_table(table, folder / "list.parquet")
    check(made(tmp_path, folder / "list.parquet")[0])


def test_folders_of_classes(folder, tmp_path):
    store, _ = made(tmp_path, folder)
    check(store)
    assert store.meta.classes == ["a", "b"]


def test_folders_agree_with_torchvision(folder, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets", reason="needs the extra 'vision'")
    theirs = datasets.ImageFolder(str(folder))
    store, _ = made(tmp_path, folder)
    assert store.columns["label"].tolist() == theirs.targets
    paths = [f"{store.media['image'].root}/{store.media['image'][n].name}" for n in range(5)]
    assert paths == [path for path, _ in theirs.samples]


def shard(path, numbers, *, description=False):
    with tarfile.open(path, "w") as file:
        for number in numbers:
            parts = {"png": encoded(Image.fromarray(colours(number)), "PNG")}
            if description:
                parts["json"] = json.dumps({"label": LABELS[number]}).encode()
            else:
                parts["cls"] = str(LABELS[number]).encode()
            for ending, content in parts.items():
                member = tarfile.TarInfo(f"some/{number:04}.{ending}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return path


def test_shards_are_read_where_they_are(tmp_path):
    shards = [shard(tmp_path / "0.tar", [3, 0]), shard(tmp_path / "1.tar", [4, 1, 2])]
    store, _ = made(tmp_path, *shards)
    check(store, [3, 0, 4, 1, 2])
    assert store.media["image"][2].name == "1.tar::some/0004.png"
    assert sum(file.stat().st_size for file in (tmp_path / "data").rglob("*")) < 20_000


def test_shards_with_descriptions(tmp_path):
    check(made(tmp_path, shard(tmp_path / "0.tar", [2, 1], description=True))[0], [2, 1])


def test_a_compressed_shard_is_refused(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w:gz") as file:
        file.addfile(tarfile.TarInfo("0.png"), io.BytesIO())
    with pytest.raises(DataError, match="unpack"):
        made(tmp_path, tmp_path / "0.tar")


def test_soft_labels(folder, tmp_path):
    rows = [
        json.dumps({"image": name, "label": [number / 4, 1 - number / 4]})
        for number, name in enumerate(NAMES)
    ]
    store, _ = made(tmp_path, tsv(folder, rows, "list.jsonl"))
    assert store.columns["label"].tolist() == [[n / 4, 1 - n / 4] for n in range(5)]


def test_files_that_are_not_there_are_left_out_and_named(folder, tmp_path):
    store, summary = made(tmp_path, tsv(folder, [*labelled(), "1\tb/none.png"]))
    check(store)
    assert summary.left_out == 1
    left = (tmp_path / "data" / "left_out.tsv").read_text().splitlines()
    assert left[1:] == ["b/none.png\tno such file\t"]


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "{above}/secret.png"])
def test_paths_out_of_the_folder_are_refused(folder, tmp_path, path):
    (tmp_path / "secret.png").write_bytes((folder / NAMES[0]).read_bytes())
    rows = [*labelled(), f"1\t{path.format(above=tmp_path)}"]
    with pytest.raises(DataError, match=r"list.tsv:6: .*leads out of .*--media_root"):
        made(tmp_path, tsv(folder, rows))
    assert not (tmp_path / "data").exists()


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes((folder / NAMES[0]).read_bytes())
    (folder / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="is a link that leads out of"):
        made(tmp_path, folder)


def test_absolute_paths_inside_of_the_folder_are_fine(folder, tmp_path):
    rows = [f"{label}\t{folder / name}" for label, name in zip(LABELS, NAMES, strict=True)]
    store, _ = made(tmp_path, tsv(tmp_path, rows), media_root=folder)
    check(store)
    assert store.media["image"][4].name == NAMES[4]


def test_a_moved_folder_is_found_again(folder, tmp_path):
    made(tmp_path, folder)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="--media_root"):
        Store.open(tmp_path / "data")
    check(Store.open(tmp_path / "data", tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b/2.png", r"list.tsv:6: the line has 1 fields; expected are label<TAB>image"),
        ("cat\tb/2.png", r"list.tsv:6: the label 'cat' is not one of 0, 1, 2, …"),
        ("1\t", r"list.tsv:6: '' is no path"),
    ],
)
def test_wrong_lines_are_named(folder, tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        made(tmp_path, tsv(folder, [*labelled(), row]))


def test_texts_beside_images_are_tokenised(folder, tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcd"]))
    tokenizer = CharTokenizer(vocab_path=str(vocabulary))
    texts = ["ab", " ", "cd", "d", "abc"]
    rows = [f"{text}\t{name}" for text, name in zip(texts, NAMES, strict=True)]
    store, summary = made(
        tmp_path, tsv(folder, rows), corpus_format="captioned_images", tokenizer=tokenizer
    )
    # The row without a token is not there, and neither is its image.
    assert summary.documents == len(store) == 4
    assert [store.media["image"][n].name for n in range(4)] == [NAMES[n] for n in (0, 2, 3, 4)]
    side = store.sides["src"]
    assert np.diff(side.sentences).tolist() == [2, 2, 1, 3]
    assert np.diff(side.documents).tolist() == [1, 1, 1, 1]


def test_the_same_bytes_for_any_number_of_pieces(folder, tmp_path, monkeypatch):
    made(tmp_path, folder)
    whole = {p.name: p.read_bytes() for p in (tmp_path / "data").rglob("*.bin")}
    monkeypatch.setattr("uer.data.media.collect._ROWS", 2)
    made(tmp_path, folder)
    assert {p.name: p.read_bytes() for p in (tmp_path / "data").rglob("*.bin")} == whole

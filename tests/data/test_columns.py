"""Columns that are added to a data set."""

import numpy as np
import pytest
from PIL import Image

from uer.data.columns import add_column
from uer.data.preprocess import preprocess_media
from uer.data.store import Store
from uer.errors import DataError


@pytest.fixture
def folder(tmp_path):
    lines = []
    for number in range(3):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png")
    (tmp_path / "images.tsv").write_text("\n".join(lines) + "\n")
    paths = [tmp_path / "images.tsv"]
    preprocess_media(paths, tmp_path / "data", tokenizer=None, corpus_format="images")
    return tmp_path / "data"


def test_a_column_is_there_afterwards_and_may_be_replaced(folder):
    for values in (np.arange(6).reshape(3, 2), np.arange(6, 12).reshape(3, 2)):
        add_column(folder, "codes", values)
        store = Store.open(folder)
        assert np.array_equal(store.columns["codes"], values)
        assert len(store) == 3 and len(store.media["image"]) == 3


def test_a_column_that_does_not_fit_is_refused_and_nothing_changes(folder):
    add_column(folder, "codes", np.zeros((3, 2), np.int64))
    with pytest.raises(DataError, match="2 rows, the data set 3 documents"):
        add_column(folder, "more", np.zeros((2, 2), np.int64))
    with pytest.raises(DataError, match="another type or width"):
        add_column(folder, "codes", np.zeros((3, 5), np.int64))
    assert list(Store.open(folder).columns) == ["codes"]

"""Masked images without codes."""

import numpy as np
import torch
from PIL import Image

from uer.builder import build
from uer.data.media.references import MediaColumn, Reference
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.processors.base import Processor


def test_labels_say_where_patches_are_hidden(tmp_path):
    for number in range(4):
        Image.new("RGB", (32, 32), (number, 9, 90)).save(tmp_path / f"{number}.png")
    references = [Reference(f"{number}.png") for number in range(4)]
    store = Store.in_memory(None, [], media={"image": MediaColumn.of(tmp_path, references)})
    keys = {"image_height": 32, "image_width": 32, "patch_size": 8, "image_mask_rate": 0.5}
    options = {"batch_size": 4, "seq_length": 16, "packing": "off", "seed": 1}
    batch = TextStream(store, build(Processor, "data2vec", **keys), **options).next()
    masked = batch["src.masked"]
    assert masked.shape == (4, 16) and masked.sum(1).tolist() == [8] * 4
    expected = masked.flatten().nonzero().flatten()
    assert torch.equal(batch["labels.data2vec.index"], expected)
    assert "labels.data2vec.value" not in batch
    assert len(np.unique(masked.numpy(), axis=0)) > 1

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from uer.training.lazy import Lazy, lazy, untie, whole
from uer.training.tensor_file import (
    plain_file,
    read_tensors,
    read_weights_file,
    weights_file,
    write_tensors,
)

TENSORS = {
    "wörter": torch.arange(12.0).view(3, 4),
    "half": torch.randn(5).bfloat16(),
    "b": torch.tensor([True, False, True]),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "double": torch.tensor(0.1, dtype=torch.float64),
    "short": torch.ones(3, dtype=torch.int16),
    "int": torch.ones(2, 2, dtype=torch.int32),
    "signed": torch.ones(3, dtype=torch.int8),
    "bytes": torch.arange(3, dtype=torch.uint8),
    "fp16": torch.ones(3, dtype=torch.float16),
}


def written(path, file):
    write_tensors(path, file, (one.gather() for one in file.tensors.values()))
    return path


def test_the_bytes_are_those_of_the_library(tmp_path):
    for name, tensors in {"all": TENSORS, "one": {"x": torch.ones(1)}, "none": {}}.items():
        save_file(tensors, tmp_path / "theirs")
        ours = written(tmp_path / name, plain_file(lazy(tensors)))
        assert ours.read_bytes() == (tmp_path / "theirs").read_bytes(), name


def test_tied_views_and_transposed_tensors(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    weights = {"z": base, "a": base, "row": base[1], "turned": base.t()}
    path = written(tmp_path / "file", weights_file(lazy(weights)))
    found = read_weights_file(path)
    assert found.keys() == weights.keys() and found["z"] is found["a"]
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    tensors, metadata = read_tensors(path)
    assert tensors.keys() == {"a", "row", "turned"} and metadata["aliases"] == '{"z": "a"}'


def test_every_tensor_is_asked_for_once_and_in_the_files_order():
    asked = []

    def make(name, dtype):
        return Lazy((2,), dtype, lambda: asked.append(name) or torch.ones(2, dtype=dtype))

    tied = make("tied", torch.float32)
    lazies = {"b": tied, "n": make("n", torch.int64), "a": tied, "h": make("h", torch.float16)}
    assert untie(lazies)[1] == {"b": "a"}
    file = weights_file(lazies)
    assert list(file.tensors) == ["n", "a", "h"]
    assert whole(lazies)["b"].tolist() == [1, 1] and sorted(asked) == ["h", "n", "tied"]


def test_a_full_device_is_an_error_of_the_system(tmp_path):
    file = plain_file(lazy({"x": torch.ones(1000)}))
    with pytest.raises(OSError) as caught:
        written(Path("/dev/full"), file)
    assert caught.value.errno == errno.ENOSPC

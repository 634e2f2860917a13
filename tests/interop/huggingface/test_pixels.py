import json

import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file

from uer.builder import Planner
from uer.cli.main import main
from uer.config import load_config
from uer.data.media.references import Medium, Reference
from uer.data.randomness import Draw
from uer.interop.huggingface.pixels import FILE, pixels_file, read_pixels
from uer.processors.base import Processor


@pytest.mark.parametrize("statistics", ["half", "imagenet"])
def test_images_become_the_same_pixels(tmp_path, statistics):
    config = {"image_preprocess": [{"normalize": {"statistics": statistics}}]}
    (tmp_path / FILE).write_text(json.dumps(pixels_file(config, 16)))
    assert read_pixels(tmp_path) == config
    draw = torch.randint(0, 255, (20, 20, 3), generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(draw.byte().numpy())
    picture.save(tmp_path / "a.png")
    theirs = hf.ViTImageProcessorPil.from_pretrained(tmp_path)
    wanted = theirs(picture, return_tensors="pt").pixel_values[0]
    size = {"image_height": 16, "image_width": 16, "patch_size": 4}
    processor = Planner({"data_processor": "vit", **size, **config})
    images = processor.choice("data_processor", Processor).build({}).images
    medium = Medium(str(tmp_path), Reference("a.png"))
    made = torch.from_numpy(images(medium, Draw(0, 0), 0, ordered=True))
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)


def test_what_the_folder_says_of_pixels_is_read(tmp_path):
    assert read_pixels(tmp_path) == {}
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1], "resample": 3}
    (tmp_path / FILE).write_text(json.dumps(said))
    assert read_pixels(tmp_path) == {"interpolation": "bicubic"}  # no name for these
    (tmp_path / FILE).write_text(json.dumps({"do_normalize": False}))
    assert read_pixels(tmp_path) == {}
    plain = pixels_file({}, [8, 12])
    assert plain["size"] == {"height": 8, "width": 12} and not plain["do_normalize"]


def test_a_classifier_is_converted_there_and_back(tmp_path, capsys):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"intermediate_size": 24, "image_size": 12, "patch_size": 4, "num_labels": 3}
    hf.ViTForImageClassification(hf.ViTConfig(**shape, **sizes)).save_pretrained(theirs)
    half = {"image_preprocess": [{"normalize": {"statistics": "half"}}]}
    (theirs / FILE).write_text(json.dumps(pixels_file(half, 12)))
    for source, place in ((theirs, ours), (ours, again)):
        assert main(["convert", str(source), str(place)]) == 0
    config = load_config(ours / "config.yaml")
    assert config["image_preprocess"] == half["image_preprocess"]
    assert config["task"] == "image_classifier" and config["facts"]["labels_num"] == 3
    one, other = (load_file(folder / "model.safetensors") for folder in (theirs, again))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    assert json.loads((again / FILE).read_text()) == json.loads((theirs / FILE).read_text())
    words = ["convert", str(ours), str(tmp_path / "larger"), "--resize_positions_to", "20"]
    assert main(words) == 2
    assert "positions of patches are stretched" in capsys.readouterr().err
    processor = hf.AutoImageProcessor.from_pretrained(again)
    assert list(processor.image_mean) == [0.5] * 3

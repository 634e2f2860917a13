import json

import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file

from uer.builder import Planner
from uer.cli.finetune import task_recipe
from uer.cli.main import main
from uer.config import load_config
from uer.data.media.references import Medium, Reference
from uer.data.randomness import Draw
from uer.errors import ConfigError
from uer.interop.huggingface.pixels import FILE, FILE_OF_ALL, pixels_file, read_pixels
from uer.interop.pretrained import checkpoint_config
from uer.processors.base import Processor
from uer.tasks.image_classifier import ImageClassifier

MEAN, DEVIATION = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
OWN = {"image_mean": MEAN, "image_std": DEVIATION}
SQUARE, SHORTER = {"height": 16, "width": 16}, {"shortest_edge": 20}
CASES = {
    "vit": (hf.ViTImageProcessorPil, {"size": SQUARE}),
    "own statistics": (hf.ViTImageProcessorPil, {"size": SQUARE, **OWN, "resample": 3}),
    "lanczos": (hf.ViTImageProcessorPil, {"size": SQUARE, "resample": 1}),
    "not normalised": (hf.ViTImageProcessorPil, {"size": SQUARE, "do_normalize": False}),
    "rescaled": (hf.ViTImageProcessorPil, {"size": SQUARE, **OWN, "rescale_factor": 1 / 127.5}),
    "not rescaled": (hf.ViTImageProcessorPil, {"size": SQUARE, **OWN, "do_rescale": False}),
    "clip": (hf.CLIPImageProcessorPil, {"size": SHORTER, "crop_size": SQUARE}),
    "clip, old": (hf.CLIPImageProcessorPil, {"size": 18, "crop_size": 16}),
    "clip, larger": (hf.CLIPImageProcessorPil, {"size": {"shortest_edge": 12}, "crop_size": 16}),
    "siglip": (hf.SiglipImageProcessorPil, {"size": SQUARE}),
    "deit": (hf.DeiTImageProcessorPil, {"size": {"height": 20, "width": 20}, "crop_size": SQUARE}),
}


def pixels_of(config, folder, name="a.png"):
    """What our pipeline makes of an image."""
    size = {"image_height": 16, "image_width": 16, "patch_size": 4}
    processor = Planner({"data_processor": "vit", **size, **config})
    images = processor.choice("data_processor", Processor).build({}).images
    medium = Medium(str(folder), Reference(name))
    return torch.from_numpy(images(medium, Draw(0, 0), 0, ordered=True))


def picture(folder):
    draw = torch.Generator().manual_seed(0)
    made = Image.fromarray(torch.randint(0, 255, (36, 44, 3), generator=draw).byte().numpy())
    made.save(folder / "a.png")
    return made


@pytest.mark.parametrize(
    ("case", "nested"), [*((case, False) for case in CASES), ("clip", True), ("siglip", True)]
)
def test_images_become_the_same_pixels(tmp_path, case, nested):
    kind, keys = CASES[case]
    theirs = kind(**keys)
    image = picture(tmp_path)
    wanted = theirs(image, return_tensors="pt").pixel_values[0]
    theirs.save_pretrained(tmp_path)
    said = json.loads((tmp_path / FILE).read_text()) | keys  # old sizes are numbers
    said["image_processor_type"] = kind.__name__.removesuffix("Pil")
    (tmp_path / FILE).write_text(json.dumps({"size": 7} if nested else said))
    if nested:
        (tmp_path / FILE_OF_ALL).write_text(json.dumps({"image_processor": said}))
    read = read_pixels(tmp_path, "ViTImageProcessor", (16, 16))
    assert read.notes == []
    made = pixels_of(read.keys, tmp_path)
    torch.testing.assert_close(made, wanted, atol=2e-4 * wanted.abs().max().item(), rtol=0)
    # What is written makes the same pixels there, and is read as the same.
    back = tmp_path / "back"
    back.mkdir()
    content, notes = pixels_file(read.keys, said["image_processor_type"], 16)
    (back / FILE).write_text(json.dumps(content))
    assert notes == [] and read_pixels(back, "", (16, 16)) == read
    classes = {kind.__name__: kind, "CLIPImageProcessorPil": hf.CLIPImageProcessorPil}
    again = classes[f"{content['image_processor_type']}Pil"].from_pretrained(back)
    theirs_again = again(image, return_tensors="pt").pixel_values[0]
    torch.testing.assert_close(made, theirs_again, atol=2e-4 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ({"size": {"shortest_edge": 20}, "do_center_crop": False}, "keeps the shape"),
        ({"size": {"longest_edge": 20}}, "keeps the shape"),
        ({"do_resize": False}, "keeps the shape"),
        ({"size": 24}, "makes images of 24 x 24 pixels, the model reads 16 x 16"),
        ({"size": 20, "do_center_crop": True, "crop_size": [12, 16]}, "12 x 16"),
        ({"size": 16, "resample": 4}, "resample: 4"),
        ({"size": 16, "crop_pct": 0.9}, "crop_pct: 0.9"),
    ],
)
def test_what_is_done_otherwise_here_is_said(tmp_path, said, note):
    (tmp_path / FILE).write_text(json.dumps(said))
    read = read_pixels(tmp_path, "ViTImageProcessor", (16, 16))
    assert any(note in sentence for sentence in read.notes)
    picture(tmp_path)
    assert pixels_of(read.keys, tmp_path).shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": 0}, "must be positive"),
        ({"image_mean": ["a"] * 3}, "image_mean"),
        ({"size": "big"}, "size: 'big'"),
        ({"size": {"height": 16}}, "size"),
        ({"size": {"shortest_edge": "16"}}, "size"),
        ({"crop_size": 0, "do_center_crop": True}, "crop_size"),
        ({"rescale_factor": 0}, "rescale_factor"),
    ],
)
def test_values_without_sense_are_refused(tmp_path, said, problem):
    (tmp_path / FILE).write_text(json.dumps(said))
    with pytest.raises(ConfigError, match=f"{FILE}: {problem}|{FILE}: .*{problem}"):
        read_pixels(tmp_path, "ViTImageProcessor", (16, 16))


def test_a_folder_may_say_nothing_of_pixels(tmp_path):
    assert read_pixels(tmp_path, "ViTImageProcessor", (16, 16)) == ({}, [])


def test_models_that_read_any_size_read_that_of_the_folder(tmp_path):
    said = {"size": {"shortest_edge": 20}, "crop_size": SQUARE}
    hf.BitImageProcessorPil(**said).save_pretrained(tmp_path)
    read = read_pixels(tmp_path, "BitImageProcessor", (32, 32), stretches=True)
    assert read.notes == []
    assert read.keys["images"] == {"single": {"image_height": 16, "image_width": 16}}
    content, _ = pixels_file(read.keys, "BitImageProcessor", 32)
    assert content["crop_size"] == SQUARE and content["size"] == SHORTER


def test_transforms_of_training_are_written_as_they_are_in_evaluation():
    steps = [{"random_resized_crop": {"interpolation": "bicubic"}}, "horizontal_flip", "normalize"]
    content, notes = pixels_file({"image_preprocess": steps}, "ViTImageProcessor", 224)
    assert notes == [] and content["size"] == {"shortest_edge": 256} and content["resample"] == 3
    assert content["image_processor_type"] == "CLIPImageProcessor"
    content, notes = pixels_file({"image_preprocess": [{"sparkle": {}}]}, "ViTImageProcessor", 8)
    assert "sparkle has no counterpart" in notes[0]


def test_a_classifier_is_converted_there_and_back(tmp_path, capsys):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"intermediate_size": 24, "image_size": 12, "patch_size": 4, "num_labels": 3}
    hf.ViTForImageClassification(hf.ViTConfig(**shape, **sizes)).save_pretrained(theirs)
    half = {"image_preprocess": [{"normalize": {"statistics": "half"}}]}
    (theirs / FILE).write_text(json.dumps(pixels_file(half, "ViTImageProcessor", 12).keys))
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


TOWER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TOWER |= {"intermediate_size": 24}
LOOKS = {"image_size": 16, "patch_size": 4}


def folder_of(family, folder):
    """A tiny model with images that become pixels in a way of its own."""
    text = {**TOWER, "vocab_size": 20, "max_position_embeddings": 8}
    two = {"text_config": text, "vision_config": {**TOWER, **LOOKS}}
    if family == "clip":
        model = hf.CLIPModel(hf.CLIPConfig(**two, projection_dim=8))
        processor = hf.CLIPImageProcessor(size=SHORTER, crop_size=SQUARE, **OWN)
    elif family == "siglip":
        two["text_config"] |= {"projection_size": 16}
        model = hf.SiglipModel(hf.SiglipConfig(**two))
        processor = hf.SiglipImageProcessor(size=SQUARE, resample=2, **OWN)
    else:
        model = hf.ViTModel(hf.ViTConfig(**TOWER, **LOOKS))
        processor = hf.ViTImageProcessor(size=SQUARE, **OWN)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return processor


@pytest.mark.parametrize("family", ["clip", "siglip", "vit"])
def test_a_folder_keeps_its_pixels_there_and_back(tmp_path, family):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    processor = folder_of(family, theirs)
    for source, place in ((theirs, ours), (ours, again)):
        assert main(["convert", str(source), str(place)]) == 0
    config = load_config(ours / "config.yaml")
    keys = ("image_preprocess", "interpolation")
    image, own = picture(tmp_path), {key: config[key] for key in keys if key in config}
    assert {"normalize": OWN} in own["image_preprocess"]
    made = pixels_of(own, tmp_path)
    for one in (processor, hf.AutoImageProcessor.from_pretrained(again)):
        wanted = one(image, return_tensors="pt").pixel_values[0]
        # Their interpolation differs a little between their backends.
        torch.testing.assert_close(made, wanted, atol=0.03, rtol=0)


def test_a_contradiction_is_said_when_a_folder_is_used(tmp_path, caplog):
    folder_of("clip", tmp_path)
    size = {"height": 24, "width": 24}
    hf.CLIPImageProcessor(size=SHORTER, crop_size=size).save_pretrained(tmp_path)
    checkpoint_config(tmp_path)
    assert "images of 24 x 24 pixels, the model reads 16 x 16" in caplog.text


def test_a_body_alone_brings_its_pixels_to_a_task(tmp_path):
    folder_of("vit", tmp_path / "body")
    config = checkpoint_config(tmp_path / "body")
    assert config["image_preprocess"] == [{"normalize": OWN}]
    recipe = task_recipe(ImageClassifier(), config, {}, None)
    assert recipe.config["image_preprocess"] == [{"normalize": OWN}]

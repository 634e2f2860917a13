"""Families that read images: transformers' model → ours → transformers, on tiny random weights."""

import pytest
import torch
from comparing import assert_comes_back, close, read_here, run, their_model
from torch.nn import functional as F

from uer.batch import Batch

SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 12,
    "patch_size": 4,
}
P = 9
DINO = {key: value for key, value in SHAPE.items() if key != "intermediate_size"}
SHARED = {"use_mask_token": True, "use_shared_relative_position_bias": True, "vocab_size": 20}
MAE = {
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 24,
    "norm_pix_loss": True,
}
TEXT = {"vocab_size": 40, "max_position_embeddings": 10}

# name → (model class, its configuration)
CASES = {
    "vit": ("ViTModel", SHAPE),
    "vit-classifier": ("ViTForImageClassification", {**SHAPE, "num_labels": 5, "qkv_bias": False}),
    "vit-grey-oblong": ("ViTModel", {**SHAPE, "image_size": [8, 16], "num_channels": 1}),
    "deit": ("DeiTModel", SHAPE),
    "deit-classifier": ("DeiTForImageClassification", {**SHAPE, "num_labels": 5}),
    "deit-teacher": ("DeiTForImageClassificationWithTeacher", {**SHAPE, "num_labels": 5}),
    "beit": ("BeitModel", {**SHAPE, "use_relative_position_bias": True}),
    "beit-masked": ("BeitForMaskedImageModeling", {**SHAPE, **SHARED}),
    "beit-classifier": (
        "BeitForImageClassification",
        {**SHAPE, "use_relative_position_bias": True, "num_labels": 5},
    ),
    "beit-first": (
        "BeitForImageClassification",
        {
            **SHAPE,
            "use_mean_pooling": False,
            "use_absolute_position_embeddings": True,
            "layer_scale_init_value": 0.0,
            "num_labels": 5,
        },
    ),
    "mae": ("ViTMAEModel", {**SHAPE, **MAE, "mask_ratio": 0.0}),
    "mae-pretraining": ("ViTMAEForPreTraining", {**SHAPE, **MAE}),
    "dinov2": ("Dinov2Model", {**DINO, "layerscale_value": 0.5}),
    "dinov2-gated": ("Dinov2Model", {**DINO, "use_swiglu_ffn": True, "use_mask_token": False}),
    "dinov2-classifier": (
        "Dinov2ForImageClassification",
        {**DINO, "mlp_ratio": 2, "num_labels": 5, "hidden_act": "gelu_new"},
    ),
    "vilt": ("ViltModel", {**SHAPE, **TEXT, "type_vocab_size": 3}),
    "vilt-mlm": ("ViltForMaskedLM", {**SHAPE, **TEXT}),
}
# What of transformers' model has no counterpart here.
LEFT = ("pooler.dense", "pooler.layernorm")


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Their model, our model with its weights, and our configuration."""
    name, folder = request.param, tmp_path_factory.mktemp("theirs")
    # positions that are not trained count, too
    theirs = their_model(*CASES[name], noise=0.2, fixed=True)
    theirs.save_pretrained(folder)
    ours, config = read_here(folder, LEFT)
    return name, theirs, ours, config


@pytest.fixture(autouse=True)
def patches_in_their_order(monkeypatch):
    """transformers' ViLT reads the patches of an image in a random order."""
    monkeypatch.setattr(torch, "multinomial", lambda weights, number, **_: torch.arange(number))


def images(theirs, scale=1, seed=1):
    size = theirs.config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    shape = (3, theirs.config.num_channels, int(height * scale), int(width * scale))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(theirs, image):
    """A batch for ours and the arguments for theirs that say the same."""
    fields, asked = {"src.image": image}, {"pixel_values": image}
    if theirs.config.model_type == "vilt":
        ids = torch.randint(5, 40, (3, 7), generator=torch.Generator().manual_seed(2))
        real = torch.arange(7)[None] < torch.tensor([7, 4, 5])[:, None]
        kinds = (torch.arange(7) > 2).long().expand(3, 7)
        fields |= {"src.ids": ids, "src.validity": real, "src.segment": kinds}
        asked |= {"input_ids": ids, "attention_mask": real.long(), "token_type_ids": kinds}
        asked["pixel_mask"] = torch.ones(3, *image.shape[2:])
    if "ForMaskedImage" in type(theirs).__name__:
        hidden = torch.randperm(3 * P, generator=torch.Generator().manual_seed(3)) < 11
        fields["src.masked"] = asked["bool_masked_pos"] = hidden.view(3, P)
    if theirs.config.model_type == "vit_mae":
        noise = torch.rand(3, P, generator=torch.Generator().manual_seed(4))
        asked["noise"] = noise
        kept = int(P * (1 - theirs.config.mask_ratio))
        fields["src.visible"] = noise.argsort(1)[:, :kept].sort(1).values
        if not theirs.config.mask_ratio:  # theirs returns the patches in the order of the noise
            asked["noise"] = torch.arange(P).float().expand(3, P)
    return fields, asked


def test_hidden_states(case):
    name, theirs, ours, _ = case
    fields, asked = inputs(theirs, images(theirs))
    body = getattr(theirs, theirs.base_model_prefix, theirs)
    with torch.no_grad():
        states = ours.encoder(ours.embedding(Batch(fields).side("src"), None))
    expected = run(body, asked).last_hidden_state
    if name == "mae-pretraining":  # theirs lets patches stand as the noise has them
        order = asked["noise"].argsort(1)[:, : expected.shape[1] - 1].argsort(1)
        patches = expected[:, 1:].gather(1, order[:, :, None].expand(-1, -1, 16))
        expected = torch.cat([expected[:, :1], patches], 1)
    if name == "beit-masked":
        expected = theirs.layernorm(expected)
    real = states.validity if states.validity is not None else slice(None)
    close(states.hidden[real], expected[real])


def test_images_of_another_size(case):
    name, theirs, ours, _ = case
    if name == "mae-pretraining":
        pytest.skip("transformers stretches the decoder's positions along one axis only")
    if "oblong" in name:
        pytest.skip("transformers stretches square tables of positions only")
    image = images(theirs, scale=5 / 3)
    fields, asked = inputs(theirs, image)
    asked.pop("bool_masked_pos", None), fields.pop("src.masked", None)
    if name == "mae":
        fields.pop("src.visible")
        asked["noise"] = torch.arange(25).float().expand(3, 25)
    body = getattr(theirs, theirs.base_model_prefix, theirs)
    if theirs.config.model_type in ("vit", "deit", "vit_mae"):
        asked["interpolate_pos_encoding"] = True
    with torch.no_grad():
        states = ours.states(Batch(fields))
    expected = run(body, asked).last_hidden_state
    if name == "beit-masked":
        expected = theirs.layernorm(expected)
    real = states.validity if states.validity is not None else slice(None)
    close(states.hidden[real], expected[real])


def test_logits_and_losses(case):
    name, theirs, ours, _ = case
    image = images(theirs)
    fields, asked = inputs(theirs, image)
    classes = torch.tensor([1, 0, 4])
    for head in ours.heads:
        fields[f"labels.{head}.value"] = classes
    if "pixel" in ours.heads:
        read = torch.zeros(3, P).bool().scatter(1, fields["src.visible"], True)
        fields["labels.pixel.index"] = (~read).flatten().nonzero()[:, 0]
        del fields["labels.pixel.value"]
    if "codes" in ours.heads:
        place = fields["src.masked"].flatten().nonzero()[:, 0]
        labels = torch.arange(len(place)) % 20
        fields |= {"labels.codes.index": place, "labels.codes.value": labels}
    if "mlm" in ours.heads:
        labels = torch.full((3, 7), -100)
        labels[0, 2], labels[1, 1], labels[2, 4] = 7, 8, 9
        place = (labels.flatten() >= 0).nonzero()[:, 0]
        fields |= {"labels.mlm.index": place, "labels.mlm.value": labels.flatten()[place]}
    batch = Batch(fields)
    with torch.no_grad():
        states, scores = ours.states(batch), ours(batch)
    means = {head: score.loss_sum / ours.weights(batch)[head] for head, score in scores.items()}
    if name == "deit-teacher":
        out = run(theirs, asked)
        close(ours.heads["cls"].logits(states), out.cls_logits)
        close(ours.heads["distillation"].logits(states), out.distillation_logits)
        close(means["distillation"], F.cross_entropy(out.distillation_logits, classes))
    elif list(ours.heads) == ["cls"]:
        out = run(theirs, asked, labels=classes)
        close(ours.heads["cls"].logits(states), out.logits)
        close(means["cls"], out.loss)
    elif "pixel" in ours.heads:
        out = run(theirs, asked)
        close(ours.heads["pixel"].output(states.hidden[:, 1:]), out.logits)
        close(means["pixel"], out.loss)
    elif ours.heads:
        (mean,) = means.values()
        close(mean, run(theirs, asked, labels=labels).loss)


def test_written_and_read_again_the_bits_are_the_same(case, tmp_path):
    _, theirs, ours, config = case
    assert_comes_back(theirs, ours, config, tmp_path, LEFT)

"""Embeddings of images against convolutions and hand-made sequences."""

import pytest
import torch
from support import embedding
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import Planner
from uer.components import Embedding
from uer.errors import ConfigError, DataError
from uer.grid import Grid
from uer.layers.patches import cut
from uer.states import States

SIZES = {"emb_size": 8, "image_height": 6, "image_width": 9, "patch_size": 3}
IMAGE = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[3, 1, 2, 0], [1, 1, 2, 3]])


def patch(name="patch", **keys):
    return embedding(name, **{**SIZES, **keys})


def convolved(part, image=IMAGE):
    made = F.conv2d(image, part.projection.weight, part.projection.bias, stride=3)
    return made.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("bias", [True, False])
def test_a_patch_is_a_convolution_behind_a_class_token(bias):
    part = patch(patch_bias=bias)
    assert (part.projection.bias is not None) == bias
    states = part(Batch({"image": IMAGE}), None)
    assert states.hidden.shape == (2, 7, 8) and states.indexed == slice(1, 7)
    torch.testing.assert_close(states.hidden[:, 1:], convolved(part))
    assert torch.equal(states.hidden[:, 0], part.class_token.expand(2, 8))
    assert torch.equal(states.at(torch.tensor([7])), states.hidden[1:, 2])  # row 1, patch 1


def test_images_are_cut_row_by_row():
    patches = cut(IMAGE, 3)
    assert patches.shape == (2, 6, 3, 3, 3)
    assert torch.equal(patches[:, 4], IMAGE[:, :, 3:6, 3:6])


def test_without_a_class_token_the_sequence_is_the_image():
    states = patch(class_token=False)(Batch({"image": IMAGE}), None)
    assert states.hidden.shape == (2, 6, 8) and states.indexed == slice(0, 6)


def test_a_second_token_is_for_a_teacher():
    part = patch(distillation_token=True)
    states = part(Batch({"image": IMAGE}), None)
    assert states.hidden.shape == (2, 8, 8) and states.grid.before == 2
    assert torch.equal(states.hidden[0, states.parts["distillation"]][0], part.distillation_token)


def test_only_visible_patches_are_read_at_their_positions():
    visible = torch.tensor([[1, 4], [0, 5]])
    part = embedding("sum", parts=["patch", "pos"], max_seq_length=7, **SIZES)
    whole = part(Batch({"image": IMAGE}), None)
    some = part(Batch({"image": IMAGE, "visible": visible}), None)
    assert some.position.tolist() == [[0, 2, 5], [0, 1, 6]]
    torch.testing.assert_close(some.hidden[0], whole.hidden[0, [0, 2, 5]])
    torch.testing.assert_close(some.hidden[1], whole.hidden[1, [0, 1, 6]])


def test_masked_patches_are_one_vector():
    part = patch("masked_patch")
    masked = torch.tensor([[0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]]).bool()
    plain = part(Batch({"image": IMAGE}), None).hidden
    hidden = part(Batch({"image": IMAGE, "masked": masked}), None).hidden
    torch.testing.assert_close(plain[:, 1:], convolved(part))
    assert torch.equal(hidden[:, 1:][masked], part.mask_vector.expand(3, 8))
    assert torch.equal(hidden[:, 1:][~masked], plain[:, 1:][~masked])


@pytest.mark.parametrize(("way", "corners"), [("bicubic", False), ("bilinear_corners", True)])
def test_positions_are_stretched_over_images_of_another_size(way, corners):
    # two tokens, then 2 x 3 patches, and a row that nobody asks for
    part = embedding("pos", emb_size=8, max_seq_length=9, position_interpolation=way)
    grid = Grid(known=(2, 3), actual=(4, 5), before=2)
    got = part(Batch({}), States(torch.zeros(1, 22, 8), grid=grid)).hidden[0]
    assert torch.equal(got[:2], part.weight[:2])
    plane = part.weight[2:8].view(1, 2, 3, 8).permute(0, 3, 1, 2)
    mode = "bilinear" if corners else "bicubic"
    wanted = F.interpolate(plane, (4, 5), mode=mode, align_corners=corners)
    torch.testing.assert_close(got[2:], wanted.permute(0, 2, 3, 1).reshape(20, 8))
    if corners:
        torch.testing.assert_close(got[[2, 6, 17, 21]], part.weight[[2, 4, 5, 7]])
    got.sum().backward()
    assert part.weight.grad[:8].abs().min() > 0 and part.weight.grad[8].abs().max() == 0


def test_positions_of_something_else_are_not_stretched():
    part = embedding("pos", emb_size=8, max_seq_length=6)
    with pytest.raises(DataError, match="holds no 2 x 3 patches behind 1 tokens"):
        part(Batch({}), States(torch.zeros(1, 13, 8), grid=Grid((2, 3), (3, 4), 1)))


def test_fixed_positions_are_those_of_mae():
    from transformers.models.vit_mae.modeling_vit_mae import (
        build_2d_sinusoidal_position_embedding,
    )

    theirs = build_2d_sinusoidal_position_embedding(2, 3, 8, cls_token=True)
    ours = embedding("gridpos", **SIZES)
    assert torch.equal(ours.weight, theirs.roll(4, 1))  # MAE has columns before rows
    assert not ours.weight.requires_grad


def test_fixed_positions_tell_rows_from_columns():
    part = embedding("gridpos", class_token=False, **SIZES)
    column, row = part.weight.view(2, 3, 2, 4).unbind(2)
    assert torch.equal(column[0], column[1]) and not torch.equal(column[0, 0], column[0, 1])
    assert torch.equal(row[:, 0], row[:, 1]) and not torch.equal(row[0, 0], row[1, 0])


def test_a_text_stands_before_its_image():
    part = embedding("word_patch", vocab_size=5, **SIZES)
    real = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    states = part(Batch({"ids": IDS, "validity": real, "image": IMAGE}), None)
    assert states.hidden.shape == (2, 11, 8) and states.indexed == slice(0, 4)
    assert torch.equal(states.hidden[:, :4], part.text.weight[IDS])
    torch.testing.assert_close(states.hidden[:, 5:], convolved(part.image))
    assert states.segment.tolist() == [[0] * 4 + [1] * 7] * 2
    assert states.validity.tolist() == [[True] * 3 + [False] + [True] * 7, [True] * 11]
    assert part.table is part.text.weight


def test_text_and_image_may_have_positions_and_types_of_their_own():
    config = {
        "embedding": "word_patch",
        "text_embedding": {"embedding": ["word", "pos"], "max_seq_length": 4},
        "image_embedding": {
            "embedding": ["patch", "pos"],
            "max_seq_length": 7,
            "remove_embedding_layernorm": True,
        },
        "modality_embedding": True,
        "dropout": 0.0,
        **SIZES,
    }
    planner = Planner(config)
    plan = planner.choice("embedding", Embedding)
    planner.finish()
    part = plan.build({"vocab_size": 5})
    states = part(Batch({"ids": IDS, "image": IMAGE}), None)
    words = part.text(Batch({"ids": IDS}), None).hidden
    torch.testing.assert_close(states.hidden[:, :4], words + part.modality[0])
    image = part.image.parts["patch"](Batch({"image": IMAGE}), None).hidden
    wanted = image + part.image.parts["pos"].weight + part.modality[1]
    torch.testing.assert_close(states.hidden[:, 4:], wanted)


def test_what_does_not_fit_is_said():
    with pytest.raises(ConfigError, match="patch_size: 3 does not divide image_height 7"):
        patch(image_height=7)
    with pytest.raises(DataError, match="images have 1 channels, the model reads 3"):
        patch()(Batch({"image": IMAGE[:, :1]}), None)
    with pytest.raises(DataError, match="6 x 8 pixels cannot be cut into patches of 3 x 3"):
        patch()(Batch({"image": IMAGE[..., :8]}), None)
    with pytest.raises(DataError, match="no field 'image'"):
        patch()(Batch({"ids": IDS}), None)

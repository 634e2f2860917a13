import pytest
import torch
from support import model_of

from uer.batch import Batch
from uer.errors import ConfigError, DataError
from uer.states import States

CONFIG = {
    "embedding": ["patch", "gridpos"],
    "remove_embedding_layernorm": True,
    "emb_size": 16,
    "image_height": 8,
    "image_width": 12,
    "patch_size": 4,
    "encoder": "transformer",
    "layernorm_positioning": "pre",
    "hidden_size": 16,
    "layers_num": 2,
    "heads_num": 2,
    "feedforward_size": 32,
    "dropout": 0.0,
    "decoder": "mae",
    "decoder_hidden_size": 8,
    "decoder_layers_num": 1,
    "decoder_heads_num": 4,
    "decoder_feedforward_size": 24,
    "target": ["pixel"],
}
VISIBLE = torch.tensor([[1, 4], [0, 5]])
IMAGE = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
BATCH = Batch({"src.image": IMAGE, "src.visible": VISIBLE})


def test_the_decoder_has_sizes_of_its_own():
    model = model_of(CONFIG)
    layer = model.decoder.layers[0]
    assert layer.feed_forward.up.weight.shape == (24, 8) and layer.attention.heads == 4
    assert model.encoder.layers[0].feed_forward.up.weight.shape == (32, 16)
    assert model.targets["pixel"].output.weight.shape == (48, 8)


def test_what_was_read_returns_to_its_place():
    model = model_of(CONFIG)
    memory = model.encoder(model.embedding(BATCH.side("src"), None))
    assert memory.hidden.shape == (2, 3, 16)
    whole = model.decoder._whole(memory, memory.grid).hidden
    told = model.decoder.projection(memory.hidden)
    mask = model.decoder.mask_vector
    for row, places in enumerate([[0, 2, 5], [0, 1, 6]]):  # the class token, then patch + 1
        assert torch.equal(whole[row, places], told[row])
        rest = [place for place in range(7) if place not in places]
        assert torch.equal(whole[row, rest], mask.expand(4, 8))


def test_every_place_of_the_image_is_completed():
    model = model_of(CONFIG)
    states = model.states(BATCH)
    assert states.hidden.shape == (2, 7, 8) and states.indexed == slice(1, 7)
    assert torch.equal(states.at(torch.tensor([6 + 2])), states.hidden[1:, 3])


def test_hidden_patches_are_not_read():
    model = model_of(CONFIG)
    with torch.no_grad():
        before = model.states(BATCH).hidden
        image = IMAGE.clone()
        image[0, :, :4, :4] += 1  # patch 0, hidden in row 0
        after = model.states(BATCH.replace(src__image=image)).hidden
        assert torch.equal(before, after)
        image[0, :, :4, 4:8] += 1  # patch 1
        after = model.states(BATCH.replace(src__image=image)).hidden
    assert not torch.isclose(before[0], after[0], atol=1e-6).all(-1).any()
    assert torch.equal(before[1], after[1])


def test_everything_that_is_trained_receives_a_gradient():
    model = model_of(CONFIG).train()
    labels = {"labels.pixel.index": torch.tensor([0, 2, 7])}
    model(Batch({**BATCH, **labels}))["pixel"].loss_sum.backward()
    for name, value in model.named_parameters():
        still = name.endswith(("gridpos.weight", "decoder.position.weight"))
        assert value.requires_grad != still, name
        if not still and "key.bias" not in name:
            assert value.grad.abs().max() > 0, name


def test_the_decoder_counts_as_stages_behind_the_encoder():
    model = model_of(CONFIG)
    stages = model.stages()
    assert len(stages) == 1 + 2 + 1 and all("decoder.layers.0" in name for name in stages[-1])


def test_what_does_not_fit_is_said():
    with pytest.raises(ConfigError, match="'mae' reads no target side; leave tgt_embedding out"):
        model_of({**CONFIG, "tgt_embedding": ["word", "pos"]})
    decoder = model_of(CONFIG).decoder
    with pytest.raises(DataError, match="decoder 'mae' completes images"):
        decoder(None, States(torch.zeros(1, 3, 16)))

"""Embeddings of sound: lengths, padding, masks, and the layers of transformers."""

import pytest
import torch
from support import TINY, embedding, model_of
from transformers import ASTConfig, ASTModel

from uer.batch import Batch
from uer.errors import ConfigError, DataError

CONVOLUTIONS = {"conv_channels": [12, 10], "conv_kernel_sizes": [4, 3], "conv_strides": [3, 2]}


def sound(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def speech(*channels, **keys):
    sizes = {"audio_feature_size": 5, "conv_kernel_sizes": [5, 3]}
    return embedding("speech", conv_channels=list(channels), **sizes, **keys)


def test_speech_halves_frames_twice_and_scales():
    plain, scaled = (speech(24, 32, scale_embedding=scale) for scale in (False, True))
    scaled.load_state_dict(plain.state_dict())
    batch = Batch({"frames": sound([2, 21, 5]), "length": torch.tensor([21, 9])})
    states = plain(batch, None)
    assert states.hidden.shape == (2, 6, 16)
    assert states.length.tolist() == [6, 3]
    assert states.validity.sum(1).tolist() == [6, 3]
    torch.testing.assert_close(scaled(batch, None).hidden, 4 * states.hidden)
    full = plain(Batch({"frames": batch["frames"], "length": torch.tensor([21, 21])}), None)
    assert full.validity is None
    with pytest.raises(ConfigError, match=r"conv_channels: \[24, 32\] end in vectors of width 32"):
        speech(24, 32, conv_act="gelu")


def test_speech_has_other_strides_norms_and_activations():
    made = speech(8, 16, conv_strides=[3, 1], conv_act="gelu", conv_layernorm="normal")
    frames = sound([1, 30, 5])
    expected = frames
    for convolution in made.convolutions:
        expected = convolution(expected.transpose(1, 2)).transpose(1, 2)
        expected = torch.nn.functional.layer_norm(expected, expected.shape[-1:], eps=1e-6)
        expected = torch.nn.functional.gelu(expected)
    torch.testing.assert_close(made(Batch({"frames": frames}), None).hidden, expected)
    assert expected.shape == (1, 10, 16)


def wave(**keys):
    torch.manual_seed(0)
    return embedding("wave", **{**CONVOLUTIONS, **keys})


def test_padding_does_not_leak_into_frames_of_a_layer_normed_wave():
    made = wave(conv_norm="layer", conv_bias=True)
    long, short = sound([1, 60]), sound([1, 40], 1)
    both = torch.cat([long, torch.nn.functional.pad(short, (0, 20), value=3.0)])
    states = made(Batch({"wave": both, "length": torch.tensor([60, 40])}), None)
    assert states.length.tolist() == [9, 6]
    for row, alone in enumerate((long, short)):
        expected = made(Batch({"wave": alone}), None)
        torch.testing.assert_close(states.hidden[row, : states.length[row]], expected.hidden[0])
        if row == 1:
            continue
    real = [states.extras["features"][row, : states.length[row]] for row in (0, 1)]
    assert all(part.mean(-1).abs().max() < 1e-5 for part in real)


def test_the_penalty_is_the_mean_square_of_real_features_before_the_norm():
    made = wave(conv_norm="layer")
    both, length = sound([2, 60]), torch.tensor([60, 40])
    states = made(Batch({"wave": both, "length": length}), None)
    raw = made.convolved(both)
    expected = torch.cat([raw[0], raw[1, :6]]).square().mean()
    torch.testing.assert_close(states.extras["feature_penalty"], expected)


def test_masked_frames_are_one_vector_and_features_stay():
    made = wave()
    samples, masked = sound([2, 60]), torch.zeros(2, 9, dtype=torch.bool)
    masked[0, 2:5] = True
    plain = made(Batch({"wave": samples}), None)
    states = made(Batch({"wave": samples, "masked": masked}), None)
    assert torch.equal(states.hidden[masked], made.mask.weight.expand(3, -1))
    assert torch.equal(states.hidden[~masked], plain.hidden[~masked])
    assert torch.equal(states.extras["features"], plain.extras["features"])
    short = made(Batch({"wave": samples, "length": torch.tensor([60, 2])}), None)
    assert short.length.tolist() == [9, 1]  # attention looks at something
    with pytest.raises(DataError, match="same patch, kernel and stride sizes"):
        made(Batch({"wave": samples, "masked": masked[:, 1:]}), None)
    with pytest.raises(DataError, match="mask_vector: true"):
        wave(mask_vector=False)(Batch({"wave": samples, "masked": masked}), None)


SHORT = {
    "wave": ("wave", [2, 9], {**CONVOLUTIONS, "conv_norm": "layer"}),
    "speech": ("frames", [2, 1, 5], {"conv_channels": [32], "conv_kernel_sizes": [6]}),
    "spectrogram": ("frames", [2, 3, 5], {"spectrogram_patch": [4, 5]}),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_sound_that_is_too_short_is_one_frame_beside_longer_ones_and_alone(name):
    field, shape, keys = SHORT[name]
    keys = keys if name == "wave" else {**keys, "audio_feature_size": 5}
    torch.manual_seed(0)
    made = embedding(name, **keys)
    short = sound(shape)
    both = torch.cat([short, torch.zeros(2, 90, *shape[2:])], 1)
    length = torch.tensor([shape[1]] * 2)
    wide = made(Batch({field: both, "length": length}), None)
    alone = made(Batch({field: short, "length": length}), None)
    assert alone.length.tolist() == wide.length.tolist()
    real = alone.length[0]
    torch.testing.assert_close(alone.hidden[:, :real], wide.hidden[:, :real])


def test_the_mask_vector_is_part_of_the_graph_without_a_mask():
    made = wave().train()
    made(Batch({"wave": sound([2, 60])}), None).hidden.sum().backward()
    assert torch.equal(made.mask.weight.grad, torch.zeros(16))


def test_the_convolutions_may_learn_more_slowly():
    gradients = []
    for scale in (1.0, 0.1):
        made = wave(feature_gradient_scale=scale)
        made(Batch({"wave": sound([2, 60])}), None).hidden.square().sum().backward()
        gradients.append((made.convolutions[0].weight.grad, made.projection.weight.grad))
    torch.testing.assert_close(gradients[0][0] * 0.1, gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


@pytest.mark.parametrize("kernel", [5, 6])
def test_convolutional_positions_do_not_see_padding(kernel):
    config = {
        "embedding": ["word", "convpos"],
        "conv_pos_kernel_size": kernel,
        "conv_pos_groups": 4,
        "encoder": "transformer",
        "target": "mlm",
        **TINY,
    }
    model = model_of(config)
    assert not model.packable
    ids = torch.randint(5, 40, (1, 7), generator=torch.Generator().manual_seed(0))
    alone = model.states(Batch({"src.ids": ids})).hidden
    wide = torch.nn.functional.pad(ids, (0, 4), value=9)
    real = (torch.arange(11) < 7)[None]
    padded = model.states(Batch({"src.ids": wide, "src.validity": real})).hidden
    torch.testing.assert_close(padded[:, :7], alone, atol=1e-5, rtol=0)
    moved = model.states(Batch({"src.ids": ids.flip(1)})).hidden
    assert not torch.allclose(moved.flip(1), alone, atol=1e-3)  # it knows where things stand


def test_the_groups_of_convolutional_positions_divide_the_width():
    with pytest.raises(ConfigError, match="conv_pos_groups: 3 does not divide emb_size 16"):
        embedding("convpos", conv_pos_groups=3)


def test_frames_are_mapped_one_by_one():
    made = embedding("frame", audio_feature_size=5)
    batch = Batch({"frames": sound([2, 6, 5]), "length": torch.tensor([6, 4])})
    states = made(batch, None)
    torch.testing.assert_close(states.hidden[1, 2], made.projection(batch["frames"][1, 2]))
    assert states.validity.sum(1).tolist() == [6, 4]


SPECTROGRAM = {"audio_feature_size": 12, "spectrogram_patch": [4, 4]}


def test_patches_go_through_time_first_and_shorter_sounds_have_fewer():
    made = embedding("spectrogram", **SPECTROGRAM)
    frames = torch.zeros(2, 20, 12)
    frames[:, 4:8, 8:] = 1.0  # second of time, third of frequency
    states = made(Batch({"frames": frames, "length": torch.tensor([20, 9])}), None)
    assert states.hidden.shape == (2, 2 + 15, 16)
    assert states.extras["features"].sum(-1)[0].nonzero().flatten().tolist() == [1 * 3 + 2]
    assert states.length.tolist() == [17, 2 + 3 * 2]
    alone = made(Batch({"frames": frames[1:, :9], "length": torch.tensor([9])}), None)
    torch.testing.assert_close(states.hidden[1, :8], alone.hidden[0])
    assert alone.hidden.shape[1] == 8
    assert states.indexed == slice(2, 17)
    masked = torch.zeros(2, 15, dtype=torch.bool)
    masked[0, 5] = True
    hidden = made(Batch({"frames": frames, "masked": masked}), None)
    assert torch.equal(hidden.at(torch.tensor([5]))[0], made.mask.weight)
    assert torch.equal(hidden.extras["features"], states.extras["features"])
    with pytest.raises(ConfigError, match=r"spectrogram_patch: \[4\] must be two numbers"):
        embedding("spectrogram", spectrogram_patch=[4])


def test_overlapping_patches_are_those_of_transformers():
    torch.manual_seed(0)
    theirs = ASTModel(
        ASTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            patch_size=4,
            frequency_stride=3,
            time_stride=2,
            max_length=20,
            num_mel_bins=12,
        )
    ).eval()
    ours = model_of(
        {
            "embedding": ["spectrogram", "pos"],
            "remove_embedding_layernorm": True,
            **SPECTROGRAM,
            "spectrogram_strides": [2, 3],
            "encoder": "transformer",
            "layernorm_positioning": "pre",
            "layernorm_eps": 1e-12,
            "target": [],
            **TINY,
            "max_seq_length": 2 + 27,
        }
    )
    with torch.no_grad():
        load(ours, theirs)
        frames = sound([2, 20, 12])
        expected = theirs(frames).last_hidden_state
        states = ours.states(Batch({"src.frames": frames}))
    # Theirs go through frequency first.
    hidden = torch.cat([states.hidden[:, :2], bands_first(states.hidden[:, 2:])], 1)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)


def bands_first(vectors, times=9, bands=3):
    return vectors.unflatten(1, (times, bands)).transpose(1, 2).flatten(1, 2)


def load(ours, theirs):
    """Put the weights of an ASTModel into ours."""
    spectrogram, pos = ours.embedding.parts["spectrogram"], ours.embedding.parts["pos"]
    embeddings = theirs.embeddings
    embeddings.position_embeddings.normal_()
    embeddings.cls_token.normal_()
    embeddings.distillation_token.normal_()
    spectrogram.tokens.copy_(torch.cat([embeddings.cls_token, embeddings.distillation_token], 1)[0])
    projection = embeddings.patch_embeddings.projection
    spectrogram.projection.weight.copy_(projection.weight[:, 0].transpose(1, 2).flatten(1))
    spectrogram.projection.bias.copy_(projection.bias)
    places = embeddings.position_embeddings
    pos.weight.copy_(torch.cat([places[:, :2], bands_first(places[:, 2:], 3, 9)], 1)[0])
    for layer, other in zip(ours.encoder.layers, theirs.layers, strict=True):
        names = {
            "attention.query": "attention.q_proj",
            "attention.key": "attention.k_proj",
            "attention.value": "attention.v_proj",
            "attention.output": "attention.o_proj",
            "attention_norm": "layernorm_before",
            "feed_forward_norm": "layernorm_after",
            "feed_forward.up": "mlp.fc1",
            "feed_forward.down": "mlp.fc2",
        }
        for mine, their in names.items():
            layer.get_submodule(mine).load_state_dict(other.get_submodule(their).state_dict())
    ours.encoder.norm.load_state_dict(theirs.layernorm.state_dict())

"""The predecessors' configurations of speech recognition."""

import pytest
import torch

from uer.builder import Planner
from uer.interop.legacy.config import translate
from uer.model import Model

S2T = {
    "emb_size": 256,
    "feedforward_size": 2048,
    "hidden_size": 256,
    "hidden_act": "relu",
    "heads_num": 4,
    "layers_num": 12,
    "decoder_layers_num": 6,
    "dropout": 0.1,
    "embedding": ["speech", "sinusoidalpos"],
    "tgt_embedding": ["word", "sinusoidalpos"],
    "encoder": "transformer",
    "mask": "fully_visible",
    "decoder": "transformer",
    "target": ["lm"],
    "has_lmtarget_bias": False,
    "conv_channels": [1024, 512],
    "audio_feature_size": 80,
    "conv_kernel_sizes": [5, 5],
    "layernorm_positioning": "pre",
    "remove_embedding_layernorm": True,
    "tie_weights": True,
    "label_smoothing": 0.1,
    "ignore_index": True,
}
# emb_size, feedforward_size, heads_num, conv_channels → their parameters in millions at V = 21128
SIZES = {
    "small": (256, 2048, 4, [1024, 512], 32.4),
    "medium": (512, 2048, 8, [1024, 1024], 76.9),
    "large": (1024, 4096, 16, [1024, 2048], 279.2),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", ["published", "legacy"])
def test_their_shapes_translate_and_build(size, dialect):
    width, inner, heads, channels, millions = SIZES[size]
    shape = {"emb_size": width, "hidden_size": width, "feedforward_size": inner}
    shape |= {"heads_num": heads, "conv_channels": channels}
    ours, notes = translate({**S2T, **shape}, dialect, theirs=True)
    assert notes == ["ignore_index is ignored: labels never stand at padding."]
    planner = Planner(ours)
    plan = planner.section(Model)
    planner.finish()
    with torch.device("meta"):
        model = plan.build({"vocab_size": 21128})
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 1) == millions
    assert model.embedding.parts["speech"].scale == width**0.5


def test_their_arithmetic_of_sound():
    ours, _ = translate(S2T, "legacy", theirs=True)
    assert ours["embedding"] == ["speech", "legacy_sinusoidalpos"]
    assert ours["sinusoids"] == "halves"
    assert ours["target"] == [{"legacy_lm": {"name": "lm"}}]
    assert "conv_act" not in ours
    ours, _ = translate({**S2T, "data_processor": "mt", "label_smoothing": 0.0}, "legacy")
    assert ours["conv_act"] == "gelu"
    assert ours["target"] == ["lm"]

"""Families of the predecessors against a plain reference of their arithmetic."""

import pytest
import torch
from legacy_checks import check
from legacy_reference import Reference

SIZES = {"emb_size": 16, "hidden_size": 16, "layers_num": 3, "dropout": 0.0}
TRANSFORMER = {
    **SIZES,
    "feedforward_size": 24,
    "heads_num": 4,
    "hidden_act": "gelu",
    "encoder": "transformer",
    "max_seq_length": 24,
}
LM = {"embedding": ["word"], "remove_embedding_layernorm": True, "target": ["lm"]}
SEQ2SEQ = {**TRANSFORMER, "decoder": "transformer", "decoder_layers_num": 2, "target": ["lm"]}
PRE = {"layernorm_positioning": "pre", "remove_embedding_layernorm": True}
T5 = {
    **SEQ2SEQ,
    **PRE,
    "embedding": ["word"],
    "tgt_embedding": ["word"],
    "share_embedding": True,
    "relative_position_embedding": True,
    "remove_attention_scale": True,
    "remove_transformer_bias": True,
    "layernorm": "t5",
    "hidden_act": "relu",
}
ALL = ["word", "pos", "seg"]
BERT = {**TRANSFORMER, "embedding": ALL, "target": ["mlm", "sp"], "tie_weights": True}
STREAM = {**TRANSFORMER, "embedding": ALL}
DUAL = {"embedding": ["dual"], "encoder": "dual", "target": ["clr"], "dropout": 0.0}
LSTM = {"embedding": ["word"], "encoder": "lstm", **SIZES}
CAUSAL = {**TRANSFORMER, **PRE, "mask": "causal", "target": ["lm"]}

MODELS = {
    "bert": BERT,
    "xlm-roberta": {**TRANSFORMER, "embedding": ALL, "target": ["mlm"]},
    "albert": {
        **BERT,
        "emb_size": 8,
        "tie_weights": False,
        "parameter_sharing": True,
        "factorized_embedding_parameterization": True,
    },
    "realformer": {**BERT, "has_residual_attention": True},
    "gpt2": {**CAUSAL, "embedding": ["word", "pos"], "tie_weights": True},
    "bloom": {
        **CAUSAL,
        "embedding": ["word"],
        "alibi_position_embedding": True,
        "layer_number_scale": True,
        "tie_weights": True,
    },
    "llama2": {
        **CAUSAL,
        "embedding": ["word"],
        "feed_forward": "gated",
        "hidden_act": "silu",
        "layernorm": "rms",
        "local_kv_heads_num": 2,
        "remove_transformer_bias": True,
        "rotary_position_embedding": True,
    },
    "prefixlm": {**TRANSFORMER, "embedding": ALL, "mask": "prefix", "target": ["lm"]},
    "prefixlm-loss": {
        **TRANSFORMER,
        "embedding": ALL,
        "mask": "causal_with_prefix",
        "target": ["lm"],
        "prefix_lm_loss": True,
    },
    "t5": {**T5, "tie_weights": True},
    "t5-v1_1": {
        **T5,
        "feed_forward": "gated",
        "hidden_act": "gelu_fast",
        "attention_head_size": 6,
    },
    "bart": {
        **SEQ2SEQ,
        "embedding": ["word", "pos"],
        "tgt_embedding": ["word", "pos"],
        "share_embedding": True,
        "tie_weights": True,
        "has_lmtarget_bias": True,
    },
    "pegasus": {
        **SEQ2SEQ,
        **PRE,
        "hidden_act": "relu",
        "embedding": ["word", "sinusoidalpos"],
        "tgt_embedding": ["word", "sinusoidalpos"],
        "share_embedding": True,
        "tie_weights": True,
        "has_lmtarget_bias": True,
    },
    "transformer": {
        **SEQ2SEQ,
        "embedding": ["word", "sinusoidalpos"],
        "tgt_embedding": ["word", "sinusoidalpos"],
        "tie_weights": True,
    },
    "s2t": {
        **SEQ2SEQ,
        **PRE,
        "hidden_act": "relu",
        "embedding": ["speech", "sinusoidalpos"],
        "tgt_embedding": ["word", "sinusoidalpos"],
        "conv_channels": [24, 32],
        "audio_feature_size": 6,
        "conv_kernel_sizes": [5, 5],
        "tie_weights": True,
        "label_smoothing": 0.1,
    },
    "rnn": {**SIZES, **LM, "encoder": "rnn"},
    "lstm": {**SIZES, **LM, "encoder": "lstm"},
    "gru": {**SIZES, **LM, "encoder": "gru"},
    "lstm-two-ways": {**SIZES, **LM, "encoder": "lstm", "bidirectional": True},
    "gru-two-ways": {**SIZES, **LM, "encoder": "gru", "bidirectional": True},
    "birnn": {**SIZES, **LM, "encoder": "birnn"},
    "bilstm": {**SIZES, **LM, "encoder": "bilstm"},
    "bigru": {**SIZES, **LM, "encoder": "bigru"},
    "gatedcnn": {
        **SIZES,
        **LM,
        "emb_size": 8,
        "layers_num": 6,
        "encoder": "gatedcnn",
        "kernel_size": 4,
        "block_size": 2,
    },
    "sbert": {**DUAL, "stream_0": STREAM, "stream_1": STREAM, "pooling": "mean"},
    "sbert-tied": {**DUAL, "stream_0": STREAM, "stream_1": STREAM, "tie_weights": True},
    "two-streams": {
        **DUAL,
        "stream_0": {**STREAM, "pooling": "last"},
        "stream_1": {**LSTM, "hidden_size": 12, "remove_embedding_layernorm": True},
        "projection": True,
        "feature_size": 6,
    },
    "siamese-lstm": {**DUAL, "stream_0": LSTM, "stream_1": LSTM, "pooling": "mean"},
    **{
        f"cls-{how}": {
            **TRANSFORMER,
            "embedding": ALL,
            "target": ["cls"],
            "labels_num": 4,
            "pooling": how,
        }
        for how in ("first", "mean", "last", "max")
    },
}
TWO_WAYS = ("lstm-two-ways", "gru-two-ways", "birnn", "bilstm", "bigru")
PAIRS = ("bert", "albert", "realformer", "prefixlm", "prefixlm-loss", "cls-mean", "cls-last")


def inputs_of(name, config):
    """Random input of rows of unequal length; theirs reads padding backwards, so there is none."""
    draw = torch.Generator().manual_seed(len(name))
    lengths = [10] * 4 if name in TWO_WAYS else [10, 6, 9, 3]

    def ids(width):
        return torch.randint(5, 97, (4, width), generator=draw)

    def seg(sizes, width, *, pairs):
        place, sizes = torch.arange(width)[None], torch.tensor(sizes)[:, None]
        return (place < sizes).long() * (1 + ((place >= sizes // 2) & pairs).long())

    segments = seg(lengths, 10, pairs=name in PAIRS)
    if config["embedding"] == ["dual"]:
        sides = {f"in.src.{k}": ids(10 - k) for k in (0, 1)}
        sides |= {"in.seg.0": segments, "in.seg.1": seg([4, 9, 2, 7], 9, pairs=False)}
        return sides
    found = {"in.src": ids(10), "in.seg": segments}
    if "speech" in config["embedding"]:
        found["in.src"] = torch.randn(4, 40, config["audio_feature_size"], generator=draw)
    if config.get("decoder"):
        target = seg([8, 5, 7, 2], 8, pairs=False)
        return {**found, "in.tgt_in": ids(8), "in.tgt_seg": target, "in.tgt": ids(8) * target}
    masked = ids(10) * (torch.rand(4, 10, generator=draw) < 0.4) * (segments > 0)
    masked[0, 0] = 7
    labels = {"mlm": masked, "lm": ids(10), "sp": torch.tensor([0, 1, 1, 0])}
    labels["cls"] = torch.tensor([3, 0, 2, 1])
    several = len(config["target"]) > 1
    for target in config["target"]:
        found[f"in.tgt.{target}" if several else "in.tgt"] = labels[target]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_their_arithmetic(name, tmp_path):
    config = MODELS[name]
    reference = Reference(config)
    case = reference.case(inputs_of(name, config))
    torch.save(reference.state, tmp_path / "model.bin")
    check(config, tmp_path / "model.bin", case, tmp_path)

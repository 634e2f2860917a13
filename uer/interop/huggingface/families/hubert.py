"""HuBERT."""

from __future__ import annotations

from uer.interop.huggingface.base import Key
from uer.interop.huggingface.families.wav2vec2 import KEYS, Wav2Vec2


class Hubert(Wav2Vec2):
    """HuBERT (arXiv:2106.07447): wav2vec 2.0's body; its head for pre-training is not in theirs."""

    keys = (*KEYS, Key("feat_proj_layer_norm", "feature_layernorm", True))
    demanded = {"feat_extract_activation": "gelu", "conv_pos_batch_norm": False}
    heads = {"HubertModel": (), "HubertForCTC": ("ctc",)}
    prefix = "hubert."
    data = {"data_processor": "hubert"}

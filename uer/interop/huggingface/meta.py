"""LLaMA as Meta publishes it: ``params.json`` and ``consolidated.NN.pth``.

Several files are the shares of as many devices: matrices that were split by rows or by columns. The
dimensions of queries and keys are ordered for rotary positions of adjacent pairs; they are put into
the order of `rotary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from uer.builder import build
from uer.errors import CheckpointError, ConfigError
from uer.interop.equivalent import to_halves, to_pairs
from uer.interop.huggingface.families.llama import PARTS
from uer.interop.huggingface.names import Fused, Names, under
from uer.interop.huggingface.source import as_asked
from uer.interop.huggingface.weights import read_json, read_torch
from uer.tokenizers.base import Tokenizer

PARAMETERS, SHARES = "params.json", "consolidated.*.pth"
_LAYER = {
    "attention_norm": "attention_norm",
    "attention.wv": "attention.value",
    "attention.wo": "attention.output",
    "ffn_norm": "feed_forward_norm",
    "feed_forward.w1": "feed_forward.gate",
    "feed_forward.w3": "feed_forward.up",
    "feed_forward.w2": "feed_forward.down",
}
_SPLIT_BY_COLUMNS = ("attention.wo.weight", "feed_forward.w2.weight")
_MEANT = {"dim", "n_layers", "n_heads", "n_kv_heads", "norm_eps", "rope_theta"}
_SIZES = {"multiple_of", "ffn_dim_multiplier", "vocab_size", "max_seq_len", "max_batch_size"}
_SCALING = {"use_scaled_rope", "rope_scaling_factor"}


def is_meta(path: str | Path) -> bool:
    """A folder with `PARAMETERS` and `SHARES`."""
    return (Path(path) / PARAMETERS).is_file() and any(Path(path).glob(SHARES))


class MetaFolder:
    """A LLaMA of Meta's; it reads like a `HuggingFaceFolder`.

    Args:
        path: the folder.

    Raises:
        CheckpointError: a file is damaged, or the shares do not fit together.
        ConfigError: an option that we do not have.
    """

    targets = ("lm",)

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._parameters = read_json(self.path / PARAMETERS)
        unknown = sorted(self._parameters.keys() - _MEANT - _SIZES - _SCALING)
        if unknown:
            raise ConfigError(
                [f"{key} is an option that is not supported here." for key in unknown],
                self.path / PARAMETERS,
            )
        shares = [read_torch(file) for file in sorted(self.path.glob(SHARES))]
        self._weights = _joined(shares, self._parameters["dim"], self.path)

    def config(self) -> dict[str, Any]:
        """The configuration of ours that means the same."""
        given, weights = self._parameters, self._weights
        words = weights["tok_embeddings.weight"].shape[0]
        config = {
            "about": {"model_type": "llama"},
            **PARTS,
            "hidden_size": given["dim"],
            "emb_size": given["dim"],
            "layers_num": given["n_layers"],
            "heads_num": given["n_heads"],
            "kv_heads_num": given.get("n_kv_heads") or given["n_heads"],
            "feedforward_size": weights["layers.0.feed_forward.w1.weight"].shape[0],
            "hidden_act": "silu",
            "layernorm_eps": given["norm_eps"],
            "rope_theta": float(given.get("rope_theta", 10000.0)),
            "tie_weights": "output.weight" not in weights,
            "target": ["lm"],
        }
        if given.get("use_scaled_rope"):
            config["rope_scaling"] = {
                "rope_type": "llama3",
                "factor": float(given.get("rope_scaling_factor") or 8.0),
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            }
        return as_asked(config) | {"facts": {"vocab_size": words}}

    def tensors(self, targets: Sequence[str]) -> dict[str, torch.Tensor]:
        """See `HuggingFaceFolder.tensors`."""
        heads = self._parameters["n_heads"]
        kv_heads = self._parameters.get("n_kv_heads") or heads
        layer = {
            **_LAYER,
            "attention.wq": _halves("attention.query", heads),
            "attention.wk": _halves("attention.key", kv_heads),
        }
        table = {
            "tok_embeddings": "embedding.parts.word",
            **under("layers.{n}.", "encoder.layers.{n}.", layer),
            "norm": "encoder.norm",
            **({"output": "targets.lm.output"} if "lm" in targets else {}),
        }
        return Names(table, ("rope.freqs",)).ours(self._weights)

    def has_tokenizer(self) -> bool:
        """There is a sentencepiece model in the folder."""
        return (self.path / "tokenizer.model").is_file()

    def tokenizer(self) -> Tokenizer:
        """That sentencepiece model.

        Raises:
            DataError: there is none.
        """
        place = str(self.path / "tokenizer.model")
        return build(Tokenizer, "sentencepiece", spm_model_path=place)

    def notes(self) -> list[str]:
        """See `HuggingFaceFolder.notes`."""
        if self.has_tokenizer():
            return []
        return [f"{self.path} holds no tokenizer.model; name the tokenizer with its flags."]


def _halves(ours: str, heads: int) -> Fused:
    return Fused(
        (ours,),
        lambda tensor: [to_halves(tensor, heads)],
        lambda parts: to_pairs(parts[0], heads),
    )


def _joined(
    shares: list[dict[str, torch.Tensor]], width: int, path: Path
) -> dict[str, torch.Tensor]:
    """The shares of all devices as whole tensors."""
    if any(share.keys() != shares[0].keys() for share in shares):
        raise CheckpointError(
            f"{path}: the files {SHARES} hold different tensors; copy or download them again."
        )
    if len(shares) == 1:
        return shares[0]
    found = {}
    for name, first in shares[0].items():
        parts = [share[name] for share in shares]
        narrow = name == "tok_embeddings.weight" and first.shape[1] < width
        if first.dim() < 2:  # norms are the same everywhere
            found[name] = first
        else:
            found[name] = torch.cat(parts, dim=int(narrow or name.endswith(_SPLIT_BY_COLUMNS)))
    return found

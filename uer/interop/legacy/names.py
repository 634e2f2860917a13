"""What UER-py and TencentPretrain call a model's tensors, and how they shape them.

One table, read in both directions. ``{n}`` is the number of a layer, ``{k}`` of a stream, ``{p}`` a
weight or a bias, ``{w}`` a tensor of torch's recurrent layers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

_FIELDS = {
    "n": r"\d+",
    "k": r"[01]",
    "p": r"weight|bias",
    "w": r"(?:weight|bias)_[ih]h",
    "side": r"embedding|tgt_embedding",
    "part": r"word|pos|seg",
    "patches": r"patch|masked_patch",
    "head": r"sp|cls",
}

# Inside a layer of the encoder, and of the decoder.
_ATTENTION = (
    ("linear_layers.0.{p}", "query.{p}"),
    ("linear_layers.1.{p}", "key.{p}"),
    ("linear_layers.2.{p}", "value.{p}"),
    ("final_linear.{p}", "output.{p}"),
)
_FEED_FORWARD = (
    ("feed_forward.linear_gate.{p}", "feed_forward.gate.{p}"),
    ("feed_forward.linear_1.{p}", "feed_forward.up.{p}"),
    ("feed_forward.linear_2.{p}", "feed_forward.down.{p}"),
)
_LAYER = (
    *((f"self_attn.{theirs}", f"attention.{ours}") for theirs, ours in _ATTENTION),
    *_FEED_FORWARD,
    ("layer_norm_1.{p}", "attention_norm.{p}"),
    ("layer_norm_2.{p}", "feed_forward_norm.{p}"),
)
_DECODER_LAYER = (
    *((f"self_attn.{theirs}", f"attention.{ours}") for theirs, ours in _ATTENTION),
    *((f"context_attn.{theirs}", f"cross_attention.{ours}") for theirs, ours in _ATTENTION),
    *_FEED_FORWARD,
    ("layer_norm_1.{p}", "attention_norm.{p}"),
    ("layer_norm_2.{p}", "cross_attention_norm.{p}"),
    ("layer_norm_3.{p}", "feed_forward_norm.{p}"),
)

_RELATIVE = "relative_pos_emb.relative_attention_bias.weight"
_NAMES = (
    ("{side}.{part}.embedding.weight", "{side}.parts.{part}.weight"),
    ("{side}.{patches}.cls_emb", "{side}.parts.{patches}.class_token"),
    ("{side}.{patches}.projection.weight", "{side}.parts.{patches}.projection.weight"),
    ("{side}.masked_patch.mask_emb", "{side}.parts.masked_patch.mask_vector"),
    (
        "{side}.word_patch.language_embedding.embedding.weight",
        "{side}.parts.word_patch.text.weight",
    ),
    ("{side}.word_patch.vision_embedding.cls_emb", "{side}.parts.word_patch.image.class_token"),
    (
        "{side}.word_patch.vision_embedding.projection.weight",
        "{side}.parts.word_patch.image.projection.weight",
    ),
    ("{side}.speech.conv.conv_layers.{n}.0.{p}", "{side}.parts.speech.convolutions.{n}.{p}"),
    ("{side}.word.embedding.weight", "{side}.weight"),  # of a model that has no list of embeddings
    ("{side}.layer_norm.{p}", "{side}.norm.{p}"),
    ("embedding.dual.stream_{k}_layer_norm.{p}", "embedding.norms.{k}.{p}"),
    ("encoder.linear.{p}", "encoder.projection.{p}"),
    *((f"encoder.transformer.{{n}}.{t}", f"encoder.layers.{{n}}.{o}") for t, o in _LAYER),
    ("encoder.layer_norm.{p}", "encoder.norm.{p}"),
    (f"encoder.{_RELATIVE}", "encoder.position.weight"),
    ("encoder.rnn.{w}_l{n}", "encoder.layers.{n}.{w}_l0"),
    ("encoder.rnn.{w}_l{n}_reverse", "encoder.backward_layers.{n}.{w}_l0"),
    ("encoder.rnn_forward.{w}_l{n}", "encoder.ahead.layers.{n}.{w}_l0"),
    ("encoder.rnn_backward.{w}_l{n}", "encoder.back.layers.{n}.{w}_l0"),
    ("encoder.conv_1.{p}", "encoder.entry.conv.{p}"),
    ("encoder.gate_1.{p}", "encoder.entry.gate.{p}"),
    ("encoder.conv_b1", "encoder.entry.conv.bias_2"),
    ("encoder.gate_b1", "encoder.entry.gate.bias_2"),
    ("encoder.conv.{n}.{p}", "encoder.layers.{n}.conv.{p}"),
    ("encoder.gate.{n}.{p}", "encoder.layers.{n}.gate.{p}"),
    ("encoder.conv_b.{n}", "encoder.layers.{n}.conv.bias_2"),
    ("encoder.gate_b.{n}", "encoder.layers.{n}.gate.bias_2"),
    *(
        (f"decoder.transformer_decoder.{{n}}.{t}", f"decoder.layers.{{n}}.{o}")
        for t, o in _DECODER_LAYER
    ),
    ("decoder.layer_norm.{p}", "decoder.norm.{p}"),
    ("decoder.self_pos_emb.relative_attention_bias.weight", "decoder.position.weight"),
    ("target.mlm.linear_1.{p}", "targets.mlm.transform.{p}"),
    ("target.mlm.layer_norm.{p}", "targets.mlm.norm.{p}"),
    ("target.mlm.linear_2.{p}", "targets.mlm.output.{p}"),
    ("target.lm.output_layer.{p}", "targets.lm.output.{p}"),
    ("target.bilm.output_layer.{p}", "targets.bilm.output.{p}"),
    ("target.{head}.linear_1.{p}", "targets.{head}.hidden.{p}"),
    ("target.{head}.linear_2.{p}", "targets.{head}.output.{p}"),
    ("target.clr.logit_scale", "targets.clr.logit_scale"),
    ("target.clr.encoder_{k}_projection", "targets.clr.projections.{k}.weight"),
)

# Names of older versions, of converters that slipped and of fine-tuned heads, as they are above.
_OLDER = (
    (r"^module\.", ""),
    (r"^target\.embedding\.", "tgt_embedding."),
    (r"^target\.decoder\.", "decoder."),
    (r"embedding\.word_embedding\.", "embedding.word.embedding."),
    (r"embedding\.position_embedding\.", "embedding.pos.embedding."),
    (r"embedding\.segment_embedding\.", "embedding.seg.embedding."),
    (r"^embedding\.(embedding_[01]\.|stream_[01]_layer_norm\.)", r"embedding.dual.\1"),
    (r"^target\.(?:mlm_)?linear_([12])\.", r"target.mlm.linear_\1."),
    (r"^target\.layer_norm\.", "target.mlm.layer_norm."),
    (r"^target\.(?:nsp|sop)_linear_([12])\.", r"target.sp.linear_\1."),
    (r"^target\.output_layer\.", "target.lm.output_layer."),
    (r"^output_layer_([12])\.", r"target.cls.linear_\1."),
    (r"(^encoder(?:\.encoder_[01])?\.transformer)\.(?!\d)", r"\1.0."),  # one layer for all
    (r"\.transformer\.\d+\.relative_pos_emb\.", ".relative_pos_emb."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)

# A stream's part is named as if it were the only one.
_STREAMS = (
    ("embedding.dual.embedding_{k}.", "embedding.streams.{k}.", "embedding."),
    ("encoder.encoder_{k}.", "encoder.streams.{k}.", "encoder."),
)


class _Shape(NamedTuple):
    """How a tensor of theirs, told by its name, becomes ours and the other way round."""

    theirs: str
    inward: Callable[[torch.Tensor], torch.Tensor]
    outward: Callable[[torch.Tensor], torch.Tensor]


_SHAPES = (
    _Shape(  # their segment 0 means padding; ours has no such row
        r"seg\.embedding\.weight$",
        lambda value: value[1:],
        lambda value: torch.cat((torch.zeros_like(value[:1]), value)),
    ),
    _Shape(
        r"(conv|gate)_1\.weight$",
        lambda value: value.squeeze(1).transpose(1, 2),
        lambda value: value.transpose(1, 2).unsqueeze(1),
    ),
    _Shape(
        r"(conv|gate)\.\d+\.weight$",
        lambda value: value.squeeze(-1),
        lambda value: value.unsqueeze(-1),
    ),
    _Shape(
        r"(conv|gate)_b(1|\.\d+)$",
        lambda value: value.flatten(),
        lambda value: value.reshape(1, -1, 1, 1),
    ),
    _Shape(r"cls_emb$", lambda value: value.flatten(), lambda value: value.reshape(1, 1, -1)),
    _Shape(r"mask_emb$", lambda value: value.flatten(), lambda value: value.reshape(1, -1)),
    _Shape(r"encoder_[01]_projection$", lambda value: value.T, lambda value: value.T),
)


def present(key: str) -> str:
    """Their present name of what ``key`` calls by any of their names."""
    for pattern, name in _OLDER:
        key = re.sub(pattern, name, key)
    return key


def to_ours(key: str) -> str:
    """Our name of a tensor of theirs; a name without a counterpart stays as it is."""
    return _renamed(present(key), inward=True) or key


def to_theirs(name: str) -> str | None:
    """Their present name of a tensor of ours (norms: weight and bias), or None."""
    return _renamed(name, inward=False)


def inward(key: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor of theirs as ours is shaped."""
    return next((shape.inward(value) for shape in _shapes(present(key))), value)


def outward(key: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor of ours as theirs, called ``key``, is shaped."""
    return next((shape.outward(value) for shape in _shapes(key)), value)


def _shapes(key: str) -> Iterator[_Shape]:
    return (shape for shape in _SHAPES if re.search(shape.theirs, key))


def _renamed(key: str, *, inward: bool) -> str | None:
    for theirs, ours, inner in _STREAMS:
        source, result = (theirs, ours) if inward else (ours, theirs)
        found = re.match(_regex(source), key)
        if found:
            rest = _renamed(inner + key[found.end() :], inward=inward)
            return rest and result.format(**found.groupdict()) + rest.removeprefix(inner)
    for pattern, template in _rules(inward):
        found = pattern.fullmatch(key)
        if found:
            return template.format(**found.groupdict())
    return None


@functools.cache
def _rules(inward: bool) -> list[tuple[re.Pattern[str], str]]:
    pairs = _NAMES if inward else [(ours, theirs) for theirs, ours in _NAMES]
    return [(re.compile(_regex(source)), result) for source, result in pairs]


def _regex(template: str) -> str:
    """A pattern for a template; a field that stands twice must be the same twice."""
    pattern, seen = "", set[str]()
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
        pattern += re.escape(text)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{_FIELDS[name]})"
            seen.add(name)
    return pattern

"""A tiny model around any part of the registries, made from what its constructor asks for."""

from typing import Literal, get_args, get_origin

import torch
from support import TINY, batch_of, documents_of, model_of

from uer.batch import Batch
from uer.components import decoders, encoders
from uer.registry import Registry
from uer.signature import Default, parameters

# Parts that need more than numbers.
_STREAM = {"embedding": ["word"], "encoder": "transformer"}
NEEDS = {
    "dual": {
        "embedding": "dual",
        "stream_0": dict(_STREAM),
        "stream_1": dict(_STREAM),
        "target": ["lm", "clr"],
    },
    "prophetnet": {"tgt_embedding": {"prophetnet": {"ngram": 1}}},
}
# Keys that choose between kinds of arithmetic: every value is tried.
VARIANTS = ("mask", "bidirectional")


def keys_of(part):
    """A value for every key that a part, and the parts inside it, cannot do without."""
    found = {}
    for name, parameter in parameters(part).items():
        if parameter.kind == "part" and isinstance(parameter.default, Default):
            found |= keys_of(Registry.of(parameter.hint).get(parameter.default.name))
        elif parameter.kind == "key" and name in TINY:
            found[name] = TINY[name]
        elif parameter.kind == "key" and parameter.required:
            found[name] = _value(parameter.hint)
    return found


def _value(hint):
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    return {int: 2, float: 0.5, bool: False, str: "x"}[hint]


def variants(part):
    """Every combination of a part's keys in `VARIANTS` that is worth a test of its own."""
    found = [{}]
    for name in VARIANTS:
        parameter = parameters(part).get(name)
        if parameter is not None:
            values = get_args(parameter.hint) or (False, True)
            found = [{**one, name: value} for one in found for value in values]
    return found


def encoder_configs():
    """{id: configuration} of a model around every encoder."""
    found = {}
    for name in encoders.names():
        for variant in variants(encoders.get(name)):
            config = {
                "embedding": ["word"],
                "encoder": name,
                "target": ["lm"],
                "emb_size": TINY["emb_size"],
                "dropout": 0.0,
                **keys_of(encoders.get(name)),
                **variant,
                **NEEDS.get(name, {}),
            }
            if name == "dual":
                config |= keys_of(encoders.get("transformer"))
            found["-".join([name, *map(str, variant.values())])] = config
    return found


def decoder_configs():
    """{id: configuration} of a model around every decoder that reads a target side."""
    return {
        name: {
            "embedding": ["word", "pos"],
            "tgt_embedding": ["word", "pos"],
            "encoder": "transformer",
            "decoder": name,
            "target": ["lm"],
            **TINY,
            **keys_of(encoders.get("transformer")),
            **keys_of(decoders.get(name)),
            **NEEDS.get(name, {}),
        }
        for name in decoders.names()
        if decoders.get(name).reads_target
    }


def model(config, **facts):
    """The model of a configuration, with weights that are large enough to count."""
    return model_of(config, **facts)


def data(lengths, rows, width=None, seed=0):
    """A batch whose source, streams and target side all hold the same documents.

    Returns:
        The batch, and the flat places of the tokens, document after document.
    """
    batch, place = batch_of(documents_of(lengths, seed), rows, width)
    side = batch.side("src")
    fields = {f"{name}.{key}": v for name in ("src.0", "src.1", "tgt") for key, v in side.items()}
    return Batch({**batch, **fields}), place


def changed(batch, side, column):
    """The batch with another token in one column of a side."""
    fields = dict(batch)
    names = [n for n in fields if n == f"{side}.ids" or (side == "src" and n == "src.0.ids")]
    for name in names:
        ids = fields[name].clone()
        ids[:, column] = (ids[:, column] + 1) % 40 + 5
        fields[name] = ids
    return Batch(fields)


def noticed(made, side, column):
    """The places of a row of 8 tokens that see another token in ``column``."""
    batch, _ = data([8], [[0]])
    with torch.no_grad():
        before, after = (made.states(b).hidden[0] for b in (batch, changed(batch, side, column)))
    return (~torch.isclose(before, after, atol=1e-6).all(-1)).nonzero().flatten().tolist()

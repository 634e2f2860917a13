"""Run on every rank: each engine's losses beside those of one process with the same batches.

``python follow.py ENGINE MODEL ACCUMULATION …`` (triples) prints one JSON line for each:
the losses of both, what an evaluation reports, and how far the parameters are apart at last.
"""

from __future__ import annotations

import json
import sys

import torch
from support import TINY, batch_of, documents_of, model_of
from torch import nn

from uer.batch import Batch
from uer.components import targets
from uer.layers.norms.normal import LayerNorm
from uer.optimizers.adamw import AdamW
from uer.signature import Given
from uer.targets.mlm import MaskedLanguageModel
from uer.training.blocks import recompute
from uer.training.engine import engines
from uer.training.engines.single import SingleDevice
from uer.training.evaluation import evaluate
from uer.training.freezing import freeze
from uer.training.launch import Launch, place_of, read_ranks
from uer.training.lora import adapt
from uer.training.processes import join
from uer.training.settings import Settings
from uer.training.update import update

UPDATES, RATE = 20, 3e-3


class ScaledMaskedLanguageModel(MaskedLanguageModel):
    """A head with a parameter that is one number and never exceeds a bound, as in CLIP."""

    def __init__(
        self, *, input_size: Given[int], embedding_size: Given[int], vocab_size: Given[int]
    ) -> None:
        super().__init__(
            input_size=input_size,
            embedding_size=embedding_size,
            vocab_size=vocab_size,
            layernorm=LayerNorm,
        )
        self.scale = nn.Parameter(torch.ones(()))

    def logits(self, hidden):
        return self.scale * super().logits(hidden)

    def on_update(self, step, total):
        with torch.no_grad():
            self.scale.clamp_(max=1.005)


targets.register("scaled_mlm", ScaledMaskedLanguageModel)
_BODY = {"encoder": "transformer", **TINY}
_TEXT = {**_BODY, "embedding": ["word", "pos"]}
MODELS = {
    "bert": {
        **_BODY,
        "embedding": ["word", "pos", "seg"],
        "target": ["mlm", "sp"],
        "tie_weights": True,
    },
    "gpt2": {
        **_BODY,
        "embedding": ["word", "pos"],
        "mask": "causal",
        "layernorm_positioning": "pre",
        "target": "lm",
        "tie_weights": True,
    },
    "gqa": {
        **_BODY,
        "embedding": ["word", "pos"],
        "kv_heads_num": 1,
        "mask": "causal",
        "position": "rotary",
        "feed_forward": "gated",
        "target": "lm",
    },
    "seq2seq": {
        **_BODY,
        "embedding": ["word", "pos"],
        "tgt_embedding": ["word", "pos"],
        "decoder": "transformer",
        "share_embedding": True,
        "target": "lm",
    },
    "scaled": {
        **_BODY,
        "embedding": ["word", "pos"],
        "target": [{"scaled_mlm": {"name": "mlm"}}],
    },
    "albert": {
        **_BODY,
        "embedding": ["word", "pos", "seg"],
        "emb_size": 8,
        "parameter_sharing": True,
        "target": ["mlm", "sp"],
        "tie_weights": True,
    },
    "clip": {
        "embedding": "dual",
        "encoder": "dual",
        "stream_0": {**_TEXT, "mask": "causal"},
        "stream_1": {**_TEXT, "layernorm_positioning": "pre"},
        "target": "clr",
        "pooling": "last",
        "pooling_1": "mean",
        "feature_size": 8,
    },
}
MODELS["siglip"] = {
    **{key: MODELS["clip"][key] for key in ("embedding", "encoder", "stream_0", "stream_1")},
    "target": [
        {"siglip": {key: TINY[key] for key in ("hidden_size", "heads_num", "feedforward_size")}}
    ],
}


def rows_of(number, world, rank=None):
    """Micro-batch ``number``: of one rank, or of all ranks together. Lengths differ; at times a
    rank has no item of a target."""
    sizes = [[5 + (7 * number + 3 * r + i) % 11 for i in range(2)] for r in range(world)]
    wanted = range(world) if rank is None else [rank]
    lengths = [size for r in wanted for size in sizes[r]]
    documents = [doc for r in wanted for doc in documents_of(sizes[r], seed=1000 * number + r)]
    count = len(documents)
    batch, _ = batch_of(documents, [[n] for n in range(count)], width=16)
    fields = dict(batch)
    other = [doc.flip(0) for doc in documents]
    target, _ = batch_of(other, [[n] for n in range(count)], width=16)
    fields |= {f"tgt.{k[4:]}": v for k, v in target.items() if k.startswith("src.")}
    fields |= _pairs(fields, [(r, i) for r in wanted for i in range(2)], number)
    assert len(lengths) == count
    return _without_some(fields, [r for r in wanted for _ in range(2)], number)


def _pairs(fields, rows, number):
    """The same as two streams. In every third micro-batch rank 1 has one pair, in every fifth
    rank 0 has none."""
    few = {(1, 1)} if number % 3 == 1 else {(0, 0), (0, 1)} if number % 5 == 2 else set()
    kept = torch.tensor([n for n, row in enumerate(rows) if row not in few], dtype=torch.int64)
    made = {}
    for stream, side in enumerate(("src", "tgt")):
        own = {key[4:]: value for key, value in fields.items() if key.startswith(side)}
        own |= {"first": kept * own["ids"].shape[1], "length": own["length"][kept]}
        made |= {f"src.{stream}.{key}": value for key, value in own.items()}
    return made


def _without_some(fields, ranks, number):
    """In every third micro-batch rank 1 has no masked token, in every fifth rank 0 has none."""
    empty = {1} if number % 3 == 1 else {0} if number % 5 == 2 else set()
    width = fields["src.ids"].shape[1]
    rows = torch.div(fields["labels.mlm.index"], width, rounding_mode="floor")
    kept = torch.tensor([ranks[int(row)] not in empty for row in rows], dtype=torch.bool)
    for leaf in ("index", "value"):
        fields[f"labels.mlm.{leaf}"] = fields[f"labels.mlm.{leaf}"][kept]
    return Batch(fields)


def losses(engine, model, micro_batches):
    """The loss of every update, over all ranks, before it is made."""
    found = []
    for batches in micro_batches:
        _, scored = update(engine, model, batches, RATE)
        loss = 0.0
        for name, weight in model.loss_weights.items():
            both = torch.tensor(
                [[float(scores[name].loss_sum), float(items[name])] for scores, items in scored],
                dtype=torch.float64,
            ).sum(0)
            total, count = engine.sum_over_ranks(both).tolist()
            loss += weight * total / max(count, 1)
        found.append(loss)
        engine.edit(lambda: model.on_update(1, UPDATES))
    return found


class Batches(list):
    """An evaluation set of this rank."""

    def once(self):
        return iter(self)


def options(name):
    """Name and configuration of an engine; ``zero2`` is DeepSpeed's with stage 2."""
    if not name.startswith("zero"):
        return name, None
    stage = {"stage": int(name[4])}
    if stage["stage"] == 3:
        stage["stage3_param_persistence_threshold"] = 0  # divide small parameters, too
    config = {"zero_optimization": stage}
    return "deepspeed", config


def trained_less(model, how):
    """Freeze parts, or give adapters whose differences are not zero at first."""
    if "frozen" in how:
        numbers = [name for name, parameter in model.named_parameters() if parameter.ndim == 0]
        freeze(model, ["embedding", "encoder.layers.0", *numbers])
    if "lora" in how:
        adapt(model, Settings(output_model_path="-", use_lora=True, lora_r=2))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".lora_B." in name:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)


def trained(engine, kind, accumulation, world, rank=None):
    """What an engine makes of the batches of one rank, or of all together.

    Returns:
        The loss of every update; then what an evaluation reports; weights and optimizer state.
    """
    name, _, how = kind.partition(" ")
    model = model_of(MODELS[name]).train()
    trained_less(model, how)
    if rank is not None and "recomputed" in how:
        recompute(model)
    engine.prepare(model, lambda: AdamW().build(model.decay_groups(), RATE))
    engine.model.train()
    numbers = range(UPDATES * accumulation)
    batches = [rows_of(number, world, rank) for number in numbers]
    found = losses(engine, model, [batches[n : n + accumulation] for n in numbers[::accumulation]])
    figures = evaluate(engine, model, Batches(batches[:4]))
    return found, figures, {**engine.weights(), **engine.optimizer_state()}


def difference(one, other):
    """Of parameters and what the optimizer knows of them: the largest."""
    assert one.keys() == other.keys()
    assert all(one[name].shape == other[name].shape for name in one)
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def main(words):
    launch = Launch(engine="ddp")
    ranks = read_ranks(launch)
    jobs = [*zip(words[::3], words[1::3], map(int, words[2::3]), strict=True)]
    # Before the ranks meet: a contrastive target looks at the rows of all that have met.
    alone = {
        job[1:]: trained(SingleDevice(max_grad_norm=0.5), *job[1:], ranks.world) for job in jobs
    }
    processes = join(place_of(launch, ranks, torch.device("cpu"), alone=False))
    with processes.together():
        for name, kind, count in jobs:
            chosen, config = options(name)
            engine = engines.get(chosen)(max_grad_norm=0.5, processes=processes, config=config)
            together = trained(engine, kind, count, ranks.world, ranks.rank)
            if processes.is_main:
                both = (alone[kind, count], together)
                result = {"engine": name, "model": kind, "accumulation": count}
                result |= {"losses": [one[0] for one in both], "figures": [one[1] for one in both]}
                result["difference"] = difference(*(one[2] for one in both))
                print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

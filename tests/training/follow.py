"""Run on every rank: each engine's losses beside those of one process with the same batches.

``python follow.py ENGINE MODEL ACCUMULATION …`` (triples) prints one JSON line for each:
the losses of both and what the exchange cost.
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
    assert len(lengths) == count
    return _without_some(fields, [r for r in wanted for _ in range(2)], number)


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


def follow(name, kind, accumulation, processes):
    batches = [
        [
            rows_of(accumulation * u + m, processes.world, processes.rank)
            for m in range(accumulation)
        ]
        for u in range(UPDATES)
    ]
    whole = [
        [rows_of(accumulation * u + m, processes.world) for m in range(accumulation)]
        for u in range(UPDATES)
    ]
    results = []
    for divided in (False, True):
        name_of_model, _, how = kind.partition(" ")
        model = model_of(MODELS[name_of_model]).train()
        trained_less(model, how)
        if divided and "recomputed" in how:
            recompute(model)
        chosen, config = options(name)
        engine = (
            engines.get(chosen)(max_grad_norm=0.5, processes=processes, config=config)
            if divided
            else SingleDevice(max_grad_norm=0.5)
        )
        optimizer = AdamW()
        engine.prepare(model, lambda m=model, o=optimizer: o.build(m.decay_groups(), RATE))
        engine.model.train()
        results.append(losses(engine, model, batches if divided else whole))
    return {"engine": name, "model": kind, "accumulation": accumulation, "losses": results}


def main(words):
    launch = Launch(engine="ddp")
    ranks = read_ranks(launch)
    processes = join(place_of(launch, ranks, torch.device("cpu"), alone=False))
    with processes.together():
        for name, kind, accumulation in zip(words[::3], words[1::3], words[2::3], strict=True):
            result = follow(name, kind, int(accumulation), processes)
            if processes.is_main:
                print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

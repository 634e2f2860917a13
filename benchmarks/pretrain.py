"""BERT pre-training: our update against that of a peer, on the same text.

Protocol: same vocabulary, the same sentence pairs of at most 128 tokens, about 4,096 real tokens
per update, dropout 0.1, AdamW (fused), gradient clipping at 1.0, float32. Ours packs the pairs; the
peer pads each batch to its longest, as its collator does, and masks dynamically. Attention dropout
is 0 on both sides, and once more 0.1 (the peer's default) on the peer's side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.rounds import Side, Step, in_turn, median, spread

SIZES = ("tiny", "mini", "small")
TOKENS, LENGTH = 4096, 128


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks pretrain", description=__doc__)
    parser.add_argument("--peer", choices=["transformers"], default="transformers")
    parser.add_argument("--size", choices=SIZES, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--dataset_path", default="quickstart/dataset", help="made by preprocess.py"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, help="updates of a round (default: by size)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(argv)
    if not Path(options.dataset_path).is_dir():
        parser.error(f"{options.dataset_path} is missing; run `make quickstart` or preprocess.py.")
    peak = gemm_peak(options.threads)
    print(f"fp32 GEMM peak {peak / 1e9:.0f} GFLOP/s, {options.threads} threads")
    head = ("size", "side", "real tokens/s", "ours / peer", "MFU", "peak MB")
    print("{:6} {:34} {:>28} {:>22} {:>6} {:>8}".format(*head))
    for size in options.size:
        updates = options.updates or {"tiny": 20, "mini": 8, "small": 4}[size]
        _compare(size, options, updates, peak)


def _compare(size: str, options: argparse.Namespace, updates: int, peak: float) -> None:
    common = (size, options.dataset_path, options.threads)
    sides = {
        "uer": Side(our_step, *common),
        f"{options.peer}, attention dropout 0": Side(transformers_step, *common, 0.0),
        f"{options.peer}, attention dropout 0.1": Side(transformers_step, *common, 0.1),
    }
    measured = in_turn(sides, rounds=options.rounds, updates=updates)
    ours = [one.speed for one in measured["uer"]]
    need = flops_per_token(size, options.dataset_path)
    for name, side in sides.items():
        speeds = [one.speed for one in measured[name]]
        ratio = spread([a / b for a, b in zip(ours, speeds, strict=True)])
        mfu = median(speeds) * need / peak
        print(
            f"{size:6} {name:34} {spread(speeds, 0):>28} {ratio:>22} {mfu:>6.1%} "
            f"{side.finish():>8.0f}",
            flush=True,
        )


def our_step(size: str, dataset_path: str, threads: int) -> Step:
    """An update of ours, data path and all, as `pretrain.py` does it."""
    from uer.data.store import Store
    from uer.data.text_stream import TextStream
    from uer.layers.dropout import POOL
    from uer.recipe import read_recipe
    from uer.training import machine
    from uer.training.engines.single import SingleDevice
    from uer.training.update import update

    prepared = machine.prepare("cpu", "fp32", threads)
    machine.seed_everything(7)
    store = Store.open(dataset_path)
    recipe = read_recipe(f"bert/{size}", {"data_processor": "bert", "seq_length": LENGTH})
    facts = store.tokenizer().facts()
    model = recipe.model.build(facts)
    assert recipe.processor is not None
    stream = TextStream(
        store,
        recipe.processor.build(facts),
        batch_size=TOKENS // LENGTH,
        seq_length=LENGTH,
        packing="documents",
        seed=7,
    )
    engine = SingleDevice(device=prepared.device, precision="fp32", max_grad_norm=1.0)
    optimizer = recipe.optimizer.build()
    engine.prepare(model, lambda: optimizer.build(model.decay_groups(), 1e-4))
    engine.model.train()
    done = 0

    def step() -> int:
        nonlocal done
        POOL.advance(7, done)
        done += 1
        batch = stream.next()
        update(engine, model, [batch], 1e-4)
        return batch.tokens()

    return step


def transformers_step(size: str, dataset_path: str, threads: int, attention_dropout: float) -> Step:
    """An update of `transformers`' BertForPreTraining on the same sentence pairs."""
    import transformers

    from uer.data.store import Store

    torch.set_num_threads(threads)
    torch.manual_seed(7)
    store = Store.open(dataset_path)
    pairs = _pairs(store)
    rows = round(TOKENS / (sum(len(pair["input_ids"]) for pair in pairs) / len(pairs)))
    vocab = Path(dataset_path) / "tokenizer" / "vocab.txt"
    tokenizer = transformers.BertTokenizerFast(str(vocab))
    collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    shape = _shape(size)
    model = transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=store.tokenizer().vocab_size,
            hidden_size=shape["hidden_size"],
            num_hidden_layers=shape["layers_num"],
            num_attention_heads=shape["heads_num"],
            intermediate_size=shape["feedforward_size"],
            attention_probs_dropout_prob=attention_dropout,
            attn_implementation="sdpa",
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01, fused=True)
    order = torch.randperm(len(pairs)).tolist()
    place = 0

    def step() -> int:
        nonlocal place
        if place + rows > len(order):
            place = 0
        batch = collate([pairs[number] for number in order[place : place + rows]])
        place += rows
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return int(batch["attention_mask"].sum())

    return step


def _pairs(store: Any) -> list[dict[str, Any]]:
    """The sentence pairs of our processor, as features of the peer's collator."""
    import numpy as np

    from uer.data.ragged import gather
    from uer.data.randomness import Draw
    from uer.recipe import read_recipe

    recipe = read_recipe("bert/tiny", {"seq_length": LENGTH})
    assert recipe.processor is not None
    processor = recipe.processor.build(store.tokenizer().facts())
    instances = processor.index(store, Draw(7, 0))
    ragged = gather(store.sides["src"], instances, np.arange(len(instances)))
    label = instances.fields["random"]
    ends = ragged.offsets[1:-1]
    assert ragged.segment is not None
    return [
        {
            "input_ids": ids.tolist(),
            "token_type_ids": segment.tolist(),
            "next_sentence_label": int(n),
        }
        for ids, segment, n in zip(
            np.split(ragged.ids, ends), np.split(ragged.segment, ends), label, strict=True
        )
    ]


def _shape(size: str) -> dict[str, int]:
    from uer.config import load_config

    return load_config(f"bert/{size}")


def flops_per_token(size: str, dataset_path: str) -> float:
    """Floating-point operations that one real token needs, forward and backward.

    Linear maps of the layers for every token, attention within its own text, the vocabulary
    projection for the 15 % predicted tokens; embeddings, norms and dropout are not counted.
    """
    from uer.data.store import Store

    shape, store = _shape(size), Store.open(dataset_path)
    hidden, inner = shape["hidden_size"], shape["feedforward_size"]
    vocabulary = store.tokenizer().vocab_size
    lengths = [len(pair["input_ids"]) for pair in _pairs(store)]
    attended = sum(n * n for n in lengths) / sum(lengths)
    layer = 2 * (4 * hidden**2 + 2 * hidden * inner) + 4 * attended * hidden
    head = 0.15 * 2 * (hidden**2 + hidden * vocabulary)
    return 3 * (shape["layers_num"] * layer + head)


def gemm_peak(threads: int) -> float:
    """The best float32 matrix product of this machine, in operations per second."""
    torch.set_num_threads(threads)
    best = 0.0
    for size in (512, 768, 1024, 2048):
        a, b = torch.randn(4096, size), torch.randn(size, size)
        for _ in range(8):
            start = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * a.shape[0] * size * size / (time.perf_counter() - start))
    return best

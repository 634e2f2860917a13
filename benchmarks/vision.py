"""ViT-Tiny: our training step against those of peers, on the same images.

Protocol: vit_tiny_patch16_224 with 1,000 classes, random images that are in memory already, no
dropout of any kind, cross-entropy, AdamW (fused), gradient clipping at 1.0, float32. What is
measured is forward, backward, clipping and the optimizer.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.rounds import Side, Step, in_turn, spread

CLASSES, SIDE = 1000, 224


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks vision", description=__doc__)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=1, help="updates of a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(argv)
    common = (options.batch_size, options.threads)
    sides = {
        "uer": Side(our_step, *common),
        "timm": Side(timm_step, *common),
        "transformers": Side(transformers_step, *common),
    }
    measured = in_turn(sides, rounds=options.rounds, updates=options.updates)
    ours = [one.speed for one in measured["uer"]]
    print(f"ViT-Tiny, {options.batch_size} images an update, {options.threads} threads")
    print("{:14} {:>24} {:>18} {:>8}".format("side", "images/s", "ours / peer", "peak MB"))
    for name, side in sides.items():
        speeds = [one.speed for one in measured[name]]
        ratio = spread([a / b for a, b in zip(ours, speeds, strict=True)])
        print(f"{name:14} {spread(speeds, 1):>24} {ratio:>18} {side.finish():>8.0f}", flush=True)


def our_step(batch_size: int, threads: int) -> Step:
    """An update of ours, as `pretrain.py` does it."""
    from uer.batch import Batch
    from uer.recipe import read_recipe
    from uer.training import machine
    from uer.training.engines.single import SingleDevice
    from uer.training.trainer import update

    prepared = machine.prepare("cpu", "fp32", threads)
    machine.seed_everything(7)
    recipe = read_recipe("deit/tiny", {"drop_path": 0.0, "label_smoothing": 0.0})
    model = recipe.model.build({"labels_num": CLASSES})
    engine = SingleDevice(device=prepared.device, precision="fp32", max_grad_norm=1.0)
    optimizer = recipe.optimizer.build()
    engine.prepare(model, lambda: optimizer.build(model.decay_groups(), 1e-4))
    engine.model.train()
    images, classes = _data(batch_size)
    batch = Batch({"src.image": images, "labels.cls.value": classes})

    def step() -> int:
        update(engine, model, [batch], 1e-4)
        return batch_size

    return step


def timm_step(batch_size: int, threads: int) -> Step:
    """An update of timm's model."""
    import timm

    def make() -> nn.Module:
        return timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES)

    return _peer(make, batch_size, threads)


def transformers_step(batch_size: int, threads: int) -> Step:
    """An update of `transformers`' ViTForImageClassification."""
    import transformers

    def make() -> nn.Module:
        config = transformers.ViTConfig(
            hidden_size=192,
            num_hidden_layers=12,
            num_attention_heads=3,
            intermediate_size=768,
            num_labels=CLASSES,
            attn_implementation="sdpa",
        )
        return transformers.ViTForImageClassification(config)

    return _peer(make, batch_size, threads)


def _peer(make: Callable[[], nn.Module], batch_size: int, threads: int) -> Step:
    torch.set_num_threads(threads)
    torch.manual_seed(7)
    model = make().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.05, fused=True)
    images, classes = _data(batch_size)

    def step() -> int:
        made = model(images)
        F.cross_entropy(getattr(made, "logits", made), classes).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return batch_size

    return step


def _data(batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, SIDE, SIDE, generator=draw)
    return images, torch.randint(CLASSES, (batch_size,), generator=draw)

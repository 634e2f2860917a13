"""CLIP: our update against that of a peer, on the same pairs.

Protocol: equal shapes, the same images and the same captions of 5 to 24 tokens, AdamW (fused),
gradient clipping at 1.0, float32, dropout 0. Ours lets captions share rows, as its data path does;
the peer pads them to the longest of the batch, and once more to 77 tokens, as its example does.
Pixels and ids are ready in memory: what is measured is forward, backward and update.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.rounds import Side, Step, in_turn, spread

# Width, layers, heads, inner width of the towers of texts and of images; side of a patch; features.
SHAPES = {
    "tiny": ((256, 6, 4, 1024), (192, 12, 3, 768), 32, 256),
    "small": ((384, 6, 6, 1536), (384, 12, 6, 1536), 32, 384),
    "base": ((512, 12, 8, 2048), (768, 12, 12, 3072), 32, 512),
}
VOCABULARY, LENGTH, SIDE = 49408, 77, 224
_END = VOCABULARY - 1


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks clip", description=__doc__)
    parser.add_argument("--size", choices=list(SHAPES), nargs="+", default=["tiny", "small"])
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=4, help="updates of a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(argv)
    print(
        "{:6} {:26} {:>24} {:>20} {:>8}".format("size", "side", "pairs/s", "ours/peer", "peak MB")
    )
    for size in options.size:
        common = (size, options.batch_size, options.threads)
        sides = {
            "uer": Side(our_step, *common),
            "transformers": Side(transformers_step, *common, False),
            "transformers, 77 tokens": Side(transformers_step, *common, True),
        }
        measured = in_turn(sides, rounds=options.rounds, updates=options.updates)
        ours = [one.speed for one in measured["uer"]]
        for name, side in sides.items():
            speeds = [one.speed for one in measured[name]]
            ratio = spread([a / b for a, b in zip(ours, speeds, strict=True)])
            peak = side.finish()
            print(
                f"{size:6} {name:26} {spread(speeds, 1):>24} {ratio:>20} {peak:>8.0f}", flush=True
            )


def pairs(batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Endless batches: ids [B, L], their lengths [B], pixels [B, 3, Y, X]."""
    draw = torch.Generator().manual_seed(7)
    image = torch.randn(batch_size, 3, SIDE, SIDE, generator=draw)
    while True:
        length = torch.randint(5, 25, (batch_size,), generator=draw)
        ids = torch.randint(0, _END, (batch_size, int(length.max())), generator=draw)
        real = torch.arange(ids.shape[1]) < length[:, None]
        ids = ids.where(real, torch.full_like(ids, _END))
        ids[torch.arange(batch_size), length - 1] = _END
        yield ids, length, image


def our_step(size: str, batch_size: int, threads: int) -> Step:
    """An update of ours, as `pretrain.py` does it."""
    from uer.data.collate import Rows, collate
    from uer.data.ragged import Ragged
    from uer.optimizers.adamw import AdamW
    from uer.processors.base import Prepared
    from uer.processors.clip import next_fit
    from uer.recipe import read_recipe
    from uer.training import machine
    from uer.training.engines.single import SingleDevice
    from uer.training.trainer import update

    prepared = machine.prepare("cpu", "fp32", threads)
    machine.seed_everything(7)
    text, image, patch, features = SHAPES[size]
    names = ("hidden_size", "layers_num", "heads_num", "feedforward_size")
    config = read_recipe("clip/base-32").config
    for stream, shape in (("stream_0", text), ("stream_1", image)):
        config[stream] |= dict(zip(names, shape, strict=True)) | {"emb_size": shape[0]}
    config["stream_1"]["max_seq_length"] = (SIDE // patch) ** 2 + 1
    config |= {"patch_size": patch, "feature_size": features}
    model = read_recipe(config).model.build({"vocab_size": VOCABULARY})
    engine = SingleDevice(device=prepared.device, precision="fp32", max_grad_norm=1.0)
    engine.prepare(model, lambda: AdamW().build(model.decay_groups(), 1e-4))
    engine.model.train()
    batches = pairs(batch_size)

    def step() -> int:
        ids, length, image = next(batches)
        real = torch.arange(ids.shape[1]) < length[:, None]
        text = Ragged.of(ids[real].numpy(), length.numpy(), np.arange(batch_size))
        counts = {"src.0": next_fit(text.lengths(), LENGTH)}
        prepared = Prepared({"src.0": text}, arrays={"src.1.image": image.numpy()}, counts=counts)
        rows = Rows(np.ones(batch_size, np.int64), {}, "off")
        update(engine, model, [collate(prepared, rows, pad_id=_END)], 1e-4)
        return batch_size

    return step


def transformers_step(size: str, batch_size: int, threads: int, whole: bool) -> Step:
    """An update of `transformers`' CLIPModel; ``whole`` pads captions to 77 tokens."""
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(7)
    text, image, patch, features = SHAPES[size]
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    words = {"vocab_size": VOCABULARY, "eos_token_id": _END, "max_position_embeddings": LENGTH}
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**dict(zip(names, text, strict=True)), **words},
            vision_config={**dict(zip(names, image, strict=True)), "patch_size": patch},
            projection_dim=features,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01, fused=True)
    batches = pairs(batch_size)

    def step() -> int:
        ids, length, image = next(batches)
        if whole:
            ids = torch.nn.functional.pad(ids, (0, LENGTH - ids.shape[1]), value=_END)
        real = torch.arange(ids.shape[1]) < length[:, None]
        given = {"input_ids": ids, "attention_mask": real.long(), "pixel_values": image}
        model(**given, return_loss=True).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return batch_size

    return step

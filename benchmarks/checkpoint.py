"""Checkpoints: how long training waits for one, written beside it and written at once.

Protocol: a model of 100 M parameters with the state of AdamW (1.2 GB), saved in turn with
``--async_save`` and without (which ends when all is on the disk, fsync included); the ratio is
taken round by round. After each asynchronous save updates are timed while the writer works, and as
many after it has ended: none may wait for the disk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.rounds import spread

WIDTH, LAYERS, WORDS, TOKENS = 1024, 94, 1000, 16
UPDATES = 5  # that are timed, of each kind
RATE = 1e-4


def main(argv: Sequence[str]) -> None:
    """Print the table, in seconds."""
    parser = argparse.ArgumentParser(prog="benchmarks checkpoint", description=__doc__)
    parser.add_argument("--folder", help="where to write (default: the system's temporary one)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="checkpoint-") as folder:
        _, *rounds = _measured(Path(folder), options.rounds + 1)
    columns = {name: [one[name] for one in rounds] for name in rounds[0]}
    pairs = zip(columns["async"], columns["sync"], strict=True)
    for name, values in (
        ("waits, --async_save true", columns["async"]),
        ("waits, --async_save false (with fsync)", columns["sync"]),
        ("ratio", [a / b for a, b in pairs]),
        ("the writer works", columns["writer"]),
        ("update while it works, median", columns["writing"]),
        ("update while it works, slowest", columns["slowest"]),
        ("update otherwise, median", columns["idle"]),
    ):
        print(f"{name:40} {spread(values)}")


class Stack(nn.Module):
    """An embedding and linear layers."""

    additive = True
    loss_weights = {"sum": 1.0}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))

    def forward(self, batch: Any) -> dict[str, Any]:
        """A sum that depends on every parameter."""
        from uer.score import Score

        states = self.words(batch["src.ids"])
        for layer in self.layers:
            states = states + layer(states).tanh()
        return {"sum": Score(states.square().sum(), {})}

    def weights(self, batch: Any) -> dict[str, torch.Tensor]:
        """Every number of the states is an item."""
        return {"sum": torch.tensor(float(batch["src.ids"].numel() * WIDTH))}


def _measured(folder: Path, rounds: int) -> list[dict[str, float]]:
    """Seconds of each round by what they were spent on."""
    from uer.batch import Batch
    from uer.optimizers.adamw import AdamW
    from uer.training.engines.single import SingleDevice
    from uer.training.saver import Saver
    from uer.training.state import Contents, Progress, TrainerState
    from uer.training.update import update

    model, engine = Stack().train(), SingleDevice()
    groups = (list(model.named_parameters()), [])
    engine.prepare(model, lambda: AdamW().build(groups, RATE))
    batch = Batch({"src.ids": torch.arange(TOKENS).view(1, -1) % WORDS})
    savers = {
        kind: Saver(
            folder / kind,
            Contents(config=""),
            keep=0,
            numbered=True,
            asynchronous=kind == "async",
        )
        for kind in ("async", "sync")
    }

    def step() -> float:
        start = time.perf_counter()
        update(engine, model, [batch], RATE)
        return time.perf_counter() - start

    def save(kind: str, number: int) -> float:
        state = TrainerState(progress=Progress(step=number), settings={}, rng={})
        start = time.perf_counter()
        savers[kind].save(engine, state)
        return time.perf_counter() - start

    step()
    found = []
    for number in range(rounds):
        one = {"sync": save("sync", number)}
        step()
        one["async"] = save("async", number)
        start, writing = time.perf_counter(), [step()]
        while savers["async"].busy:
            if len(writing) < UPDATES:
                writing.append(step())
            time.sleep(0.001)
        one["writer"] = time.perf_counter() - start
        savers["async"].finish(engine.processes)
        one["writing"], one["slowest"] = statistics.median(writing), max(writing)
        one["idle"] = statistics.median(step() for _ in writing)
        found.append(one)
        for kind in savers:
            shutil.rmtree(savers[kind].place(number))
    return found

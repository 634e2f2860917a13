"""Run on every rank: what a checkpoint costs in memory.

``python saving.py ENGINE ASYNC FOLDER`` prints one JSON line per rank: bytes of the whole (weights
and optimizer's state), and by how many bytes the process's memory grew meanwhile.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from jobs import trainer_of
from torch import nn
from training_fakes import WIDTH, FakeModel

from uer.training.launch import Launch, place_of, read_ranks
from uer.training.processes import join

INNER, LAYERS = 1024, 24


class Wide(FakeModel):
    """24 layers of a million weights."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(INNER, INNER, bias=False) for _ in range(LAYERS)]
        self.encoder = nn.Sequential(nn.Linear(WIDTH, INNER), *layers, nn.Linear(INNER, WIDTH))


def status(name):
    """A line of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def main(engine, asynchronous, folder):
    torch.set_num_threads(1)
    launch = Launch(engine="ddp")
    processes = join(place_of(launch, read_ranks(launch), torch.device("cpu"), alone=False))
    job = {"engine": engine, "folder": folder, "async": asynchronous == "True"}
    trainer = trainer_of(job, processes, Wide())
    with processes.together():
        trainer._prepare(None)
        trainer._update()
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from now on
        trainer._save()
        trainer.saver.finish(processes)
        grown = status("VmHWM") - before
    whole = 3 * sum(p.numel() for p in Wide().parameters()) * 4
    print("RESULT " + json.dumps([whole, grown]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

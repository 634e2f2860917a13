"""Run on every rank: whole training runs of the fake model, one after the other.

``python jobs.py '[{"engine": …, "folder": …, "steps": …, "resume": …}, …]'``
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

import torch
from training_fakes import FakeEvaluationData, FakeModel, rows_to_batch

from uer.layers import dropout as dropout_module
from uer.optimizers.adamw import AdamW
from uer.schedules.linear import Linear
from uer.training import checkpoint as checkpoint_module
from uer.training.engine import engines
from uer.training.evaluation import Evaluation
from uer.training.launch import Launch, place_of, read_ranks
from uer.training.machine import seed_everything
from uer.training.processes import Processes, join
from uer.training.progress import JsonLines
from uer.training.settings import Settings
from uer.training.state import Contents
from uer.training.trainer import Trainer

ROWS = 8  # of an update, over all ranks and micro-batches


class Rows:
    """Rows 0, 1, 2, … dealt out to the ranks, so that an update has the same for any number."""

    def __init__(self, processes, share, wait=0.0):
        self.rank, self.world = processes.rank, processes.world
        self.share, self.place, self.wait = share, 0, wait

    def next(self):
        time.sleep(self.wait)
        start = self.place + self.rank * self.share
        self.place += self.world * self.share
        return rows_to_batch(list(range(start, start + self.share)))

    def position(self):
        return {"row": self.place}

    def instances(self, position):
        start = position["row"] + self.rank * self.share
        return {0: list(range(start, start + self.share))}

    def seek(self, position):
        self.place = position["row"]


class Shares(FakeEvaluationData):
    """Five rows of an evaluation, divided among the ranks as evenly as possible."""

    def __init__(self, processes):
        rows = [101, 102, 103, 105, 106]
        super().__init__([rows[processes.rank :: processes.world]])


class Dying(FakeModel):
    """Ends its process without a word in the second rank's fourth update."""

    def on_update(self, step, total):
        if step == 3 and os.environ.get("RANK") == "1":
            os._exit(9)


class Poisoned(FakeModel):
    """Its loss is not finite where rows 64 to 79 are among the batch: those of updates 9 and 10."""

    def forward(self, batch):
        scores, first = super().forward(batch), rows_to_batch(list(range(64, 80)))["src.ids"]
        poison = (batch["src.ids"][:, None] == first).all(-1).any()
        tok, factor = scores["tok"], torch.where(poison, float("nan"), 1.0)
        scores["tok"] = tok._replace(loss_sum=tok.loss_sum * factor)
        return scores


def fill_the_disk():
    """Let the disk be full from the optimizer's state of the first checkpoint on."""
    write = checkpoint_module.write_tensors

    def full(path, *rest):
        if "optimizer" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)

    checkpoint_module.write_tensors = full


class Staying(Processes):
    """Does not leave at the end, as further runs follow."""

    def _leave(self):
        pass


def trainer_of(job, processes, model=None):
    """The run that a job describes; of another model if there is one."""
    accumulation, engine = job.get("accumulation", 1), job["engine"]
    config = None
    if engine.startswith("zero"):
        stage = {"stage": int(engine[4]), "stage3_param_persistence_threshold": 0}
        stage |= job.get("zero", {})
        engine, config = "deepspeed", {"zero_optimization": stage, **job.get("config", {})}
    settings = Settings(
        output_model_path=str(Path(job["folder"]) / "out"),
        total_steps=20,
        save_checkpoint_steps=job.get("save", 10),
        report_steps=job.get("report", 5),
        learning_rate=1e-2,
        accumulation_steps=accumulation,
        ema_decay=job.get("ema", 0.0),
        async_save=job.get("async", True),
        max_skipped_updates=job.get("limit", 10),
        rewind=job.get("rewind", 0),
        precision=job.get("precision", "fp32"),
        device="cpu",
    )
    seed_everything(7)
    kinds = {"dies": Dying, "poisoned": Poisoned}
    kind = next((kinds[name] for name in kinds if job.get(name)), FakeModel)
    return Trainer(
        model or kind(job.get("dropout", 0.0)),
        Rows(processes, ROWS // processes.world // accumulation, job.get("wait", 0.0)),
        settings,
        optimizer=AdamW(correct_bias=job.get("correct_bias", True)),
        schedule=Linear(total_steps=20),
        engine=engines.get(engine)(
            max_grad_norm=0.5,
            precision=job.get("precision", "fp32"),
            processes=processes,
            config=config,
        ),
        contents=Contents(config="encoder: fake\n"),
        evaluation=Evaluation(data=Shares(processes)) if job.get("evaluate") else None,
        writers=[JsonLines(Path(job["folder"]) / "log.jsonl")] if processes.is_main else [],
    )


def main(jobs):
    dropout_module.POOL.size, dropout_module.UPDATES_PER_POOL = 4096, 7
    launch = Launch(engine="ddp")
    processes = join(place_of(launch, read_ranks(launch), torch.device("cpu"), alone=False))
    if len(jobs) > 1:
        processes = Staying(processes.rank, processes.world)
    for job in jobs:
        if job.get("full"):
            fill_the_disk()
        trainer_of(job, processes).run(job.get("resume"))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

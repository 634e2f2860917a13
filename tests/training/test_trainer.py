import errno
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_fakes import (
    FakeEvaluationData,
    FakeModel,
    FakeStream,
    Memory,
    folders,
    make_trainer,
    same_weights,
)

from uer.errors import CheckpointError, ConfigError, DataError, UserError
from uer.layers import dropout
from uer.training import checkpoint as checkpoint_module
from uer.training import reporter as reporter_module
from uer.training import trainer as trainer_module
from uer.training.checkpoint import load_trainer_state, load_weights
from uer.training.evaluation import Evaluation
from uer.training.machine import random_state, seed_everything

pytestmark = pytest.mark.usefixtures("small_pool")


def script(monkeypatch, losses):
    """Make evaluations return these losses, one after the other."""
    values = iter(losses)
    monkeypatch.setattr(reporter_module, "evaluate", lambda *_: {"loss": next(values)})
    return Evaluation(data=FakeEvaluationData())


def test_twenty_updates_are_ten_and_ten(tmp_path):
    options = {
        "dropout": 0.3,
        "accumulation_steps": 2,
        "save_checkpoint_steps": 10,
        "report_steps": 15,
    }
    seed_everything(7)
    straight = make_trainer(tmp_path / "a", writers=[reports := Memory()], **options)
    straight.run()
    at_the_end, drawn = random_state(), (random.random(), np.random.rand())

    seed_everything(99)
    dropout.POOL.advance(seed=1, update=10**6)
    again = FakeModel(dropout=0.3, seed=5)
    resumed = make_trainer(tmp_path / "b", model=again, writers=[later := Memory()], **options)
    resumed.run(resume=tmp_path / "a" / "out-10")

    assert same_weights(straight.model, again)
    left, right = straight.engine.optimizer_state(), resumed.engine.optimizer_state()
    assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
    assert straight.progress == resumed.progress
    set_again = random_state()
    assert (random.random(), np.random.rand()) == drawn
    assert all(torch.equal(set_again[k], at_the_end[k]) for k in at_the_end if k != "python.gauss")
    timeless = ("loss", "tok.loss", "doc.accuracy", "learning_rate", "grad_norm")
    (step, figures), (same_step, same_figures) = reports.reports[0], later.reports[0]
    assert step == same_step == 15
    assert [figures[name] for name in timeless] == [same_figures[name] for name in timeless]
    assert again.resumed == (10, 20)
    assert again.updates == [(step, 20) for step in range(11, 21)]


def test_dropout_is_part_of_what_resumes(tmp_path):
    """The test above could not fail if dropout did nothing."""
    for name, rate in (("a", 0.3), ("b", 0.0)):
        seed_everything(7)
        make_trainer(tmp_path / name, model=FakeModel(rate), total_steps=3).run()
    left, right = FakeModel(), FakeModel()
    load_weights(left, tmp_path / "a" / "out-3")
    load_weights(right, tmp_path / "b" / "out-3")
    assert not same_weights(left, right)


def test_a_run_learns_reports_and_saves_at_the_end(tmp_path):
    memory = Memory()
    trainer = make_trainer(
        tmp_path,
        total_steps=60,
        report_steps=20,
        eval_steps=30,
        writers=[memory],
        evaluation=Evaluation(data=FakeEvaluationData()),
    )
    assert trainer.run().step == 60
    evaluations = [f["eval/loss"] for _, f in memory.reports if "eval/loss" in f]
    training = [(s, f) for s, f in memory.reports if "loss" in f]
    assert [s for s, _ in memory.reports] == [0, 20, 30, 40, 60, 60]
    assert evaluations[-1] < evaluations[0] and training[-1][1]["loss"] < training[0][1]["loss"]
    last = training[-1][1]
    assert {"tok.loss", "doc.loss", "tok.accuracy", "grad_norm", "tokens_per_second"} <= set(last)
    assert last["loss"] == pytest.approx(last["tok.loss"] + 0.5 * last["doc.loss"])
    assert last["eta_seconds"] == 0 and 0 <= last["data_wait"] <= 1
    assert folders(tmp_path) == ["out-60"] and memory.closed
    assert trainer.engine.model.training


def test_the_learning_rate_follows_the_schedule(tmp_path):
    memory = Memory()
    trainer = make_trainer(tmp_path, report_steps=5, writers=[memory])
    trainer.run()
    factors = [f["learning_rate"] / 1e-2 for _, f in memory.reports]
    assert factors == pytest.approx([trainer.schedule.factor(step) for step in (4, 9, 14, 19)])
    assert trainer.engine.optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 * factors[-1])


def test_the_end_is_saved_once(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    make_trainer(tmp_path, total_steps=4, save_checkpoint_steps=2).run()
    assert sum("checkpoint written" in message for message in caplog.messages) == 2


def test_a_reported_loss_is_the_mean_over_the_window(tmp_path):
    memory = Memory()
    options = {"total_steps": 4, "report_steps": 4, "learning_rate": 1e-12, "writers": [memory]}
    make_trainer(tmp_path, **options).run()
    stream, model = FakeStream(), FakeModel()
    batches = [stream.next() for _ in range(4)]
    total = sum(float(model(b)["tok"].loss_sum.detach()) for b in batches)
    items = sum(float(model.weights(b)["tok"]) for b in batches)
    assert memory.reports[0][1]["tok.loss"] == pytest.approx(total / items, rel=1e-5)


def test_the_last_and_the_best_checkpoints_are_kept(tmp_path, monkeypatch):
    evaluation = script(monkeypatch, [9.0, 5.0, 1.0, 4.0, 3.0, 2.0])
    options = {"save_checkpoint_steps": 4, "keep_checkpoints": 2, "evaluation": evaluation}
    progress = make_trainer(tmp_path, **options).run()
    assert folders(tmp_path) == ["out-8", "out-16", "out-20"]
    assert (progress.best_step, progress.best, progress.saved) == (8, 1.0, [8, 16, 20])
    assert load_trainer_state(tmp_path / "out-20").progress.saved == [8, 16, 20]


def test_a_better_checkpoint_replaces_the_best(tmp_path, monkeypatch):
    evaluation = script(monkeypatch, [9.0, 1.0, 5.0, 0.5, 3.0, 2.0])
    options = {"save_checkpoint_steps": 4, "keep_checkpoints": 1, "evaluation": evaluation}
    make_trainer(tmp_path, **options).run()
    assert folders(tmp_path) == ["out-12", "out-20"]


def test_a_resumed_run_removes_what_the_first_one_left(tmp_path):
    make_trainer(tmp_path, total_steps=8, save_checkpoint_steps=4, keep_checkpoints=2).run()
    make_trainer(tmp_path, total_steps=12, save_checkpoint_steps=4, keep_checkpoints=1).run(
        resume=tmp_path / "out-8"
    )
    assert folders(tmp_path) == ["out-12"]


def test_what_a_killed_run_left_of_a_removal_does_not_stand_in_the_way(tmp_path):
    (tmp_path / ".uer-unfinished-out-2").mkdir()
    (tmp_path / ".uer-unfinished-out-2" / "half").write_text("of a checkpoint")
    make_trainer(tmp_path, total_steps=4, save_checkpoint_steps=2, keep_checkpoints=1).run()
    assert [path.name for path in tmp_path.iterdir()] == ["out-4"]


def test_all_are_kept_by_default(tmp_path):
    make_trainer(tmp_path, total_steps=5, save_checkpoint_steps=2).run()
    assert folders(tmp_path) == ["out-2", "out-4", "out-5"]


def test_not_numbered_the_path_holds_the_best(tmp_path, monkeypatch):
    evaluation = script(monkeypatch, [9.0, 5.0, 1.0, 4.0])
    options = {
        "total_steps": 9,
        "save_checkpoint_steps": 3,
        "numbered": False,
        "evaluation": evaluation,
    }
    make_trainer(tmp_path, **options).run()
    assert folders(tmp_path) == ["out"]
    assert load_trainer_state(tmp_path / "out").progress.step == 6


def test_not_numbered_without_evaluation_the_path_holds_the_last(tmp_path):
    make_trainer(tmp_path, total_steps=5, save_checkpoint_steps=2, numbered=False).run()
    assert load_trainer_state(tmp_path / "out").progress.step == 5


class Signalled(FakeModel):
    """Sends itself signals after the third update."""

    signals: tuple[signal.Signals, ...] = (signal.SIGINT,)

    def on_update(self, step, total):
        if step == 3:
            for number in self.signals:
                signal.raise_signal(number)


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
@pytest.mark.parametrize("numbered", [True, False])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, caplog, number, status, numbered):
    model, before = Signalled(), signal.getsignal(number)
    model.signals = (number,)
    with pytest.raises(SystemExit) as caught:
        make_trainer(tmp_path, model=model, numbered=numbered).run()
    assert caught.value.code == status
    assert "asked to end; it stops after update 3" in caplog.text
    assert folders(tmp_path) == ["out-3"]
    assert signal.getsignal(number) is before


def test_a_signal_in_the_last_update_is_too_late_to_matter(tmp_path):
    assert make_trainer(tmp_path, model=Signalled(), total_steps=3).run().step == 3


def test_a_second_interrupt_stops_at_once(tmp_path):
    model, memory = Signalled(), Memory()
    model.signals = (signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, model=model, writers=[memory]).run()
    assert folders(tmp_path) == [] and memory.closed


TERMINATED = """
import sys, time
from pathlib import Path
from training_fakes import FakeStream, make_trainer
from uer.layers import dropout
from uer.training.machine import seed_everything
from uer.training.progress import JsonLines

class Slow(FakeStream):
    def next(self):
        time.sleep(0.01)
        return super().next()

dropout.POOL.size, dropout.UPDATES_PER_POOL = 4096, 7
folder = Path(sys.argv[1])
seed_everything(7)
make_trainer(folder, stream=Slow(), dropout=0.3, total_steps=300, report_steps=1,
             writers=[JsonLines(folder / "log.jsonl")]).run()
"""


def test_sigterm_saves_what_resumes_to_the_same_result(tmp_path):
    here = Path(__file__).parent
    path = os.pathsep.join((str(here), str(here.parents[1])))
    environment = os.environ | {"PYTHONPATH": path}
    process = subprocess.Popen([sys.executable, "-c", TERMINATED, str(tmp_path)], env=environment)
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 9):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    (name,) = folders(tmp_path)
    assert 9 < load_trainer_state(tmp_path / name).progress.step < 300

    options = {"dropout": 0.3, "total_steps": 300}
    resumed = make_trainer(tmp_path, **options)
    resumed.run(resume=tmp_path / name)
    seed_everything(7)
    straight = make_trainer(tmp_path / "straight", **options)
    straight.run()
    assert same_weights(straight.model, resumed.model)


class Clock:
    """Tells the time of a run: every look takes an hour."""

    def __init__(self):
        self.hours = -1

    def monotonic(self):
        self.hours += 1
        return 3600.0 * self.hours


@pytest.mark.parametrize("numbered", [True, False])
def test_the_hours_end_a_run_as_its_end_would(tmp_path, monkeypatch, caplog, numbered):
    monkeypatch.setattr(trainer_module, "time", Clock())
    caplog.set_level(logging.INFO)
    evaluation = Evaluation(data=FakeEvaluationData())
    memory = Memory()
    options = {"numbered": numbered, "evaluation": evaluation, "writers": [memory]}
    progress = make_trainer(tmp_path, max_hours=4, **options).run()
    assert progress.step == 3 and "max_hours are over; the run ends after update 3" in caplog.text
    assert folders(tmp_path) == ["out-3" if numbered else "out"]
    assert [step for step, figures in memory.reports if "eval/loss" in figures] == [0, 3]


def test_after_the_hours_a_run_can_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "time", Clock())
    make_trainer(tmp_path, max_hours=4).run()
    resumed = make_trainer(tmp_path, model=FakeModel(seed=5))
    assert resumed.run(resume=tmp_path / "out-3").step == 20
    straight = make_trainer(tmp_path / "straight")
    straight.run()
    assert same_weights(straight.model, resumed.model)


def test_the_loss_before_the_first_update_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    make_trainer(tmp_path, total_steps=4, save_checkpoint_steps=2).run()
    make_trainer(tmp_path / "again", total_steps=4).run(resume=tmp_path / "out-2")
    first, second = [line for line in caplog.messages if line.startswith("before update")]
    model, batch = FakeModel(), FakeStream().next()
    losses = {n: float(s.loss_sum.detach()) for n, s in model(batch).items()}
    tok, doc = (losses[name] / float(model.weights(batch)[name]) for name in losses)
    found = re.fullmatch(r"before update 1: loss (\S+), tok.loss (\S+), doc.loss (\S+)", first)
    assert [float(text) for text in found.groups()] == pytest.approx(
        [tok + 0.5 * doc, tok, doc], abs=1e-4
    )
    assert second.startswith("before update 3: loss ")


class Greedy(FakeModel):
    """Wants too much memory in the third update."""

    def forward(self, batch):
        if len(self.updates) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(batch)


def test_a_full_memory_is_a_sentence(tmp_path):
    memory = Memory()
    with pytest.raises(UserError, match="out of memory in update 3; lower --batch_size"):
        make_trainer(tmp_path, model=Greedy(), writers=[memory]).run()
    assert memory.closed


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_full_disk_is_a_sentence_and_the_last_checkpoint_stays(
    tmp_path, monkeypatch, asynchronous
):
    written = checkpoint_module.write_tensors

    def full(path, *rest):
        if "out-4" in str(path) and "optimizer" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written(path, *rest)

    monkeypatch.setattr(checkpoint_module, "write_tensors", full)
    options = {"save_checkpoint_steps": 2, "keep_checkpoints": 1, "async_save": asynchronous}
    with pytest.raises(UserError, match=r"out-4 could not be written .*No space left.*whole"):
        make_trainer(tmp_path, **options).run()
    assert folders(tmp_path) == ["out-2"]
    monkeypatch.undo()
    assert make_trainer(tmp_path).run(resume=tmp_path / "out-2").step == 20


def test_spikes_are_watched(tmp_path, caplog):
    class Jumping(FakeModel):
        def on_update(self, step, total):
            if step == 24:
                self.loss_weights = dict.fromkeys(self.loss_weights, 1e3)

    make_trainer(tmp_path, model=Jumping(), total_steps=25, max_grad_norm=0).run()
    (line,) = [r.message for r in caplog.records]
    assert line.startswith("the gradients of update 25 have norm ") and "'index': " in line


class Broken(FakeModel):
    """One of its losses is not finite in some updates (counted from 0)."""

    def __init__(self, bad) -> None:
        super().__init__()
        self.bad, self.done = bad, 0

    def forward(self, batch):
        scores = super().forward(batch)
        if self.done in self.bad:
            tok = scores["tok"]
            scores["tok"] = tok._replace(loss_sum=tok.loss_sum * float("nan"))
        return scores

    def on_update(self, step, total):
        self.done = step


def test_bad_updates_are_skipped_counted_and_logged_with_their_data(tmp_path, caplog):
    memory = Memory()
    progress = make_trainer(
        tmp_path, model=Broken({1, 2, 7}), max_skipped_updates=3, report_steps=10, writers=[memory]
    ).run()
    assert (progress.step, progress.skipped, progress.skipped_in_a_row) == (20, 3, 0)
    lines = [r.message for r in caplog.records if "was skipped" in r.message]
    assert len(lines) == 3
    assert lines[0].startswith("update 2 was skipped") and "{'epoch': 0, 'index': 8}" in lines[0]
    assert memory.reports[0][1]["skipped_updates"] == 3
    assert np.isfinite(memory.reports[0][1]["tok.loss"])


def test_too_many_bad_updates_end_the_run(tmp_path):
    model = Broken(set(range(4, 20)))
    with pytest.raises(UserError, match=r"3 updates in a row up to update 7 .*--learning_rate"):
        make_trainer(tmp_path, model=model, max_skipped_updates=3).run()


def test_bad_updates_are_counted_across_a_resume(tmp_path):
    model = Broken({8, 9})
    make_trainer(tmp_path, model=model, save_checkpoint_steps=10, max_skipped_updates=3).run()
    assert load_trainer_state(tmp_path / "out-10").progress.skipped_in_a_row == 2
    with pytest.raises(UserError, match="3 updates in a row up to update 11"):
        make_trainer(tmp_path, model=Broken({0}), max_skipped_updates=3).run(
            resume=tmp_path / "out-10"
        )


def test_accumulation_of_a_loss_that_is_no_sum_is_warned_of(tmp_path, caplog):
    model = FakeModel()
    model.additive = False
    make_trainer(tmp_path, model=model, total_steps=2, accumulation_steps=2).run()
    assert sum("2 micro-batches are not one big batch" in r.message for r in caplog.records) == 1
    caplog.clear()
    make_trainer(tmp_path, model=model, total_steps=2).run()
    assert not caplog.records


def test_changed_settings_are_told_when_resuming(tmp_path, caplog):
    make_trainer(tmp_path, total_steps=3).run()
    caplog.set_level(logging.INFO)
    make_trainer(tmp_path, total_steps=5, learning_rate=2e-2).run(resume=tmp_path / "out-3")
    (line,) = [r.message for r in caplog.records if "resumed" in r.message]
    assert "after update 3; changed since: total_steps 5 (was 3), learning_rate 0.02" in line


def test_nothing_left_to_resume(tmp_path):
    make_trainer(tmp_path, total_steps=3).run()
    with pytest.raises(UserError, match=r"has done 3 of 3 updates.*raise --total_steps"):
        make_trainer(tmp_path, total_steps=3).run(resume=tmp_path / "out-3")


def test_resuming_another_model_is_refused(tmp_path):
    make_trainer(tmp_path, total_steps=3).run()
    model = FakeModel()
    model.targets["new"] = nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match=r"cannot be resumed .*targets\.new\.bias"):
        make_trainer(tmp_path, model=model).run(resume=tmp_path / "out-3")


def test_an_empty_stream_is_refused(tmp_path):
    with pytest.raises(DataError, match="the training data gave no batch"):
        make_trainer(tmp_path, stream=FakeStream(rows=0)).run()


@pytest.mark.parametrize("batches", [[], [[0, 12]]])
def test_empty_evaluation_data_is_refused(tmp_path, batches):
    evaluation = Evaluation(data=FakeEvaluationData(batches))
    with pytest.raises(DataError, match="holds no item"):
        make_trainer(tmp_path, evaluation=evaluation).run()


def test_an_unknown_figure_cannot_choose_the_best(tmp_path):
    evaluation = Evaluation(data=FakeEvaluationData(), best_by="f1")
    with pytest.raises(ConfigError, match=r"_best_model f1: the evaluation reports doc\.accuracy"):
        make_trainer(tmp_path, evaluation=evaluation).run()


def test_a_place_that_cannot_be_written_fails_before_training(tmp_path):
    (tmp_path / "out-20").write_text("in the way")
    model = FakeModel()
    with pytest.raises(UserError, match="is a file"):
        make_trainer(tmp_path, model=model).run()
    assert not model.updates


def test_a_log_line_is_json(tmp_path):
    from uer.training.progress import JsonLines

    log = tmp_path / "log.jsonl"
    make_trainer(tmp_path, total_steps=4, report_steps=2, writers=[JsonLines(log)]).run()
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 4]

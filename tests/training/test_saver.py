"""Checkpoints that are written while training goes on."""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from training_fakes import FakeModel, folders, make_trainer, same_weights

from uer.errors import UserError
from uer.training import kept as kept_module
from uer.training import saver as saver_module
from uer.training.checkpoint import draft, load_trainer_state, load_weights
from uer.training.kept import Kept, free_memory
from uer.training.lazy import Lazy, lazy
from uer.training.machine import seed_everything
from uer.training.state import Contents

CONTENTS = Contents(config="encoder: fake\n")


pytestmark = pytest.mark.usefixtures("small_pool")


@pytest.fixture
def slow_disk(monkeypatch):
    """Writing waits until it is let go; what happened, in order."""
    log, gate, write = [], threading.Event(), saver_module.write_checkpoint

    def slow(folder, made):
        gate.wait(60)
        write(folder, made)
        log.append(f"written {Path(folder).name}")

    monkeypatch.setattr(saver_module, "write_checkpoint", slow)
    return log, gate


class Telling(FakeModel):
    """Logs its updates, and lets the disk go after one of them."""

    def __init__(self, log, gate, after):
        super().__init__()
        self.log, self.gate, self.after = log, gate, after

    def on_update(self, step, total):
        self.log.append(step)
        if step == self.after:
            self.gate.set()


def test_no_update_waits_for_the_disk_but_the_next_checkpoint_does(tmp_path, slow_disk):
    log, gate = slow_disk
    options = {"total_steps": 6, "save_checkpoint_steps": 2}
    make_trainer(tmp_path / "a", model=Telling(log, gate, after=4), **options).run()
    # nothing was on the disk before update 4, but the first was before the second was copied
    assert log[:4] == [1, 2, 3, 4] and log.index("written out-2") < log.index(5)
    assert log[-1] == "written out-6" and folders(tmp_path / "a") == ["out-2", "out-4", "out-6"]
    # what was copied is what the weights were then, not what they became
    make_trainer(tmp_path / "b", async_save=False, **options).run()
    for step in (2, 4, 6):
        for file in ("model.safetensors", "trainer/optimizer.safetensors"):
            one, other = (tmp_path / name / f"out-{step}" / file for name in "ab")
            assert one.read_bytes() == other.read_bytes()


def test_without_it_training_waits(tmp_path, slow_disk):
    log, gate = slow_disk
    gate.set()
    options = {"total_steps": 4, "save_checkpoint_steps": 2, "async_save": False}
    make_trainer(tmp_path, model=Telling(log, gate, after=0), **options).run()
    assert log == [1, 2, "written out-2", 3, 4, "written out-4"]


def test_a_failure_ends_the_run_at_the_next_update(tmp_path, monkeypatch, caplog):
    third = threading.Event()

    def refuse(folder, made):
        assert third.wait(60)
        raise UserError(f"{folder} is full")

    class Waiting(FakeModel):
        def on_update(self, step, total):
            super().on_update(step, total)
            if step == 3:
                third.set()
                trainer.saver._background._thread.join()

    monkeypatch.setattr(saver_module, "write_checkpoint", refuse)
    model = Waiting()
    trainer = make_trainer(tmp_path, model=model, save_checkpoint_steps=2)
    with pytest.raises(UserError, match="out-2 is full"):
        trainer.run()
    assert len(model.updates) == 3 and not caplog.records


def test_a_failure_of_the_last_one_is_heard(tmp_path, monkeypatch):
    def refuse(folder, made):
        raise UserError(f"{folder} is full")

    monkeypatch.setattr(saver_module, "write_checkpoint", refuse)
    with pytest.raises(UserError, match="out-3 is full"):
        make_trainer(tmp_path, total_steps=3).run()


def test_a_run_that_fails_lets_the_checkpoint_become_whole(tmp_path, slow_disk, caplog):
    log, gate = slow_disk

    class Failing(Telling):
        def on_update(self, step, total):
            super().on_update(step, total)
            if step == 3:
                raise UserError("something else")

    with pytest.raises(UserError, match="something else"):
        make_trainer(tmp_path, model=Failing(log, gate, after=3), save_checkpoint_steps=2).run()
    assert log == [1, 2, 3, "written out-2"] and folders(tmp_path) == ["out-2"]


def test_a_signal_waits_for_both_checkpoints(tmp_path, slow_disk):
    log, gate = slow_disk

    class Signalled(Telling):
        def on_update(self, step, total):
            super().on_update(step, total)
            if step == 3:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        make_trainer(tmp_path, model=Signalled(log, gate, after=3), save_checkpoint_steps=2).run()
    assert caught.value.code == 143
    assert log == [1, 2, 3, "written out-2", "written out-3"]
    assert load_trainer_state(tmp_path / "out-3").progress.saved == [2, 3]


def test_memory_is_taken_once():
    weights = {"a": torch.ones(4), "b": torch.zeros(2, 2)}
    memory = Kept(torch.device("cpu"))
    first = memory.copy(draft(lazy(weights), CONTENTS))
    (one,) = first.files.values()
    places = {name: tensor.gather().data_ptr() for name, tensor in one.tensors.items()}
    weights["a"].fill_(3)
    assert next(first.values()).tolist() == [1, 1, 1, 1]
    (two,) = memory.copy(draft(lazy(weights), CONTENTS)).files.values()
    assert {name: tensor.gather().data_ptr() for name, tensor in two.tensors.items()} == places
    assert two.tensors["a"].gather().tolist() == [3, 3, 3, 3]
    larger = {**weights, "a": torch.ones(5)}
    (three,) = memory.copy(draft(lazy(larger), CONTENTS)).files.values()
    assert three.tensors["a"].gather().tolist() == [1] * 5
    assert three.tensors["b"].gather().data_ptr() == places["b"]


def test_a_copy_is_bit_for_bit_whatever_the_tensor_looks_like():
    base = torch.randn(3, 4)
    weights = {"turned": base.t(), "row": base[1], "empty": torch.zeros(0, 2), "one": base[0, 0]}
    weights |= {"half": torch.tensor([1.5, float("nan")]).bfloat16(), "bool": base > 0}
    (file,) = Kept(torch.device("cpu")).copy(draft(lazy(weights), CONTENTS)).files.values()
    for name, one in file.tensors.items():
        found, expected = one.gather(), weights[name]
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), name
        assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9)), name
    assert len(file.tensors) == 6


def test_room_counts_what_is_taken_already(monkeypatch):
    made = draft(lazy({"a": torch.ones(100)}), CONTENTS)
    memory = Kept(torch.device("cpu"))
    monkeypatch.setattr(kept_module, "free_memory", lambda: 440)
    assert not memory.has_room(made)
    monkeypatch.setattr(kept_module, "free_memory", lambda: 450)
    assert memory.has_room(made)
    memory.copy(made)
    monkeypatch.setattr(kept_module, "free_memory", lambda: 0)
    assert memory.has_room(made)
    monkeypatch.setattr(kept_module, "free_memory", lambda: None)
    assert Kept(torch.device("cpu")).has_room(made)


def test_free_memory_is_some_of_the_machines():
    everything = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = free_memory()
    assert free is None or 0 < free <= everything


def test_without_memory_for_a_copy_training_waits_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(kept_module, "free_memory", lambda: 100)
    trainer = make_trainer(tmp_path, total_steps=4, save_checkpoint_steps=2)
    trainer.run()
    (line,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert line.startswith("there is no memory for a copy") and "--async_save false" in line
    model = FakeModel(seed=5)
    load_weights(model, tmp_path / "out-4")
    assert same_weights(model, trainer.model)


def test_all_tensors_are_asked_for_even_if_the_disk_is_full(tmp_path):
    """Other processes bring the same tensors together; none may wait for ever."""
    asked = []

    def make(name):
        return Lazy((1,), torch.float32, lambda: asked.append(name) or torch.ones(1))

    (tmp_path / "out").write_text("in the way")
    with pytest.raises(UserError, match="is a file"):
        saver_module.write_checkpoint(
            tmp_path / "out", draft({name: make(name) for name in "abc"}, CONTENTS)
        )
    assert asked == ["a", "b", "c"]


def test_what_a_killed_run_had_not_come_to_remove_is_removed(tmp_path):
    options = {"save_checkpoint_steps": 2, "keep_checkpoints": 1}
    make_trainer(tmp_path, total_steps=2, **options).run()
    kept = (tmp_path / "out-2").rename(tmp_path / "kept")
    make_trainer(tmp_path, total_steps=4, **options).run(resume=kept)
    kept.rename(tmp_path / "out-2")  # as if the run had been killed before it could remove it
    assert load_trainer_state(tmp_path / "out-4").progress.retired == [2]
    make_trainer(tmp_path, total_steps=5, **options).run(resume=tmp_path / "out-4")
    assert folders(tmp_path) == ["out-5"]


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from training_fakes import FakeModel, make_trainer
from uer.layers import dropout
from uer.training.machine import seed_everything
from uer.training.resume import find

torch.set_num_threads(1)
dropout.POOL.size, dropout.UPDATES_PER_POOL = 4096, 7
folder, draw = Path(sys.argv[1]), random.Random(sys.argv[2])


class Asking(FakeModel):
    def on_update(self, step, total):
        os.write(told, b"x")
        os.read(may, 1)


def newest():
    return find("auto", None, folder / "out").folder


def run():
    seed_everything(7)
    found = find("auto", None, folder / "out")
    make_trainer(
        folder, model=Asking(0.3), total_steps=60, save_checkpoint_steps=2, keep_checkpoints=2,
        async_save=sys.argv[2] == "True",
    ).run(found.folder, auto=found.auto)


def until(moment):
    end = time.monotonic() + 30
    while not moment() and time.monotonic() < end:
        time.sleep(0.001)


for attempt in range(21):
    hears, told = os.pipe()
    may, lets = os.pipe()
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    os.close(told)
    before, updates = newest(), draw.randint(1, 6) if attempt < 20 else 100
    for number in range(updates):
        if not os.read(hears, 1):
            break
        if number < updates - 1:
            os.write(lets, b"x")
    if attempt < 20:
        if updates > 2 and draw.random() < 0.5:
            until(lambda: newest() != before)
        time.sleep(draw.choice([0, draw.uniform(0, 0.02)]))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    for end in (hears, may, lets):
        os.close(end)
    print(status, newest())
"""


@pytest.mark.heavy
@pytest.mark.parametrize("asynchronous", [True, False])
def test_kill_9_at_twenty_moments_changes_nothing(tmp_path, asynchronous):
    here = Path(__file__).parent
    path = os.pathsep.join((str(here), str(here.parents[1])))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(asynchronous)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [int(status) for status, _ in ends] == [signal.SIGKILL] * 20 + [0]
    assert len({place for _, place in ends}) > 5  # it was killed all over the run
    seed_everything(7)
    straight = make_trainer(tmp_path / "straight", dropout=0.3, total_steps=60)
    straight.run()
    model = FakeModel(seed=5)
    load_weights(model, tmp_path / "out-60")
    assert same_weights(model, straight.model)
    state, other = (load_trainer_state(p / "out-60") for p in (tmp_path, tmp_path / "straight"))
    assert all(torch.equal(state.optimizer[k], v) for k, v in other.optimizer.items())

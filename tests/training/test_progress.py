import json
import logging
import sys
from types import SimpleNamespace

import pytest

from uer.cli.reporting import Reporting
from uer.errors import UserError
from uer.training import progress
from uer.training.processes import Processes
from uer.training.progress import Bar, Console, JsonLines, Meter, TensorBoard, WeightsAndBiases
from uer.training.settings import Settings


def test_the_console_shows_figures_as_people_read_them(caplog):
    caplog.set_level(logging.INFO)
    console = Console(total=200)
    figures = {"loss": 2.34567, "learning_rate": 1.5e-5, "data_wait": 0.0123, "eta_seconds": 3725.0}
    console.write(100, figures | {"tokens_per_second": 12345.6, "mfu": 0.5})
    console.close()
    assert caplog.messages == [
        "100/200 | loss 2.3457 | learning_rate 1.5e-05 | data_wait 1.2% | eta_seconds 1:02:05"
        " | tokens_per_second 12,346 | mfu 50.0%"
    ]


def test_json_lines_are_appended_and_strict(tmp_path):
    log = tmp_path / "logs" / "log.jsonl"
    for step in (1, 2):
        writer = JsonLines(log)
        writer.write(step, {"loss": float("nan") if step == 2 else 0.5})
        writer.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "log.jsonl", tmp_path):
        with pytest.raises(UserError, match="cannot write the log"):
            JsonLines(place)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside tensorboard
def test_tensorboard_receives_the_figures(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = TensorBoard(tmp_path)
    writer.write(3, {"mlm.loss": 2.0})
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("mlm/loss")] == [(3, 2.0)]


def test_a_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'uer\[log\]'"):
        TensorBoard(tmp_path)


class Run:
    """What is used of wandb, and what it was told."""

    def __init__(self):
        self.told, self.finished = [], False

    def log(self, figures, step):
        self.told.append((step, figures))

    def finish(self):
        self.finished = True


def test_weights_and_biases_receives_settings_and_figures(monkeypatch):
    run, begun = Run(), []

    def init(**options):
        begun.append(options)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    own = Settings(output_model_path="out", seed=3)
    reporting = Reporting(wandb_project="tests")
    assert reporting.writers(own, Processes(rank=1, world=2)) == []
    (writer,) = reporting.writers(own, Processes())
    writer.write(3, {"mlm.loss": 2.0, "eval/loss": 1.0})
    writer.close()
    (options,) = begun
    assert options["project"] == "tests" and options["config"]["seed"] == 3
    assert run.told == [(3, {"mlm/loss": 2.0, "eval/loss": 1.0})] and run.finished


def test_weights_and_biases_that_is_missing_or_fails_is_a_sentence(monkeypatch):
    def init(**options):
        raise RuntimeError("api_key not configured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(UserError, match=r"could not begin a run \(api_key .*`wandb login`"):
        WeightsAndBiases("tests", {})
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"--wandb_project needs .* pip install 'uer\[wandb\]'"):
        WeightsAndBiases("tests", {})


def test_the_bar_is_only_for_terminals(capsys):
    bar = Bar(total=3, done=1)
    bar.advance()
    bar.close()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_the_meter_counts_what_is_training(clock):
    meter = Meter(flops_per_token=6.0, peak_flops=1200.0)
    for _ in range(2):
        with meter.waiting():
            clock[0] += 1
        clock[0] += 3
        meter.update(tokens=400)
    with meter.paused():
        clock[0] += 50
    assert meter.figures(updates_left=5, tokens=800) == {
        "data_wait": 0.25,
        "eta_seconds": 20.0,
        "tokens_per_second": 100.0,
        "mfu": 0.5,
    }
    meter.restart()
    clock[0] += 1
    assert meter.figures(updates_left=5, tokens=0) == {"data_wait": 0.0}


def test_without_flops_there_is_no_utilisation(clock):
    meter = Meter()
    meter.update(tokens=10)
    clock[0] += 1
    assert "mfu" not in meter.figures(updates_left=0, tokens=10)

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from training_fakes import FakeModel, same_weights

from uer.errors import CheckpointError, UserError
from uer.training.checkpoint import load_trainer_state, load_weights, read_weights, save_checkpoint
from uer.training.state import Contents, Progress, TrainerState

CONTENTS = Contents(config="encoder: fake\n")


def make_state():
    return TrainerState(
        progress=Progress(step=3, position={"epoch": 1}, window={"tok.loss": (0.1, 2.0)}),
        settings={"seed": 7},
        optimizer={"step/encoder.0.bias": torch.tensor(3.0)},
        rng={"torch": torch.get_rng_state()},
        engine={"loss_scale": 8.0},
    )


@pytest.fixture
def saved(tmp_path):
    model = FakeModel(seed=4)
    contents = Contents(
        config="encoder: fake\n", save_tokenizer=lambda f: (f / "vocab.txt").write_text("[PAD]")
    )
    save_checkpoint(tmp_path / "out-3", model.state_dict(), contents, make_state())
    return tmp_path / "out-3"


def test_weights_return_and_a_tied_tensor_is_written_once(saved):
    model = FakeModel(seed=5)
    report = load_weights(model, saved)
    assert same_weights(model, FakeModel(seed=4))
    assert model.targets["tok"].weight is model.embedding.weight
    assert report.matched == sorted(model.state_dict())
    assert report.line() == "6 tensors loaded."
    header = (saved / "model.safetensors").read_bytes()[:2000]
    assert header.count(b'"shape"') == 5 and b"targets.tok.weight" in header
    assert set(read_weights(saved)) == set(model.state_dict())


def test_the_folder_holds_everything(saved):
    files = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    assert files == {
        "model.safetensors",
        "config.yaml",
        "manifest.json",
        "tokenizer/vocab.txt",
        "trainer/state.json",
        "trainer/optimizer.safetensors",
        "trainer/rng.safetensors",
    }
    assert (saved / "config.yaml").read_text() == "encoder: fake\n"
    versions = json.loads((saved / "trainer/state.json").read_text())["versions"]
    assert versions["torch"] == torch.__version__


def test_the_trainers_state_returns(saved):
    state, expected = load_trainer_state(saved), make_state()
    assert state.progress == expected.progress
    assert (state.settings, state.engine) == (expected.settings, expected.engine)
    assert torch.equal(state.optimizer["step/encoder.0.bias"], torch.tensor(3.0))
    assert torch.equal(state.rng["torch"], torch.get_rng_state())


def test_views_and_transposed_tensors_are_written_as_they_look(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    weights = {"row": base[1], "turned": base.t(), "base": base, "empty": torch.zeros(0)}
    save_checkpoint(tmp_path / "c", weights, CONTENTS)
    found = read_weights(tmp_path / "c")
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    with safe_open(tmp_path / "c" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(weights)


def test_an_untied_model_takes_a_tied_checkpoint(saved):
    model = FakeModel(seed=5)
    model.targets["tok"].weight = nn.Parameter(torch.zeros(11, 8))
    load_weights(model, saved)
    assert torch.equal(model.targets["tok"].weight, model.embedding.weight)


def test_a_tied_model_refuses_two_different_tensors(tmp_path):
    weights = FakeModel().state_dict() | {"targets.tok.weight": torch.zeros(11, 8)}
    save_checkpoint(tmp_path / "c", weights, CONTENTS)
    with pytest.raises(CheckpointError, match="one tensor in this model, but two different"):
        load_weights(FakeModel(), tmp_path / "c")


def test_a_missing_head_is_reported_and_keeps_its_values(tmp_path):
    weights = {k: v for k, v in FakeModel(seed=4).state_dict().items() if ".doc." not in k}
    save_checkpoint(tmp_path / "c", weights | {"targets.old.bias": torch.zeros(1)}, CONTENTS)
    model = FakeModel(seed=5)
    head = model.targets["doc"].weight.detach().clone()
    report = load_weights(model, tmp_path / "c")
    assert report.missing == ["targets.doc.bias", "targets.doc.weight"]
    assert report.unexpected == ["targets.old.bias"]
    assert torch.equal(model.targets["doc"].weight, head)
    assert "2 not in the file: targets.doc.bias, targets.doc.weight" in report.line()
    assert "1 not in the model: targets.old.bias" in report.line()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda w: w.pop("encoder.0.bias"), r"the checkpoint lacks encoder\.0\.bias"),
        (
            lambda w: w.update({"encoder.9.bias": torch.zeros(1)}),
            r"the model has no encoder\.9\.bias",
        ),
        (
            lambda w: w.update({"encoder.0.bias": torch.zeros(3)}),
            r"shapes differ of encoder\.0\.bias \(checkpoint \[3\], model \[8\]\)",
        ),
        (
            lambda w: w.update({"targets.doc.bias": torch.zeros(5)}),
            r"checkpoint \[5\], model \[3\]",
        ),
    ],
)
def test_a_body_that_does_not_fit_is_refused_whole_unless_allowed(tmp_path, change, message):
    weights = dict(FakeModel(seed=4).state_dict())
    change(weights)
    save_checkpoint(tmp_path / "c", weights, CONTENTS)
    model = FakeModel(seed=5)
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, tmp_path / "c")
    assert same_weights(model, FakeModel(seed=5))
    report = load_weights(model, tmp_path / "c", allow_partial=True)
    assert torch.equal(model.encoder[0].weight, FakeModel(seed=4).encoder[0].weight)
    assert report.missing or report.unexpected or "of another shape" in report.line()


def test_a_long_list_of_names_is_cut(tmp_path):
    weights = FakeModel().state_dict() | {f"encoder.x{i}": torch.zeros(1) for i in range(9)}
    save_checkpoint(tmp_path / "c", weights, CONTENTS)
    with pytest.raises(CheckpointError, match=r"encoder\.x5 and 3 more"):
        load_weights(FakeModel(), tmp_path / "c")


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "trainer/optimizer.safetensors",
        "trainer/rng.safetensors",
        "trainer/state.json",
        "tokenizer/vocab.txt",
    ],
)
def test_a_truncated_or_missing_file_is_found(saved, name):
    file = saved / name
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=f"{name} has .* bytes instead of"):
        load_trainer_state(saved)
    with pytest.raises(CheckpointError, match=f"{name} has .* bytes instead of"):
        load_weights(FakeModel(), saved)
    file.unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing; copy"):
        load_weights(FakeModel(), saved)


def test_garbage_of_the_right_size_is_found(saved):
    for name in ("model.safetensors", "trainer/state.json", "manifest.json"):
        content = (saved / name).read_bytes()
        (saved / name).write_bytes(b"\xff" * len(content))
        with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
            load_weights(FakeModel(), saved)
            load_trainer_state(saved)
        (saved / name).write_bytes(content)


def test_the_config_may_be_edited_and_the_trainers_folder_taken_away(saved):
    (saved / "config.yaml").write_text("encoder: fake  # renamed\n")
    for file in (saved / "trainer").iterdir():
        file.unlink()
    (saved / "trainer").rmdir()
    load_weights(FakeModel(), saved)
    with pytest.raises(CheckpointError, match=r"state.json is missing|safetensors is missing"):
        load_trainer_state(saved)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("file", "is a file; name the folder"),
        ("nothing", "does not exist; name the folder"),
        ("empty", "holds no manifest.json"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_weights(FakeModel(), tmp_path / name)


def test_a_later_format_is_refused(saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99, this version reads 1"):
        load_weights(FakeModel(), saved)


def test_a_checkpoint_without_trainer_cannot_be_resumed(tmp_path):
    save_checkpoint(tmp_path / "c", FakeModel().state_dict(), CONTENTS)
    with pytest.raises(CheckpointError, match="saved without a trainer's state"):
        load_trainer_state(tmp_path / "c")


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        save_checkpoint(tmp_path / "mine", FakeModel().state_dict(), CONTENTS)


KILLED = """
import os, random, signal, sys, time, torch
from pathlib import Path
from uer.training.checkpoint import save_checkpoint
from uer.training.state import Contents
torch.set_num_threads(1)
folder, pause = Path(sys.argv[1]), random.Random(0)
weights = {f"encoder.{i}": torch.full((60_000,), 1.0) for i in range(8)}
for attempt in range(12):
    child = os.fork()
    if child == 0:
        step = 0
        while True:
            save_checkpoint(folder / f"out-{step % 3}", weights, Contents(config="x: 1"))
            step += 1
    time.sleep(pause.uniform(0.001, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_kill_9_never_leaves_half_a_checkpoint_under_its_name(tmp_path):
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=True)
    found = sorted(tmp_path.glob("out-*"))
    assert found
    for folder in found:
        model = nn.Module()
        model.encoder = nn.ParameterList(torch.zeros(60_000) for _ in range(8))
        load_weights(model, folder)
        assert all(torch.equal(p, torch.ones(60_000)) for p in model.parameters())

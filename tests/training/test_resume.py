import json
import logging
import shutil

import pytest
from training_fakes import make_trainer

from uer.errors import ConfigError, UserError
from uer.training.checkpoint import save_checkpoint
from uer.training.processes import Processes
from uer.training.resume import Found, find, newest
from uer.training.state import Contents


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Checkpoints after 2, 4, …, 10 updates."""
    folder = tmp_path_factory.mktemp("run")
    make_trainer(folder, total_steps=10, save_checkpoint_steps=2).run()
    return folder


@pytest.fixture
def place(run, tmp_path):
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_newest_is_the_one_with_the_most_updates(place):
    assert newest(place / "out") == (place / "out-10", [])  # not out-8, the last as a word


def test_what_is_not_whole_is_left_out(place):
    (place / "out-10" / "trainer" / "optimizer.safetensors").write_bytes(b"half")
    (place / "out-8" / "manifest.json").unlink()
    (place / ".uer-unfinished-out-12-abc").mkdir()
    shutil.copytree(place / "out-6", place / "out-12.bak")
    shutil.copytree(place / "out-6", place / "other-14")
    (place / "out-16").write_text("a file")
    folder, notes = newest(place / "out")
    assert folder == place / "out-6"
    assert sorted(note.split("/")[-1] for note in notes)[0].startswith(
        "optimizer.safetensors has 4 bytes"
    )
    assert len(notes) == 2 and "out-8 holds no manifest.json" in " ".join(notes)


def test_weights_alone_are_no_run(tmp_path):
    save_checkpoint(tmp_path / "out-3", {}, Contents(config=""))
    folder, (note,) = newest(tmp_path / "out")
    assert folder is None and "out-3 was saved without a trainer's state" in note


def test_not_numbered_the_path_itself_counts(tmp_path):
    make_trainer(tmp_path, total_steps=3, numbered=False).run()
    assert newest(tmp_path / "out")[0] == tmp_path / "out"
    state = json.loads((tmp_path / "out" / "trainer" / "state.json").read_text())
    shutil.copytree(tmp_path / "out", tmp_path / "out-5")
    state["progress"]["step"] = 5
    file = tmp_path / "out-5" / "trainer" / "state.json"
    file.write_text(json.dumps(state, indent=1) + "\n")
    assert newest(tmp_path / "out")[0] == tmp_path / "out-5"


def test_the_flags(place):
    assert find(None, None, place / "out") == Found(None)
    assert find("x", None, place / "out") == find(None, "x", place / "out") == Found("x")
    assert find("x", "x", place / "out") == Found("x")
    with pytest.raises(ConfigError, match="--resume x and --resume_from_checkpoint y are one"):
        find("y", "x", place / "out")
    assert find(None, "auto", place / "out") == Found(str(place / "out-10"), True)
    fresh = find("auto", None, place / "new")
    assert (fresh.folder, fresh.auto) == (None, True)
    assert fresh.notes == (
        f"there is no checkpoint {place}/new-<step> to go on from: the run begins",
    )


class Two(Processes):
    def gather(self, value):
        return [value, "elsewhere"]


def test_processes_that_see_different_disks_are_refused(caplog):
    caplog.set_level(logging.INFO)
    Found("a", True, ("a note",)).agree(Processes())
    assert caplog.messages == ["a note"]
    Found("a").agree(Two())
    with pytest.raises(UserError, match=r"rank 0: a, rank 1: elsewhere.*all of them share"):
        Found("a", True).agree(Two())


def test_a_run_that_is_done_ends_well_if_nobody_named_its_checkpoint(run, place, caplog):
    caplog.set_level(logging.INFO)
    trainer = make_trainer(place, total_steps=10)
    assert trainer.run(place / "out-10", auto=True).step == 10
    assert caplog.messages == [f"{place}/out-10 has done all 10 updates"]
    assert make_trainer(place, total_steps=12).run(place / "out-10", auto=True).step == 12
    with pytest.raises(UserError, match="nothing left to do"):
        make_trainer(place, total_steps=10).run(place / "out-10")

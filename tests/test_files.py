import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from uer import files
from uer.errors import UserError
from uer.files import SCRATCH, atomic_file, atomic_folder, require_writable

MARKER = "meta.json"


def write(path, text):
    with atomic_folder(path, MARKER) as scratch:
        (scratch / MARKER).write_text(json.dumps({"files": {f"inner/{text}.bin": len(text)}}))
        (scratch / "inner").mkdir()
        (scratch / "inner" / f"{text}.bin").write_text(text)


def content(folder):
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in Path(folder).rglob("*")
        if file.is_file()
    }


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "data"
    with atomic_folder(target, MARKER) as scratch:
        (scratch / MARKER).write_text("1")
        assert not target.exists() and scratch.parent == target.parent
    assert content(tmp_path / "deep") == {"data/meta.json": "1"}


def test_one_of_ours_is_replaced_whole(tmp_path):
    target = tmp_path / "data"
    write(target, "old")
    with atomic_folder(target, MARKER) as scratch:
        (scratch / MARKER).write_text("new")
        assert content(target)["inner/old.bin"] == "old"
    assert content(tmp_path) == {"data/meta.json": "new"}


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "x")
    assert content(tmp_path / "data")["inner/x.bin"] == "x"


def test_a_folder_in_which_somebody_put_a_file_is_left_alone(tmp_path):
    write(tmp_path / "data", "old")
    (tmp_path / "data" / "predictions.tsv").write_text("hours of work")
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"other files \(predictions.tsv\), which would be lost"):
        write(tmp_path / "data", "new")
    assert content(tmp_path) == before


def test_a_folder_without_a_manifest_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"other files \(config.yaml\)"):
        write(tmp_path / "data", "new")


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, kind):
    write(tmp_path / "data", "old")
    before = content(tmp_path)
    with pytest.raises(kind), atomic_folder(tmp_path / "data", MARKER) as scratch:
        (scratch / "half").write_text("x")
        raise kind
    with pytest.raises(kind), atomic_file(tmp_path / "file") as scratch:
        scratch.write_text("x")
        raise kind
    assert content(tmp_path) == before


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for attempt in (lambda: write(tmp_path, "x"), lambda: require_writable(tmp_path, MARKER)):
        with pytest.raises(UserError, match="exists and holds other files"):
            attempt()
    assert content(tmp_path) == {"thesis.txt": "years of work"}


def test_a_file_is_no_place_for_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file, a folder is to be written there"):
        write(tmp_path / "file", "x")


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    below = tmp_path / "file" / "data"
    for attempt in (
        lambda: write(below, "x"),
        lambda: require_writable(below, MARKER),
        lambda: atomic_file(below).__enter__(),
    ):
        with pytest.raises(UserError, match=r"cannot write to .*file: "):
            attempt()


def test_asking_whether_a_place_can_be_written_leaves_no_trace(tmp_path):
    write(tmp_path / "data", "x")
    before = content(tmp_path)
    require_writable(tmp_path / "data", MARKER)
    require_writable(tmp_path / "new", MARKER)
    assert content(tmp_path) == before and not (tmp_path / "new").exists()


def test_a_file_is_replaced_whole(tmp_path):
    target = tmp_path / "sub" / "file"
    for text in ("old", "new"):
        with atomic_file(target) as scratch:
            scratch.write_text(text)
    assert content(tmp_path) == {"sub/file": "new"}


def test_permissions_are_those_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "data", "x")
        with atomic_file(tmp_path / "file") as scratch:
            scratch.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


KILLED = """
import sys, time
from uer.files import atomic_folder
with atomic_folder(sys.argv[1], "meta.json") as scratch:
    (scratch / "meta.json").write_text("{}")
    print("writing", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_the_old_folder_readable(tmp_path):
    write(tmp_path / "data", "old")
    before = content(tmp_path / "data")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(tmp_path / "data") == before
    write(tmp_path / "data", "new")
    assert content(tmp_path / "data")["inner/new.bin"] == "new"


def abandon(folder, name):
    """What a process leaves that was killed some time ago."""
    scratch = folder / f"{SCRATCH}{name}"
    scratch.mkdir()
    (scratch / "half").write_text("x")
    os.utime(scratch, (0, 0))
    return scratch


def test_what_killed_processes_left_is_removed(tmp_path):
    left, foreign = abandon(tmp_path, "data-abc"), abandon(tmp_path, "other-abc")
    write(tmp_path / "data", "x")
    assert not left.exists() and foreign.exists()


def test_what_another_process_is_writing_is_not_removed(tmp_path):
    with atomic_folder(tmp_path / "data", MARKER) as scratch:
        (scratch / MARKER).write_text(json.dumps({"files": {}}))
        os.utime(scratch, (0, 0))
        write(tmp_path / "data", "first")
        assert scratch.is_dir()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_replaced_folder_leaves_nothing_behind(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    write(tmp_path / "data", "old")
    write(tmp_path / "data", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert content(tmp_path / "data")["inner/new.bin"] == "new"


def test_the_last_whole_folder_is_kept_though_its_place_is_empty(tmp_path):
    old = abandon(tmp_path, "data-abc-old")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "data", MARKER):
        raise RuntimeError
    assert old.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step")
def test_linux_exchanges_names_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    assert files._exchange(tmp_path / "a", tmp_path / "b")
    assert content(tmp_path) == {"a/b": "b", "b/a": "a"}

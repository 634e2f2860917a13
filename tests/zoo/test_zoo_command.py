"""`uer zoo` as users call it: a process of its own, the hub and its cache by their variables."""

import json

import pytest
from fake_hub import COMMIT, FILES, NEEDED, FakeHub
from support import python

from uer.cli.main import run
from uer.zoo.manifest import read_manifest


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Runs `uer zoo`; its attribute `hub` serves the model gpt2."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hub = FakeHub(read_manifest()["gpt2"].repo)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    def call(*words):
        return python("-m", "uer", "zoo", *words, cwd=tmp_path)

    call.hub = hub
    yield call
    hub.close()


def out(capsys, *words):
    assert run("zoo", words, "uer zoo") == 0
    return capsys.readouterr().out


def says(capfd, message, *words):
    assert run("zoo", words, "uer zoo") == 2
    assert message in capfd.readouterr().err.splitlines()[-1]


def test_download_show_and_copy(zoo, tmp_path):
    done = zoo("download", "gpt2")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.rstrip("\n")
    assert folder.is_relative_to(tmp_path / "home" / "hub") and folder.name == COMMIT
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    zoo.hub.requests.clear()
    shown = zoo("show", "gpt2").stdout
    assert f"cached    {folder}, 0.2 MiB\n" in shown and zoo.hub.requests == []
    for _ in range(2):  # what it wrote itself it may replace
        done = zoo("download", "gpt2", "--to", "copy")
        assert (done.returncode, done.stdout) == (0, "copy\n") and zoo.hub.sent() == []
    source = json.loads((tmp_path / "copy" / "zoo.json").read_text())
    assert source["repo"] == "openai-community/gpt2" and source["commit"] == COMMIT
    assert sorted(source["files"]) == NEEDED
    assert all((tmp_path / "copy" / name).read_bytes() == FILES[name] for name in NEEDED)
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    done = zoo("download", "gpt2", "--to", "copy")
    assert done.returncode == 2 and "holds other files (notes.txt)" in done.stderr


def test_offline_only_what_is_whole_in_the_cache_is_given(zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = zoo("download", "gpt2")
    assert done.returncode == 2 and done.stdout == ""
    assert "is not in the cache, and HF_HUB_OFFLINE forbids" in done.stderr.splitlines()[-1]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder = zoo("download", "gpt2").stdout
    zoo.hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert zoo("download", "gpt2").stdout == folder and zoo.hub.requests == []
    (tmp_path / folder.rstrip("\n") / "vocab.txt").resolve().write_bytes(b"damage")
    done = zoo("download", "gpt2")
    assert done.returncode == 2 and "vocab.txt is damaged, and HF_HUB_OFFLINE" in done.stderr


def test_the_list_needs_neither_the_hub_library_nor_torch(tmp_path):
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from uer.cli.main import main; status = main(['zoo', 'list'])\n"
        "print(status, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    lines = python("-c", code, cwd=tmp_path).stdout.splitlines()
    assert lines[-1] == "0 False False"
    assert lines[0].split() == ["name", "family", "config", "licence", "repository"]
    assert [line.split()[0] for line in lines[1:-1]] == list(read_manifest())


def test_a_word_chooses_lines_of_the_list(capsys):
    lines = out(capsys, "list", "Pegasus").splitlines()
    expected = [entry for entry in read_manifest().values() if "pegasus" in entry.repo]
    assert [line.split()[0] for line in lines[1:]] == [entry.name for entry in expected]


def test_what_is_known_of_a_model(capsys, monkeypatch):
    monkeypatch.setattr("uer.cli.zoo.importlib.util.find_spec", lambda _: None)
    lines = out(capsys, "show", "distilgpt2").splitlines()
    assert lines == [
        "name      distilgpt2",
        "family    gpt2",
        "repo      distilbert/distilgpt2",
        "licence   apache-2.0",
        "config    gpt2/distil",
        "about     English; 6 layers of 768",
        "revision  main",
        "cached    not known (`pip install uer[hub]`)",
    ]


def test_wrong_words(capfd):
    says(capfd, "no model 'gpt22'; did you mean 'gpt2'?", "show", "gpt22")
    says(capfd, "`uer zoo show` needs the name of a model", "show")
    says(capfd, "--to goes with `uer zoo download`", "list", "--to", "x")
    says(capfd, "no model of the zoo has 'nothing-like-it'", "list", "nothing-like-it")
    says(capfd, "invalid choice: 'lost'", "lost")

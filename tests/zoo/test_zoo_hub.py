"""Fetching from a server that answers as the hub does."""

import errno
import sys
from collections import namedtuple

import pytest
from fake_hub import COMMIT, FILES, NEEDED, REPO

from uer.errors import UserError
from uer.zoo.errors import sentence
from uer.zoo.hub import cached, damaged, fetch, files_in
from uer.zoo.manifest import Entry

FACTS = {"name": "tiny", "family": "bert", "licence": "mit", "config": "huggingface", "about": "-"}
TINY = Entry(repo=REPO, **FACTS)


@pytest.fixture
def get(hub, tmp_path):
    return lambda entry=TINY: fetch(entry, endpoint=hub.endpoint, cache=str(tmp_path / "cache"))


@pytest.fixture
def look(tmp_path):
    return lambda entry=TINY: cached(entry, cache=str(tmp_path / "cache"))


def test_only_what_a_model_needs_is_fetched(hub, get, look):
    assert look() is None
    folder = get()
    assert sorted(files_in(folder)) == NEEDED == hub.sent()
    assert all((folder / name).read_bytes() == FILES[name] for name in NEEDED)
    assert folder.name == COMMIT and look() == folder and damaged(folder) == []


def test_pickled_weights_are_fetched_where_there_are_no_others(hub, get):
    del hub.files["model.safetensors"]
    assert "pytorch_model.bin" in files_in(get())


def test_a_second_time_nothing_is_sent_again(hub, get, look):
    folder = get()
    hub.requests.clear()
    assert get() == folder and hub.sent() == []
    hub.requests.clear()
    assert look() == folder and hub.requests == []


def test_a_new_commit_is_fetched_and_the_same_contents_are_not(hub, get, look):
    old = get()
    hub.commit, hub.files["vocab.txt"] = "2" * 40, b"[PAD]\n"
    hub.requests.clear()
    assert look() == old  # nobody asked for a newer one
    new = get()
    assert new.name == "2" * 40 and hub.sent() == ["vocab.txt"] and look() == new
    assert (new / "vocab.txt").read_bytes() == b"[PAD]\n"


def test_a_transfer_that_is_cut_goes_on_where_it_was(hub, get, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = {"model.safetensors"}
    folder = get()
    half = len(FILES["model.safetensors"]) // 2
    path = f"/{REPO}/resolve/{COMMIT}/model.safetensors"
    assert [r for r in hub.requests if r[:2] == ("GET", path)] == [
        ("GET", path, 0),
        ("GET", path, half),
    ]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_after_an_interruption_only_the_rest_is_fetched(hub, get, look):
    hub.served["model.safetensors"] = b""
    with pytest.raises(UserError):
        get()
    assert look() is None
    hub.served.clear()
    hub.requests.clear()
    assert look() is None
    folder = get()
    assert hub.sent() == ["model.safetensors"] and look() == folder


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_file_is_noticed_and_fetched_again(hub, get, name, content):
    folder = get()
    blob = (folder / name).resolve()
    blob.write_bytes(FILES[name][::-1] if content is None else content)
    assert damaged(folder) == [name]
    hub.requests.clear()
    assert get() == folder and hub.sent() == [name] and damaged(folder) == []
    assert (folder / name).read_bytes() == FILES[name]


def test_contents_that_differ_from_their_checksum_are_refused(hub, get):
    hub.served["model.safetensors"] = FILES["model.safetensors"][::-1]
    with pytest.raises(UserError, match=r"not what the hub describes.*checksum differs"):
        get()
    assert hub.sent().count("model.safetensors") == 2


@pytest.mark.parametrize(
    ("refuse", "message"),
    [
        ((401, "GatedRepo"), "given only to who accepted its terms.*hf auth login"),
        ((403, "GatedRepo"), "given only to who accepted its terms.*hf auth login"),
        ((401, "RepoNotFound"), "knows no such repository, or shows it to its members only"),
        ((401, None), r"the hub refuses access \(401\); log in with"),
        ((403, None), r"the hub refuses access \(403\)"),
        ((404, "RevisionNotFound"), "has no revision 'main'"),
        ((404, "EntryNotFound"), "lists a file that it does not have"),
        ((500, None), "the hub answered 500; try later"),
    ],
)
def test_refusals(hub, get, refuse, message):
    hub.refuse = refuse
    with pytest.raises(UserError, match=f"^tiny \\(org/tiny\\).*{message}"):
        get()


def test_an_unknown_revision_or_repository(get):
    with pytest.raises(UserError, match="has no revision 'v9'"):
        get(Entry(repo=REPO, revision="v9", **FACTS))
    with pytest.raises(UserError, match="knows no such repository"):
        get(Entry(repo="org/other", **FACTS))


def test_a_repository_without_weights(hub, get):
    for name in ("model.safetensors", "pytorch_model.bin"):
        del hub.files[name]
    with pytest.raises(UserError, match=r"holds no config\.json, or neither model\.safetensors"):
        get()


def test_a_full_disk_is_noticed_before(get, hub, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 0, 1000)
    monkeypatch.setattr("uer.zoo.hub.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"bytes are to be fetched, but the disk of .* 1,000 left"):
        get()
    assert "model.safetensors" not in hub.sent()


def test_a_hub_that_is_not_there(hub, tmp_path):
    hub.close()
    with pytest.raises(
        UserError, match=r"transfer from the hub failed \(.*refused\); check the ne"
    ):
        fetch(TINY, endpoint=hub.endpoint, cache=str(tmp_path))


def test_an_update_that_fails_leaves_the_older_model(hub, get, look):
    old = get()
    hub.commit, hub.files["model.safetensors"] = "2" * 40, b"new weights"
    hub.served["model.safetensors"] = b"other bytes"
    with pytest.raises(UserError, match="not what the hub describes"):
        get()
    assert look() == old and damaged(old) == []


def test_errors_of_the_file_system():
    full = sentence(TINY, OSError(errno.ENOSPC, "No space left on device"))
    assert full.startswith("tiny (org/tiny): the disk is full; make room")
    denied = sentence(TINY, PermissionError(errno.EACCES, "Permission denied", "/cache/blob"))
    assert denied == "tiny (org/tiny): /cache/blob cannot be written: Permission denied."


def test_a_missing_library_is_named(monkeypatch, get):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install uer\[hub\]"):
        get()

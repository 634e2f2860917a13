import re

import pytest

from uer.config import find_config, shipped_models
from uer.errors import UserError
from uer.zoo import manifest
from uer.zoo.manifest import find_entry, read_manifest

ENTRIES = read_manifest()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_complete(name):
    entry = ENTRIES[name]
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) and entry.name == name
    assert re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", entry.repo)
    assert entry.family and entry.licence.strip() and entry.revision
    assert entry.about and "\n" not in entry.about and len(entry.about) < 80
    assert entry.config == "huggingface" or entry.config in shipped_models()
    assert entry.config == "huggingface" or find_config(entry.config).is_file()


def test_no_repository_stands_twice():
    repositories = [entry.repo for entry in ENTRIES.values()]
    assert len(set(repositories)) == len(repositories)


def test_both_kinds_of_models_are_there():
    assert sum(entry.repo.startswith("uer/") for entry in ENTRIES.values()) >= 20
    for repo in ("google-bert/bert-base-uncased", "openai-community/gpt2", "google-t5/t5-small"):
        assert repo in {entry.repo for entry in ENTRIES.values()}


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no model 'bert-base-uncasd'; did you mean 'bert-base-un"):
        find_entry("bert-base-uncasd")


@pytest.mark.parametrize("text", ["a: {x: {repo: o/r}}\n", "a: {x: {repo: o/r, sha: 1}}\n"])
def test_a_manifest_with_missing_or_unknown_facts_is_refused(monkeypatch, tmp_path, text):
    (tmp_path / "models.yaml").write_text(text)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "models.yaml")
    with pytest.raises(TypeError):
        read_manifest()


def test_a_name_in_two_families_is_refused(monkeypatch, tmp_path):
    facts = "{repo: o/r, licence: mit, config: huggingface, about: x}"
    (tmp_path / "models.yaml").write_text(f"a: {{x: {facts}}}\nb: {{x: {facts}}}\n")
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "models.yaml")
    with pytest.raises(AssertionError, match="two families"):
        read_manifest()

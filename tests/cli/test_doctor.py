import importlib
import os
import sys
import types
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from uer.cli import doctor as module
from uer.cli.main import run
from uer.optimizers import _apex


def report(capsys, *words):
    assert run("doctor", words, "uer doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split("  ")[0].strip() for line in lines]
    assert len(set(names)) == len(names)
    return {name: line[len(name) :].strip() for name, line in zip(names, lines, strict=True)}


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    """Decide which packages are installed; the toolkit has two extras."""
    there = {"torch": torch.__version__}

    def version(name):
        if name in there:
            return there[name]
        raise PackageNotFoundError(name)

    declared = ["torch>=2.6", 'one>=1; extra == "log"', "two ; extra == 'log'"]
    declared += ['three; extra == "zh"', 'four; extra == "test"']
    monkeypatch.setattr(module, "version", version)
    monkeypatch.setattr(module, "requires", lambda name: declared)
    return there


def test_what_it_says_of_this_machine(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = report(capsys, "--device", "cpu")
    assert found["python"].endswith(sys.executable) and found["torch"] == torch.__version__
    assert found["devices"].startswith("cpu") and found["device"] == "cpu (--device)"
    assert f"{torch.get_num_threads()} threads" in found["process"]
    assert found["folder"].startswith(f"{tmp_path}: can be written, ")
    assert list(tmp_path.iterdir()) == []
    assert int(found["cores"].split()[0]) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "amx, said",
    [
        (True, "bf16: the CPU has matrix instructions for bf16 (AMX) (--precision)"),
        (False, "fp32: the CPU has no matrix instructions for bf16 (AMX) (--precision)"),
    ],
)
def test_the_precision_and_why(capsys, monkeypatch, amx, said):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx}, raising=False)
    assert report(capsys, "--device", "cpu")["precision"] == said


def test_the_precision_of_other_devices():
    assert module._why(torch.device("cuda"), "bf16") == "the GPU has units for bf16"
    assert module._why(torch.device("cuda"), "fp32") == "the GPU has no units for bf16"
    assert "have to be asked for" in module._why(torch.device("mps"), "fp32")


def test_gpus_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda number: types.SimpleNamespace(name="Fast", total_memory=80 * 2**30),
    )
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert module._devices() == "cpu; cuda:0 Fast, 80 GiB; mps"


def test_extras_are_named_with_what_installs_them(capsys, packages):
    packages["two"] = "2.5"
    found = report(capsys)
    assert found["extra log"] == "two 2.5; missing one: pip install 'uer[log]'"
    assert found["extra zh"] == "missing three: pip install 'uer[zh]'"
    packages |= {"one": "1.0", "three": "3.0"}
    found = report(capsys)
    assert (found["extra log"], found["extra zh"]) == ("one 1.0, two 2.5", "three 3.0")
    assert "extra test" not in found and "deepspeed" not in found


def test_a_toolkit_that_is_not_installed(capsys, monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "requires", absent)
    assert "pip install -e ." in report(capsys)["extras"]


def test_a_torch_that_cannot_be_loaded_is_a_line(capsys, monkeypatch):
    load = importlib.import_module

    def refuse(name):
        if name == "torch":
            raise OSError("libcudart.so.12: cannot open shared object file")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    found = report(capsys)
    assert found["devices"].startswith("torch cannot be loaded (libcudart")
    assert {"folder", "extra log"} <= found.keys() and not {"precision", "apex"} & found.keys()


@pytest.mark.parametrize(
    "kind, said",
    [
        ("absent", "not installed"),
        ("nvidia", "NVIDIA's; used"),
        ("other", "another project of this name, from PyPI"),
        ("broken", "without its CUDA kernels"),
    ],
)
def test_which_apex_it_is(capsys, monkeypatch, kind, said):
    monkeypatch.setattr(_apex, "find_apex", lambda: kind)
    assert said in report(capsys)["apex"]


def test_a_deepspeed_that_cannot_be_imported(capsys, monkeypatch, packages):
    packages["deepspeed"] = "0.19"
    monkeypatch.setitem(sys.modules, "deepspeed", types.ModuleType("deepspeed"))
    assert report(capsys)["deepspeed"] == "can be imported"
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    assert "cannot be imported (ModuleNotFoundError: import of" in report(capsys)["deepspeed"]


def test_a_folder_that_cannot_be_written(capsys, monkeypatch):
    from uer.errors import UserError

    def refuse(place):
        raise UserError(f"cannot write to {place.parent}: Permission denied.")

    monkeypatch.setattr(module, "probe_place", refuse)
    assert "Permission denied, " in report(capsys)["folder"]


def test_a_device_that_is_not_there_is_a_sentence(capsys):
    assert run("doctor", ["--device", "cuda:99"], "uer doctor") == 2
    assert "torch finds" in capsys.readouterr().err

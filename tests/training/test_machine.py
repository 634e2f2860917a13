import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from uer.errors import ConfigError
from uer.training import machine
from uer.training.machine import (
    choose_device,
    choose_precision,
    prepare,
    random_state,
    seed_everything,
    set_random_state,
)

CPU = torch.device("cpu")

PREPARED = """
import torch
from uer.training.machine import prepare
line = prepare("cpu", "fp32", threads=1).line()
tiny = torch.tensor([1e-30]) * torch.tensor([1e-10])
print(line, float(tiny), torch.get_num_threads(), sep="|")
"""


def test_a_prepared_process_flushes_denormals_and_says_so():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", PREPARED],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    line, tiny, threads = done.stdout.strip().split("|")
    assert line.startswith("device cpu, precision fp32, denormals ") and "1 threads" in line
    assert "denormals kept" in line or float(tiny) == 0
    assert threads == "1"
    if sys.platform == "linux" and "GNU" in os.confstr("CS_GNU_LIBC_VERSION").upper():
        assert "freed memory kept" in line


def test_a_process_that_cannot_be_tuned_says_so(monkeypatch):
    def nothing(_):
        raise OSError("no libc")

    monkeypatch.setattr(machine.ctypes, "CDLL", nothing)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: False)
    notes = prepare("cpu", "fp32").line()
    assert "denormals kept (the CPU cannot flush them)" in notes
    assert "freed memory returned (no glibc)" in notes


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", "tpu:1", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ConfigError, match=f"--device {name}: choose auto, cpu"):
        choose_device(name)


def test_a_device_that_is_not_there_is_refused():
    number = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"torch finds {number} such devices"):
        choose_device(f"cuda:{number}")


def test_devices():
    assert choose_device("cpu") == CPU
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type in (best, "mps")


@pytest.mark.parametrize(
    "capabilities, chosen",
    [
        ({"amx_bf16": True}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_a_cpu_takes_bf16_only_with_matrix_instructions(monkeypatch, capabilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", CPU) == chosen


def test_a_torch_that_does_not_know_the_cpu_takes_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", CPU) == "fp32"


def test_a_wish_is_granted_except_fp16_on_a_cpu():
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("auto", torch.device("mps")) == "fp32"
    assert choose_precision("fp16", torch.device("cuda")) == "fp16"
    with pytest.raises(ConfigError, match="--precision fp16: a CPU is slow at it"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize("bf16, chosen", [(True, "bf16"), (False, "fp32")])
def test_a_gpu_takes_bf16_where_it_has_it(monkeypatch, bf16, chosen):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert choose_precision("auto", torch.device("cuda")) == chosen


def draw():
    numbers = (random.random(), random.gauss(0, 1), np.random.randn(), float(torch.rand(())))
    return (*numbers, float(torch.randn(3).sum()))


@pytest.mark.parametrize("odd", [False, True])
def test_random_states_return(odd):
    seed_everything(5)
    if odd:  # the generators keep the second number of a pair of normal ones
        random.gauss(0, 1)
        np.random.randn()
    state, first = random_state(), draw()
    draw()
    set_random_state(state)
    assert draw() == first


def test_a_seed_decides_everything():
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert draw() != first


@pytest.mark.parametrize(("tf32", "matrices"), [(True, "high"), (False, "highest")])
def test_tf32_is_a_switch_and_the_log_says_where_it_stands(monkeypatch, tf32, matrices):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(machine, "choose_device", lambda name: torch.device("cuda"))
    try:
        line = prepare("cuda", "fp32", tf32=tf32).line()
        assert torch.get_float32_matmul_precision() == matrices
        assert torch.backends.cudnn.allow_tf32 is tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
    assert f"TF32 {'on' if tf32 else 'off'}" in line
    monkeypatch.undo()
    assert ("no TF32 on cpu" in prepare("cpu", "fp32", tf32=tf32).line()) == tf32

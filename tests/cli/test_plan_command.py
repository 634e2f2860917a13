"""The command that says how a model fits."""

import json

import pytest
from support import MLM, TINY

from uer.cli.main import run
from uer.config import dump_yaml
from uer.training.deepspeed_config import completed, read_deepspeed_config


@pytest.fixture
def planned(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(dump_yaml(MLM))

    def attempt(*words, status=0):
        given = [tmp_path / "tiny.yaml", "--vocab_size", 500, *words]
        assert run("plan", [str(word) for word in given], "uer plan") == status
        return capsys.readouterr()

    return attempt


def rows_of(text):
    """Micro-batches by way."""
    lines = [
        line for line in text.splitlines() if line.endswith(tuple("0123456789")) or "none" in line
    ]
    return {line[:38].strip(): line.split()[-1] for line in lines if line[38:46].strip()}


def test_what_fits_into_one_gpu(planned):
    text = planned("--gpu_memory", 1, "--batch_size", 8).out
    assert "14,308 parameters, 14,308 of them trained; rows of 32, bf16; 1 x 1 GiB" in text
    assert rows_of(text)["single"] == "8"
    assert "advice: single\n  python pretrain.py … --engine single --batch_size 8" in text


def test_the_file_is_what_deepspeed_is_given(planned, tmp_path):
    file = tmp_path / "ds.json"
    words = ("--gpus", 8, "--gpu_memory", 1, "--batch_size", 8, "--output", file)
    text = planned(*words, "--freeze", "embedding").out
    assert "of them trained" in text and "14,308 of them trained" not in text
    assert "advice: ZeRO 1" in text and f"--deepspeed --deepspeed_config {file}" in text
    found = read_deepspeed_config(file)
    assert found["zero_optimization"]["stage"] == 1 and found["bf16"] == {"enabled": True}
    assert json.loads(file.read_text())["zero_optimization"]["overlap_comm"] is False
    assert completed(found, precision="bf16", max_grad_norm=1.0, device="cuda")


def test_less_memory_means_smaller_micro_batches_and_then_none(planned):
    words = ("--gpus", 2, "--batch_size", 256, "--precision", "fp32", "--gpu_memory")
    text = planned(*words, 0.004, "--checkpoint_activations").out
    ways = rows_of(text)
    assert all("recompute" in way for way in ways) and 0 < int(ways["ddp, recompute"]) < 256
    assert "--accumulation_steps" in text and "--checkpoint_activations" in text
    assert "nothing fits: one row takes at least" in planned(*words, 0.00001, status=2).err


def test_adapters(planned):
    """Rank 3 on query and value of both layers, each with an A and a B of the width 8."""
    words = ("--gpus", 2, "--gpu_memory", 1, "--batch_size", 8, "--use_lora", "--lora_r", 3)
    text = planned(*words).out
    assert f"parameters, {2 * 2 * 2 * 3 * TINY['hidden_size']:,} of them trained" in text
    assert {"ddp", "ZeRO 3", "fsdp, recompute"} < rows_of(text).keys()
    assert (
        "--lora_targets nothing: matches nothing"
        in planned(*words, "--lora_targets", "nothing", status=2).err
    )


def test_what_cannot_be_planned(planned):
    assert "must be positive" in planned("--gpus", 0, status=2).err
    text = planned("--gpus", 2, "--gpu_memory", 1, "--optimizer", "lamb").out
    assert "ZeRO" not in text  # which would cut its matrices into pieces

import json

import pytest

from uer.errors import ConfigError
from uer.training.deepspeed_config import (
    completed,
    read_deepspeed_config,
    require_one_optimizer,
    settings_in,
)

PREDECESSOR = {
    "gradient_accumulation_steps": 1,
    "train_micro_batch_size_per_gpu": 1,
    "optimizer": {"type": "Adam", "params": {"lr": 2e-5, "weight_decay": 1e-2}},
    "fp16": {"enabled": True, "loss_scale": 0},
    "zero_optimization": {
        "stage": 2,
        "offload_param": {"device": "cpu"},
        "offload_optimizer": {"device": "cpu"},
    },
    "zero_allow_untested_optimizer": True,
}


def written(tmp_path, config):
    path = tmp_path / "ds.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def made(config, **changes):
    return completed(
        config, **{"precision": "fp32", "max_grad_norm": 1.0, "device": "cpu", **changes}
    )


def test_without_a_file_it_is_stage_2_and_zero3_says_3():
    assert read_deepspeed_config(None)["zero_optimization"] == {"stage": 2}
    assert read_deepspeed_config(None, zero3=True)["zero_optimization"] == {"stage": 3}


def test_a_predecessors_file_is_read_as_it_was_meant(tmp_path):
    path = written(tmp_path, PREDECESSOR)
    config = read_deepspeed_config(path)
    assert settings_in(config) == {"learning_rate": 2e-5, "precision": "fp16"}
    assert "offload_param" not in config["zero_optimization"]  # stage 2 divides no parameter
    assert "offload_param" in read_deepspeed_config(path, zero3=True)["zero_optimization"]


@pytest.mark.parametrize("norm", [0.0, 0.5])
def test_clipping_is_always_written_out_and_the_loop_stays_ours(norm):
    config = made({"zero_optimization": {"stage": 1}, "gradient_clipping": 9.0}, max_grad_norm=norm)
    assert config["gradient_clipping"] == norm
    assert config["gradient_accumulation_steps"] == 1
    assert config["managed_gradient_accumulation"] is False
    assert config["zero_optimization"]["overlap_comm"] is False
    assert "train_batch_size" not in made(
        {"zero_optimization": {"stage": 2}, "train_batch_size": 7}
    )


def test_values_left_open_are_decided_by_us(tmp_path):
    config = {"zero_optimization": {"stage": 3, "reduce_bucket_size": "auto"}}
    config |= {"optimizer": {"type": "AdamW", "params": {"lr": "auto"}}, "fp16": "auto"}
    read = read_deepspeed_config(written(tmp_path, config))
    assert read["zero_optimization"] == {"stage": 3} and settings_in(read) == {}


def test_fp16_gets_its_loss_scaling():
    config = {"zero_optimization": {"stage": 2}}
    assert made(config, precision="fp16", device="cuda")["fp16"] == {"enabled": True}
    kept = {**config, "fp16": {"enabled": True, "hysteresis": 4}}
    assert made(kept, precision="fp16", device="cuda")["fp16"]["hysteresis"] == 4


@pytest.mark.parametrize(
    "config, words",
    [
        ("{", "is no JSON"),
        ("[1]", "must be one JSON object"),
        ({"scheduler": {"type": "WarmupLR"}}, "scheduler: the learning rate follows --scheduler"),
        ({"tensor_parallel": {"autotp_size": 2}}, "tensor_parallel: there is no tensor paral"),
        ({"zero_optimization": {"stage": 0}}, "stage 0: choose 1, 2 or 3.*--engine ddp"),
        ({}, "stage 0: choose 1, 2 or 3"),
        (
            {
                "zero_optimization": {"stage": 1},
                "fp16": {"enabled": True},
                "bf16": {"enabled": True},
            },
            "fp16 and bf16 are both enabled",
        ),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, config, words):
    with pytest.raises(ConfigError, match=words):
        read_deepspeed_config(written(tmp_path, config))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        read_deepspeed_config(tmp_path / "none.json")


def test_half_precision_has_to_agree():
    config = {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}
    with pytest.raises(ConfigError, match=r"bf16 is enabled .* --precision is fp32"):
        made(config)
    with pytest.raises(ConfigError, match="fp16: a CPU is slow at it"):
        made({"zero_optimization": {"stage": 2}}, precision="fp16")


def test_the_files_optimizer_knows_no_layers(tmp_path):
    config = read_deepspeed_config(written(tmp_path, PREDECESSOR))
    require_one_optimizer(config, layerwise_decay=1.0)
    require_one_optimizer(read_deepspeed_config(None), layerwise_decay=0.9)
    with pytest.raises(ConfigError, match=r"--layerwise_decay 0\.9: the optimizer block of Deep"):
        require_one_optimizer(config, layerwise_decay=0.9)

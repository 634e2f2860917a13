import pytest
from training_fakes import make_settings

from uer.errors import ConfigError


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("total_steps", 0, "must be at least 1"),
        ("save_checkpoint_steps", 0, "must be at least 1"),
        ("report_steps", -1, "must be at least 1"),
        ("batch_size", 0, "must be at least 1"),
        ("accumulation_steps", 0, "must be at least 1"),
        ("max_skipped_updates", 0, "must be at least 1"),
        ("keep_checkpoints", -1, "must not be negative"),
        ("eval_steps", -5, "must not be negative"),
        ("learning_rate", -1e-4, "must be a positive number"),
        ("learning_rate", float("nan"), "must be a positive number"),
        ("max_grad_norm", -1.0, "or 0 for no clipping"),
        ("layerwise_decay", 0.0, "must lie between 0 and 1, 0 excluded"),
        ("layerwise_decay", 1.1, "must lie between 0 and 1, 0 excluded"),
        ("ema_decay", 1.0, "must lie between 0 and 1, 1 excluded"),
        ("max_hours", 0.0, "must be a positive number"),
        ("spike_factor", 0.5, "must be above 1, or 0 for no warnings"),
        ("seed", -1, "must lie between 0 and 2"),
        ("threads", 0, "must be at least 1"),
        ("precision", "fp8", "choose auto, fp32, bf16 or fp16"),
    ],
)
def test_a_bad_value_is_named_with_its_flag(tmp_path, name, value, message):
    with pytest.raises(ConfigError, match=rf"--{name} {value}: .*{message}"):
        make_settings(tmp_path, **{name: value})


def test_an_empty_output_path_is_refused():
    from uer.training.settings import Settings

    with pytest.raises(ConfigError, match="--output_model_path : name a place"):
        Settings(output_model_path="")


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        make_settings(tmp_path, batch_size=0, seed=-1)
    assert len(caught.value.problems) == 2


def test_differences_to_another_run(tmp_path):
    settings = make_settings(tmp_path, seed=8, max_grad_norm=0)
    assert settings.differences({"seed": 7, "batch_size": 32}) == ["seed 8 (was 7)"]

import logging

import pytest
from training_fakes import make_settings

from uer.errors import ConfigError
from uer.training.length import with_length


class Data:
    """Epochs of 10 batches, joined: the last batch of an epoch and the first of the next mix."""

    def count(self, epochs):
        return -(-epochs * 95 // 10)

    def tokens(self):
        return 5000


def length(folder, *, steps_given=False, accumulation_steps=1, total_steps=100, **limits):
    settings = make_settings(folder, total_steps=total_steps, accumulation_steps=accumulation_steps)
    made = with_length(settings, Data(), steps_given=steps_given, **limits)
    assert made.accumulation_steps == accumulation_steps
    return made.total_steps


@pytest.mark.parametrize(
    "given, updates",
    [
        ({}, 100),
        ({"steps_given": True}, 100),
        ({"epochs": 1}, 10),
        ({"epochs": 2}, 19),
        ({"epochs": 2, "accumulation_steps": 4}, 5),
        ({"epochs": 20}, 190),  # the default number of updates does not count
        ({"epochs": 20, "steps_given": True}, 100),
        ({"max_tokens": 5000}, 10),
        ({"max_tokens": 5001}, 11),
        ({"max_tokens": 1}, 1),
        ({"max_tokens": 5000, "accumulation_steps": 4}, 3),
        ({"max_tokens": 4000, "epochs": 1, "steps_given": True}, 8),
        ({"max_tokens": 4000, "epochs": 1, "steps_given": True, "total_steps": 3}, 3),
    ],
)
def test_the_first_limit_that_was_given_ends_the_run(tmp_path, given, updates):
    assert length(tmp_path, **given) == updates


def test_how_it_was_found_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    length(tmp_path)
    assert not caplog.messages
    length(tmp_path, epochs=1, steps_given=True)
    assert caplog.messages == [
        "total_steps ends after 100 updates, epochs ends after 10 updates; the run has 10"
    ]


@pytest.mark.parametrize("limit", ["epochs", "max_tokens"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_positive(tmp_path, limit, value):
    with pytest.raises(ConfigError, match=f"--{limit} {value}: must be at least 1"):
        length(tmp_path, **{limit: value})

"""Engines' parts of memory, by hand."""

import pytest

from uer.training.memory import Step
from uer.training.plan import Choice, Memory, best, choices, deepspeed_file, memory, micro_batch

P = 1000  # parameters, all of them trained, of two layers of 300 and 400 outside


def steps(half, checkpoint, rows):
    """A step of 7 bytes that do not depend on the rows, 100 a row (10 recomputed)."""
    size = 2 if half else 4
    held = 7 + rows * (10 if checkpoint else 100)
    gradients = [(True, size * P)]
    return Step(
        weights=size * P,
        trained=size * P,
        gradients=size * P,
        optimizer=8 * P,
        layer=size * 300,
        outside=size * 400,
        events=[(False, held), (False, -held), *gradients],
    )


def of(*choice, processes=8):
    return memory(Choice(*choice), processes, steps, (2, 6))


def test_every_process_holds_everything():
    assert of("ddp") == Memory(4 * P, 4 * P, 8 * P, 7, 100, 0)
    assert of("ddp", 0, True).per_row == 10
    # alone, gradients come when activations have gone: the peak is theirs, for few rows
    alone = of("single", processes=1)
    assert alone.total(2) == 4 * P + 8 * P + 4 * P
    # and that of the activations for many
    assert alone.total(100) == 4 * P + 8 * P + 7 + 100 * 100
    assert alone.most_rows(alone.total(100)) == 100 and alone.most_rows(alone.total(2) - 1) == 0


def test_parts():
    together = 4 * 400 + 2 * 4 * 300
    sent = 4 * 400
    assert of("fsdp") == Memory(500 + together, 500 + sent, P, 7, 100, 0)
    # 2 bytes a weight and gradient; 4 + 8 of the optimizer, divided; two buckets, here all of it
    state = 12 * P // 8
    assert of("deepspeed", 1) == Memory(2 * P, 2 * P, state, 7, 100, 0)
    assert of("deepspeed", 2) == Memory(2 * P, 2 * P // 8 + 2 * 2 * P, state, 7, 100, 0)
    three = of("deepspeed", 3)
    assert three.weights == 2 * P // 8 + together // 2 and three.gradients == 250 + 4 * P
    away = of("deepspeed", 3, True, "optimizer")
    assert (away.weights, away.optimizer, away.host) == (three.weights, 0, 12 * P + 4 * P)
    everything = of("deepspeed", 3, True, "parameters")
    assert (everything.weights, everything.host) == (together // 2, 16 * P + 2 * P)


def test_what_can_be_chosen():
    assert [c.title() for c in choices(1, elementwise=False)] == ["single", "single, recompute"]
    alone = {c.title() for c in choices(1, elementwise=True)}
    assert "ZeRO 2, recompute, offload optimizer" in alone and "ddp" not in alone
    many = [c.title() for c in choices(8, elementwise=True)]
    assert many[:5] == ["ddp", "ZeRO 1", "ZeRO 2", "fsdp", "ZeRO 3"]
    assert many[-1] == "ZeRO 3, recompute, offload parameters"
    assert not any("ZeRO" in c.title() for c in choices(8, elementwise=False))


def test_micro_batches_divide_the_rows():
    needs = Memory(1, 2, 3, 4, 10, 0)
    assert needs.total(5) == 60 and needs.most_rows(60) == 5 and needs.most_rows(5) == 0
    assert [micro_batch(needs, room, 12) for room in (60, 75, 1000, 15)] == [4, 6, 12, 0]


def test_the_first_that_takes_all_rows_is_best():
    ways = [Choice("ddp"), Choice("deepspeed", 1), Choice("deepspeed", 2)]
    assert best([*zip(ways, (4, 8, 8), strict=True)], 8) == (ways[1], 8)
    assert best([*zip(ways, (0, 2, 2), strict=True)], 8) == (ways[1], 2)
    assert best([*zip(ways, (0, 0, 0), strict=True)], 8) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_file_of_deepspeed(precision):
    step = steps(precision != "fp32", True, 2)
    found = deepspeed_file(Choice("deepspeed", 3, True, "parameters"), step, precision)
    zero = found["zero_optimization"]
    assert zero["stage"] == 3 and zero["offload_param"]["device"] == "cpu"
    assert zero["stage3_max_live_parameters"] == 400 + 2 * 300
    assert zero["stage3_prefetch_bucket_size"] == 300
    assert found.keys() == {"zero_optimization"} | ({precision} - {"fp32"})
    other = deepspeed_file(Choice("deepspeed", 2), step, precision)["zero_optimization"]
    assert other["stage"] == 2 and "offload_optimizer" not in other

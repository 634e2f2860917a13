import signal
import threading

import pytest
import torch

from uer.errors import UserError
from uer.training.guards import (
    Interruption,
    NonFiniteGuard,
    SpikeGuard,
    TooManySkippedError,
    memory_explained,
)

GOOD, BAD = torch.tensor(0.0), torch.tensor(1.0)


def test_a_bad_update_is_known_one_update_later():
    guard = NonFiniteGuard(limit=3)
    guard.watch(1, BAD, [], {})
    assert guard.skipped == 0
    guard.watch(2, GOOD, [], {})
    assert (guard.skipped, guard.in_a_row) == (1, 1)
    guard.flush()
    guard.flush()
    assert (guard.skipped, guard.in_a_row) == (1, 0)


def test_the_limit_counts_updates_in_a_row():
    guard = NonFiniteGuard(limit=2)
    for step, skipped in enumerate((BAD, GOOD, BAD, GOOD, BAD, BAD), start=1):
        guard.watch(step, skipped, [{"index": step}], {"index": step + 1})
    with pytest.raises(
        TooManySkippedError, match=r"2 updates in a row up to update 6.*\{'index': 6\}"
    ) as caught:
        guard.flush()
    assert caught.value.updates == [(5, [{"index": 5}]), (6, [{"index": 6}])]
    assert caught.value.behind == {"index": 7}


def spikes_of(norms, factor=10.0):
    guard = SpikeGuard(factor)
    for step, norm in enumerate(norms, start=1):
        guard.watch(step, torch.tensor(norm), [{"index": step}])
    guard.flush()
    guard.flush()


def test_a_spike_is_told_with_its_data(caplog):
    spikes_of([2.0] * 25 + [30.0, 19.0, float("nan"), 0.0, 2.0, 60.0])
    first, second = caplog.messages
    assert first.startswith("the gradients of update 26 have norm 30, 15 times the usual 2;")
    assert first.endswith("its data began at [{'index': 26}]")
    assert "update 31 have norm 60, " in second


def test_the_usual_norm_has_to_settle_and_follows(caplog):
    spikes_of([1.0] * 19 + [100.0])
    spikes_of([1.03**n for n in range(200)], factor=2.0)
    assert not caplog.messages
    spikes_of([1.0] * 25 + [30.0], factor=0)
    assert not caplog.messages


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)
def test_what_helps_against_a_full_memory_is_told(error):
    message = "out of memory in update 8; lower --batch_size"
    with pytest.raises(UserError, match=message) as caught, memory_explained(lambda: 7):
        raise error
    for knob in ("--accumulation_steps", "--seq_length"):
        assert knob in str(caught.value)
    assert caught.value.__cause__ is error


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes") as caught, memory_explained(lambda: 7):
        raise RuntimeError("shapes do not fit")
    assert not isinstance(caught.value, UserError)


def test_signals_are_left_alone_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGTERM), interruption.signal))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, None)]

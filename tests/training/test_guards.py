import signal
import threading

import pytest
import torch

from uer.errors import UserError
from uer.training.guards import Interruption, NonFiniteGuard

GOOD, BAD = torch.tensor(0.0), torch.tensor(1.0)


def test_a_bad_update_is_known_one_update_later():
    guard = NonFiniteGuard(limit=3)
    guard.watch(1, BAD, [])
    assert guard.skipped == 0
    guard.watch(2, GOOD, [])
    assert (guard.skipped, guard.in_a_row) == (1, 1)
    guard.flush()
    guard.flush()
    assert (guard.skipped, guard.in_a_row) == (1, 0)


def test_the_limit_counts_updates_in_a_row():
    guard = NonFiniteGuard(limit=2)
    for step, skipped in enumerate((BAD, GOOD, BAD, GOOD, BAD, BAD), start=1):
        guard.watch(step, skipped, [{"index": step}])
    with pytest.raises(UserError, match=r"2 updates in a row up to update 6.*\{'index': 6\}"):
        guard.flush()


def test_signals_are_left_alone_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGTERM), interruption.signal))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, None)]

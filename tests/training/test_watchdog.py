import time

import torch.distributed as dist

from uer.training.watchdog import Watchdog


def waited_for(capfd, words, seconds=20):
    """What was written to the error stream by the time the words were."""
    text, end = "", time.monotonic() + seconds
    while words not in text and time.monotonic() < end:
        time.sleep(0.02)
        text += capfd.readouterr().err
    return text


def test_the_rank_that_stands_still_shows_its_stack_and_the_others_name_it(capfd):
    store = dist.HashStore()
    ahead, behind = (Watchdog(store, rank, 2, patience=0.3) for rank in (0, 1))
    behind.beat()
    ahead.beat()
    ahead.beat()
    try:
        text = waited_for(capfd, "rank 0 has waited for rank 1 for 0.3 s.")
        if "rank 1 has not moved" not in text:
            text += waited_for(capfd, "rank 1 has not moved")
        assert "rank 0 has waited for rank 1 for 0.3 s." in text
        assert "rank 1 has not moved for 0.3 s; its stacks:" in text
        assert "waited_for" in text + capfd.readouterr().err  # this thread's stack
    finally:
        ahead.stop()
        behind.stop()


def test_a_rank_of_which_nothing_was_ever_heard_is_behind(capfd):
    only = Watchdog(dist.HashStore(), 0, 2, patience=0.1)
    only.beat()
    assert "rank 0 has waited for rank 1" in waited_for(capfd, "rank 1")
    only.stop()


def test_it_speaks_once_per_step_and_not_at_all_while_steps_are_made(capfd):
    dog = Watchdog(dist.HashStore(), 0, 1, patience=2.0)
    for _ in range(10):
        dog.beat()
        time.sleep(0.01)
    dog.stop()
    assert capfd.readouterr().err == ""

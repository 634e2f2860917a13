"""Work in several processes whose results come back in order, with few of them in flight.

Processes are spawned, not forked: a fork of a process with threads (the Rust tokenizers', torch's)
may hang. A script that asks for more than one process therefore needs the usual
``if __name__ == "__main__":``.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from uer.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable[[Any], Any]


def in_order(
    make: Callable[[], Callable[[Item], Result]], items: Iterable[Item], processes: int
) -> Iterator[Result]:
    """Results of a function, in the order of the items; what a worker raises is raised here.

    Args:
        make: makes the function, once per process; picklable.
        items: what the function is called with.
        processes: how many; 1 works in this process.

    Raises:
        UserError: a worker was killed, or there is not at least one.
    """
    if processes < 1:
        raise UserError(f"processes: {processes}, but there must be at least 1.")
    if processes == 1:
        yield from map(make(), items)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _start, (make,)) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_work, item))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died (killed, or out of memory); nothing was written: "
                "try again with fewer processes."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    """Prepare a worker: one thread, the parent decides about interrupts, no life without it."""
    global _function
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _function = make()


def _work(item: Any) -> Any:
    return _function(item)


def _leave_with_parent() -> None:
    """End when the parent ends, however that happens; a killed parent cannot tell its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)

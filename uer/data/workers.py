"""Work in several processes whose results come back in order, with few of them in flight.

Processes are spawned, not forked: a fork of a process with threads (the Rust tokenizers', torch's)
may hang. A script that asks for more than one process therefore needs the usual
``if __name__ == "__main__":``.

Whoever ends a run may signal its whole group of processes (a terminal, a cluster's scheduler). The
parent decides what becomes of that: it may need its workers to finish. So they are born deaf to
these signals, and obey only the parent's own SIGTERM.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from uer.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_function: Callable[[Any], Any]
_pools: weakref.WeakSet[Pool[Any, Any]] = weakref.WeakSet()


def in_order(
    make: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    processes: int,
    *,
    way_out: str = "nothing was written: try again with fewer processes.",
) -> Iterator[Result]:
    """Results of a function, in the order of the items; what a worker raises is raised here.

    Args:
        make: makes the function, once per process; picklable.
        items: what the function is called with.
        processes: how many; 1 works in this process.
        way_out: what to do when a worker was killed.

    Raises:
        UserError: a worker was killed, or there is not at least one.
    """
    if processes < 1:
        raise UserError(f"processes: {processes}, but there must be at least 1.")
    if processes == 1:
        yield from map(make(), items)
        return
    with Pool(make, processes, way_out=way_out) as pool:
        yield from pool.map(items)


class Pool(Generic[Item, Result]):
    """Worker processes that stay for several lists of items; they start with the first item.

    Args:
        make: as for `in_order`.
        processes: how many.
        way_out: as for `in_order`.
    """

    def __init__(
        self, make: Callable[[], Callable[[Item], Result]], processes: int, *, way_out: str
    ) -> None:
        self.processes, self._way_out = processes, way_out
        spawn = multiprocessing.get_context("spawn")
        with _blocked(_ENDING):  # multiprocessing's own helper process is started here
            self._pool = ProcessPoolExecutor(processes, spawn, _start, (make,))
        _pools.add(self)

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items; a few items are taken ahead.

        Raises:
            UserError: a worker was killed.
        """
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                with _blocked(_ENDING):  # what is started now begins with them blocked
                    waiting.append(self._pool.submit(_work, item))
                if len(waiting) > 2 * self.processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                f"a worker process died (killed, or out of memory); {self._way_out}"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def pids(self) -> list[int]:
        """The process numbers of the workers that have been started."""
        return [*(self._pool._processes or {})]

    def close(self) -> None:
        """End the workers; what was under way is waited for."""
        self._pool.shutdown(cancel_futures=True)

    def end(self) -> None:
        """End the workers at once; whatever they were making is lost."""
        running = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.kill()

    def __enter__(self) -> Pool[Item, Result]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def end_all() -> None:
    """End the workers of all pools: an orderly exit waits for them, and they take their time."""
    for pool in list(_pools):
        pool.end()


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    """Prepare a worker: one thread, the parent decides about signals, no life without it."""
    global _function
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # SIGTERM stays blocked, in this thread and those to come
        threading.Thread(target=_obey_parent, daemon=True).start()
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _function = make()


def _work(item: Any) -> Any:
    return _function(item)


def _obey_parent() -> None:
    """End when the parent says so, as a broken pool does; whoever else says so is not heard."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(1)


def _leave_with_parent() -> None:
    """End when the parent ends, however that happens; a killed parent cannot tell its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _blocked(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """Signals wait in this thread; processes that it starts meanwhile are born that way."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

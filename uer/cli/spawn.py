"""Starts the processes that ``--world_size N --gpu_ranks 0 1 …`` asks for.

Each is the same command again, told its rank by the environment variables that torchrun sets. When
one of them fails the others are ended: they would wait for it for ever.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from uer.errors import UserError

_LET_FINISH, _LET_END = 30.0, 10.0  # seconds


class Asked(NamedTuple):
    """What the flags say; checked by every process itself (`uer.training.launch`)."""

    world: int
    ranks: list[int]
    host: str
    port: int


def asked(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> Asked | None:
    """The processes to start; None where there is one, or a launcher has started them.

    Args:
        argv: the flags of a command that trains.
        environment: where a launcher leaves its word.

    Raises:
        UserError: the flags cannot be read.
    """
    if "RANK" in environment:
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--world_size", default="1")
    parser.add_argument("--gpu_ranks", nargs="+", default=[])
    parser.add_argument("--master_ip", default="tcp://localhost:12345")
    given, _ = parser.parse_known_args(list(argv))
    try:
        world, ranks = int(given.world_size), [int(rank) for rank in given.gpu_ranks]
        address = urlsplit(given.master_ip)
        host, port = address.hostname or "localhost", address.port or 12345
    except ValueError:
        return None  # the command itself says what is wrong
    wrong = len(set(ranks)) < len(ranks) or any(not 0 <= rank < world for rank in ranks)
    if world < 2 or wrong:
        return None
    return Asked(world, ranks or list(range(world)), host, port)


def spawn(command: Sequence[str], asked: Asked) -> int:
    """Start the processes and wait for all of them.

    Args:
        command: words after ``python``.
        asked: how many.

    Returns:
        0, or the status of the one that failed first.

    Raises:
        UserError: the operating system does not start them.
    """
    try:
        running = [
            subprocess.Popen([sys.executable, *command], env=_environment(asked, local, rank))
            for local, rank in enumerate(asked.ranks)
        ]
    except OSError as error:
        raise UserError(f"the processes cannot be started: {error}.") from error
    with _passing_signals_on(running):
        failed = _first_failure(running)
        if failed is None:
            return 0
        status = running[failed].returncode
        sys.stderr.write(
            f"rank {asked.ranks[failed]} ended with status {status}; the other processes of this "
            "machine are ended.\n"
        )
        _end(running)
    return status if status > 0 else 128 - status


def _environment(asked: Asked, local: int, rank: int) -> dict[str, str]:
    here = len(asked.ranks)
    own = {
        "RANK": rank,
        "LOCAL_RANK": local,
        "WORLD_SIZE": asked.world,
        "LOCAL_WORLD_SIZE": here,
        "MASTER_ADDR": asked.host,
        "MASTER_PORT": asked.port,
    }
    root = str(Path(__file__).parents[2])  # a checkout that is not installed
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    threads = str(max(1, (os.cpu_count() or 1) // here))
    return {
        "OMP_NUM_THREADS": threads,
        **os.environ,
        **{name: str(value) for name, value in own.items()},
        "PYTHONPATH": os.pathsep.join([root, *filter(None, paths)]),
    }


def _first_failure(running: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait until all have ended well, or one has not: which."""
    while True:
        statuses = [process.poll() for process in running]
        for number, status in enumerate(statuses):
            if status:
                return number
        if all(status == 0 for status in statuses):
            return None
        time.sleep(0.1)


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let them find out for themselves first: they can save, or say what they miss."""
    for patience, strike in ((_LET_FINISH, "terminate"), (_LET_END, "kill")):
        end = time.monotonic() + patience
        while time.monotonic() < end and any(process.poll() is None for process in running):
            time.sleep(0.1)
        for process in running:
            if process.poll() is None:
                getattr(process, strike)()
    for process in running:
        process.wait()


@contextmanager
def _passing_signals_on(running: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in running:
            if process.poll() is None:
                process.send_signal(number)

    before: dict[int, Any] = {}
    # A terminal sends SIGINT to all of them; sent once more it would end them without saving.
    handlers = {signal.SIGTERM: pass_on, signal.SIGUSR1: pass_on, signal.SIGINT: signal.SIG_IGN}
    for number, handler in handlers.items():
        before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

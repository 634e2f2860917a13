"""The processes that train one model together, and what they tell each other.

Everything here goes over the CPU (gloo), so no device is waited for, but for `Processes.sum`, which
takes the tensor's own way.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from uer.errors import UserError
from uer.training.launch import Place
from uer.training.watchdog import Watchdog

logger = logging.getLogger(__name__)

_PATIENCE = timedelta(hours=1)  # of a collective; the watchdog speaks much earlier
# What the libraries write when a peer is gone; gloo has no exception type of its own.
_PEERS = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "NCCL", "ProcessGroup")


class FailedElsewhere(SystemExit):
    """The main process could not do something, and says why; there is nobody left to meet."""


class Processes:
    """This process alone; with `join`, one of several.

    Args:
        rank: which one this is.
        world: how many there are.
        watchdog: says which rank is stuck; None where there is one.
    """

    def __init__(self, rank: int = 0, world: int = 1, watchdog: Watchdog | None = None) -> None:
        self.rank, self.world = rank, world
        self._watchdog = watchdog

    @property
    def is_main(self) -> bool:
        """This process writes files and logs."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.world == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        answer = torch.tensor(float(flag))
        dist.all_reduce(answer, dist.ReduceOp.MAX)
        return bool(answer)

    def gather(self, value: Any) -> list[Any]:
        """What every process has, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def on_main(self, work: Callable[[], object]) -> None:
        """Do something in the main process while the others wait.

        Raises:
            UserError: it failed; in the main process with its own words.
            FailedElsewhere: it failed in the main process, where it is said.
        """
        error = None
        if self.is_main:
            try:
                work()
            except UserError as caught:
                error = caught
        if self.any(error is not None):
            raise error or FailedElsewhere(2)

    def beat(self) -> None:
        """Tell the watchdog that this process goes on."""
        if self._watchdog is not None:
            self._watchdog.beat()

    @contextmanager
    def together(self) -> Iterator[None]:
        """While the processes need each other; at the end they leave.

        Raises:
            UserError: another one ended first.
        """
        try:
            yield
            self._leave()
        except FailedElsewhere:
            raise
        except SystemExit:
            self._leave()
            raise
        except RuntimeError as error:
            if self.world == 1 or not any(word in str(error) for word in _PEERS):
                raise
            first = str(error).partition("\n")[0]
            raise UserError(
                "another process of this run ended or cannot be reached any more; its own message "
                "says why. Go on from the last checkpoint with --resume_from_checkpoint. "
                f"(Rank {self.rank} of {self.world} heard: {first})"
            ) from error
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()

    def _leave(self) -> None:
        """The store lives in one of the processes, so they leave at the same time."""
        if self.world > 1:
            self.any(False)
            dist.destroy_process_group()


def join(place: Place) -> Processes:
    """Meet the other processes. From here on only the main one logs what is no error.

    Args:
        place: what the launcher said about this process.

    Raises:
        UserError: they cannot be met, or two of them use one device.
    """
    if not place.group:
        return Processes()
    if place.rank:
        logging.getLogger().setLevel(logging.ERROR)
    store = _store(place)
    try:
        dist.init_process_group(
            place.backend,
            store=PrefixStore("uer", store),
            rank=place.rank,
            world_size=place.world,
            timeout=_PATIENCE,
        )
    except RuntimeError as error:
        raise _not_met(place, error) from error
    if place.world == 1:
        return Processes()
    beats = PrefixStore("uer beats", store)
    processes = Processes(
        place.rank, place.world, Watchdog(beats, place.rank, place.world, place.stuck_after)
    )
    _require_own_devices(processes, place)
    return processes


def _store(place: Place) -> Store:
    """Where the processes meet: named by the launcher, or in this process if it is the only one."""
    if place.world == 1 and place.address is None:
        return dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    url = place.address or "env://"
    try:
        found = rendezvous(url, place.rank, place.world, timeout=place.join_timeout)
        store, _, _ = next(found)
    except (RuntimeError, ValueError, OSError) as error:
        raise _not_met(place, error) from error
    return store


def _not_met(place: Place, error: Exception) -> UserError:
    first = str(error).partition("\n")[0]
    return UserError(
        f"rank {place.rank} of {place.world} could not meet the others "
        f"({place.address or 'at the address the launcher gave'}): {first}. Start exactly "
        "--world_size processes, each rank once, with the same --master_ip on every machine."
    )


def _require_own_devices(processes: Processes, place: Place) -> None:
    """Two processes on one accelerator would wait for each other for ever."""
    if place.device.type == "cpu":
        return
    users = processes.gather((socket.gethostname(), str(place.device)))
    for rank, user in enumerate(users):
        if (first := users.index(user)) != rank:
            host, device = user
            raise UserError(
                f"ranks {first} and {rank} both use {device} of {host}; give each process a device "
                "of its own (leave --device out), or start fewer of them."
            )

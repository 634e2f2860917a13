"""How many processes train, and what each of them is told about the others.

Three ways to start them end in the same environment variables (torch's: ``RANK``, ``WORLD_SIZE``,
``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``): ``torchrun``, the ``deepspeed`` launcher, and the
flags of the predecessors, for which `uer.cli.spawn` starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, NamedTuple

import torch

from uer.errors import ConfigError, UserError


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the flags say about processes.

    Raises:
        ConfigError: they contradict each other.
    """

    engine: Annotated[
        str | None, "single, ddp, fsdp or deepspeed (default: ddp for several processes)"
    ] = None
    world_size: Annotated[int | None, "processes of the run, on all machines together"] = None
    gpu_ranks: Annotated[list[int] | None, "ranks started on this machine (default: all)"] = None
    master_ip: Annotated[str, "where rank 0 can be met"] = "tcp://localhost:12345"
    backend: Annotated[
        Literal["gloo", "nccl"] | None, "gloo for CPUs, nccl for GPUs (default: as the device is)"
    ] = None
    local_rank: Annotated[int | None, "given by DeepSpeed's launcher; not needed"] = None
    stuck_after: Annotated[float, "seconds without progress until the stuck rank is named"] = 300.0
    deepspeed: Annotated[bool, "the same as --engine deepspeed"] = False
    deepspeed_config: Annotated[str | None, "DeepSpeed's JSON file"] = None
    enable_zero3: Annotated[bool, "ZeRO stage 3, whatever the JSON file says"] = False
    deepspeed_checkpoint_activations: Annotated[bool, "the same as --checkpoint_activations"] = (
        False
    )

    def __post_init__(self) -> None:
        problems = []
        if self.world_size is not None and self.world_size < 1:
            problems.append(f"--world_size {self.world_size}: must be at least 1.")
        if self.stuck_after <= 0:
            problems.append(f"--stuck_after {self.stuck_after:g}: must be a positive number.")
        if not self.master_ip.startswith("tcp://") or ":" not in self.master_ip[6:]:
            problems.append(f"--master_ip {self.master_ip}: write tcp://<host>:<port>.")
        if self.deepspeed and self.engine not in (None, "deepspeed"):
            problems.append(f"--deepspeed and --engine {self.engine}: choose one of them.")
        if self.chosen(1) != "deepspeed" and (self.deepspeed_config or self.enable_zero3):
            problems.append("--deepspeed_config and --enable_zero3 go with --deepspeed.")
        problems += self._about_ranks(self.gpu_ranks or [], self.world_size or 1)
        if problems:
            raise ConfigError(problems)

    def chosen(self, world: int) -> str:
        """The engine's name, for a run of ``world`` processes."""
        if self.deepspeed:
            return "deepspeed"
        return self.engine or ("ddp" if world > 1 else "single")

    def _about_ranks(self, ranks: list[int], world: int) -> list[str]:
        shown = " ".join(map(str, ranks))
        if len(set(ranks)) < len(ranks):
            return [f"--gpu_ranks {shown}: a rank is named twice; each is one process."]
        if world > 1 and any(not 0 <= rank < world for rank in ranks):
            return [f"--gpu_ranks {shown}: ranks of --world_size {world} go from 0 to {world - 1}."]
        if world == 1 and len(ranks) > 1:
            return [f"--gpu_ranks {shown}: {len(ranks)} ranks need --world_size {len(ranks)}."]
        return []


class Place(NamedTuple):
    """What one process knows of its run.

    Args:
        rank: which process this is.
        world: how many there are.
        device: where it computes.
        backend: over what they speak, in torch's words.
        group: a process group is needed.
        address: where they meet; None: as the environment says.
        stuck_after: seconds without progress until the watchdog speaks.
        join_timeout: how long the others are waited for at the start.
    """

    rank: int
    world: int
    device: torch.device
    backend: str = "gloo"
    group: bool = False
    address: str | None = None
    stuck_after: float = 300.0
    join_timeout: timedelta = timedelta(minutes=10)


class Ranks(NamedTuple):
    """A process's number in the run and on its machine, and how many the run has."""

    rank: int
    local: int
    world: int


def read_ranks(launch: Launch, environment: Mapping[str, str] = os.environ) -> Ranks:
    """What the launcher wrote into the environment; alone where there was none.

    Raises:
        UserError: it says something else than the flags do, or is incomplete.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        if (launch.world_size or 1) > 1:
            raise UserError(
                f"--world_size {launch.world_size}: the processes were not started; start the "
                "command itself, or use torchrun."
            )
        gpu = (launch.gpu_ranks or [0])[0]
        return Ranks(0, gpu, 1)
    try:
        rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_RANK", rank))
    except ValueError as error:
        raise UserError(f"RANK, LOCAL_RANK and WORLD_SIZE must be numbers ({error}).") from error
    if not 0 <= rank < world:
        raise UserError(f"RANK {rank} is not below WORLD_SIZE {world}; check the launcher.")
    if launch.world_size is not None and launch.world_size != world:
        raise UserError(
            f"--world_size {launch.world_size} contradicts the launcher, which started {world} "
            "processes; leave the flag out."
        )
    return Ranks(rank, local, world)


def place_of(launch: Launch, ranks: Ranks, device: torch.device, *, alone: bool) -> Place:
    """Where a process stands.

    Args:
        launch: the flags.
        ranks: of this process.
        device: where it computes.
        alone: the engine needs no process group.

    Raises:
        UserError: several processes for an engine of one, or nccl without a GPU.
    """
    if alone and ranks.world > 1:
        raise UserError(
            f"--engine {launch.chosen(ranks.world)} trains in one process, {ranks.world} were "
            "started; choose ddp, fsdp or deepspeed."
        )
    if launch.backend == "nccl" and device.type != "cuda":
        raise UserError(f"--backend nccl needs GPUs, the device is {device}; use --backend gloo.")
    accelerated = device.type == "cuda" and launch.backend != "gloo"
    return Place(
        rank=ranks.rank,
        world=ranks.world,
        device=device,
        backend="cpu:gloo,cuda:nccl" if accelerated else "gloo",
        group=not alone,
        address="env://" if "MASTER_ADDR" in os.environ else None,
        stuck_after=launch.stuck_after,
    )


def device_of(name: str, ranks: Ranks) -> str:
    """Which device a process takes.

    Args:
        name: as ``--device`` says; ``auto`` or ``cuda``: the one of its number on the machine.
        ranks: of this process.

    Raises:
        UserError: there are fewer devices than processes here, or all were given the same.
    """
    gpus = torch.cuda.device_count()
    if ranks.world == 1 and not (ranks.local and gpus):
        return name
    if ranks.world > 1 and name.startswith("cuda:"):
        raise UserError(
            f"--device {name} puts {ranks.world} processes on one device; leave it out, and every "
            "process takes the device of its number on the machine."
        )
    if name not in ("auto", "cuda") or not gpus:
        return name
    if ranks.local >= gpus:
        raise UserError(
            f"process {ranks.local} of this machine finds {gpus} GPUs, numbered from 0; start at "
            "most one process per GPU, or use --device cpu."
        )
    return f"cuda:{ranks.local}"

"""How a command that trains finds its device, its engine and the other processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from uer.training import deepspeed_config, machine
from uer.training.engine import Engine, engines
from uer.training.launch import Launch, device_of, place_of, read_ranks
from uer.training.processes import Processes, join
from uer.training.settings import Settings

_log = logging.getLogger(__name__)


class Team(NamedTuple):
    """This process and the others.

    Args:
        machine: what this one computes on.
        processes: it and the others.
        launch: what the flags say.
        config: what the engine's own file says.
    """

    machine: machine.Machine
    processes: Processes
    launch: Launch
    config: dict[str, Any]

    def engine(self, settings: Settings) -> Engine:
        """The engine that the flags choose."""
        name = self.launch.chosen(self.processes.world)
        return engines.get(name)(
            device=self.machine.device,
            precision=self.machine.precision,
            max_grad_norm=settings.max_grad_norm,
            processes=self.processes,
            config=self.config,
        )


def settings_in(launch: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings that the flags of `Launch` imply; all others win over them.

    Raises:
        ConfigError: DeepSpeed's file cannot be read.
    """
    flags = Launch(**launch)
    found = deepspeed_config.settings_in(_config(flags))
    if flags.deepspeed_checkpoint_activations:
        found["checkpoint_activations"] = True
    return found


def gather(launch: Mapping[str, Any], settings: Settings) -> Team:
    """Prepare this process and meet the others.

    Args:
        launch: the flags of `Launch` that were given.
        settings: of the run.

    Raises:
        UserError: flags, files and launcher contradict each other, or the others cannot be met.
    """
    flags = Launch(**launch)
    ranks = read_ranks(flags)
    config = _config(flags)
    deepspeed_config.require_one_optimizer(config, layerwise_decay=settings.layerwise_decay)
    engine = flags.chosen(ranks.world)
    kind = engines.get(engine)
    prepared = machine.prepare(
        device_of(settings.device, ranks), settings.precision, settings.threads, tf32=settings.tf32
    )
    place = place_of(flags, ranks, prepared.device, alone=not kind.distributed)
    processes = join(place)
    many = f"engine {engine}, {ranks.world} processes, " if kind.distributed else ""
    _log.info("%s%s", many, prepared.line())
    return Team(prepared, processes, flags, config)


def _config(launch: Launch) -> dict[str, Any]:
    """The engine's own file; only DeepSpeed has one."""
    if launch.chosen(1) != "deepspeed":
        return {}
    return deepspeed_config.read_deepspeed_config(
        launch.deepspeed_config, zero3=launch.enable_zero3
    )

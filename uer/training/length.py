"""How long a run is, however that was said: schedules need to know it in updates."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from uer.errors import ConfigError
from uer.training.settings import Settings

logger = logging.getLogger(__name__)


class Countable(Protocol):
    """Data whose extent is known before they are read."""

    def count(self, epochs: int) -> int:
        """Batches of each process in the first so many epochs."""
        ...

    def tokens(self) -> int:
        """Tokens of an epoch, in all processes."""
        ...


def with_length(
    settings: Settings,
    stream: Countable,
    *,
    steps_given: bool,
    epochs: int | None = None,
    max_tokens: int | None = None,
) -> Settings:
    """Settings whose ``total_steps`` is the first of all limits that were given.

    An epoch has as many updates as its batches make; tokens are divided by those of a mean update
    of the first epoch.

    Args:
        settings: of the run.
        stream: the training data.
        steps_given: somebody chose ``total_steps``; otherwise it counts only without other limits.
        epochs: passes over the data.
        max_tokens: tokens to train on.

    Raises:
        ConfigError: a limit is not positive.
    """
    limits = {"total_steps": settings.total_steps} if steps_given else {}
    wanted = {"epochs": epochs, "max_tokens": max_tokens}
    if problems := [
        f"--{k} {v}: must be at least 1." for k, v in wanted.items() if v is not None and v < 1
    ]:
        raise ConfigError(problems)
    if epochs is not None:
        limits["epochs"] = -(-stream.count(epochs) // settings.accumulation_steps)
    if max_tokens is not None:
        an_epoch = stream.tokens() * settings.accumulation_steps
        limits["max_tokens"] = -(-max_tokens * stream.count(1) // an_epoch)
    if not limits.keys() - {"total_steps"}:
        return settings
    total = min(limits.values())
    found = ", ".join(f"{limit} ends after {number} updates" for limit, number in limits.items())
    logger.info("%s; the run has %d", found, total)
    return replace(settings, total_steps=total)

"""Two streams of one kind, with parameters of their own or shared."""

from __future__ import annotations

from torch import nn

from uer.errors import ConfigError


def pair(first: nn.Module, second: nn.Module, *, tied: bool) -> nn.ModuleList:
    """The modules of two streams.

    Args:
        first: of stream 0.
        second: of stream 1.
        tied: the first serves both streams; the second only shows that this is possible.

    Raises:
        ConfigError: two streams that differ cannot be tied.
    """
    if not tied:
        return nn.ModuleList((first, second))
    one, other = (_shapes(stream) for stream in (first, second))
    differing = sorted(name for name in one | other if one.get(name) != other.get(name))
    if differing:
        name = differing[0]
        raise ConfigError(
            [
                f"tie_streams: the streams differ, for example in {name} ({one.get(name)} and "
                f"{other.get(name)}); describe them alike, or do not tie them."
            ]
        )
    return nn.ModuleList((first, first))


def _shapes(module: nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in module.state_dict().items()}

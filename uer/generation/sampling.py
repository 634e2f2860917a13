"""Drawing the next token."""

from __future__ import annotations

from typing import NamedTuple

import torch

from uer.errors import ConfigError


class Sampling(NamedTuple):
    """How tokens are drawn.

    Args:
        top_k: of the likeliest so many; 0: of all.
        top_p: of the likeliest whose probabilities sum to this (arXiv:1904.09751); 0: of all.
        temperature: logits are divided by it; below 1 likely tokens become likelier.
    """

    top_k: int = 0
    top_p: float = 0.0
    temperature: float = 1.0

    def checked(self) -> Sampling:
        """The same.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.top_k < 0 or not 0 <= self.top_p <= 1 or not self.temperature > 0:
            raise ConfigError(
                [
                    f"top_k {self.top_k} must not be negative, top_p {self.top_p} lie between 0 "
                    f"and 1, temperature {self.temperature} be above 0."
                ]
            )
        return self

    def draw(self, logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """int64 [N] tokens of logits [N, V].

        Args:
            logits: of what comes next.
            generator: of the CPU.
        """
        logits = logits.float().cpu() / self.temperature
        if self.top_k:
            least = logits.topk(min(self.top_k, logits.shape[-1])).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p:
            ordered, place = logits.sort(descending=True, stable=True)
            chances = ordered.softmax(-1)
            beyond = chances.cumsum(-1) - chances >= self.top_p  # the likeliest always stays
            logits = logits.masked_fill(beyond.gather(1, place.argsort(1)), -torch.inf)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)

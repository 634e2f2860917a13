"""Which engine a model fits with, by the memory of one process.

What a step holds is simulated (`uer.training.memory`); what engines divide among processes, and the
buffers they do it with, is counted by their rules. Not counted are the allocator's fragments, what
CUDA and nccl take for themselves, and kernels' working memory: a tenth of the device is left for
these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from uer.training.machine import DTYPES, Arithmetic
from uer.training.memory import Step

MARGIN = 0.1
_BUCKET = 50_000_000  # numbers that DeepSpeed sends at a time, as the written file says
_MOST = 128  # rows that are simulated
_MASTER = 4  # bytes of a weight that the optimizer works on

Offload = Literal["", "optimizer", "parameters"]
Steps = Callable[[bool, bool, int], Step]


class Choice(NamedTuple):
    """A way to train.

    Args:
        engine: as ``--engine`` names it.
        stage: of ZeRO; 0: the engine is another.
        checkpoint: activations are computed twice.
        offload: what is kept in the memory of the host: the optimizer's state, parameters as well.
    """

    engine: str
    stage: int = 0
    checkpoint: bool = False
    offload: Offload = ""

    def title(self) -> str:
        """What a table calls it."""
        parts = [f"ZeRO {self.stage}" if self.stage else self.engine]
        parts += ["recompute"] if self.checkpoint else []
        parts += [f"offload {self.offload}"] if self.offload else []
        return ", ".join(parts)


class Memory(NamedTuple):
    """What a process holds, in bytes; `host` is of all processes together.

    Args:
        weights: of the model, and copies of them that are brought together for a moment.
        gradients: and the buffers in which they are exchanged.
        optimizer: its state, and weights in full precision where the model's are not.
        fixed: activations that do not depend on the rows (weights in another precision).
        per_row: activations of a row, logits among them.
        host: what is offloaded.
        few: fixed and per row, where rows are so few that gradients outweigh activations: alone, a
            process gets the ones as it lets go of the others, so the larger figure counts.
    """

    weights: int
    gradients: int
    optimizer: int
    fixed: float
    per_row: float
    host: int
    few: tuple[float, float] = (0.0, 0.0)

    def total(self, rows: int) -> float:
        """With a micro-batch of so many rows."""
        step = max(fixed + per_row * rows for fixed, per_row in self._lines())
        return self.weights + self.gradients + self.optimizer + step

    def most_rows(self, room: float) -> int:
        """The largest micro-batch that fits into so many bytes."""
        room -= self.weights + self.gradients + self.optimizer
        lines = self._lines()
        return max(0, int(min((room - fixed) // max(per_row, 1.0) for fixed, per_row in lines)))

    def _lines(self) -> list[tuple[float, float]]:
        return [(self.fixed, self.per_row), self.few]


def choices(processes: int, *, elementwise: bool) -> Iterator[Choice]:
    """All ways, those that exchange and compute least first.

    Args:
        processes: of the run.
        elementwise: the optimizer may be given pieces of tensors, as ZeRO does.
    """
    whole = [Choice("single")] if processes == 1 else [Choice("ddp")]
    zero = [Choice("deepspeed", stage) for stage in (1, 2)] if processes > 1 else []
    parts = [*(zero if elementwise else []), *([Choice("fsdp")] if processes > 1 else [])]
    parts += [Choice("deepspeed", 3)] if elementwise and processes > 1 else []
    for checkpoint in (False, True):
        yield from (one._replace(checkpoint=checkpoint) for one in (*whole, *parts))
    if elementwise:
        yield Choice("deepspeed", 2, True, "optimizer")
        yield Choice("deepspeed", 3, True, "optimizer")
        yield Choice("deepspeed", 3, True, "parameters")


def memory(choice: Choice, processes: int, steps: Steps, sizes: tuple[int, int]) -> Memory:
    """What a process of a run holds.

    Args:
        choice: how it trains.
        processes: of the run.
        steps: the simulated step, by whether the weights are kept in half precision, whether
            activations are computed twice, and rows.
        sizes: two numbers of rows to simulate; between and beyond them it goes by a line. Alone,
            more are simulated, until activations outweigh the gradients.
    """
    full = steps(False, choice.checkpoint, sizes[0])
    half = choice.engine == "deepspeed"
    small, large = (steps(half, choice.checkpoint, rows) for rows in sizes)
    fixed, per_row = _line(
        {rows: step.peak(0) for rows, step in zip(sizes, (small, large), strict=True)}
    )
    if choice.engine == "single":
        few = _line({rows: step.peak() for rows, step in zip(sizes, (small, large), strict=True)})
        enough = min(_MOST, math.ceil(full.gradients / max(per_row, 1.0)) + 1)
        many = {n: steps(False, choice.checkpoint, n).peak() for n in (enough, 2 * enough)}
        return Memory(full.weights, 0, full.optimizer, *_line(many), 0, few)
    if choice.engine == "ddp":
        return Memory(full.weights, full.gradients, full.optimizer, fixed, per_row, 0)
    together = small.outside + 2 * small.layer
    sent = round(max(small.outside, small.layer) * small.trained / small.weights)
    if choice.engine == "fsdp":
        weights = small.weights // processes + together
        gradients = small.gradients // processes + sent
        return Memory(weights, gradients, full.optimizer // processes, fixed, per_row, 0)
    return _zero(choice, processes, full, small, (fixed, per_row))


def _line(peaks: Mapping[int, float]) -> tuple[float, float]:
    """What does not depend on the rows, and what a row takes, by the peaks of two sizes."""
    (few, low), (many, high) = peaks.items()
    per_row = (high - low) / (many - few)
    return low - per_row * few, per_row


def _zero(
    choice: Choice, processes: int, full: Step, half: Step, activations: tuple[float, float]
) -> Memory:
    """DeepSpeed keeps the weights in the precision of the forward pass, and its own beside them."""
    kept = (full.optimizer + full.trained) // processes
    size = half.gradients / max(full.gradients // _MASTER, 1)  # bytes of a gradient's number
    bucket = 2 * round(min(_BUCKET * size, half.gradients))
    gradients = half.gradients if choice.stage == 1 else half.gradients // processes
    gradients += 0 if choice.stage == 1 else bucket
    weights, host = half.weights, 0
    if choice.stage == 3:
        own = half.weights // processes
        weights = half.outside + 2 * half.layer
        host += processes * own if choice.offload == "parameters" else 0
        weights += 0 if choice.offload == "parameters" else own
    if choice.offload:
        host += processes * (kept + full.trained // processes)  # gradients wait there, too
        kept = 0
    return Memory(weights, gradients, kept, *activations, host)


def micro_batch(needs: Memory, room: float, rows: int) -> int:
    """The largest micro-batch that fits and divides the rows of an update; 0: none."""
    most = min(needs.most_rows(room), rows)
    return next((size for size in range(most, 0, -1) if rows % size == 0), 0)


def best(found: list[tuple[Choice, int]], rows: int) -> tuple[Choice, int] | None:
    """The first that takes all rows at once, else the first with the largest micro-batch.

    Args:
        found: each way and its micro-batch.
        rows: of an update and process.
    """
    whole = next((one for one in found if one[1] == rows), None)
    most = max((size for _, size in found), default=0)
    rest = next((one for one in found if one[1] == most), None) if most else None
    return whole or rest


def deepspeed_file(choice: Choice, step: Step, precision: Arithmetic) -> dict[str, Any]:
    """DeepSpeed's configuration for a way to train.

    Args:
        choice: with a stage of ZeRO.
        step: of the model, with its weights as they are kept.
        precision: of weights and forward pass.
    """
    zero: dict[str, Any] = {
        "stage": choice.stage,
        "contiguous_gradients": True,
        "overlap_comm": choice.stage > 1,
        "reduce_bucket_size": _BUCKET,
        "allgather_bucket_size": _BUCKET,
    }
    host = {"device": "cpu", "pin_memory": True}
    if choice.offload:
        zero["offload_optimizer"] = host
    if choice.offload == "parameters":
        zero["offload_param"] = host
    if choice.stage == 3:
        size = DTYPES[precision].itemsize
        zero["stage3_prefetch_bucket_size"] = max(1, step.layer // size)
        zero["stage3_max_live_parameters"] = max(1, (step.outside + 2 * step.layer) // size)
        zero["stage3_max_reuse_distance"] = zero["stage3_max_live_parameters"]
    config: dict[str, Any] = {"zero_optimization": zero}
    if precision != "fp32":
        config[precision] = {"enabled": True}
    return config

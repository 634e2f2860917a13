"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.nn import functional as F

from uer.batch import Batch
from uer.components import Target
from uer.glossary import LabelSmoothing
from uer.layers.linear import Linear
from uer.score import Ratio, Score
from uer.signature import Given
from uer.states import States


class ConnectionistTemporalClassification(Target):
    """Says a row's labels in order, without being told where they are (Graves et al., 2006).

    Every frame says a label or nothing (the blank); the loss is that of all ways in which frames
    can say the labels, a label over several frames counting once. A row with fewer frames than
    labels (and blanks between equal neighbours) cannot say them: it does not count, and the metric
    ``impossible`` says how many such rows there are.

    The labels of a target ``ctc`` are one list: ``labels.ctc.value`` [M] labels of the first row,
    then of the second, …; ``labels.ctc.index`` [M] the row of each.
    """

    lowest = ("impossible",)

    def __init__(
        self,
        *,
        input_size: Given[int],
        vocab_size: Given[int],
        pad_id: Given[int] = 0,
        blank_id: Annotated[
            int | None, "label that means nothing was said; by default the id of padding"
        ] = None,
        label_smoothing: LabelSmoothing = 0.0,
    ) -> None:
        super().__init__()
        self.output = Linear(input_size, vocab_size)
        self.blank_id = pad_id if blank_id is None else blank_id
        self.label_smoothing = label_smoothing

    def weight(self, batch: Batch) -> torch.Tensor:
        """[] number of labels."""
        return self.count(batch)

    def forward(self, states: States, batch: Batch) -> Score:
        """Score the frames [B, L, H] against the rows' labels.

        Where no row has a label there is nothing to score, not even silence. With label smoothing a
        share of the loss is the cross-entropy of every frame with all labels
        alike.
        """
        shares = self.logits(states.hidden).float().log_softmax(-1)
        value, row = batch[f"labels.{self.name}.value"], batch[f"labels.{self.name}.index"]
        rows, width, _ = shares.shape
        if not len(value):
            nothing = shares.new_zeros(())
            return Score(0.0 * shares.sum(), {"impossible": Ratio(nothing, nothing)})
        labels = _counted(row, rows)
        frames = states.lengths()
        equal = (row[1:] == row[:-1]) & (value[1:] == value[:-1])
        again = _counted(row[1:], rows, equal)
        impossible = labels + again > frames
        loss = self._losses(shares, value, frames, labels).sum()
        if self.label_smoothing:
            real = torch.arange(width, device=frames.device) < frames[:, None]
            even = -(shares.mean(-1) * (real & ~impossible[:, None])).sum()
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * even
        count = torch.full((), float(rows), device=loss.device)
        return Score(loss, {"impossible": Ratio(impossible.sum().float(), count)})

    def _losses(
        self,
        shares: torch.Tensor,
        value: torch.Tensor,
        frames: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """[B] of each row; those that cannot be said lose nothing."""
        if shares.is_meta:  # there torch has no such loss, which is no matrix product anyway
            return shares.sum((1, 2))
        return F.ctc_loss(
            shares.transpose(0, 1),
            value,
            frames,
            labels,
            blank=self.blank_id,
            reduction="none",
            zero_infinity=True,
        )

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[…, H] → […, V]."""
        return self.output(hidden)


def _counted(row: torch.Tensor, rows: int, which: torch.Tensor | None = None) -> torch.Tensor:
    """int64 [rows] how often each row occurs (where ``which`` is true), without waiting for it."""
    ones = torch.ones_like(row) if which is None else which.to(row.dtype)
    return torch.zeros(rows, dtype=row.dtype, device=row.device).index_add(0, row, ones)

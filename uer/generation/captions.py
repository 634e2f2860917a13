"""Captions of images by a model that fills masks from left to right (VLP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from uer.batch import Batch
from uer.generation.beam_search import Hypothesis, Limits, beam_search
from uer.model import Model
from uer.processors.vlp import SEGMENTS
from uer.targets.mlm import MaskedLanguageModel


@torch.inference_mode()
def caption_batch(
    model: Model,
    batch: Batch,
    limits: Limits,
    *,
    cls_id: int,
    sep_id: int,
    mask_id: int,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Write captions for every row: the next word is what the model puts in the place of [MASK].

    Args:
        model: with the target ``mlm`` and the embedding ``region``, in evaluation mode.
        batch: with ``src.regions`` and ``src.boxes``.
        limits: of the search.
        cls_id: opens a caption.
        sep_id: ends it.
        mask_id: stands for the next word.
        never: tokens that no caption holds.

    Returns:
        Of each row the best captions, see `beam_search`.
    """
    (head,) = (one for one in model.heads.values() if isinstance(one, MaskedLanguageModel))
    regions, boxes = batch["src.regions"], batch["src.boxes"]

    def following(ids: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        asked = torch.cat([ids, torch.full_like(ids[:, :1], mask_id)], 1)
        side = {
            "src.ids": asked,
            "src.segment": torch.full_like(asked, SEGMENTS[1]),
            "src.prefix": torch.zeros_like(asked, dtype=torch.bool),
            "src.length": torch.full_like(asked[:, 0], asked.shape[1]),
            "src.regions": regions[row],
            "src.boxes": boxes[row],
        }
        hidden = model.states(Batch(side)).hidden[:, -1]
        return head.logits(hidden).float().log_softmax(-1)

    return beam_search(
        following,
        len(regions),
        limits,
        start=cls_id,
        end=sep_id,
        never=[mask_id, cls_id, *never],
        device=regions.device,
    )

"""Images for texts and texts for images, by models of one sequence (DALL-E)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from uer.batch import Batch
from uer.generation.sampling import Sampling
from uer.generation.seq2seq import language_head
from uer.model import Model


@dataclass(frozen=True, kw_only=True)
class Painter:
    """A trained model that was given its sequences by the processor ``dalle``.

    What was written is read anew for each token; there is no cache.

    Args:
        model: with the target ``lm``, in evaluation mode.
        patches: codes of an image.
        codes_num: how many codes there are; their ids are the last of the vocabulary.
        vocab_size: tokens and codes together.
        cls_id: opens a sequence.
        sep_id: stands behind a text, and between an image and its text.
        never: tokens that no text holds.
        predict_text: the model wrote texts, too: nothing is a prefix.
        device: where the model is.
    """

    model: Model
    patches: int
    codes_num: int
    vocab_size: int
    cls_id: int
    sep_id: int
    never: Sequence[int] = ()
    predict_text: bool = False
    device: torch.device | str = "cpu"

    @property
    def offset(self) -> int:
        """The id of the first code."""
        return self.vocab_size - self.codes_num

    def codes(
        self, text: Sequence[int], samples: int, sampling: Sampling, generator: torch.Generator
    ) -> torch.Tensor:
        """int64 [samples, P] codes of images for a text of some tokens."""
        opening = [self.cls_id, *text, self.sep_id]
        ids = torch.tensor([opening] * samples)
        for _ in range(self.patches):
            logits = self._following(ids, len(opening), to_text=False)[:, self.offset :]
            drawn = sampling.draw(logits, generator) + self.offset
            ids = torch.cat([ids, drawn[:, None]], 1)
        return ids[:, len(opening) :] - self.offset

    def texts(
        self,
        codes: torch.Tensor,
        samples: int,
        sampling: Sampling,
        generator: torch.Generator,
        *,
        max_length: int,
    ) -> list[list[int]]:
        """Tokens of texts for an image.

        Args:
            codes: int64 [P] of the image.
            samples: how many texts.
            sampling: how tokens are drawn.
            generator: of the CPU.
            max_length: tokens of a text at most.
        """
        opening = [self.cls_id, *(codes + self.offset).tolist(), self.sep_id]
        ids = torch.tensor([opening] * samples)
        ended = torch.zeros(samples, dtype=torch.bool)
        never = torch.tensor(self.never, dtype=torch.int64)
        for _ in range(max_length):
            logits = self._following(ids, len(opening), to_text=True)[:, : self.offset]
            logits = logits.index_fill(1, never.to(logits.device), -torch.inf)
            drawn = sampling.draw(logits, generator).masked_fill(ended, self.sep_id)
            ids = torch.cat([ids, drawn[:, None]], 1)
            ended |= drawn == self.sep_id
            if ended.all():
                break
        written = ids[:, len(opening) :].tolist()
        return [row[: row.index(self.sep_id)] if self.sep_id in row else row for row in written]

    @torch.inference_mode()
    def _following(self, ids: torch.Tensor, opening: int, *, to_text: bool) -> torch.Tensor:
        """[N, V] logits of what comes behind ids [N, L], of which the first are given."""
        prefix = torch.zeros_like(ids, dtype=torch.bool)
        if to_text or not self.predict_text:
            prefix[:, :opening] = True
        side = {
            "src.ids": ids,
            "src.segment": (ids >= self.offset).long(),
            "src.prefix": prefix,
            "src.length": torch.full((len(ids),), ids.shape[1]),
        }
        hidden = self.model.states(Batch(side).to(torch.device(self.device))).hidden[:, -1]
        return language_head(self.model).logits(hidden)

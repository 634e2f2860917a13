"""Gap-sentence generation (PEGASUS, https://arxiv.org/abs/1912.08777)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np

from uer.data.instances import Bools, Instances, Ints, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw, counted, leading, random_order
from uer.data.spans import cut_sentences, fill
from uer.glossary import SeqLength, TgtSeqLength
from uer.maskings.base import require
from uer.processors._sequences import Marks, Texts, decoder_side, encoder_side, stretches
from uer.processors.base import Prepared, Processor
from uer.signature import Given

Strategy = Annotated[
    Literal["lead", "random", "principal"],
    "which sentences are selected: the first ones, random ones, or those most like the rest "
    "(ROUGE-1 F1)",
]
GapRatio = Annotated[float, "share of an instance's sentences that is selected"]


class Chosen(NamedTuple):
    """The sentences of some instances, S of them; [S] each.

    Args:
        row: which of the instances.
        number: which of the instance's sentences.
        size: tokens.
    """

    row: Ints
    number: Ints
    size: Ints


class Gsg(Processor):
    """Selected sentences become one mask each, the decoder says them in their order.

    An instance holds consecutive sentences of a document; one that would have a single sentence is
    left out and counted, because nothing would be left of it. At least one sentence is selected and
    one stays; the selection ends early where the target has no more room. Texts are marked as by
    `t5`.
    """

    corpus: ClassVar[str] = "sentences"
    provides: ClassVar[frozenset[str]] = frozenset({"src.ids", "tgt.ids", "labels.lm"})

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        tgt_seq_length: TgtSeqLength = 128,
        sentence_selection_strategy: Strategy = "lead",
        gap_sentences_ratio: GapRatio = 0.3,
        mask_id: Given[int],
        pad_id: Given[int],
        cls_id: Given[int | None] = None,
        sep_id: Given[int | None] = None,
        bos_id: Given[int | None] = None,
        eos_id: Given[int | None] = None,
    ) -> None:
        require(
            (
                0 < gap_sentences_ratio < 1,
                f"gap_sentences_ratio: {gap_sentences_ratio} is not in (0, 1).",
            )
        )
        self.seq_length, self.tgt_seq_length = seq_length, tgt_seq_length
        self.strategy, self.ratio = sentence_selection_strategy, gap_sentences_ratio
        self.mask_id, self.pad_id = mask_id, pad_id
        self.marks = Marks.of(pad_id, cls_id, sep_id, bos_id, eos_id)
        self.require_seq_length(self.marks.size + 2, 2)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Fill instances with sentences; nothing is random here."""
        assert self.tgt_seq_length is not None
        room = self.seq_length - self.marks.size
        longest = min(room - 1, self.tgt_seq_length - 1)  # beside it one more sentence has room
        text = cut_sentences(store.sides["src"], longest=longest, size=longest)
        first, end = fill(text, room)
        several = end - first > 1
        first, end = first[several], end[several]
        return stretches(text, first, end)

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Select sentences and put masks in their places."""
        ragged = gathered["src"]
        some = _sentences(instances, ragged.which)
        counts = np.bincount(some.row)
        order = self._order(some, ragged, draw)
        selected = self._select(some, counts, order)
        gone = np.repeat(selected, some.size)
        begins = (np.cumsum(some.size) - some.size)[selected]
        ids, stays = ragged.ids.copy(), ~gone
        ids[begins], stays[begins] = self.mask_id, True
        said = np.bincount(some.row[selected], some.size[selected], len(counts)).astype(np.int64)
        masks = np.bincount(some.row[selected], minlength=len(counts))
        source = Texts(ids[stays], ragged.lengths() - said + masks)
        read, labels = decoder_side(Texts(ragged.ids[gone], said), self.marks, ragged.which)
        return Prepared(
            {"src": encoder_side(source, self.marks, ragged.which), "tgt": read}, {"lm": labels}
        )

    def lengths(self, instances: Instances) -> dict[str, Ints]:
        """See `Processor.lengths`; bounds, the target's is that of the longest sentences."""
        assert self.tgt_seq_length is not None
        length = instances.length[:, 0].astype(np.int64)
        some = _sentences(instances, np.arange(len(instances)))
        counts = np.bincount(some.row)
        share = self._share(counts)
        longest = leading(np.lexsort((-some.size, some.row)), counts, share)
        most = np.add.reduceat(some.size[longest], np.cumsum(share) - share) if len(counts) else 0
        return {
            "src": length + self.marks.size,
            "tgt": np.minimum(most + 1, self.tgt_seq_length),
        }

    def _share(self, counts: Ints) -> Ints:
        return np.clip(np.rint(self.ratio * counts).astype(np.int64), 1, counts - 1)

    def _order(self, some: Chosen, ragged: Ragged, draw: Draw) -> Ints:
        """[S] the sentences, row after row, those to select first."""
        if self.strategy == "lead":
            return np.arange(len(some.row))
        if self.strategy == "random":
            instance = ragged.which[some.row]
            return random_order(some.row, draw.bits("gap sentences", instance, some.number))
        return np.lexsort((some.number, -rouge(some, ragged.ids), some.row))

    def _select(self, some: Chosen, counts: Ints, order: Ints) -> Bools:
        """[S] the sentences to say: the first of their row that fit into the target together."""
        assert self.tgt_seq_length is not None
        share = self._share(counts)
        best = leading(order, counts, share)
        used = np.cumsum(some.size[best])
        before = np.repeat((used - some.size[best])[np.cumsum(share) - share], share)
        selected = np.zeros(len(order), np.bool_)
        selected[best[used - before <= self.tgt_seq_length - 1]] = True
        return selected


def _sentences(instances: Instances, which: Ints) -> Chosen:
    assert instances.offsets is not None
    first = instances.fields["first"][which]
    row, number = counted(instances.fields["end"][which] - first)
    sentence = first[row] + number
    return Chosen(row, number, instances.offsets[sentence + 1] - instances.offsets[sentence])


def rouge(some: Chosen, ids: Ints) -> np.ndarray:
    """[S] ROUGE-1 F1 of each sentence with the rest of its instance.

    Args:
        some: the sentences, which make up the instances.
        ids: [T] tokens of the instances.
    """
    vocabulary = int(ids.max(initial=0)) + 1
    sentence = np.repeat(np.arange(len(some.row)), some.size)
    own, count = np.unique(sentence * vocabulary + ids, return_counts=True)
    every, total = np.unique(some.row[sentence] * vocabulary + ids, return_counts=True)
    sentence, token = own // vocabulary, own % vocabulary
    elsewhere = total[np.searchsorted(every, some.row[sentence] * vocabulary + token)] - count
    overlap = np.bincount(sentence, np.minimum(count, elsewhere), len(some.row))
    # Precision is overlap / own tokens, recall overlap / other tokens.
    return 2 * overlap / np.bincount(some.row, some.size)[some.row]

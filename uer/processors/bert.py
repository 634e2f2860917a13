"""Masked language modelling and next-sentence prediction (BERT, https://arxiv.org/abs/1810.04805).

The pairs are those of the original sequential procedure: sentences of a document are collected
until a target length is reached, a random number of them becomes A, and B is either the rest or,
half of the time, a random stretch of another document; then the sentences not used are put back.
Here the random decisions are drawn for every *possible* start, which makes the next start a
function of the start, and all pairs of a corpus come out of a few array operations.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from uer.data.instances import Bools, Constant, Instances, Ints, Span, TokenStore
from uer.data.ragged import Ragged
from uer.data.randomness import Draw
from uer.data.spans import Sentences, cut_sentences, reachable, trim_pair
from uer.errors import ConfigError, DataError
from uer.glossary import SeqLength
from uer.maskings.base import Masking
from uer.processors.base import Prepared, Processor
from uer.signature import Given, default

_log = logging.getLogger(__name__)

ShortSeqProb = Annotated[float, "chance that a document is cut into instances of a random length"]

_MANY_RANDOM = 0.6


class Chunks(NamedTuple):
    """Stretches of a document that become one pair each; [N] sentence numbers.

    Args:
        first: first sentence of A.
        middle: the sentence behind A.
        end: the sentence behind the stretch; where B is not random it is ``middle`` … ``end`` - 1.
        random: B is random.
        target: tokens that the pair should have.
    """

    first: Ints
    middle: Ints
    end: Ints
    random: Bools
    target: Ints


class Bert(Processor):
    """Masked pairs of sentences: [CLS] A [SEP] B [SEP], segments 0 and 1.

    Label ``sp`` is 1 where B is random and 0 where it follows A, as in the original. Pairs that are
    too long lose tokens of the longer text at a random end; these are counted.
    """

    corpus: ClassVar[str] = "sentences"
    provides: ClassVar[frozenset[str]] = frozenset(
        {"src.ids", "src.segment", "labels.mlm", "labels.sp"}
    )

    def __init__(
        self,
        *,
        seq_length: SeqLength = 128,
        short_seq_prob: ShortSeqProb = 0.1,
        masking: Masking = default("token"),
        pad_id: Given[int],
        cls_id: Given[int],
        sep_id: Given[int],
    ) -> None:
        if not 0 <= short_seq_prob <= 1:
            raise ConfigError([f"short_seq_prob: {short_seq_prob} is not in [0, 1]."])
        self.seq_length, self.pad_id = seq_length, pad_id
        self.short_seq_prob = short_seq_prob
        self.masking = masking
        self.layout = (
            Constant(cls_id),
            Span(0),
            Constant(sep_id),
            Span(1, segment=1),
            Constant(sep_id, segment=1),
        )
        self.require_seq_length(5)

    def index(self, store: TokenStore, draw: Draw) -> Instances:
        """Pair sentences.

        Raises:
            DataError: there are fewer than two documents, so no B can be random.
        """
        if len(store) < 2:
            raise DataError(
                f"next-sentence prediction needs at least two documents, the data holds "
                f"{len(store)}; put a blank line between documents, or use the processor 'mlm'."
            )
        room = self.seq_length - 3
        text = cut_sentences(store.sides["src"], longest=room, size=room // 2)
        chunks = sequential_chunks(text, room, self.short_seq_prob, draw)
        second, second_end = _second_texts(text, chunks, draw)
        starts = text.offsets[np.stack([chunks.first, second], axis=1)]
        ends = text.offsets[np.stack([chunks.middle, second_end], axis=1)]
        cut, length = trimmed_pairs(ends - starts, room, draw)
        return Instances(
            (self.layout,),
            np.zeros(len(starts), np.uint8),
            starts + cut,
            length.astype(np.int32),
            {"random": chunks.random},
        )

    def prepare(self, gathered: Mapping[str, Ragged], draw: Draw, instances: Instances) -> Prepared:
        """Mask the pairs."""
        ragged = gathered["src"]
        masked = self.masking(ragged, draw)
        return Prepared(
            {"src": replace(ragged, ids=masked.ids)},
            {"mlm": ("src", masked.place, masked.value)},
            {"sp": instances.fields["random"][ragged.which].astype(np.int64)},
        )

    def report(self, instances: Instances, store: TokenStore) -> dict[str, float]:
        """As for every processor, with ``random_next``, the share of random pairs.

        A random B repeats tokens that stand elsewhere as well, so it does not count as their use.
        Warns when the label is predictable from the length of documents.
        """
        random = instances.fields["random"]
        tokens = len(store.sides["src"].tokens)
        used = int(instances.length[:, 0].sum() + instances.length[~random, 1].sum())
        rate = float(random.mean())
        if rate > _MANY_RANDOM:
            _log.warning(
                "%.0f %% of the pairs are random because many pieces of documents hold a single "
                "sentence; use longer documents, shorter sentences, a larger seq_length or the "
                "processor 'mlm'.",
                100 * rate,
            )
        return {
            "instances": len(instances),
            "tokens": tokens,
            "tokens_truncated": tokens - used,
            "random_next": rate,
        }


def sequential_chunks(
    text: Sentences, room: int, short_seq_prob: float, draw: Draw, *, random_next: bool = True
) -> Chunks:
    """Cut documents into chunks as a loop over sentences would.

    Args:
        text: the sentences.
        room: tokens of a pair.
        short_seq_prob: chance that a document's chunks have a random length of 2 … ``room`` tokens.
        draw: the epoch's randomness.
        random_next: half of the Bs are random; else all follow, and where a chunk has a single
            sentence there is none.
    """
    document = np.arange(len(text.documents) - 1)
    short = draw.uniform("short", document) < short_seq_prob
    target = np.where(short, 2 + draw.integers("short length", document, room - 1), room)
    owner = text.owners()
    sentence = np.arange(len(owner))
    target = target[owner]
    end = np.searchsorted(text.offsets, text.offsets[:-1] + target)
    end = np.minimum(end, text.documents[owner + 1])
    count = end - sentence
    middle = sentence + 1 + draw.integers("middle", sentence, np.maximum(count - 1, 1))
    random = (draw.bits("random next", sentence) >> np.uint64(63) == 1) | (count == 1)
    if not random_next:
        random[:] = False
    following = np.where(random, middle, end)
    first = np.flatnonzero(reachable(following, text.documents[:-1]))
    return Chunks(first, middle[first], end[first], random[first], target[first])


def _second_texts(text: Sentences, chunks: Chunks, draw: Draw) -> tuple[Ints, Ints]:
    """[N] first sentence of each B, and the one behind it."""
    pair = np.flatnonzero(chunks.random)
    own = np.searchsorted(text.documents, chunks.first[pair], side="right") - 1
    other = draw.integers("other document", pair, len(text.documents) - 2)
    other += other >= own
    sentences = text.documents[other + 1] - text.documents[other]
    start = text.documents[other] + draw.integers("other sentence", pair, sentences)
    first, middle = chunks.first[pair], chunks.middle[pair]
    wanted = chunks.target[pair] - (text.offsets[middle] - text.offsets[first])
    end = np.searchsorted(text.offsets, text.offsets[start] + wanted)
    end = np.clip(end, start + 1, text.documents[other + 1])
    second, second_end = chunks.middle.copy(), chunks.end.copy()
    second[pair], second_end[pair] = start, end
    return second, second_end


def trimmed_pairs(lengths: Ints, room: int, draw: Draw) -> tuple[Ints, Ints]:
    """Shorten pairs to ``room`` tokens, each lost one at the front or the back by a fair coin.

    Args:
        lengths: [N, 2] tokens of A and B.
        room: what both together may have.
        draw: the epoch's randomness.

    Returns:
        [N, 2] tokens lost at the front, [N, 2] tokens left.
    """
    lost = np.stack(trim_pair(lengths[:, 0], lengths[:, 1], room), axis=1)
    front = np.zeros_like(lost)
    for text, purpose in enumerate(("trim A", "trim B")):
        some = np.flatnonzero(lost[:, text])
        front[some, text] = draw.heads(purpose, some, lost[some, text])
    return front, lengths - lost

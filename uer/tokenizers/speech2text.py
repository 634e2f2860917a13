"""Speech2Text's tokenizer: a sentencepiece model under the ids of a map.

A text that is written begins with the end of the one before it: the role ``cls``, with which
decoders start, is played by ``</s>``.
Source: Wang et al. 2020, https://arxiv.org/abs/2010.05171
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from uer.tokenizers._files import File, read_bytes, read_vocabulary
from uer.tokenizers._pieces import PieceTokenizer, SpmModel
from uer.tokenizers.base import Encoded, SpecialTokens, SpmModelPath

_DEFAULTS = {
    "pad": "<pad>",
    "unk": "<unk>",
    "cls": "</s>",
    "bos": "<s>",
    "eos": "</s>",
}


class Speech2textTokenizer(PieceTokenizer):
    """Speech2Text's tokenizer: a sentencepiece model under the ids of a map."""

    def __init__(
        self,
        *,
        vocab_path: Annotated[str, "JSON file with the id of every token"],
        spm_model_path: SpmModelPath,
        special_tokens: SpecialTokens = None,
        do_lower_case: Annotated[bool, "texts are read in lower case"] = False,
        do_upper_case: Annotated[bool, "texts are written in upper case"] = False,
    ) -> None:
        model, vocabulary = SpmModel(spm_model_path), read_vocabulary(vocab_path)
        ids = {token: number for number, token in enumerate(vocabulary)}
        unknown = ids.get((special_tokens or {}).get("unk") or _DEFAULTS["unk"], 0)
        super().__init__(
            model=model,
            table=(ids.get(piece, unknown) for piece in model.pieces),
            vocabulary=vocabulary,
            special_tokens=special_tokens,
            options={"do_lower_case": do_lower_case, "do_upper_case": do_upper_case},
            defaults=_DEFAULTS,
            further={"vocab_path": File("vocab.json", read_bytes(vocab_path))},
        )

    def encode_batch(self, texts: Sequence[str], *, offsets: bool = False) -> Encoded:
        """See `Tokenizer.encode_batch`."""
        if self.options["do_lower_case"]:
            texts = [_lower(text) for text in texts]
        return super().encode_batch(texts, offsets=offsets)

    def join(self, tokens: list[str]) -> str:
        """See `Tokenizer.join`."""
        text = super().join(tokens)
        return text.upper() if self.options["do_upper_case"] else text


def _lower(text: str) -> str:
    """A text in lower case, every character in its place."""
    made = text.lower()
    if len(made) == len(text):
        return made
    return "".join(low if len(low := one.lower()) == 1 else one for one in text)

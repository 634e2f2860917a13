"""Tiny vocabularies trained on the spot, and texts to try tokenizers on."""

import io
import json
import unicodedata

import numpy as np
import regex
import sentencepiece
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

CORPUS = [
    "the cat sees the small house near the river, in 1999, and 23 birds.",
    "hello world, unaffable walking! hello",
    "die Straße über den Fluß führt nach München",
    "naïve café déjà vu",
    "我们 在 北京 看 电影。",
    "中国人喜欢喝茶,今天天气很好",
    "😀 emoji 👨‍👩‍👧 family",
] * 20
EMOJI = ["👨‍👩‍👧", "😀", "🇨🇳", "👍🏽"]
LITERALS = ["</s>", "<s>", "<unk>", "<pad>", "<mask>", "<extra_id_0>", "[MASK]", "<|endoftext|>"]

plain = st.one_of(
    st.sampled_from(["hello", "the cat ", " ", "  ", "\n", "\t", "中国人", "茶,", "1999,", "９"]),
    st.sampled_from(["é", "e\u0301", "ß", "İ", "ﬁ", "①", "한", "ᄒ", "ᅡ", "\u3000", "\u00a0", "豈"]),
    st.sampled_from([*EMOJI, "\x00", "\x01", "\u200d", "\ufeff", "\u00ad"]),
    st.sampled_from(["ab" * 300, "the" * 100, "中" * 100, "'s", "don't", "...", "!?"]),
    # These are where sentencepiece and transformers part; a test of its own shows them.
    st.characters(codec="utf-8", exclude_characters="\u0085▁"),
)
texts = st.lists(plain, max_size=10).map("".join)
texts_with_literals = st.lists(st.one_of(plain, st.sampled_from(LITERALS)), max_size=10).map(
    "".join
)


def alone(text):
    """A text whose characters stand for themselves, but for some emoji.

    transformers' normaliser looks at clusters of characters (a letter and its marks), drops what it
    finds no rule for in short ones and takes long ones apart; sentencepiece does neither.
    """
    clusters = regex.findall(r"\X", unicodedata.normalize("NFC", text))
    return "".join(cluster if cluster in EMOJI else cluster[0] for cluster in clusters)


def split(values, lengths):
    """Values of each text."""
    return [part.tolist() for part in np.split(values, np.cumsum(lengths)[:-1])]


def assert_same_pieces(ours, theirs):
    """Equal ids; where pieces in another order have the same score ("9 99"), either may be."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other or sorted(mine) == sorted(other)


def train_pieces(path, **options):
    """Write a sentencepiece model."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=made,
        hard_vocab_limit=False,
        minloglevel=2,
        **{"vocab_size": 160, **options},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.getvalue())
    return str(path)


def train_t5(folder):
    """Write a model with T5's special pieces."""
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    return train_pieces(folder / "spiece.model", **ids)


def train_llama(folder):
    """Write a model with the settings of LLaMA's."""
    return train_pieces(
        folder / "tokenizer.model",
        vocab_size=430,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
    )


def train_bytes(folder, special=("<|endoftext|>",)):
    """Write vocab.json and merges.txt of a byte-level BPE; returns both paths."""
    rust = Tokenizer(BPE())
    rust.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=330,
        special_tokens=list(special),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    rust.train_from_iterator(CORPUS, trainer)
    model = json.loads(rust.to_str())["model"]
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    lines = "".join(f"{left} {right}\n" for left, right in model["merges"])
    merges.write_text(f"#version: 0.2\n{lines}", encoding="utf-8")
    return str(vocab), str(merges)

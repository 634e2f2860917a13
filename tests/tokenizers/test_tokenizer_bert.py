"""The ids, and the offsets, are those of transformers' BertTokenizerFast."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizerFast

from uer.tokenizers._word_cache import WordCache
from uer.tokenizers.bert import BertTokenizer

SHARED = Path(os.environ.get("UER_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared/data"))
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*"abcdeihlnoptuwxyzABIé", "ß", "ж", "ᄒ", "ᅡ", "ا", "\u0301", "i̇"]
ALONE = [*"中国人𠀀豈,.!?-[]()#，。“'$=<;", "\u200b"]
WORDS = ["the", "hello", "world", "##ing", "##ed", "un", "##aff", "##able", "mask", "sep"]
VOCABULARY = [*SPECIALS, *WORDS, *LETTERS, *[f"##{x}" for x in LETTERS], *ALONE, "😀", "🇨"]

pieces = st.one_of(
    st.sampled_from([*LETTERS, *ALONE, "hello", "unaffable", "walking", " ", "  ", "\t", "\n"]),
    st.sampled_from(["[MASK]", "[SEP]", "##ing", "\x00", "\ufffd", "\u00ad", "\u0085", "\u3000"]),
    st.sampled_from(
        ["e\u0301", "İ", "≠", "ﬁ", "한", "\u302e\u0301", "豈", "👨‍👩‍👧", "\u2028", "\ufeff"]
    ),
    st.sampled_from(["a" * 99, "a" * 100, "a" * 101, "ab" * 300, "é" * 100]),
    st.characters(codec="utf-8"),
)
texts = st.lists(pieces, max_size=12).map("".join)


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module", params=[True, False], ids=["lower", "cased"])
def pair(request, vocab):
    reference = BertTokenizerFast(vocab=vocab, do_lower_case=request.param)
    return BertTokenizer(vocab_path=vocab, do_lower_case=request.param), reference


def expected(reference, batch):
    """ids and offsets of each text; literal special tokens are text."""
    made = reference(
        batch, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    return made["input_ids"], [[begin for begin, _ in one] for one in made["offset_mapping"]]


def split(values, lengths):
    return [part.tolist() for part in np.split(values, np.cumsum(lengths)[:-1])]


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
@example(["Hello, 中国! unaffable", "", "\x00", "a\u0301\x00b 한"])
def test_equals_transformers(pair, batch):
    ours, reference = pair
    encoded = ours.encode_batch(batch, offsets=True)
    ids, offsets = expected(reference, batch)
    assert split(encoded.ids, encoded.lengths) == ids
    assert split(encoded.offsets, encoded.lengths) == offsets
    begins = [not token.startswith("##") for token in ours.tokens(encoded.ids)]
    assert encoded.word_starts.tolist() == begins


def test_every_character_of_unicode_is_treated_as_by_transformers(pair):
    ours, reference = pair
    points = [chr(point) for point in range(0x30000) if not 0xD800 <= point < 0xE000]
    batch = ["".join(f"a{c}b" for c in points[i : i + 64]) for i in range(0, len(points), 64)]
    encoded = ours.encode_batch(batch)
    assert split(encoded.ids, encoded.lengths) == expected(reference, batch)[0]


def test_special_tokens_in_text_are_text(vocab):
    tokenizer = BertTokenizer(vocab_path=vocab)
    assert tokenizer.tokens(tokenizer.encode("[MASK]")) == ["[", "mask", "]"]
    assert not np.isin(tokenizer.encode("[CLS] [SEP] [PAD] [MASK]"), [0, 2, 3, 4]).any()


def test_word_starts_are_first_pieces_and_chinese_characters(vocab):
    encoded = BertTokenizer(vocab_path=vocab).encode_batch(["unaffable 中国"])
    assert encoded.word_starts.tolist() == [True, False, False, True, True]


def test_words_are_joined_without_blanks_beside_chinese(vocab):
    tokenizer = BertTokenizer(vocab_path=vocab)
    assert (
        tokenizer.decode(tokenizer.encode("Unaffable 中国人 hello , x"))
        == "unaffable中国人hello , x"
    )


@settings(max_examples=100, deadline=None)
@given(texts)
def test_decoded_text_gives_the_same_ids(pair, text):
    ours, _ = pair
    ids = ours.encode(text)
    ids = ids[ids != ours.special["unk"]]
    first = np.flatnonzero([not t.startswith("##") for t in ours.tokens(ids)])
    ids = ids[first[0] :] if len(first) else ids[:0]
    assert ours.encode(ours.decode(ids)).tolist() == ids.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(texts, max_size=4), max_size=5))
def test_forgetting_words_changes_nothing(vocab, batches):
    tokenizer = BertTokenizer(vocab_path=vocab)
    forgetful = WordCache(tokenizer._words._rust, held_words=2, held_characters=10)
    for batch in batches:
        ours = forgetful.encode(batch, offsets=True)
        for mine, theirs in zip(ours, tokenizer._words.encode(batch, offsets=True), strict=True):
            assert mine.tolist() == theirs.tolist()
    assert len(forgetful._numbers) <= 2 + sum(map(len, map("".join, batches[-1:])))


@pytest.mark.parametrize("bounds", [{"held_words": 1}, {"held_characters": 9}])
def test_words_are_forgotten_when_there_are_many_or_long_ones(vocab, bounds):
    cache = WordCache(BertTokenizer(vocab_path=vocab)._words._rust, **bounds)
    cache.encode(["hello world"], offsets=False)
    assert len(cache._numbers) == 2
    cache.encode(["the"], offsets=False)
    assert list(cache._numbers) == ["the"]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the shared data in {SHARED}")
def test_a_real_corpus_equals_transformers():
    vocab = str(SHARED / "google_zh_vocab.txt")
    lines = (SHARED / "corpora/CLUECorpusSmall_bert_sampled.txt").read_text("utf-8").split("\n")
    lines = lines[:1500]
    encoded = BertTokenizer(vocab_path=vocab).encode_batch(lines, offsets=True)
    ids, offsets = expected(BertTokenizerFast(vocab=vocab), lines)
    assert split(encoded.ids, encoded.lengths) == ids
    assert split(encoded.offsets, encoded.lengths) == offsets

"""The ids are those of sentencepiece itself and of transformers' T5 and LLaMA tokenizers."""

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from support import SHARED_DATA
from tokenizer_fakes import (
    CORPUS,
    alone,
    assert_same_pieces,
    split,
    texts,
    texts_with_literals,
    train_llama,
    train_pieces,
    train_t5,
)
from transformers import LlamaTokenizer, T5Tokenizer

from uer.errors import ConfigError, DataError, UserError
from uer.tokenizers.base import read_special_tokens
from uer.tokenizers.sentencepiece import SentencepieceTokenizer


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    ours = SentencepieceTokenizer(spm_model_path=train_t5(folder), extra_ids=100)
    return ours, T5Tokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    ours = SentencepieceTokenizer(spm_model_path=train_llama(folder))
    return ours, LlamaTokenizer.from_pretrained(folder)


@settings(max_examples=150, deadline=None)
@given(st.lists(texts.map(alone), min_size=1, max_size=4))
def test_equals_transformers_t5(t5, batch):
    ours, reference = t5
    encoded = ours.encode_batch(batch)
    expected = reference(batch, add_special_tokens=False)["input_ids"]
    assert_same_pieces(split(encoded.ids, encoded.lengths), expected)


@settings(max_examples=150, deadline=None)
@given(st.lists(texts.map(lambda text: text.lstrip(" ")), min_size=1, max_size=4))
def test_equals_transformers_llama(llama, batch):
    ours, reference = llama
    encoded = ours.encode_batch(batch)
    expected = reference(batch, add_special_tokens=False)["input_ids"]
    assert split(encoded.ids, encoded.lengths) == expected
    assert [ours.decode(ids) for ids in expected] == batch


@pytest.mark.parametrize("name", ["t5", "llama"])
@settings(max_examples=100, deadline=None)
@given(st.lists(texts_with_literals, max_size=4))
def test_equals_sentencepiece(request, name, batch):
    ours, _ = request.getfixturevalue(name)
    original = sentencepiece.SentencePieceProcessor(
        model_proto=ours.files["spm_model_path"].content
    )
    encoded = ours.encode_batch(batch, offsets=True)
    expected = [original.encode(text, out_type=int) for text in batch]
    assert encoded.ids.tolist() == [number for ids in expected for number in ids]
    assert encoded.lengths.tolist() == [len(ids) for ids in expected]
    assert ours.encode_batch(batch).ids.tolist() == encoded.ids.tolist()
    mapped = original.encode(batch, return_type="offset_mapping")
    assert encoded.offsets.tolist() == [begin for one in mapped for begin, _ in one["offsets"]]


def test_where_sentencepiece_and_transformers_part(t5, llama):
    """White space U+0085, marks in long clusters, a blank before a text."""
    ours, reference = t5
    for text in ("\u0085", "e\u0301\u200d"):
        assert ours.encode(text).tolist() != reference(text, add_special_tokens=False).input_ids
    ours, reference = llama
    assert ours.decode(ours.encode(" a")) == " a"
    assert reference(" a", add_special_tokens=False).input_ids == ours.encode("a").tolist()


def test_sentinels_stand_behind_the_pieces_the_first_one_last(t5):
    ours, reference = t5
    names = [f"<extra_id_{number}>" for number in range(100)]
    assert ours.vocab_size == len(reference)
    assert ours.sentinel_ids == reference.convert_tokens_to_ids(names)
    assert ours.sentinel_ids[0] == ours.special["sentinel"] == ours.vocab_size - 1
    assert ours.facts()["sentinel_ids"] == ours.sentinel_ids
    assert set(ours.sentinel_ids) <= set(ours.special_ids.tolist())
    end = ours.special["eos"]
    assert ours.decode([*ours.encode("the cat"), ours.sentinel_ids[3], end]) == "the cat"


def test_special_tokens_are_those_the_model_names(t5, llama):
    assert t5[0].special_tokens == {
        **{"pad": "<pad>", "unk": "<unk>", "sep": "</s>", "eos": "</s>"},
        "sentinel": "<extra_id_0>",
    }
    assert llama[0].special_tokens == {
        **{"pad": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"},
        **{"bos": "<s>", "eos": "</s>"},
    }


def test_special_tokens_in_text_are_text(t5, llama):
    for ours, _ in (t5, llama):
        hidden = set(ours.special_ids.tolist()) - {ours.special["unk"]}
        assert not hidden & set(ours.encode("</s> <extra_id_0>a<s> <pad>").tolist())


def test_user_defined_pieces_with_a_role_are_text_as_well(tmp_path):
    path = train_pieces(tmp_path / "m.model", user_defined_symbols=["[MASK]", "[CLS]", "<br>"])
    ours = SentencepieceTokenizer(spm_model_path=path, special_tokens={"cls": "[CLS]"})
    assert ours.special_tokens["mask"] == "[MASK]" and ours.special_tokens["cls"] == "[CLS]"
    ids = ours.encode("the [MASK] the [CLS] <br>").tolist()
    assert not {ours.special["mask"], ours.special["cls"]} & set(ids)
    assert ids.count(ours.vocabulary.index("<br>")) == 1


def test_a_byte_with_a_role_is_unknown_in_text(tmp_path, llama):
    """The predecessors' map for LLaMA pads with the byte 0."""
    assert llama[0].encode("\x00").tolist()[-1] == llama[0].vocabulary.index("<0x00>")
    names = {"pad": "<0x00>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    ours = SentencepieceTokenizer(spm_model_path=train_llama(tmp_path), special_tokens=names)
    assert "mask" not in ours.special and ours.special["pad"] == ours.vocabulary.index("<0x00>")
    assert ours.encode("\x00").tolist()[-1] == ours.special["unk"]


def test_words_start_at_blanks_and_chinese_characters(t5):
    ours, _ = t5
    encoded = ours.encode_batch(["hello the中国人x the", "cat"], offsets=True)
    text = "hello the中国人x thecat"
    shift = np.repeat([0, len("hello the中国人x the")], encoded.lengths)
    places = (encoded.offsets + shift)[encoded.word_starts]
    words = [text[a:b] for a, b in zip(places, [*places[1:], None], strict=True)]
    assert words[0] == "hello" and words[1] == " the" and words[-2:] == [" the", "cat"]
    assert "".join(words[2:-2]) == "中国人x" and words[2][0] == "中" and words[-3] == "x"


@pytest.mark.parametrize("content", [None, b"", b"xxxx", b"\x0a\x03no"])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "a.model"
    if content is not None:
        path.write_bytes(content)
    message = "No such file" if content is None else "this is no sentencepiece model"
    with pytest.raises(DataError, match=rf"a\.model: .*{message}"):
        SentencepieceTokenizer(spm_model_path=str(path))


def test_wrong_numbers_of_sentinels_are_refused(tmp_path):
    path = train_pieces(tmp_path / "m.model", user_defined_symbols=["<extra_id_0>"])
    with pytest.raises(ConfigError, match="has <extra_id_0> already"):
        SentencepieceTokenizer(spm_model_path=path, extra_ids=2)
    with pytest.raises(ConfigError, match="extra_ids: -1 is negative"):
        SentencepieceTokenizer(spm_model_path=path, extra_ids=-1)


def test_half_a_surrogate_pair_is_refused(t5):
    with pytest.raises(UserError, match="surrogate"):
        t5[0].encode("a\ud83d")


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"needs the shared data in {SHARED_DATA}")
def test_a_usual_model_with_the_predecessors_map():
    path = str(SHARED_DATA / "cluecorpussmall_spm.model")
    names = read_special_tokens(SHARED_DATA / "special_tokens_map.json")
    ours = SentencepieceTokenizer(spm_model_path=path, special_tokens=names)
    roles = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert ours.special == {**roles, "bos": 2, "eos": 3}
    original = sentencepiece.SentencePieceProcessor(model_file=path)
    lines = (SHARED_DATA / "corpora/CLUECorpusSmall_bert_sampled.txt").read_text("utf-8")
    batch = [*lines.split("\n")[:500], *CORPUS[:7]]
    encoded = ours.encode_batch(batch)
    assert split(encoded.ids, encoded.lengths) == original.encode(batch, out_type=int)
    assert 4 not in ours.encode("a[MASK]b") and 4 in original.encode("a[MASK]b")

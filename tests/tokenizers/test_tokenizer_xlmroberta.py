"""The ids are those of transformers' XLMRobertaTokenizer."""

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import alone, assert_same_pieces, split, texts, train_pieces, train_t5
from transformers import XLMRobertaTokenizer

from uer.errors import DataError
from uer.tokenizers.xlmroberta import XlmrobertaTokenizer


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xlmroberta")
    path = train_pieces(folder / "sentencepiece.bpe.model")
    return XlmrobertaTokenizer(spm_model_path=path), XLMRobertaTokenizer.from_pretrained(folder)


@settings(max_examples=150, deadline=None)
@given(st.lists(texts.map(alone), min_size=1, max_size=4))
def test_equals_transformers(pair, batch):
    ours, reference = pair
    encoded = ours.encode_batch(batch)
    expected = reference(batch, add_special_tokens=False)["input_ids"]
    assert_same_pieces(split(encoded.ids, encoded.lengths), expected)
    original = sentencepiece.SentencePieceProcessor(
        model_proto=ours.files["spm_model_path"].content
    )
    shifted = [3 if number == 0 else number + 1 for ids in original.encode(batch) for number in ids]
    assert encoded.ids.tolist() == shifted


def test_special_ids_equal_transformers(pair):
    ours, reference = pair
    assert ours.vocab_size == len(reference)
    for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        assert ours.special[role] == getattr(reference, f"{role}_token_id")
    assert [ours.special[role] for role in ("cls", "pad", "sep", "unk")] == [0, 1, 2, 3]
    assert ours.special["mask"] == ours.vocab_size - 1
    assert reference.convert_ids_to_tokens(list(range(ours.vocab_size))) == ours.vocabulary


def test_special_tokens_in_text_are_text(pair):
    ours, _ = pair
    ids = ours.encode("a <s> b </s> <mask> <pad>")
    assert not set(ids.tolist()) & (set(ours.special_ids.tolist()) - {ours.special["unk"]})


def test_another_models_pieces_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"begins with <unk> <s> </s>, this one with <pad> </s>"):
        XlmrobertaTokenizer(spm_model_path=train_t5(tmp_path))

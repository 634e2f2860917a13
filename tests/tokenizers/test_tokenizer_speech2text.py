"""The ids are those of transformers' Speech2TextTokenizer."""

import json

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import split, texts, train_pieces
from transformers import Speech2TextTokenizer

from uer.builder import build
from uer.errors import UserError
from uer.tokenizers.base import Tokenizer
from uer.tokenizers.speech2text import Speech2textTokenizer

FIRST = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of theirs, whose ids are not those of the model of pieces."""
    made = tmp_path_factory.mktemp("speech2text")
    path = train_pieces(made / "sentencepiece.bpe.model")
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    pieces = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    others = [piece for piece in pieces if piece not in FIRST]
    tokens = [*FIRST, *reversed(others[1:]), "madeup"]  # one piece has no id
    vocab = made / "vocab.json"
    vocab.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    Speech2TextTokenizer(str(vocab), path).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def pair(folder):
    ours = build(Tokenizer, "hfpretrained", vocab_path=str(folder))
    return ours, Speech2TextTokenizer.from_pretrained(folder)


def plain(text):
    """What no special token, and nothing that theirs cuts off beside one, stands in."""
    return text.replace("<", "(").strip()


@settings(max_examples=150, deadline=None)
@given(st.lists(texts.map(plain), min_size=1, max_size=4))
def test_equals_transformers(pair, batch):
    ours, reference = pair
    encoded = ours.encode_batch(batch)
    expected = [reference(text, add_special_tokens=False)["input_ids"] for text in batch]
    assert split(encoded.ids, encoded.lengths) == expected
    for ids in expected:
        known = [number for number in ids if number != reference.unk_token_id]
        assert ours.decode(known) == reference.decode(known)


def test_a_text_begins_with_the_end_of_the_one_before(pair):
    ours, reference = pair
    assert ours.kind == "speech2text" and ours.vocab_size == len(reference)
    assert ours.special == {"bos": 0, "pad": 1, "cls": 2, "eos": 2, "unk": 3}


def test_letters_are_small_where_they_are_read_and_large_where_they_are_written(folder):
    paths = {
        "vocab_path": str(folder / "vocab.json"),
        "spm_model_path": str(folder / "sentencepiece.bpe.model"),
    }
    made = Speech2textTokenizer(**paths, do_lower_case=True, do_upper_case=True)
    same = Speech2textTokenizer(**paths)
    ids = made.encode("The CAT")
    assert ids.tolist() == same.encode("the cat").tolist() != same.encode("The CAT").tolist()
    assert made.decode(ids) == same.decode(ids).upper()
    growing = made.encode_batch(["İ the"], offsets=True)  # one letter, in lower case two
    assert growing.offsets.max() < 5


def test_what_a_vocabulary_lacks_is_said(folder, tmp_path):
    (tmp_path / "vocab.json").write_text('{"<s>": 0, "<pad>": 1, "</s>": 2}')
    with pytest.raises(UserError, match="lacks the special tokens <unk>"):
        Speech2textTokenizer(
            vocab_path=str(tmp_path / "vocab.json"),
            spm_model_path=str(folder / "sentencepiece.bpe.model"),
        )

"""Special tokens by role: which a tokenizer has, and what happens where one is missing."""

import logging

import pytest
from support import SHARED_DATA
from tokenizer_fakes import train_llama, train_pieces

from uer.errors import DataError, UserError
from uer.tokenizers.base import load, read_special_tokens, tokenizers
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.byte import ByteTokenizer
from uer.tokenizers.char import CharTokenizer
from uer.tokenizers.sentencepiece import SentencepieceTokenizer
from uer.tokenizers.space import SpaceTokenizer
from uer.tokenizers.xlmroberta import XlmrobertaTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
THEIRS = {
    "bert": {**dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))},
    "llama": {"pad": "<0x00>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"},
    "xlmroberta": {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"},
}
THEIRS["bert"]["sentinel"] = "<extra_id_0>"


def write(path, tokens):
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", [BertTokenizer, CharTokenizer, SpaceTokenizer])
def test_a_role_is_dropped_by_null(tmp_path, kind):
    path = write(tmp_path / "v.txt", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    with pytest.raises(UserError, match=r"lacks the special tokens \[MASK\]"):
        kind(vocab_path=path)
    made = kind(vocab_path=path, special_tokens={"mask": None})
    assert "mask_id" not in made.facts() and made.special_ids.tolist() == [0, 1, 2, 3]
    made.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.special == made.special and again.fingerprint() == made.fingerprint()


@pytest.mark.parametrize("kind", ["bert", "char", "space"])
def test_words_may_be_unknown_so_there_is_a_token_for_them(tmp_path, kind):
    path = write(tmp_path / "v.txt", SPECIALS)
    with pytest.raises(UserError, match=f"the tokenizer '{kind}' needs the role 'unk'"):
        tokenizers.get(kind)(vocab_path=path, special_tokens={"unk": None})


def test_sentinels_are_found_by_the_number_in_their_names(tmp_path):
    names = [f"<extra_id_{number}>" for number in (2, 0, 1, 4)]
    made = BertTokenizer(vocab_path=write(tmp_path / "v.txt", [*SPECIALS, "a", *names]))
    assert made.sentinel_ids == made.facts()["sentinel_ids"] == [7, 8, 6]
    assert made.special["sentinel"] == made.facts()["sentinel_id"] == 7
    assert made.special_ids.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert not set(made.encode("<extra_id_0> a").tolist()) & {6, 7, 8, 9}
    none = BertTokenizer(vocab_path=str(tmp_path / "v.txt"), special_tokens={"sentinel": None})
    assert none.sentinel_ids == [] and none.special_ids.tolist() == [0, 1, 2, 3, 4]


def test_other_names_of_sentinels(tmp_path):
    names = ["<s>", "x1y", "x2y", "x10y", "once"]
    path = write(tmp_path / "v.txt", [*SPECIALS, *names])
    first = CharTokenizer(vocab_path=path, special_tokens={"sentinel": "x1y"})
    assert first.sentinel_ids == [6, 7]
    assert CharTokenizer(vocab_path=path, special_tokens={"sentinel": "once"}).sentinel_ids == [9]


def test_special_tokens_that_are_words_of_a_text_stay_out_of_it(tmp_path):
    path = write(tmp_path / "v.txt", [*SPECIALS, "a", "b"])
    words = SpaceTokenizer(vocab_path=path, special_tokens={"bos": "b"})
    assert words.encode("a [MASK] b [CLS] a").tolist() == [5, 1, 1, 1, 5]
    letters = CharTokenizer(vocab_path=path, special_tokens={"bos": "b"})
    assert letters.encode("ab").tolist() == [5, 1]
    pieces = BertTokenizer(vocab_path=path, special_tokens={"bos": "b"})
    assert pieces.encode("a b [MASK]").tolist() == [5, 1, 1, 1, 1]


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_the_predecessors_maps(tmp_path, name, caplog):
    caplog.set_level(logging.INFO)
    if name == "bert":
        path = write(tmp_path / "v.txt", [*SPECIALS, "a"])
        made = BertTokenizer(vocab_path=path, special_tokens=THEIRS[name])
        assert "no <extra_id_0>, so there is no 'sentinel'" in caplog.text
    elif name == "llama":
        path = train_llama(tmp_path)
        made = SentencepieceTokenizer(spm_model_path=path, special_tokens=THEIRS[name])
        assert "no <mask>, so there is no 'mask'" in caplog.text
    else:
        path = train_pieces(tmp_path / "m.model")
        made = XlmrobertaTokenizer(spm_model_path=path, special_tokens=THEIRS[name])
        assert not caplog.text
    for role, token in THEIRS[name].items():
        assert made.special_tokens.get(role) == (token if token in made.vocabulary else None)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"needs the shared data in {SHARED_DATA}")
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("special_tokens_map.json", "bert"),
        ("llama_special_tokens_map.json", "llama"),
        ("xlmroberta_special_tokens_map.json", "xlmroberta"),
    ],
)
def test_the_predecessors_files_are_read(file, name):
    assert read_special_tokens(SHARED_DATA / file) == THEIRS[name]


def test_maps_of_hugging_face_are_read(tmp_path):
    path = tmp_path / "map.json"
    path.write_text(
        '{"pad_token": {"content": "<pad>", "lstrip": false}, "mask_token": null, '
        '"additional_special_tokens": ["<a>"]}'
    )
    assert read_special_tokens(path) == {"pad": "<pad>", "mask": None}
    path.write_text('{"pad_token": {"lstrip": false}}')
    with pytest.raises(DataError, match="expected a map of roles to tokens"):
        read_special_tokens(path)


def test_a_misspelt_token_or_role_is_refused():
    with pytest.raises(UserError, match="'byte': the vocabulary lacks the special tokens <padd>"):
        ByteTokenizer(special_tokens={"pad": "<padd>"})
    with pytest.raises(UserError, match="no role 'sentinal'; did you mean 'sentinel'"):
        ByteTokenizer(special_tokens={"sentinal": "<extra_id_0>"})
    assert "mask" not in ByteTokenizer(special_tokens={"mask": "<mask>"}).special


def test_the_unknown_token_is_shown_unless_it_is_another_role_as_well(tmp_path):
    path = write(tmp_path / "v.txt", [*SPECIALS, "a"])
    assert CharTokenizer(vocab_path=path).decode([5, 1, 3]) == "a[UNK]"
    both = CharTokenizer(vocab_path=path, special_tokens={"sep": "[UNK]"})
    assert both.decode([5, 1]) == "a"

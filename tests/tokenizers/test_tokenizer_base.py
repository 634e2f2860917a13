"""Vocabulary files, special tokens, fingerprints, saving."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uer.errors import ConfigError, DataError, UserError
from uer.tokenizers.base import load, read_special_tokens, read_vocabulary, tokenizers
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.char import CharTokenizer
from uer.tokenizers.space import SpaceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["中", "国", "hello", "##s", "a", ","]
SHARED = Path(os.environ.get("UER_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared/data"))


@pytest.fixture
def vocab(tmp_path):
    return write(tmp_path / "vocab.txt", [*SPECIALS, *WORDS])


def write(path, tokens):
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return str(path)


def test_the_registry_knows_the_kinds():
    texts = {"bert", "bpe", "byte", "char", "hfpretrained", "sentencepiece", "sentencepiece_comma"}
    assert texts | {"space", "xlmroberta"} <= set(tokenizers.names())
    assert tokenizers.get("bert") is BertTokenizer
    assert all(tokenizers.summary(name) for name in tokenizers.names())


def test_no_tokenizer_and_no_preprocessing_imports_torch():
    code = (
        "import sys, uer.data.preprocess, uer.data.vocabulary, uer.data.store\n"
        "from uer.tokenizers.base import tokenizers\n"
        "for name in tokenizers.names(): tokenizers.get(name)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_special_ids_and_facts(vocab):
    tokenizer = BertTokenizer(vocab_path=vocab)
    assert tokenizer.special == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert tokenizer.special_ids.tolist() == [0, 1, 2, 3, 4]
    assert tokenizer.facts() == {
        "vocab_size": 11,
        "special_ids": [0, 1, 2, 3, 4],
        "pad_id": 0,
        "unk_id": 1,
        "cls_id": 2,
        "sep_id": 3,
        "mask_id": 4,
    }


def test_other_special_tokens(tmp_path):
    vocab = write(tmp_path / "v.txt", ["<s>", "<pad>", "</s>", "<unk>", "a", "<mask>"])
    names = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    tokenizer = CharTokenizer(vocab_path=vocab, special_tokens={**names, "bos": "<s>"})
    assert tokenizer.special == {"pad": 1, "unk": 3, "cls": 0, "sep": 2, "mask": 5, "bos": 0}
    assert tokenizer.special_ids.tolist() == [0, 1, 2, 3, 5]


def test_missing_special_tokens_are_named_with_the_way_out(tmp_path):
    vocab = write(tmp_path / "v.txt", ["[PAD]", "[UNK]", "[CLS]", "a"])
    with pytest.raises(UserError, match=r"v\.txt.*\[SEP\], \[MASK\].*--special_tokens_path"):
        BertTokenizer(vocab_path=vocab)


def test_an_unknown_role_is_refused(vocab):
    with pytest.raises(UserError, match="no role 'msk'; did you mean 'mask'"):
        BertTokenizer(vocab_path=vocab, special_tokens={"msk": "a"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[PAD]\n\na\n", r"v\.txt:2: .*no token"),
        (b"[PAD]\na\n \t\n", r"v\.txt:3: .*no token"),
        (b"[PAD]\na\nb\na\n", r"v\.txt:4: .*'a' stands in line 2"),
        (b"[PAD]\n\xff\n", r"v\.txt:2: .*not UTF-8"),
        (b"", r"v\.txt: the vocabulary is empty"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_vocabulary(path)


def test_a_missing_vocabulary_or_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: .*No such file"):
        read_vocabulary(tmp_path / "none.txt")
    with pytest.raises(DataError, match="directory"):
        read_vocabulary(tmp_path)


def test_a_token_is_the_first_field_of_its_line(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes("\ufeff[PAD]\r\nword 17\n字\t3\n\u2028\n\u3000\nlast".encode())
    assert read_vocabulary(path) == ["[PAD]", "word", "字", "\u2028", "\u3000", "last"]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the shared data in {SHARED}")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("google_zh_vocab.txt", 21128),
        ("google_zh_with_sentinel_vocab.txt", 21228),
        ("google_uncased_en_vocab.txt", 30522),
        ("huggingface_gpt2_vocab.txt", 50265),
    ],
)
def test_the_usual_vocabularies_load_unchanged(name, size):
    content = (SHARED / name).read_bytes().decode("utf-8")
    assert read_vocabulary(SHARED / name) == content.removesuffix("\n").split("\n")
    assert len(read_vocabulary(SHARED / name)) == size


def test_special_tokens_are_read_from_the_predecessors_map(tmp_path):
    path = tmp_path / "map.json"
    path.write_text('{"pad_token": "<pad>", "sentinel_token": "<extra_id_0>", "cls": "<s>"}')
    assert read_special_tokens(path) == {"pad": "<pad>", "sentinel": "<extra_id_0>", "cls": "<s>"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n,", r"map\.json:2: this is not JSON"),
        ("[]", "expected a map of roles"),
        ('{"pad": 1}', "expected a map of roles"),
    ],
)
def test_a_wrong_map_of_special_tokens_is_refused(tmp_path, content, message):
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_special_tokens(path)


@pytest.mark.parametrize("kind", [BertTokenizer, CharTokenizer, SpaceTokenizer])
def test_save_and_load(tmp_path, vocab, kind):
    tokenizer = kind(vocab_path=vocab, special_tokens={"bos": "a"})
    tokenizer.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert type(again) is kind
    assert again.fingerprint() == tokenizer.fingerprint()
    assert again.special == tokenizer.special
    text = "hellos, 中国 a"
    assert again.encode(text).tolist() == tokenizer.encode(text).tolist()
    again.save(tmp_path / "again")
    for file in (tmp_path / "saved").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_options_survive_saving(tmp_path, vocab):
    BertTokenizer(vocab_path=vocab, do_lower_case=False).save(tmp_path / "saved")
    assert load(tmp_path / "saved").options == {"do_lower_case": False}


def test_the_fingerprint_says_whether_ids_are_the_same(tmp_path, vocab):
    (tmp_path / "elsewhere").mkdir()
    base = BertTokenizer(vocab_path=vocab).fingerprint()
    copy = write(tmp_path / "elsewhere" / "other.txt", [*SPECIALS, *WORDS])
    assert BertTokenizer(vocab_path=copy).fingerprint() == base
    swapped = write(tmp_path / "swapped.txt", [*SPECIALS, *reversed(WORDS)])
    others = {
        BertTokenizer(vocab_path=vocab, do_lower_case=False).fingerprint(),
        BertTokenizer(vocab_path=vocab, special_tokens={"mask": "a"}).fingerprint(),
        BertTokenizer(vocab_path=swapped).fingerprint(),
        CharTokenizer(vocab_path=vocab).fingerprint(),
    }
    assert len(others | {base}) == 5


def test_a_damaged_tokenizer_folder_is_refused(tmp_path, vocab):
    with pytest.raises(DataError, match="no saved tokenizer can be read"):
        load(tmp_path)
    BertTokenizer(vocab_path=vocab).save(tmp_path)
    write(tmp_path / "vocab.txt", [*SPECIALS, *reversed(WORDS)])
    with pytest.raises(DataError, match="changed after it was saved"):
        load(tmp_path)
    description = tmp_path / "uer_tokenizer.json"
    stored = json.loads(description.read_text())
    description.write_text(json.dumps({**stored, "kind": "brt"}))
    with pytest.raises(ConfigError, match="no tokenizer is called 'brt'; did you mean 'bert'"):
        load(tmp_path)
    del stored["files"]
    description.write_text(json.dumps(stored))
    with pytest.raises(DataError, match="no description of a tokenizer"):
        load(tmp_path)
    for content in ('{"kind": "bert"}', "[]", "no"):
        description.write_text(content)
        with pytest.raises(DataError, match="no description of a tokenizer"):
            load(tmp_path)


@pytest.mark.parametrize("kind", [BertTokenizer, CharTokenizer, SpaceTokenizer])
def test_what_every_tokenizer_returns(vocab, kind):
    tokenizer = kind(vocab_path=vocab)
    encoded = tokenizer.encode_batch(["中国 a", "", " \t", "hello ,", "a"], offsets=True)
    assert encoded.ids.dtype == np.uint32
    assert encoded.lengths.dtype == np.int64
    assert encoded.word_starts.dtype == bool
    assert encoded.lengths[1:3].tolist() == [0, 0]
    assert encoded.lengths.sum() == len(encoded.ids) == len(encoded.word_starts)
    assert encoded.offsets is not None and len(encoded.offsets) == len(encoded.ids)
    assert tokenizer.encode_batch(["a"]).offsets is None
    none = tokenizer.encode_batch([], offsets=True)
    assert [len(part) for part in none if part is not None] == [0, 0, 0, 0]
    with pytest.raises(UserError, match="surrogate"):
        tokenizer.encode("a\ud83d")


@pytest.mark.parametrize("kind", [BertTokenizer, CharTokenizer, SpaceTokenizer])
def test_decode_leaves_special_tokens_out_and_keeps_the_unknown(vocab, kind):
    tokenizer = kind(vocab_path=vocab)
    assert tokenizer.decode([2, 5, 1, 3, 0, 4]).replace(" ", "") == "中[UNK]"
    assert tokenizer.tokens([2, 5]) == ["[CLS]", "中"]

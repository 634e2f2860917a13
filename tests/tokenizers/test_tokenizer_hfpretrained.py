"""Files and folders of Hugging Face; the ids are those of transformers' tokenizers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import split, texts, train_bytes, train_llama, train_pieces, train_t5
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import BertTokenizerFast, GPT2Tokenizer, LlamaTokenizer, T5Tokenizer

from uer.errors import DataError, UserError
from uer.tokenizers.base import load
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.bpe import BpeTokenizer
from uer.tokenizers.byte import ByteTokenizer
from uer.tokenizers.hfpretrained import HfpretrainedTokenizer
from uer.tokenizers.sentencepiece import SentencepieceTokenizer
from uer.tokenizers.xlmroberta import XlmrobertaTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "hello", "##s", "中", "国", "[", "]", "mask", *"abc,.!"]


def bert(folder):
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *WORDS]), encoding="utf-8")
    return BertTokenizerFast(vocab=str(folder / "vocab.txt"))


def gpt2(folder):
    train_bytes(folder)
    return GPT2Tokenizer.from_pretrained(folder)


def t5(folder):
    train_t5(folder)
    return T5Tokenizer.from_pretrained(folder)


def llama(folder):
    train_llama(folder)
    return LlamaTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=[bert, gpt2, t5, llama])
def pair(request, tmp_path_factory):
    reference = request.param(tmp_path_factory.mktemp("source"))
    folder = tmp_path_factory.mktemp("folder")
    reference.save_pretrained(folder)
    return HfpretrainedTokenizer(vocab_path=str(folder)), reference


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_a_folder_equals_transformers(pair, batch):
    ours, reference = pair
    encoded = ours.encode_batch(batch, offsets=True)
    made = reference(
        batch, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    assert split(encoded.ids, encoded.lengths) == made["input_ids"]
    begins = [begin for one in made["offset_mapping"] for begin, _ in one]
    assert encoded.offsets.tolist() == begins


def test_roles_are_those_of_the_folder(pair):
    ours, reference = pair
    assert ours.vocab_size == len(reference)
    for role in ("pad", "unk", "cls", "sep", "mask", "bos", "eos"):
        token = getattr(reference, f"{role}_token", None)
        if token is not None:
            assert ours.special[role] == reference.convert_tokens_to_ids(token), role
    assert ours.special["sep"] == ours.special.get("eos", ours.special["sep"])
    assert "pad" in ours.special


def test_special_tokens_in_text_are_text(pair):
    ours, _ = pair
    for literal in (*SPECIALS, *ours.special_tokens.values(), "<extra_id_7>"):
        found = set(ours.encode(f"a{literal} {literal}").tolist())
        assert not found & (set(ours.special_ids.tolist()) - {ours.special.get("unk")}), literal


def test_decoding_gives_readable_text(pair):
    ours, _ = pair
    assert ours.decode([*ours.encode("the cat"), ours.special["sep"]]) == "the cat"
    starts = ours.encode_batch(["the cat"]).word_starts
    assert starts[0] and starts.sum() == 2


def test_a_saved_one_needs_no_folder(tmp_path, pair):
    ours, _ = pair
    ours.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert type(again) is type(ours) and again.fingerprint() == ours.fingerprint()
    assert again.special == ours.special and again.sentinel_ids == ours.sentinel_ids
    assert again.encode("the cat 中").tolist() == ours.encode("the cat 中").tolist()
    again.save(tmp_path / "again")
    for file in (tmp_path / "saved").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_a_map_is_laid_over_the_folders(tmp_path):
    gpt2(tmp_path).save_pretrained(tmp_path)
    path = str(tmp_path / "tokenizer.json")
    assert HfpretrainedTokenizer(vocab_path=path).special_tokens["pad"] == "<|endoftext|>"
    ours = HfpretrainedTokenizer(vocab_path=path, special_tokens={"pad": "!", "cls": None})
    assert ours.special_tokens["pad"] == "!" and "cls" not in ours.special
    with pytest.raises(UserError, match="lacks the special tokens <none>"):
        HfpretrainedTokenizer(vocab_path=path, special_tokens={"pad": "<none>"})


def test_a_vocabulary_of_words(tmp_path):
    rust = Tokenizer(WordLevel({"[UNK]": 0, "[MASK]": 1, "the": 2}, unk_token="[UNK]"))
    rust.pre_tokenizer = WhitespaceSplit()
    rust.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": {"content": "[MASK]"}}')
    ours = HfpretrainedTokenizer(vocab_path=str(tmp_path))
    encoded = ours.encode_batch(["the [MASK] the"])
    assert encoded.ids.tolist() == [2, 0, 2] and encoded.word_starts.all()
    assert ours.decode([2, 1, 2]) == "the the"


def test_a_file_that_does_not_name_its_type_of_model(tmp_path):
    reference = bert(tmp_path)
    reference.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    del stored["model"]["type"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    encoded = HfpretrainedTokenizer(vocab_path=str(path)).encode_batch(["hellos cat"])
    assert encoded.ids.tolist() == reference("hellos cat", add_special_tokens=False).input_ids
    assert encoded.word_starts.tolist() == [True, False, True]


def test_a_model_with_sentinels_of_its_own_gets_no_others(tmp_path):
    train_pieces(tmp_path / "spiece.model", user_defined_symbols=["<extra_id_1>", "<extra_id_0>"])
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    made = HfpretrainedTokenizer(vocab_path=str(tmp_path))
    assert [made.vocabulary[number] for number in made.sentinel_ids] == [
        "<extra_id_0>",
        "<extra_id_1>",
    ]
    assert not set(made.sentinel_ids) & set(made.encode("a <extra_id_1><extra_id_0>").tolist())


def folder_with(folder, build, config):
    build(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("build", "config", "expected"),
    [
        (bert, {"do_lower_case": False}, BertTokenizer),
        (train_bytes, {"add_prefix_space": True, "eos_token": "<|endoftext|>"}, BpeTokenizer),
        (train_t5, {"tokenizer_class": "T5Tokenizer"}, SentencepieceTokenizer),
        (train_llama, {"tokenizer_class": "LlamaTokenizerFast"}, SentencepieceTokenizer),
        (
            lambda folder: train_pieces(folder / "sentencepiece.bpe.model"),
            {"tokenizer_class": "XLMRobertaTokenizer"},
            XlmrobertaTokenizer,
        ),
        (lambda folder: None, {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 3}, ByteTokenizer),
    ],
)
def test_a_folder_without_tokenizer_json_is_of_the_kind_of_its_files(
    tmp_path, build, config, expected
):
    (tmp_path / "hf").mkdir()
    made = HfpretrainedTokenizer(vocab_path=str(folder_with(tmp_path / "hf", build, config)))
    assert type(made) is expected
    for key in config.keys() & made.options.keys():
        assert made.options[key] == config[key]
    if config.get("tokenizer_class") == "T5Tokenizer":
        assert len(made.sentinel_ids) == 100
    made.save(tmp_path / "saved")
    assert type(load(tmp_path / "saved")) is expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model": ', r"tokenizer\.json.* cannot read it"),
        ('{"version": "1.0"}', r"tokenizer\.json.* cannot read it"),
        (None, "expected tokenizer.json, or vocab.txt"),
    ],
)
def test_damaged_folders_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=message):
        HfpretrainedTokenizer(vocab_path=str(tmp_path))


def test_damaged_settings_are_refused(tmp_path):
    bert(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(DataError, match=r"tokenizer_config\.json: expected a map of settings"):
        HfpretrainedTokenizer(vocab_path=str(tmp_path))
    with pytest.raises(DataError, match=r"none\.json: the file cannot be read"):
        HfpretrainedTokenizer(vocab_path=str(tmp_path / "none.json"))

"""CLIP's tokenizer out of both kinds of folders; the ids are those of transformers'."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fakes import split, texts
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from uer.errors import DataError
from uer.tokenizers.base import load
from uer.tokenizers.hfpretrained import HfpretrainedTokenizer

SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
LINES = ["a photo of a small cat", "the cat's house isn't red, it's blue", "42 cats, 7 dogs"] * 3


def train_clip(folder):
    """A small vocabulary in the files of the original."""
    rust = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    rust.normalizer = normalizers.Lowercase()
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    rust.train_from_iterator(LINES, trainer)
    stored = json.loads(rust.to_str())["model"]
    tokens = [*letters, *(f"{one}</w>" for one in letters)]
    tokens += [token for token in stored["vocab"] if token not in tokens]
    tokens += SPECIAL
    (folder / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    merges = [" ".join(pair) for pair in stored["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    tokens = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1], "pad_token": SPECIAL[1]}
    config = {"tokenizer_class": "CLIPTokenizer", "unk_token": SPECIAL[1], **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["vocab.json", "tokenizer.json"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    reference = train_clip(folder)
    if request.param == "tokenizer.json":
        folder = tmp_path_factory.mktemp("saved")
        reference.save_pretrained(folder)
    return HfpretrainedTokenizer(vocab_path=str(folder)), reference


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3))
def test_ids_are_those_of_transformers(pair, batch):
    ours, reference = pair
    made = reference(batch, add_special_tokens=False, split_special_tokens=True)
    encoded = ours.encode_batch(batch)
    assert split(encoded.ids, encoded.lengths) == made["input_ids"]


def test_case_is_lowered_words_end_and_roles_are_known(pair, tmp_path):
    ours, _ = pair
    encoded = ours.encode_batch(["The  CATS isn't"])
    words = [ours.vocabulary[number] for number in encoded.ids.tolist()]
    assert "".join(words) == "the</w>cats</w>isn</w>'t</w>"
    starts = encoded.word_starts.tolist()
    assert starts == [True, *(word.endswith("</w>") for word in words[:-1])]
    begin, end = (ours.vocabulary.index(token) for token in SPECIAL)
    wanted = {"bos": begin, "cls": begin, "eos": end, "sep": end, "pad": end, "unk": end}
    assert {role: ours.special[role] for role in wanted} == wanted
    ours.save(tmp_path)
    again = load(tmp_path).encode_batch(["The  CATS isn't"])
    assert again.ids.tolist() == encoded.ids.tolist()


def test_damaged_files_are_named(tmp_path):
    train_clip(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nno such token\n")
    with pytest.raises(DataError, match=r"vocab.json and merges.txt are no BPE of CLIP"):
        HfpretrainedTokenizer(vocab_path=str(tmp_path))

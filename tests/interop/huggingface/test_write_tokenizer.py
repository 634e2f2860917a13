"""What transformers' AutoTokenizer makes of our tokenizers' files."""

import io

import pytest
import sentencepiece
import transformers as hf
from tokenizers.pre_tokenizers import ByteLevel

from uer.builder import build
from uer.interop.huggingface.tokenizer import write_tokenizer
from uer.tokenizers.base import Tokenizer

TEXTS = ["the cat, sees", "  two  blanks ", "", "Cats\tand dogs", "中文 text", "[MASK of"]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CORPUS = ["the cat sees the dog", "cats and dogs see two birds", "the river is small", "text"] * 9


def lines(folder, tokens):
    path = folder / "tokens.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return str(path)


def wordpiece(folder):
    tokens = [*SPECIALS, "the", "cat", "##s", "sees", ",", "and", "two", "中", "文", "text", "of"]
    return build(Tokenizer, "bert", vocab_path=lines(folder, tokens))


def characters(folder):
    return build(Tokenizer, "char", vocab_path=lines(folder, [*SPECIALS, *"catseh,中"]))


def words(folder):
    return build(Tokenizer, "space", vocab_path=lines(folder, [*SPECIALS, "the", "two", "text"]))


def merges(folder):
    path = folder / "merges.txt"
    path.write_text("t h\nth e\nĠ c\n", encoding="utf-8")
    tokens = [*sorted(ByteLevel.alphabet()), "th", "the", "Ġc", "<|endoftext|>"]
    keys = {"vocab_path": lines(folder, tokens), "merges_path": str(path)}
    return build(Tokenizer, "bpe", **keys)


def bytewise(folder):
    return build(Tokenizer, "byte", extra_ids=5)


def pieces(folder, kind="sentencepiece", model_type="unigram", **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        vocab_size=40,
        model_type=model_type,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    path = folder / "given.model"
    path.write_bytes(model.getvalue())
    return build(Tokenizer, kind, spm_model_path=str(path))


def ranks(folder):
    return pieces(folder, model_type="bpe", normalization_rule_name="identity")


def fairseq(folder):
    return pieces(folder, "xlmroberta")


@pytest.mark.parametrize(
    "make", [wordpiece, characters, words, merges, bytewise, pieces, ranks, fairseq]
)
def test_the_ids_are_the_same(make, tmp_path):
    ours, folder = make(tmp_path), tmp_path / "theirs"
    folder.mkdir()
    assert write_tokenizer(ours, folder) == []
    theirs = hf.AutoTokenizer.from_pretrained(folder)
    texts = [" ".join(text.split()) for text in TEXTS] if make is ranks else TEXTS
    for text in texts:
        assert theirs.encode(text, add_special_tokens=False) == ours.encode(text).tolist(), text
    for role, number in ours.special.items():
        if role != "sentinel":
            assert getattr(theirs, f"{role}_token_id") == number, role


def test_special_tokens_stand_around_a_text(tmp_path):
    ours, folder = wordpiece(tmp_path), tmp_path / "theirs"
    folder.mkdir()
    write_tokenizer(ours, folder)
    theirs = hf.AutoTokenizer.from_pretrained(folder)
    assert theirs.convert_ids_to_tokens(theirs.encode("the", "cats")) == [
        "[CLS]", "the", "[SEP]", "cat", "##s", "[SEP]",
    ]  # fmt: skip


def test_a_tokenizer_of_theirs_goes_and_comes_unchanged(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    write_tokenizer(wordpiece(tmp_path), first)
    ours = build(Tokenizer, "hfpretrained", vocab_path=str(first))
    write_tokenizer(ours, second)
    names = ("tokenizer.json", "special_tokens_map.json")
    assert [(first / n).read_bytes() for n in names] == [(second / n).read_bytes() for n in names]


def test_what_has_no_counterpart_is_said(tmp_path):
    ours = pieces(tmp_path, "sentencepiece_comma")
    (sentence,) = write_tokenizer(ours, tmp_path)
    assert "'sentencepiece_comma' has no counterpart in transformers" in sentence

"""The ids are those of transformers' GPT2Tokenizer, and decoding gives the text back."""

import json

import pytest
from hypothesis import example, given, settings
from support import SHARED_DATA
from tokenizer_fakes import split, texts_with_literals, train_bytes
from transformers import GPT2Tokenizer

from uer.errors import DataError
from uer.tokenizers.bpe import BpeTokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bpe")
    train_bytes(path)
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "prefix"])
def pair(request, folder):
    keys = {"add_prefix_space": request.param}
    ours = BpeTokenizer(
        vocab_path=str(folder / "vocab.json"), merges_path=str(folder / "merges.txt"), **keys
    )
    return ours, GPT2Tokenizer.from_pretrained(folder, **keys)


@settings(max_examples=150, deadline=None)
@given(batch=texts_with_literals.flatmap(lambda a: texts_with_literals.map(lambda b: [a, "", b])))
@example(batch=[" hello  world\n", "<|endoftext|>", "\x00\x01é"])
def test_equals_transformers(pair, batch):
    ours, reference = pair
    encoded = ours.encode_batch(batch, offsets=True)
    expected = reference(
        batch, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )
    assert split(encoded.ids, encoded.lengths) == expected["input_ids"]
    assert ours.encode_batch(batch).ids.tolist() == encoded.ids.tolist()
    for text, ids in zip(batch, split(encoded.ids, encoded.lengths), strict=True):
        given_back = ours.decode(ids)
        assert given_back in (text, f" {text}")


def test_no_text_becomes_a_special_token(pair):
    ours, _ = pair
    tokens = ours.tokens(ours.encode("a<|endoftext|>"))
    assert "<|endoftext|>" not in tokens and "".join(tokens).endswith("a<|endoftext|>")


def test_where_tokens_and_words_begin(pair):
    ours, _ = pair
    if ours.options["add_prefix_space"]:
        return
    encoded = ours.encode_batch(["hello\nthe 😀", "the"], offsets=True)
    tokens = ours.tokens(encoded.ids)
    text = "hello\nthe 😀the"
    starts = dict(zip(encoded.offsets.tolist(), encoded.word_starts.tolist(), strict=True))
    assert starts[0] and "".join(tokens[: tokens.index("Ċ")]) == "hello"
    found = [
        text[place:][:1]
        for place, begins in zip(encoded.offsets[:-1], encoded.word_starts[:-1], strict=True)
        if begins
    ]
    assert found == ["h", "\n", "t", " "]
    assert encoded.word_starts[encoded.lengths[0]]


def test_one_token_for_all_roles(pair):
    ours, _ = pair
    end = ours.vocabulary.index("<|endoftext|>")
    roles = ("pad", "unk", "cls", "sep", "bos", "eos")
    assert ours.special == dict.fromkeys(roles, end)
    assert ours.facts() == {
        "vocab_size": 330,
        "special_ids": [end],
        **{f"{role}_id": end for role in roles},
    }


def test_a_text_vocabulary_is_the_same(tmp_path, folder, pair):
    ours, _ = pair
    lines = "".join(f"{token}\n" for token in ours.vocabulary)
    (tmp_path / "vocab.txt").write_text(lines, encoding="utf-8")
    same = BpeTokenizer(
        vocab_path=str(tmp_path / "vocab.txt"),
        merges_path=str(folder / "merges.txt"),
        **ours.options,
    )
    assert same.fingerprint() == ours.fingerprint()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", "[1]", r"vocab\.json: expected a map of tokens to ids"),
        ("vocab.json", '{"a": 0, "b": 2}', r"ids of its 2 tokens are not 0, 1, 2"),
        ("vocab.json", '{"a": 0', r"vocab\.json:1: this is not JSON"),
        ("merges.txt", "#version: 0.2\nh e\nh\n", r"merges\.txt:3: expected two tokens .*'h'"),
        ("merges.txt", "h zzz\n", r"merges\.txt:1: the vocabulary has no token 'zzz'"),
        ("merges.txt", "", r"merges\.txt: the file holds no merges"),
        ("merges.txt", None, r"merges\.txt: the file cannot be read: No such file"),
    ],
)
def test_wrong_files_are_refused(tmp_path, folder, name, content, message):
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        BpeTokenizer(
            vocab_path=str(tmp_path / "vocab.json"), merges_path=str(tmp_path / "merges.txt")
        )


def test_a_vocabulary_without_all_bytes_is_refused(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(DataError, match="lacks 254 of the 256 byte tokens"):
        BpeTokenizer(
            vocab_path=str(tmp_path / "vocab.json"), merges_path=str(tmp_path / "merges.txt")
        )


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=f"needs the shared data in {SHARED_DATA}")
def test_the_usual_files_equal_transformers():
    vocab = SHARED_DATA / "huggingface_gpt2_vocab.txt"
    merges = SHARED_DATA / "huggingface_gpt2_merges.txt"
    ours = BpeTokenizer(vocab_path=str(vocab), merges_path=str(merges))
    pairs = [tuple(line.split(" ")) for line in merges.read_text("utf-8").splitlines()[1:]]
    reference = GPT2Tokenizer(
        vocab={token: number for number, token in enumerate(ours.vocabulary)}, merges=pairs
    )
    lines = (SHARED_DATA / "corpora/CLUECorpusSmall_bert_sampled.txt").read_text("utf-8")
    batch = [*lines.split("\n")[:300], "The quick brown fox's 123 jumps\n\n over\tit. naïve  😀"]
    encoded = ours.encode_batch(batch)
    expected = reference(batch, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert split(encoded.ids, encoded.lengths) == expected
    assert [ours.decode(ids) for ids in expected] == batch

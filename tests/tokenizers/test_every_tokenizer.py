"""What holds for every kind of tokenizer."""

import json

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from support import python
from tokenizer_fakes import LITERALS, texts_with_literals, train_bytes, train_llama, train_pieces
from transformers import GPT2Tokenizer

from uer.errors import UserError
from uer.tokenizers.base import load, tokenizers

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<extra_id_0>"]
KINDS = (
    *("bert", "bpe", "byte", "char", "hfpretrained", "sentencepiece", "sentencepiece_comma"),
    *("space", "speech2text", "xlmroberta"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One tokenizer of every kind."""
    folder = tmp_path_factory.mktemp("every")
    vocab = folder / "vocab.txt"
    words = ["the", "cat", "##s", "hello", "中", "国", *LITERALS[:5], *"abc1,.!<>/[]|_"]
    vocab.write_text("".join(f"{word}\n" for word in [*SPECIALS, *words]), encoding="utf-8")
    json_vocab, merges = train_bytes(folder / "bpe")
    GPT2Tokenizer.from_pretrained(folder / "bpe").save_pretrained(folder / "hf")
    pieces = train_pieces(folder / "m.model")
    tokens = sentencepiece.SentencePieceProcessor(model_file=pieces)
    spoken = [tokens.id_to_piece(number) for number in range(tokens.get_piece_size())]
    (folder / "ids.json").write_text(json.dumps({t: n for n, t in enumerate(["<pad>", *spoken])}))
    files = {
        **{kind: {"vocab_path": str(vocab)} for kind in ("bert", "char", "space")},
        **{kind: {"spm_model_path": pieces} for kind in ("xlmroberta", "sentencepiece_comma")},
        "speech2text": {"vocab_path": str(folder / "ids.json"), "spm_model_path": pieces},
        "bpe": {"vocab_path": json_vocab, "merges_path": merges},
        "byte": {"extra_ids": 5},
        "hfpretrained": {"vocab_path": str(folder / "hf")},
        "sentencepiece": {"spm_model_path": train_llama(folder), "extra_ids": 5},
    }
    return {kind: tokenizers.get(kind)(**files[kind]) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(batch=st.lists(texts_with_literals, max_size=4))
def test_the_contract(made, kind, batch):
    ours = made[kind]
    encoded = ours.encode_batch(batch, offsets=True)
    assert encoded.ids.dtype == np.uint32 and encoded.lengths.dtype == np.int64
    assert encoded.word_starts.dtype == bool and encoded.offsets.dtype == np.int64
    assert len(encoded.lengths) == len(batch)
    assert encoded.lengths.sum() == len(encoded.ids)
    assert len(encoded.ids) == len(encoded.word_starts) == len(encoded.offsets)
    assert (encoded.ids < ours.vocab_size).all()
    hidden = set(ours.special_ids.tolist()) - {ours.special.get("unk")}
    assert not hidden & set(encoded.ids.tolist())
    assert ours.encode_batch(batch).offsets is None
    end = 0
    for text, length in zip(batch, encoded.lengths, strict=True):
        begin, end = end, end + length
        alone = ours.encode_batch([text], offsets=True)
        assert alone.ids.tolist() == encoded.ids[begin:end].tolist()
        assert alone.word_starts.tolist() == encoded.word_starts[begin:end].tolist()
        places = encoded.offsets[begin:end].tolist()
        assert alone.offsets.tolist() == places
        assert places == sorted(places) and all(0 <= place < len(text) for place in places)
        assert not length or encoded.word_starts[begin]
        ours.decode(encoded.ids[begin:end])


@pytest.mark.parametrize("kind", KINDS)
def test_texts_without_anything_and_texts_that_are_none(made, kind):
    encoded = made[kind].encode_batch(["", "the cat", ""], offsets=True)
    assert encoded.lengths[[0, 2]].tolist() == [0, 0] and encoded.lengths[1] > 0
    assert made[kind].encode_batch([], offsets=True).ids.tolist() == []
    assert made[kind].decode([]) == ""
    with pytest.raises(UserError, match="surrogate"):
        made[kind].encode("a\ud83d")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_folder_is_all_that_is_needed(tmp_path, made, kind):
    ours = made[kind]
    ours.save(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / "moved")
    again = load(tmp_path / "moved")
    assert type(again) is type(ours) and again.kind == kind
    assert again.fingerprint() == ours.fingerprint()
    assert again.facts() == ours.facts() and again.vocabulary == ours.vocabulary
    text = "the cats, hello 中国 1999, <s>"
    assert again.encode(text).tolist() == ours.encode(text).tolist()
    again.save(tmp_path / "again")
    names = sorted(file.name for file in (tmp_path / "moved").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "again").iterdir())
    for name in names:
        assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_fingerprints_differ(made):
    assert len({each.fingerprint() for each in made.values()}) == len(KINDS)


def test_their_parameters_are_explained(tmp_path):
    code = "from uer.cli.main import main\nfor n in {}: assert main(['explain', n]) == 0"
    done = python("-c", code.format(KINDS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for key in ("vocab_path", "merges_path", "spm_model_path", "extra_ids", "do_lower_case"):
        assert key in done.stdout

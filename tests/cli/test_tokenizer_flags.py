"""A tokenizer's own flags, in the commands that may find a tokenizer with a checkpoint."""

import sys
from pathlib import Path

import pytest
from support import TINY, table

from uer.cli.main import run
from uer.cli.tokenizer import choose_tokenizer, require_vocabulary, split_tokenizer
from uer.config import dump_yaml
from uer.errors import UserError
from uer.tokenizers.base import load
from uer.tokenizers.bert import BertTokenizer
from uer.tokenizers.byte import ByteTokenizer
from uer.tokenizers.sentencepiece_comma import SentencepieceCommaTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tokenizers"))
from tokenizer_fakes import train_bytes, train_pieces


def test_flags_of_every_tokenizer_are_told_from_the_others():
    flags = {
        **{"vocab_path": "v", "merges_path": "m", "spm_model_path": "s", "extra_ids": 3},
        **{"do_lower_case": True, "hidden_size": 4, "special_tokens": {}},
    }
    described, others = split_tokenizer(flags)
    assert others == {"hidden_size": 4}
    assert described == {key: flags[key] for key in flags if key != "hidden_size"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with nothing but a tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoint")
    ByteTokenizer(extra_ids=3).save(folder / "tokenizer")
    return folder


def test_a_tokenizer_without_files_is_chosen_by_its_name(checkpoint):
    assert choose_tokenizer("byte", None, {}, None).vocab_size == 384
    own = load(checkpoint / "tokenizer")
    assert choose_tokenizer("byte", None, {"extra_ids": 3}, None).fingerprint() == own.fingerprint()


def test_the_predecessors_bert_with_a_sentencepiece_model(tmp_path):
    model = train_pieces(tmp_path / "m.model")
    flags = {"spm_model_path": model, "vocab_path": "not read"}
    made = choose_tokenizer(None, None, flags, None)
    assert type(made) is SentencepieceCommaTokenizer
    require_vocabulary(made, "bert", flags, "data")
    other = train_pieces(tmp_path / "other.model", model_type="bpe")
    with pytest.raises(UserError, match=r"data was made with .*other\.model; leave --spm_model_"):
        require_vocabulary(made, "bert", {"spm_model_path": other}, "data")


def test_a_vocabulary_is_compared_with_the_data_sets(tmp_path, vocabulary):
    (tmp_path / "vocab.txt").write_bytes(vocabulary.read_bytes())
    (tmp_path / "other.txt").write_bytes(vocabulary.read_bytes() + b"more\n")
    made = BertTokenizer(vocab_path=str(vocabulary), special_tokens={"bos": "cat"})
    for name, path in ((None, "vocab.txt"), ("char", "vocab.txt"), ("hfpretrained", "")):
        require_vocabulary(made, name, {"vocab_path": str(tmp_path / path)}, "data")
    require_vocabulary(made, "bpe", {"vocab_path": "merges are missing"}, "data")
    require_vocabulary(made, None, {}, "data")
    with pytest.raises(UserError, match=r"other\.txt; leave --vocab_path out"):
        require_vocabulary(made, None, {"vocab_path": str(tmp_path / "other.txt")}, "data")


def go(command, *more, **flags):
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    assert run(command, [*more, *words], command) == 0


def test_from_a_corpus_to_predictions_with_byte_level_bpe(tmp_path, corpus, capfd):
    config = {
        **{**TINY, "data_processor": "lm", "embedding": ["word", "pos"], "encoder": "transformer"},
        **{"mask": "causal", "target": ["lm"], "tie_weights": True, "seq_length": 32},
    }
    (tmp_path / "gpt2.yaml").write_text(dump_yaml(config))
    (tmp_path / "rows.tsv").write_text(table(8))
    (tmp_path / "more.tsv").write_text(table(3, label=False))
    vocab, merges = train_bytes(tmp_path / "files")
    flags = {"tokenizer": "bpe", "vocab_path": vocab, "merges_path": merges}
    data, model, tuned = (tmp_path / name for name in ("data", "model", "tuned"))
    few = {"batch_size": 4, "threads": 1}
    go("preprocess", corpus_path=corpus, dataset_path=data, data_processor="lm", **flags)
    go(
        "pretrain", dataset_path=data, config_path=tmp_path / "gpt2.yaml", total_steps=2,
        output_model_path=model, **flags, **few,
    )  # fmt: skip
    go(
        "finetune", "classifier", train_path=tmp_path / "rows.tsv", output_model_path=tuned,
        pretrained_model_path=tmp_path / "model-2", epochs_num=1, seq_length=16, **flags, **few,
    )  # fmt: skip
    for number, more in enumerate(({}, flags, {"merges_path": merges, "vocab_path": vocab})):
        go(
            "infer", "classifier", load_model_path=tuned, test_path=tmp_path / "more.tsv",
            prediction_path=tmp_path / f"{number}.tsv", **more, **few,
        )  # fmt: skip
    found = [(tmp_path / f"{number}.tsv").read_text() for number in range(3)]
    assert len(set(found)) == 1 and len(found[0].splitlines()) == 4
    capfd.readouterr()
    masked = {"data_processor": "mlm", "corpus_path": corpus, "dataset_path": tmp_path / "mlm"}
    words = [str(w) for key, value in {**masked, **flags}.items() for w in (f"--{key}", value)]
    assert run("preprocess", words, "preprocess") == 2
    assert "needs the special token 'mask', and the tokenizer has none" in capfd.readouterr().err

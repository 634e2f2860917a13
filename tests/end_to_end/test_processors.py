"""Every text processor from the command line: its sample corpus, a tiny model, a few updates."""

import json

import pytest
import torch
from safetensors.torch import load_file
from support import REPOSITORY, TINY

from uer.cli.main import run
from uer.cli.tokenizer import side_facts
from uer.config import dump_yaml
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.recipe import read_recipe
from uer.tokenizers.base import load

CORPORA = REPOSITORY / "corpora"
ENCODER = {**TINY, "encoder": "transformer"}
BERT = {**ENCODER, "embedding": ["word", "pos", "seg"], "tie_weights": True}
GPT2 = {
    **ENCODER,
    "embedding": ["word", "pos"],
    "mask": "causal",
    "layernorm_positioning": "pre",
    "target": ["lm"],
}
BART = {
    **ENCODER,
    "embedding": ["word", "pos"],
    "tgt_embedding": ["word", "pos"],
    "decoder": "transformer",
    "decoder_layers_num": 1,
    "target": ["lm"],
}
T5 = {
    **ENCODER,
    "embedding": "word",
    "tgt_embedding": "word",
    "share_embedding": True,
    "position": "relative",
    "layernorm": "rms",
    "layernorm_positioning": "pre",
    "decoder": "transformer",
    "decoder_layers_num": 1,
    "target": ["lm"],
}
BILM = {
    **TINY,
    "embedding": "word",
    "encoder": "bilstm",
    "target": ["bilm"],
}
for _key in ("feedforward_size", "heads_num", "max_seq_length"):
    del BILM[_key]
CASES = {
    "bert": ("sentences.txt", {**BERT, "target": ["mlm", "sp"]}),
    "albert": ("sentences.txt", {**BERT, "target": ["mlm", "sp"], "masking": "ngram"}),
    "bart": ("sentences.txt", BART),
    "gsg": ("sentences.txt", {**BART, "sentence_selection_strategy": "principal"}),
    "mlm": ("documents.txt", {**BERT, "target": ["mlm"]}),
    "lm": ("documents.txt", GPT2),
    "bilm": ("documents.txt", BILM),
    "t5": ("documents.txt", T5),
    "ul2": ("documents.txt", T5),
    "cls": ("labelled.txt", {**BERT, "target": ["cls"], "tie_weights": False}),
    "cls_mlm": ("labelled.txt", {**BERT, "target": ["mlm", "cls"]}),
    "mt": ("pairs.txt", BART),
    "prefixlm": ("pairs.txt", {**GPT2, "mask": "causal_with_prefix"}),
    "llm_pretrain": ("documents.jsonl", GPT2),
    "llm_sft": ("instructions.jsonl", GPT2),
}


def go(command, **flags):
    words = []
    for name, value in flags.items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    assert run(command, words, command) == 0


def preprocess(folder, name, **flags):
    go(
        "preprocess",
        **{
            "corpus_path": CORPORA / CASES[name][0],
            "vocab_path": CORPORA / "vocab.txt",
            "tokenizer": "space",
            "dataset_path": folder / "data",
            "data_processor": name,
            "seq_length": 64,
            **flags,
        },
    )


def pretrain(folder, name, config=None, **flags):
    """Train; the reports."""
    (folder / "tiny.yaml").write_text(dump_yaml(config or CASES[name][1]))
    go(
        "pretrain",
        **{
            "dataset_path": folder / "data",
            "config_path": folder / "tiny.yaml",
            "output_model_path": folder / "model",
            "log_path": folder / "log.jsonl",
            "total_steps": 6,
            "report_steps": 2,
            "batch_size": 4,
            "learning_rate": "1e-3",
            "threads": 1,
            **flags,
        },
    )
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(reports, target):
    def flat(report, prefix=""):
        for key, value in report.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return [v for report in reports for k, v in flat(report) if k.endswith(f"{target}.loss")]


@pytest.mark.parametrize("name", CASES)
def test_preprocesses_and_trains(tmp_path, name):
    preprocess(tmp_path, name)
    reports = pretrain(tmp_path, name)
    for target in CASES[name][1]["target"]:
        found = losses(reports, target)
        assert found and all(0 < loss < 20 for loss in found)
    assert (tmp_path / "model-6" / "config.yaml").is_file()


def test_documents_may_stand_in_json_lines_and_in_several_files(tmp_path):
    for folder, flags in {
        "text": {"corpus_path": [CORPORA / "documents.txt"] * 2},
        "json": {"corpus_path": [CORPORA / "documents.jsonl"] * 2, "json_format_corpus": "true"},
    }.items():
        (tmp_path / folder).mkdir()
        preprocess(tmp_path / folder, "lm", **flags)
    stores = [Store.open(tmp_path / folder / "data") for folder in ("text", "json")]
    assert stores[0].documents == stores[1].documents == 120
    assert (stores[0].sides["src"].tokens == stores[1].sides["src"].tokens).all()


def test_translation_with_two_tokenizers_resumes(tmp_path, capfd):
    other = (CORPORA / "vocab.txt").read_text().split("\n")
    specials = other[:5]
    words = sorted(word for word in other[25:] if word)[::-1]
    vocabulary = tmp_path / "other.txt"
    vocabulary.write_text("\n".join([*reversed(specials), *words[:60]]) + "\n")
    preprocess(tmp_path, "mt", tgt_tokenizer="space", tgt_vocab_path=vocabulary)
    store = Store.open(tmp_path / "data")
    assert set(store.sides) == {"src", "tgt"} and len(store) == 120
    pretrain(tmp_path, "mt", save_checkpoint_steps=3)
    saved = tmp_path / "model-6"
    assert load(saved / "tokenizer").fingerprint() == store.tokenizer("src").fingerprint()
    assert load(saved / "tokenizer_tgt").fingerprint() == store.tokenizer("tgt").fingerprint()
    go_on = {"resume_from_checkpoint": tmp_path / "model-3", "output_model_path": tmp_path / "more"}
    pretrain(tmp_path, "mt", tgt_vocab_path=vocabulary, **go_on)
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("model-6", "more-6"))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    # Another target vocabulary is refused, and none as well.
    vocabulary.write_text("\n".join([*reversed(specials), *words[:50]]) + "\n")
    preprocess(tmp_path, "mt", tgt_tokenizer="space", tgt_vocab_path=vocabulary)
    capfd.readouterr()
    flags = ["--dataset_path", tmp_path / "data", "--output_model_path", tmp_path / "x"]
    flags += ["--resume_from_checkpoint", saved]
    assert run("pretrain", list(map(str, flags)), "pretrain") == 2
    assert "was trained with the target tokenizer" in capfd.readouterr().err
    preprocess(tmp_path, "mt")
    capfd.readouterr()
    assert run("pretrain", list(map(str, flags)), "pretrain") == 2
    assert "a tokenizer of its own for the target side" in capfd.readouterr().err


@pytest.mark.parametrize("packing", ["documents", "joined"])
def test_packed_losses_are_those_of_separate_rows(tmp_path, packing):
    """An encoder-decoder on rows of several documents: cross-attention keeps to its document."""
    preprocess(tmp_path, "mt")
    store = Store.open(tmp_path / "data")
    recipe = read_recipe(None, {**T5, "data_processor": "mt", "seq_length": 64})
    assert recipe.processor is not None
    facts = side_facts(store.tokenizer(), None)
    torch.manual_seed(0)
    model = recipe.model.build(facts).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)  # so that every detail counts
    processor = recipe.processor.build(facts)

    def total(packing):
        stream = TextStream(store, processor, batch_size=4, seq_length=64, packing=packing, seed=1)
        with torch.no_grad():
            scores = [model(batch)["lm"] for batch in stream.once()]
            weights = [model.weights(batch)["lm"] for batch in stream.once()]
        return sum(float(s.loss_sum) for s in scores), sum(float(w) for w in weights)

    alone, packed = total("off"), total(packing)
    assert packed[1] == alone[1]
    assert (abs(packed[0] - alone[0]) < 1e-5 * alone[0]) == (packing != "joined")


def test_wrong_lines_are_named(tmp_path, capfd):
    wrong = {
        "mt": ("a\tb\nno tab here\n", "corpus.txt:2: the line has no tab"),
        "llm_pretrain": ('{"text": "a"}\n\n{"txt": 1}\n', "corpus.txt:3: the line has no 'text'"),
        "llm_sft": ('{"instruction": "a", "output": 5}\n', "corpus.txt:1: 'output' is no text"),
    }
    for name, (text, sentence) in wrong.items():
        (tmp_path / "corpus.txt").write_text(text)
        flags = {
            "corpus_path": tmp_path / "corpus.txt", "vocab_path": CORPORA / "vocab.txt",
            "tokenizer": "space", "dataset_path": tmp_path / "data", "data_processor": name,
        }  # fmt: skip
        capfd.readouterr()
        words = [str(w) for key, value in flags.items() for w in (f"--{key}", value)]
        assert run("preprocess", words, "preprocess") == 2
        assert sentence in capfd.readouterr().err
        assert not (tmp_path / "data").exists()


def test_flags_that_fit_no_processor_are_refused(tmp_path, capfd):
    for flags, sentence in (
        ({"data_processor": "bert", "tgt_vocab_path": "x"}, "cannot be read"),
        ({"data_processor": "bert", "json_format_corpus": "true"}, "does not read documents"),
        (
            {"data_processor": "lm", "tgt_vocab_path": CORPORA / "vocab.txt"},
            "'lm' has no target side",
        ),
    ):
        given = {
            "corpus_path": CORPORA / "documents.txt", "vocab_path": CORPORA / "vocab.txt",
            "tokenizer": "space", "dataset_path": tmp_path / "data", **flags,
        }  # fmt: skip
        capfd.readouterr()
        words = [str(w) for key, value in given.items() for w in (f"--{key}", value)]
        assert run("preprocess", words, "preprocess") == 2
        assert sentence in capfd.readouterr().err

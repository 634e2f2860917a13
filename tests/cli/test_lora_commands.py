"""LoRA and freezing from the command line: train, resume, predict, merge."""

import logging
import socket

import pytest
import torch
from support import MLM, python, table

from uer.builder import build
from uer.cli.main import run
from uer.config import dump_yaml, load_config
from uer.interop.legacy.checkpoint import write_legacy
from uer.interop.pretrained import checkpoint_config, load_pretrained, read_tensors
from uer.recipe import read_recipe
from uer.tokenizers.base import Tokenizer
from uer.training.checkpoint import load_trainer_state, read_weights

pytestmark = pytest.mark.usefixtures("no_measurement")

CONFIG = {**MLM, "dropout": 0.1, "kv_heads_num": 1}


def called(command, **flags):
    words = []
    for name, value in flags.items():
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [f"--{name}", *map(str, values)]
    return run(command, words, command)


@pytest.fixture(scope="module")
def home(tmp_path_factory, vocabulary, corpus):
    """A data set, a model to start from, and rows of a task."""
    folder = tmp_path_factory.mktemp("lora")
    (folder / "tiny.yaml").write_text(dump_yaml(CONFIG))
    data = {"corpus_path": corpus, "vocab_path": vocabulary, "data_processor": "mlm"}
    assert called("preprocess", **data, dataset_path=folder / "data") == 0
    (folder / "rows.tsv").write_text(table(24))
    (folder / "unlabelled.tsv").write_text(table(6, label=False, seed=2))
    start = {"config_path": folder / "tiny.yaml", "output_model_path": folder / "base"}
    assert called("pretrain", **common(folder), **start, total_steps=2) == 0
    return folder


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def common(folder):
    return {"dataset_path": folder / "data", "batch_size": 4, "learning_rate": 1e-2, "threads": 1}


def adapted_run(home, output, **flags):
    given = {
        **common(home),
        "pretrained_model_path": home / "base-2",
        "output_model_path": output,
        "total_steps": 4,
        "save_checkpoint_steps": 2,
        "use_lora": True,
        "lora_r": 2,
        "lora_dropout": 0.2,
        **flags,
    }
    return called("pretrain", **{name: value for name, value in given.items() if value is not None})


def test_a_run_keeps_adapters_only_and_goes_on_bit_for_bit(home, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert adapted_run(home, tmp_path / "straight") == 0
    assert "224 of 6,049 parameters are trained" in caplog.text
    again = {"total_steps": 4, "use_lora": None, "lora_r": None, "lora_dropout": None}
    again |= {"pretrained_model_path": None, "output_model_path": tmp_path / "again"}
    where = {"resume_from_checkpoint": tmp_path / "straight-2"}
    assert adapted_run(home, tmp_path / "again", **{**again, **where}) == 0
    one, other = tmp_path / "straight-4", tmp_path / "again-4"
    assert set(read_weights(one)) == {
        f"encoder.layers.{layer}.attention.{name}.lora_{part}.default.weight"
        for layer in (0, 1)
        for name in ("query", "value")
        for part in "AB"
    }
    for left, right in (
        (read_weights(one), read_weights(other)),
        (load_trainer_state(one).optimizer, load_trainer_state(other).optimizer),
    ):
        assert left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
    # the value map of one key-value head is half as wide as the query's
    assert read_weights(one)["encoder.layers.0.attention.value.lora_B.default.weight"].shape[0] == 8
    assert adapted_run(home, tmp_path / "x", **where, lora_r=3) == 2
    assert adapted_run(home, tmp_path / "x", resume_from_checkpoint=home / "base-2") == 2


def test_merging_adds_the_differences(home, tmp_path):
    assert adapted_run(home, tmp_path / "run", lora_targets=["*.attention.*", "*.up"]) == 0
    source = tmp_path / "run-4"
    base, own = read_weights(home / "base-2"), read_weights(source)
    assert run("merge-lora", [str(source), str(tmp_path / "whole")], "uer") == 0
    merged = read_weights(tmp_path / "whole")
    assert merged.keys() == base.keys()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    adapted = {name.partition(".lora_")[0] + ".weight" for name in own}
    assert changed == adapted and len(changed) == 10
    for name in changed:
        module = name.removesuffix(".weight")
        down, up = (own[f"{module}.lora_{part}.default.weight"] for part in "AB")
        expected = base[name] + 16 / 2 * (up.double() @ down.double())
        torch.testing.assert_close(merged[name].double(), expected, atol=1e-7, rtol=0)
    config = load_config(tmp_path / "whole" / "config.yaml")
    assert not any("lora" in key for key in config) and config == checkpoint_config(source)
    assert run("merge-lora", [str(tmp_path / "whole"), str(tmp_path / "z")], "uer") == 2
    # the merged model is a model like any other, and so is the sum to whoever reads the folder
    for start in (tmp_path / "whole", source):
        target = tmp_path / f"from {start.name}"
        flags = {"use_lora": None, "lora_r": None, "lora_dropout": None, "total_steps": 1}
        assert adapted_run(home, target, pretrained_model_path=start, **flags) == 0
    whole, summed = (read_weights(tmp_path / f"from {n}-1") for n in ("whole", "run-4"))
    assert all(torch.equal(whole[name], summed[name]) for name in whole)


def test_a_task_trains_adapters_and_its_head_and_predicts(home, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train = {"pretrained_model_path": home / "base-2", "train_path": home / "rows.tsv"}
    train |= {"output_model_path": tmp_path / "model", "threads": 1, "batch_size": 8}
    train |= {"test_path": home / "rows.tsv", "epochs_num": 1, "use_lora": True, "seq_length": 16}
    words = [w for k, v in train.items() for w in ([f"--{k}"] if v is True else [f"--{k}", str(v)])]
    assert run("finetune", ["classifier", *words], "finetune") == 0
    names = set(read_weights(tmp_path / "model"))
    whole = {name for name in names if ".lora_" not in name}
    assert whole == {
        f"targets.cls.{m}.{p}" for m in ("hidden", "output") for p in ("weight", "bias")
    }
    assert "accuracy" in caplog.text
    assert run("merge-lora", [str(tmp_path / "model"), str(tmp_path / "merged")], "uer") == 0
    for name in ("model", "merged"):
        predict = {"load_model_path": tmp_path / name, "test_path": home / "unlabelled.tsv"}
        predict |= {"prediction_path": tmp_path / f"{name}.tsv", "output_logits": "true"}
        words = [word for k, v in predict.items() for word in (f"--{k}", str(v))]
        assert run("infer", ["classifier", *words], "infer") == 0
    assert (tmp_path / "model.tsv").read_text() == (tmp_path / "merged.tsv").read_text()


def test_the_base_is_looked_for_and_compared(home, tmp_path, capsys):
    assert adapted_run(home, tmp_path / "run", total_steps=1) == 0
    file = tmp_path / "run-1" / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace(str(home / "base-2"), "../elsewhere"))
    assert run("merge-lora", [str(file.parent), str(tmp_path / "z")], "uer") == 2
    assert "which is not there; write where that checkpoint is into" in capsys.readouterr().err
    assert (
        called(
            "pretrain",
            **common(home),
            config_path=home / "tiny.yaml",
            output_model_path=tmp_path / "elsewhere",
            total_steps=1,
            seed=3,
        )
        == 0
    )
    (tmp_path / "elsewhere-1").rename(tmp_path / "elsewhere")
    assert run("merge-lora", [str(file.parent), str(tmp_path / "z")], "uer") == 2
    assert "was trained beside other weights than those of" in capsys.readouterr().err


def test_adapters_go_on_from_adapters_of_ours_and_of_the_predecessors(home, tmp_path, capsys):
    assert adapted_run(home, tmp_path / "run", total_steps=2) == 0
    own, flags = read_weights(tmp_path / "run-2"), {"total_steps": 1, "learning_rate": 1e-30}
    theirs = {}
    for name, value in own.items():
        module, _, part = name.partition(".lora_")
        layer, which = module.split(".")[2], {"query": 0, "value": 2}[module.rpartition(".")[2]]
        module = f"encoder.transformer.{layer}.self_attn.linear_layers.{which}"
        theirs[f"{module}.lora_{part[0]}"] = value
    torch.save(theirs, tmp_path / "lora.bin")
    for number, path in enumerate((tmp_path / "run-2", tmp_path / "lora.bin")):
        assert (
            adapted_run(home, tmp_path / f"{number}", lora_pretrained_model_path=path, **flags) == 0
        )
        made = read_weights(tmp_path / f"{number}-1")
        assert all(torch.allclose(made[name], own[name], atol=1e-7) for name in own)
    flags["lora_pretrained_model_path"] = tmp_path / "lora.bin"
    assert adapted_run(home, tmp_path / "x", **{**flags, "lora_r": 4}) == 2
    assert "does not fit the adapters of this run" in capsys.readouterr().err
    assert adapted_run(home, tmp_path / "x", **flags, use_lora=None) == 2
    assert "--lora_pretrained_model_path: goes with --use_lora" in capsys.readouterr().err


def test_adapters_of_a_model_of_the_predecessors(home, tmp_path, vocabulary):
    """The base is a file without a configuration; the checkpoint with adapters carries its own."""
    config = {**CONFIG, "kv_heads_num": 2}
    tokens = build(Tokenizer, "bert", vocab_path=str(vocabulary)).facts()
    model = read_recipe(config).model.build(tokens)
    write_legacy(model, tmp_path / "base.bin")
    (tmp_path / "c.yaml").write_text(dump_yaml(config))
    where = {"pretrained_model_path": tmp_path / "base.bin", "config_path": tmp_path / "c.yaml"}
    assert adapted_run(home, tmp_path / "run", total_steps=1, **where) == 0
    found = load_config(tmp_path / "run-1" / "config.yaml")
    assert found["dialect"] == "legacy" and found["lora"]["base"] == str(tmp_path / "base.bin")
    made = read_recipe(checkpoint_config(tmp_path / "run-1")).model.build(tokens)
    assert not load_pretrained(made, tmp_path / "run-1").missing


def test_freezing(home, tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    flags = {"use_lora": None, "lora_r": None, "lora_dropout": None}
    flags["freeze"] = ["embedding", "encoder.layers.0", "*.attention.*.bias"]
    assert adapted_run(home, tmp_path / "run", **flags) == 0
    assert "the same tensors are frozen as targets.mlm.output.weight, too" in caplog.text
    base, made = read_weights(home / "base-2"), read_weights(tmp_path / "run-4")
    assert base.keys() == made.keys()
    frozen = {name for name in base if torch.equal(base[name], made[name])}
    state = load_trainer_state(tmp_path / "run-4").optimizer
    trained = {name.partition("/")[2] for name in state}
    expected = {
        name
        for name in base
        if name.startswith(("embedding.", "encoder.layers.0."))
        or (".attention." in name and name.endswith(".bias"))
        or name == "targets.mlm.output.weight"
    }
    assert frozen == expected and trained == base.keys() - expected
    flags["resume_from_checkpoint"] = tmp_path / "run-2"
    assert adapted_run(home, tmp_path / "again", **flags) == 0
    again = read_weights(tmp_path / "again-4")
    assert all(torch.equal(again[name], made[name]) for name in made)
    del flags["resume_from_checkpoint"]
    assert adapted_run(home, tmp_path / "x", **{**flags, "freeze": ["encoder.layer.0"]}) == 2
    assert "--freeze encoder.layer.0: matches nothing; did you mean" in capsys.readouterr().err
    assert adapted_run(home, tmp_path / "x", **{**flags, "freeze": ["*"]}) == 2
    assert "nothing is left to train" in capsys.readouterr().err


def test_what_cannot_be_adapted_is_said(home, tmp_path, capsys):
    assert (
        adapted_run(
            home, tmp_path / "x", pretrained_model_path=None, config_path=home / "tiny.yaml"
        )
        == 2
    )
    assert "differences are to the weights of a checkpoint" in capsys.readouterr().err
    assert adapted_run(home, tmp_path / "x", lora_targets=["*.querry"]) == 2
    assert "--lora_targets *.querry: matches nothing" in capsys.readouterr().err
    assert adapted_run(home, tmp_path / "x", lora_targets=["targets.mlm.output"]) == 2
    assert "shares its weights with another part" in capsys.readouterr().err


def test_parts_can_be_trained_whole_beside_adapters(home, tmp_path):
    whole = {"lora_modules_to_save": ["embedding.parts.word", "*.query.bias"]}
    assert adapted_run(home, tmp_path / "run", **whole) == 0
    base, summed = (
        read_tensors(path, ["mlm"], dual=False) for path in (home / "base-2", tmp_path / "run-4")
    )
    changed = {name for name in base if not torch.equal(base[name], summed[name])}
    layers = [f"encoder.layers.{layer}.attention" for layer in (0, 1)]
    assert changed == {
        "embedding.parts.word.weight",
        "targets.mlm.output.weight",
        *(f"{layer}.{name}.weight" for layer in layers for name in ("query", "value")),
        *(f"{layer}.query.bias" for layer in layers),
    }
    assert summed["embedding.parts.word.weight"] is summed["targets.mlm.output.weight"]


ENGINES = {
    "ddp": ["--engine", "ddp"],
    "fsdp": ["--engine", "fsdp"],
    "zero2": ["--deepspeed"],
    "zero3": ["--deepspeed", "--enable_zero3"],
}


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_write_small_checkpoints_and_go_on(home, tmp_path, engine):
    """Bit for bit with the same engine; one process goes on with what two have written."""
    if engine.startswith("zero"):
        pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is missing")
    flags = {**common(home), "batch_size": 2, "pretrained_model_path": home / "base-2"}
    flags |= {"total_steps": 4, "save_checkpoint_steps": 2, "lora_r": 2, "lora_dropout": 0.2}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    words += ["--use_lora", "--checkpoint_activations", "--world_size", "2", "--device", "cpu"]
    words += ENGINES[engine]

    def together(output, *more):
        port = ["--master_ip", f"tcp://localhost:{free_port()}", "--output_model_path", output]
        done = python("-m", "uer", "pretrain", *words, *port, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        return read_weights(tmp_path / f"{output}-4")

    straight = together("straight")
    assert all(".lora_" in name for name in straight) and len(straight) == 8
    again = together("again", "--resume_from_checkpoint", "straight-2")
    assert all(torch.equal(straight[name], again[name]) for name in straight)
    alone = {"resume_from_checkpoint": tmp_path / "straight-2", "lora_dropout": None}
    assert adapted_run(home, tmp_path / "alone", **alone, lora_r=None, use_lora=None) == 0
    assert read_weights(tmp_path / "alone-4").keys() == straight.keys()

"""The three ways to start several processes, from the command line to the checkpoint."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import REPOSITORY, TINY, python, table

from uer.training.checkpoint import read_weights

LAUNCHER = Path(sys.executable).with_name("deepspeed")
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="the extra 'deepspeed' is missing"
)
STEPS = 6
FIGURES = {"loss", "mlm.loss", "sp.accuracy", "grad_norm", "eval/loss", "eval/mlm.accuracy"}
TRAIN = {
    "dataset_path": "data",
    "config_path": "bert/tiny",
    **TINY,
    "attention_dropout": 0.0,
    "seq_length": 32,
    "total_steps": STEPS,
    "report_steps": 2,
    "learning_rate": "1e-3",
    "precision": "fp32",
    "threads": 1,
    "device": "cpu",
}


def words(**flags):
    found = []
    for name, value in flags.items():
        found.append(f"--{name}")
        found += [] if value is True else str(value).split(" ")
    return found


def start(*command, cwd):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment = {k: v for k, v in environment.items() if k not in ("RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment | {"DS_ACCELERATOR": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process, status=0):
    said, _ = process.communicate(timeout=400)
    assert process.returncode == status, said[-6000:]
    return said


@pytest.fixture(scope="module")
def place(tmp_path_factory, vocabulary, corpus):
    """A folder with a data set, and a run of one process with the batch of two."""
    folder = tmp_path_factory.mktemp("launchers")
    done = python(
        REPOSITORY / "preprocess.py",
        *words(corpus_path=corpus, vocab_path=vocabulary, dataset_path="data"),
        *words(data_processor="bert"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    train(folder, sys.executable, REPOSITORY / "pretrain.py", name="one", batch_size=8)
    return folder


def train(folder, *command, name, **flags):
    flags = {**TRAIN, "eval_dataset_path": "data", "batch_size": 4, **flags}
    flags |= {"output_model_path": name, "log_path": f"{name}.jsonl"}
    return finished(start(*command, *words(**flags), cwd=folder))


def require_same(folder, name, by=2e-6):
    """Weights, reports and evaluations are those of the one process."""
    one, other = (read_weights(folder / f"{n}-{STEPS}") for n in ("one", name))
    assert one.keys() == other.keys()
    assert max(float((one[k] - other[k]).abs().max()) for k in one) < by
    logs = [(folder / f"{n}.jsonl").read_text().splitlines() for n in ("one", name)]
    assert len(logs[0]) == len(logs[1]) > 3
    for line, same in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert same.keys() == line.keys()
        for figure in FIGURES & line.keys():
            assert same[figure] == pytest.approx(line[figure], rel=1e-4), figure


def test_world_size_and_gpu_ranks(place):
    flags = {"world_size": 2, "gpu_ranks": "0 1", "backend": "gloo"}
    flags["master_ip"] = "tcp://localhost:29411"
    said = train(
        place, sys.executable, REPOSITORY / "pretrain.py", name="flags", engine="fsdp", **flags
    )
    assert said.count("engine fsdp, 2 processes") == 1  # only one of them speaks
    require_same(place, "flags")


def test_torchrun(place):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    said = train(
        place, *torchrun, "--nproc_per_node=2", REPOSITORY / "pretrain.py", name="torchrun"
    )
    assert "engine ddp, 2 processes" in said
    require_same(place, "torchrun")


@pytest.mark.heavy
def test_two_processes_compile_their_layers(place):
    words = ("--world_size", "2", "--master_ip", "tcp://localhost:29418", "--compile")
    said = train(place, sys.executable, REPOSITORY / "pretrain.py", *words, name="compiled")
    assert "engine ddp, 2 processes" in said and "the compiler failed" not in said
    require_same(place, "compiled", by=2e-5)


@pytest.mark.heavy
@needs_deepspeed
@pytest.mark.parametrize("zero3", [False, True])
def test_deepspeed(place, zero3):
    config = {"zero_optimization": {"stage": 1, "stage3_param_persistence_threshold": 0}}
    config |= {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}
    (place / "ds.json").write_text(json.dumps(config))
    name = f"deepspeed{int(zero3)}"
    flags = {"deepspeed": True, "deepspeed_config": "ds.json"}
    flags |= {"enable_zero3": True} if zero3 else {}
    command = [LAUNCHER, "--num_gpus", 2, "--master_port", 29420 + zero3]
    said = train(place, *command, REPOSITORY / "pretrain.py", name=name, **flags)
    assert "engine deepspeed, 2 processes" in said
    require_same(place, name)


@pytest.mark.heavy
def test_a_run_goes_on_with_another_number_of_processes(place):
    resume = {"resume_from_checkpoint": "one-3", "save_checkpoint_steps": 3}
    script = REPOSITORY / "pretrain.py"
    train(place, sys.executable, script, name="one", batch_size=8, save_checkpoint_steps=3)
    two = {"world_size": 2, "master_ip": "tcp://localhost:29412"}
    train(place, sys.executable, script, name="more", **resume, **two)
    one, other = (read_weights(place / f"{n}-{STEPS}") for n in ("one", "more"))
    assert max(float((one[k] - other[k]).abs().max()) for k in one) < 2e-6


@pytest.mark.heavy
def test_data_may_have_fewer_rows_than_there_are_processes(place, vocabulary):
    (place / "short.txt").write_text("我 爱\n")
    flags = {"corpus_path": "short.txt", "vocab_path": vocabulary, "dataset_path": "short"}
    flags["data_processor"] = "mlm"
    done = python(REPOSITORY / "preprocess.py", *words(**flags), cwd=place)
    assert done.returncode == 0, done.stderr
    flags = {"dataset_path": "short", "eval_dataset_path": "short"}
    flags |= {"data_processor": "mlm", "target": "mlm"}
    flags |= {"world_size": 2, "master_ip": "tcp://localhost:29416"}
    train(place, sys.executable, REPOSITORY / "pretrain.py", name="short", **flags)
    assert all(value.isfinite().all() for value in read_weights(place / f"short-{STEPS}").values())


@pytest.mark.heavy
def test_sigterm_to_the_starter_saves_once(place):
    flags = {**TRAIN, "total_steps": 100_000, "batch_size": 4, "output_model_path": "stopped"}
    flags |= {"world_size": 2, "master_ip": "tcp://localhost:29413", "log_path": "stopped.jsonl"}
    process = start(sys.executable, REPOSITORY / "pretrain.py", *words(**flags), cwd=place)
    log, end = place / "stopped.jsonl", time.monotonic() + 200
    while time.monotonic() < end and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    finished(process, status=143)
    assert len([path for path in place.iterdir() if path.name.startswith("stopped-")]) == 1


@pytest.mark.heavy
def test_finetuning_in_two_processes(place, vocabulary):
    for seed, name in enumerate(("train", "dev", "test")):
        (place / f"{name}.tsv").write_text(table(32, seed=seed))
    flags = {"train_path": "train.tsv", "dev_path": "dev.tsv", "test_path": "test.tsv"}
    flags |= {"vocab_path": vocabulary, "pretrained_model_path": f"one-{STEPS}", "epochs_num": 2}
    flags |= {"batch_size": 4, "seq_length": 32, "output_model_path": "tuned", "threads": 1}
    flags |= {"world_size": 2, "master_ip": "tcp://localhost:29414", "engine": "fsdp"}
    script = REPOSITORY / "finetune" / "run_classifier.py"
    said = finished(start(sys.executable, script, *words(**flags), cwd=place))
    assert "test.tsv: accuracy" in said and (place / "tuned" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "flags, sentence",
    [
        ({"engine": "single"}, "--engine single trains in one process, 2 were started"),
        ({"gpu_ranks": "0 0"}, "a rank is named twice"),
        ({"backend": "nccl"}, "--backend nccl needs GPUs, the device is cpu"),
    ],
)
@pytest.mark.heavy
def test_mistakes_get_a_sentence(place, flags, sentence):
    every = {**TRAIN, "world_size": 2, "output_model_path": "wrong", **flags}
    every["master_ip"] = "tcp://localhost:29415"
    process = start(sys.executable, REPOSITORY / "pretrain.py", *words(**every), cwd=place)
    said = finished(process, status=2)
    assert sentence in said and "Traceback" not in said


@pytest.mark.heavy
def test_a_missing_extra_gets_a_sentence(place):
    hidden = "import sys; sys.modules['deepspeed'] = None; from uer.cli.main import run; "
    command = [sys.executable, "-c", hidden + "sys.exit(run('pretrain', sys.argv[1:], 'pretrain'))"]
    flags = {**TRAIN, "output_model_path": "wrong", "deepspeed": True}
    said = finished(start(*command, *words(**flags), cwd=place), status=2)
    assert "--engine deepspeed needs the extra 'deepspeed': pip install 'uer[deepspeed]'" in said

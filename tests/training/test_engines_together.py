"""Several processes train as one would. Each launch serves many comparisons: processes are slow."""

import importlib.util
import itertools
import json
import signal
import time
from pathlib import Path

import jobs as jobs_module
import pytest
import torch
from ranks import HERE, finish, run, start
from training_fakes import FakeModel

from uer.training.checkpoint import load_trainer_state, load_weights, read_weights
from uer.training.processes import Processes

HAS_DEEPSPEED = importlib.util.find_spec("deepspeed") is not None
needs_deepspeed = pytest.mark.skipif(not HAS_DEEPSPEED, reason="the extra 'deepspeed' is missing")
ZERO = ("zero1", "zero2", "zero3")


pytestmark = pytest.mark.usefixtures("small_pool")


def followed(engines, models, accumulations):
    """Results of ``follow.py`` on two ranks."""
    words = [
        word for triple in itertools.product(engines, models, accumulations) for word in triple
    ]
    out, _ = run(HERE / "follow.py", *words, patience=1500)
    lines = [line[7:] for line in out.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == len(words) // 3
    return [json.loads(line) for line in lines]


def require_equal_losses(results):
    for result in results:
        (alone, together), (figure, same) = result.pop("losses"), result.pop("figures")
        assert together == pytest.approx(alone, rel=1e-5), result
        assert same == pytest.approx(figure, rel=1e-5), result
        assert result["difference"] < 1e-5, result
        assert len(alone) == 20 and min(alone[10:]) < alone[0]


def test_two_ranks_follow_one():
    require_equal_losses(followed(["ddp", "fsdp"], ["bert", "clip"], [2]))


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_every_family_follows_one(engine):
    models = ["bert", "gpt2", "seq2seq", "albert", "scaled", "clip", "siglip", "bert recomputed"]
    require_equal_losses(followed([engine], models, [1, 2]))


@pytest.mark.heavy
@needs_deepspeed
@pytest.mark.parametrize(
    "model", ["bert", "gpt2", "seq2seq", "albert", "scaled", "clip", "siglip", "bert recomputed"]
)
@pytest.mark.parametrize("engine", ZERO)
def test_zero_follows_one(engine, model):
    """Each model has processes of its own: stage 3 changes torch for its process."""
    require_equal_losses(followed([engine], [model], [1, 2]))


def test_two_ranks_with_adapters_follow_one():
    require_equal_losses(followed(["fsdp"], ["gqa lora recomputed"], [2]))


LESS = ["bert lora", "gqa lora recomputed", "scaled frozen", "seq2seq lora", "albert frozen"]


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_adapters_and_frozen_parts_follow_one(engine):
    require_equal_losses(followed([engine], LESS, [2]))


@pytest.mark.heavy
@needs_deepspeed
@pytest.mark.parametrize(
    ("engine", "model"),
    # Stage 3 refuses numbers that are not trained.
    [(e, m) for e in ZERO for m in LESS if (e, m) != ("zero3", "scaled frozen")],
)
def test_zero_with_adapters_and_frozen_parts_follows_one(engine, model):
    require_equal_losses(followed([engine], [model], [2]))


def alone(folder, **job):
    """The same run in this process."""
    job = {"engine": "single", "folder": str(folder), **job}
    jobs_module.trainer_of(job, Processes()).run(job.get("resume"))
    return Path(folder)


def difference(left, right):
    """The largest difference of two checkpoints' weights."""
    one, other = read_weights(left), read_weights(right)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def same_states(left, right):
    """Whether two checkpoints hold the same bits."""
    one, other = load_trainer_state(left), load_trainer_state(right)
    pairs = [(read_weights(left), read_weights(right)), (one.optimizer, other.optimizer)]
    pairs += [(one.rng, other.rng)]
    return one.progress.position == other.progress.position and all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs
    )


def two_ranks(*jobs):
    run(HERE / "jobs.py", json.dumps(jobs), patience=1500)


def require_elastic(tmp_path, names):
    """Checkpoints of one and of two ranks, of any engine, go on with any other."""
    reference = alone(tmp_path / "single")
    straight = [{"engine": name, "folder": str(tmp_path / name), "dropout": 0.3} for name in names]
    first = [{**job, "folder": job["folder"] + " plain", "dropout": 0.0} for job in straight]
    resumed = [
        {**job, "folder": job["folder"] + " again", "resume": job["folder"] + "/out-10"}
        for job in straight
    ]
    pairs = [*zip(names, [*names[1:], names[0]], strict=True)]
    others = [
        {
            "engine": there,
            "folder": str(tmp_path / f"{here} to {there}"),
            "resume": str(tmp_path / f"{here} plain/out-10"),
        }
        for here, there in pairs
        if here != there
    ]
    from_one = [
        {
            "engine": name,
            "folder": str(tmp_path / f"single to {name}"),
            "resume": str(reference / "out-10"),
            "accumulation": 2,
        }
        for name in names
    ]
    two_ranks(*straight, *first, *resumed, *others, *from_one)
    for job in straight:  # the same engine goes on bit for bit, each rank with its own dropout
        assert same_states(f"{job['folder']}/out-20", f"{job['folder']} again/out-20"), job
    for job in [*first, *others, *from_one]:
        assert difference(reference / "out-20", f"{job['folder']}/out-20") < 2e-6, job
    for name in names:  # two ranks' checkpoint goes on in one process
        place = tmp_path / f"{name} to single"
        alone(place, resume=str(tmp_path / f"{name} plain/out-10"))
        assert difference(reference / "out-20", place / "out-20") < 2e-6, name
    assert difference(reference / "out-10", reference / "out-20") > 1e-3


def test_checkpoints_of_two_ranks_and_of_one_are_the_same_thing(tmp_path):
    require_elastic(tmp_path, ["ddp", "fsdp"])


@pytest.mark.heavy
@needs_deepspeed
def test_checkpoints_of_zero_are_the_same_thing(tmp_path):
    require_elastic(tmp_path, [*ZERO, "fsdp"])


@pytest.mark.heavy
@needs_deepspeed
@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("engine", ["fsdp", "zero3"])
def test_no_process_holds_more_than_one_tensor_of_the_others(tmp_path, engine, asynchronous):
    words = (HERE / "saving.py", engine, asynchronous, tmp_path)
    results = [json.loads(out.split("RESULT ")[1]) for out in run(*words, patience=1500)]
    (whole, main), (_, other) = results
    assert whole > 250e6 and other < 0.3 * whole, results
    if asynchronous:  # the copy is the main process's
        assert 0.6 * whole < main < 1.5 * whole, results
    else:
        assert main < 0.3 * whole, results


OFFLOAD = {"offload_optimizer": {"device": "cpu"}}
FILE = {"type": "AdamW", "params": {"lr": 1e-2, "weight_decay": 0.01, "eps": 1e-6}}
FILES = {
    "our optimizer, offloaded": {"engine": "zero2", "zero": OFFLOAD},
    "the file's optimizer": {"engine": "zero1", "config": {"optimizer": FILE}},
    "the file's, offloaded": {"engine": "zero2", "zero": OFFLOAD, "config": {"optimizer": FILE}},
    "all offloaded": {"engine": "zero3", "zero": {**OFFLOAD, "offload_param": {"device": "cpu"}}},
}


@pytest.mark.heavy
@needs_deepspeed
def test_what_deepspeeds_file_says_is_done(tmp_path):
    reference = alone(tmp_path / "single")
    jobs = [{**job, "folder": str(tmp_path / name)} for name, job in FILES.items()]
    again = [
        {**job, "folder": job["folder"] + " again", "resume": job["folder"] + "/out-10"}
        for job in jobs
    ]
    two_ranks(*jobs, *again)
    for job in [*jobs, *again]:
        assert difference(reference / "out-20", f"{job['folder']}/out-20") < 5e-6, job
    for job in jobs:
        assert same_states(f"{job['folder']}/out-20", f"{job['folder']} again/out-20"), job


@pytest.mark.heavy
@needs_deepspeed
@pytest.mark.parametrize("names", [ZERO[:2], ZERO[2:]])  # stage 3 changes torch for its process
def test_half_precision_keeps_exact_weights(tmp_path, names):
    bf16 = {"precision": "bf16", "config": {"bf16": {"enabled": True}}}
    jobs = [{"engine": name, "folder": str(tmp_path / name), **bf16} for name in names]
    again = [
        {**job, "folder": job["folder"] + " again", "resume": job["folder"] + "/out-10"}
        for job in jobs
    ]
    two_ranks(*jobs, *again)
    reference = alone(tmp_path / "single")
    for job in jobs:
        assert same_states(f"{job['folder']}/out-20", f"{job['folder']} again/out-20"), job
        assert 0 < difference(reference / "out-20", f"{job['folder']}/out-20") < 0.05, job
        weights = read_weights(f"{job['folder']}/out-20")
        rounded = {name: value.bfloat16().float() for name, value in weights.items()}
        assert any(not torch.equal(rounded[name], value) for name, value in weights.items())


@pytest.mark.heavy
@needs_deepspeed
def test_adam_without_bias_correction_is_the_same_everywhere(tmp_path):
    reference = alone(tmp_path / "single", correct_bias=False)
    names = ["ddp", "fsdp", *ZERO]
    two_ranks(*({"engine": n, "folder": str(tmp_path / n), "correct_bias": False} for n in names))
    for name in names:
        assert difference(reference / "out-20", tmp_path / name / "out-20") < 2e-6, name


@pytest.mark.heavy
@needs_deepspeed
def test_a_running_mean_is_the_same_where_each_process_has_all_weights(tmp_path):
    reference = alone(tmp_path / "single", ema=0.8)
    names = ["ddp", "zero1", "zero2"]
    jobs = [{"engine": n, "folder": str(tmp_path / n), "ema": 0.8} for n in names]
    low = {"precision": "bf16", "engine": "zero2", "folder": str(tmp_path / "low"), "ema": 0.8}
    two_ranks(*jobs, low)  # the forward pass in bf16, the weights in fp32
    wanted = load_trainer_state(reference / "out-20").average
    for name in (*names, "low"):
        found = load_trainer_state(tmp_path / name / "out-20").average
        assert found.keys() == wanted.keys()
        limit = 0.05 if name == "low" else 2e-6
        assert max(float((found[k] - wanted[k]).abs().max()) for k in found) < limit, name


@pytest.mark.heavy
def test_reports_and_evaluations_count_every_row_once(tmp_path):
    reference = alone(tmp_path / "one", evaluate=True, correct_bias=False)
    jobs = [
        {
            "engine": name,
            "folder": str(tmp_path / name),
            "evaluate": True,
            "correct_bias": False,
        }
        for name in ("ddp", "fsdp")
    ]
    two_ranks(*jobs)
    wanted = [json.loads(line) for line in (reference / "log.jsonl").read_text().splitlines()]
    timeless = [k for line in wanted for k in line if not k.endswith(("second", "wait", "seconds"))]
    assert "eval/tok.accuracy" in timeless and "doc.loss" in timeless
    for job in jobs:
        log = (Path(job["folder"]) / "log.jsonl").read_text().splitlines()
        assert len(log) == len(wanted)
        for line, reported in zip(wanted, map(json.loads, log), strict=True):
            for name in set(timeless) & line.keys():
                assert reported[name] == pytest.approx(line[name], rel=1e-5, abs=1e-7), name


def until_reports(folder, lines):
    """Wait until the run has reported."""
    log, end = folder / "log.jsonl", time.monotonic() + 200
    while time.monotonic() < end and not (log.exists() and log.read_text().count("\n") >= lines):
        time.sleep(0.05)


def test_sigterm_to_one_rank_stops_all_with_one_checkpoint(tmp_path):
    job = {"engine": "ddp", "folder": str(tmp_path), "wait": 0.2}
    processes = start(HERE / "jobs.py", json.dumps([job]))
    until_reports(tmp_path, 1)
    processes[1].send_signal(signal.SIGTERM)
    results = finish(processes)
    assert [status for status, _, _ in results] == [143, 143], results
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    model = FakeModel()
    load_weights(model, folder)
    assert 5 <= load_trainer_state(folder).progress.step < 20


def test_a_rank_that_dies_ends_the_others_with_a_sentence(tmp_path):
    job = {"engine": "ddp", "folder": str(tmp_path), "dies": True}
    (status, _, err), (died, _, _) = finish(start(HERE / "jobs.py", json.dumps([job])))
    assert died == 9 and status == 1
    last = err.strip().splitlines()[-1]
    assert "another process of this run ended or cannot be reached" in last
    assert "--resume_from_checkpoint" in last and "Rank 0 of 2 heard" in last


@pytest.mark.heavy
@pytest.mark.parametrize("engine, asynchronous", [("ddp", True), ("fsdp", False)])
def test_a_full_disk_ends_all_with_a_sentence(tmp_path, engine, asynchronous):
    job = {"engine": engine, "folder": str(tmp_path), "full": True, "async": asynchronous}
    results = finish(start(HERE / "jobs.py", json.dumps([job])))
    assert [status for status, _, _ in results] == [1, 2], results
    assert "out-10 could not be written ([Errno 28] No space left on device)" in results[0][2]
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]

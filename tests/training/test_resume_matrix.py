"""A checkpoint of any engine goes on with any other, with the losses of a run never interrupted."""

import importlib.util
import json
from pathlib import Path

import jobs as jobs_module
import pytest
import torch
from ranks import HERE, run

from uer.layers import dropout
from uer.training.checkpoint import load_trainer_state, read_weights
from uer.training.processes import Processes

pytestmark = [
    pytest.mark.usefixtures("small_pool"),
    pytest.mark.heavy,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None, reason="the extra 'deepspeed' is missing"
    ),
]
ENGINES = ("single", "ddp", "zero1", "zero2", "zero3")  # but for the first on two ranks
FROM, TO = 10, 20


def train(engine, folders, resume=()):
    """Runs of an engine, one after the other in the same processes, that report every update."""
    jobs = [{"engine": engine, "folder": str(folder), "report": 1} for folder in folders]
    for job, checkpoint in zip(jobs, resume, strict=False):
        job["resume"] = str(checkpoint)
    for folder in folders:
        folder.mkdir(parents=True)
    if engine == "single":
        for job in jobs:
            jobs_module.trainer_of(job, Processes()).run(job.get("resume"))
    else:
        run(HERE / "jobs.py", json.dumps(jobs), patience=1500)


def losses(folder):
    """By update."""
    reports = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {report["step"]: report["loss"] for report in reports}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of each engine that was never interrupted."""
    root = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dropout.POOL, "size", 4096)
        patch.setattr(dropout.POOL, "_arrays", {})
        patch.setattr(dropout, "UPDATES_PER_POOL", 7)
        for engine in ENGINES:
            train(engine, [root / engine])
    return root


@pytest.mark.parametrize("there", ENGINES)
def test_the_losses_are_those_of_a_run_never_interrupted(straight, tmp_path, there):
    places = [tmp_path / f"from {here}" for here in ENGINES]
    train(there, places, [straight / here / f"out-{FROM}" for here in ENGINES])
    expected = losses(straight / "single")
    assert list(expected) == list(range(1, TO + 1)) and expected[TO] < 0.9 * expected[1]
    for here, place in zip(ENGINES, places, strict=True):
        found = losses(place)
        assert list(found) == list(range(FROM + 1, TO + 1)), here
        assert found == pytest.approx({n: expected[n] for n in found}, rel=1e-5), here
    require_same_bits(straight / there / f"out-{TO}", tmp_path / f"from {there}" / f"out-{TO}")


def require_same_bits(left: Path, right: Path):
    one, other = load_trainer_state(left), load_trainer_state(right)
    for a, b in (
        (read_weights(left), read_weights(right)),
        (one.optimizer, other.optimizer),
        (one.rng, other.rng),
    ):
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)

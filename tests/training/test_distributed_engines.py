"""Engines for several processes, with one: what they refuse, and how often they communicate."""

import pytest
import torch
import torch.distributed as dist
from support import BERT, batch_of, documents_of, model_of
from training_fakes import FakeModel, FakeStream, rows_to_batch

from uer.errors import CheckpointError, ConfigError, UserError
from uer.optimizers.adamw import AdamW
from uer.training.engine import engines
from uer.training.engines import deepspeed as deepspeed_module
from uer.training.launch import Place
from uer.training.processes import join
from uer.training.update import update

RATE = 1e-2


@pytest.fixture
def group():
    """A process group of this process alone."""
    join(Place(0, 1, torch.device("cpu"), group=True))
    yield
    dist.destroy_process_group()


def prepared(name, model, **options):
    engine = engines.get(name)(**options)
    engine.prepare(model, lambda: AdamW().build(model.decay_groups(), RATE))
    engine.model.train()
    return engine


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_one_process_is_the_single_device(group, name):
    one, other = FakeModel(), FakeModel()
    alone, engine = prepared("single", one), prepared(name, other)
    for step in range(3):
        rows = [[step, step + 1], [step + 2, step + 3, 5]]
        (left, _), (right, _) = (
            update(run, model, [rows_to_batch(r) for r in rows], RATE)
            for run, model in ((alone, one), (engine, other))
        )
        assert float(left.grad_norm) == pytest.approx(float(right.grad_norm), rel=1e-6)
    for mine, theirs in (
        (alone.weights(), engine.weights()),
        (alone.optimizer_state(), engine.optimizer_state()),
    ):
        assert mine.keys() == theirs.keys()
        assert all(torch.allclose(mine[key], theirs[key], atol=1e-7) for key in mine)
    with pytest.raises(CheckpointError, match="knows a parameter elsewhere"):
        engine.load_optimizer_state({"exp_avg/elsewhere": torch.zeros(1)})


@pytest.mark.parametrize("count", [1, 4])
def test_gradients_are_exchanged_once_per_update(group, monkeypatch, count):
    model, exchanged, summed = FakeModel(), [], []
    engine = prepared("ddp", model)

    def hook(state, bucket):
        exchanged.append(bucket.buffer().numel())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    engine.model.register_comm_hook(None, hook)
    monkeypatch.setattr(engine.processes, "sum", lambda values: summed.append(1) or values)
    stream = FakeStream()
    batches = [stream.next() for _ in range(count)]
    batches[0] = rows_to_batch([0, 12])  # without any item
    update(engine, model, batches, RATE)
    assert exchanged == [sum(p.numel() for p in model.parameters())]
    assert summed == [1]


def test_every_parameter_takes_part_without_items(group):
    """DDP without find_unused_parameters waits for the gradient of every parameter."""
    model = model_of(BERT).train()
    engine = prepared("ddp", model)
    batch, _ = batch_of(documents_of([9, 7]), [[0], [1]])
    empty = {f"labels.mlm.{leaf}": batch[f"labels.mlm.{leaf}"][:0] for leaf in ("index", "value")}
    for _ in range(2):  # the second forward pass is where DDP complains
        report, _ = update(engine, model, [type(batch)({**batch, **empty})], RATE)
    assert float(report.grad_norm) > 0


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(deepspeed_module.importlib.sys.modules, "deepspeed", None)
    with pytest.raises(UserError, match=r"needs the extra 'deepspeed': pip install 'uer\[deep"):
        prepared("deepspeed", FakeModel(), config={"zero_optimization": {"stage": 1}})


def test_zero_refuses_an_optimizer_that_looks_at_whole_tensors():
    class Whole(torch.optim.Adagrad):
        pass

    model = FakeModel()
    with pytest.raises(ConfigError, match="Whole looks at whole tensors, and ZeRO gives it flat"):
        deepspeed_module.require_elementwise(Whole(model.parameters()))
    for correct_bias in (True, False):
        made = AdamW(correct_bias=correct_bias).build(model.decay_groups(), RATE)
        deepspeed_module.require_elementwise(made)


def test_stage_3_takes_single_numbers_only_where_they_are_trained():
    model = torch.nn.Module()
    model.scale = torch.nn.Parameter(torch.tensor(2.0))
    deepspeed_module.widen_numbers(model)
    assert model.scale.shape == (1,)
    frozen = torch.nn.Module()
    frozen.scale = torch.nn.Parameter(torch.tensor(2.0), requires_grad=False)
    with pytest.raises(ConfigError, match=r"single numbers that are not trained \(scale\)"):
        deepspeed_module.widen_numbers(frozen)

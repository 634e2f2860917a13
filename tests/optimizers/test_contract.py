"""What an engine asks of every optimizer."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from uer.optimizers.adafactor import Adafactor
from uer.optimizers.adamw import AdamW
from uer.optimizers.base import optimizers, set_learning_rate
from uer.optimizers.lamb import Lamb
from uer.optimizers.muon import Muon
from uer.optimizers.sgd import Sgd
from uer.training.engines.single import SingleDevice

RATE = 1e-2


class Divided(Sgd):
    """For parameters that look as if they were divided among processes."""

    def build(self, groups, learning_rate, hidden=()):
        for group in groups:
            for _, param in group:
                param.full_tensor = None
        return super().build(groups, learning_rate, hidden)


MAKERS = {
    "adamw": AdamW,
    "adamw, uncorrected": lambda: AdamW(correct_bias=False),
    "adafactor": Adafactor,
    "adafactor, published": lambda: Adafactor(
        beta1=0.9, scale_parameter=True, relative_step=True, weight_decay=0.1
    ),
    "lamb": Lamb,
    "muon": lambda: Muon(adamw_ratio=0.5),
    "sgd": Sgd,
    "sgd, nesterov": lambda: Sgd(nesterov=True, weight_decay=0.1),
    "sgd, plain": lambda: Sgd(momentum=0.0),
    "sgd, divided": lambda: Divided(momentum=0.9, weight_decay=0.1),
    "sgd, divided, nesterov": lambda: Divided(nesterov=True),
    "sgd, divided, plain": lambda: Divided(momentum=0.0),
}
every = pytest.mark.parametrize("name", MAKERS)
SHAPES = {"table": (9, 4), "matrix": (6, 4), "stack": (2, 3, 4), "kernel": (3, 2, 2, 2)}
SPARED = {"bias": (6,), "scale": (), "twisted": (4, 4)}


class Tensors(nn.Module):
    """Parameters of all shapes."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        for name, shape in {**SHAPES, **SPARED}.items():
            setattr(self, name, nn.Parameter(torch.randn(shape, generator=draw)))

    def groups(self):
        return tuple([(n, getattr(self, n)) for n in names] for names in (SHAPES, SPARED))


def gradients(number, model):
    draw = torch.Generator().manual_seed(number)
    return [torch.randn(p.shape, generator=draw) for p in model.parameters()]


def prepared(name):
    model = Tensors()
    optimizer = MAKERS[name]().build(model.groups(), RATE, {"matrix", "kernel", "bias", "twisted"})
    return model, optimizer


def step(model, optimizer, grads, *, bad=False, scale=1.0):
    for param, grad in zip(model.parameters(), grads, strict=True):
        param.grad = grad * scale
    optimizer.grad_scale = torch.tensor(scale)
    optimizer.found_inf = torch.tensor(float(bad))
    optimizer.step()


def everything(model, optimizer):
    """All numbers of a model and its optimizer, by name."""
    found = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name, param in model.named_parameters():
        for quantity, value in optimizer.state.get(param, {}).items():
            found[f"{quantity}/{name}"] = value.clone()
    return found


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@every
def test_a_bad_update_leaves_no_trace(name):
    """Neither as the first nor later, and with gradients of every kind that is not finite."""
    (good, of_good), (bad, of_bad) = prepared(name), prepared(name)
    fine = [gradients(number, good) for number in range(4)]
    broken = [
        [torch.full_like(g, value) for g in fine[0]] for value in (float("nan"), float("inf"))
    ]
    for grads in fine:
        step(good, of_good, grads)
    for number, grads in enumerate(fine):
        if number in (0, 3):
            for wrong in broken:
                step(bad, of_bad, wrong, bad=True)
        step(bad, of_bad, grads)
    assert equal(everything(good, of_good), everything(bad, of_bad))


@every
def test_gradients_are_divided_by_their_scale(name):
    (plain, of_plain), (scaled, of_scaled) = prepared(name), prepared(name)
    for number in range(3):
        step(plain, of_plain, gradients(number, plain))
        step(scaled, of_scaled, gradients(number, plain), scale=8.0)
    assert equal(everything(plain, of_plain), everything(scaled, of_scaled))


@every
def test_neither_scale_nor_flag_is_needed_and_missing_gradients_are_left(name):
    (plain, of_plain), (model, optimizer) = prepared(name), prepared(name)
    step(plain, of_plain, gradients(1, plain))
    before = model.bias.detach().clone()
    for param, grad in zip(model.parameters(), gradients(1, model), strict=True):
        param.grad = None if param is model.bias else grad
    optimizer.step()
    assert torch.equal(model.bias, before) and not optimizer.state[model.bias]
    assert torch.equal(model.matrix, plain.matrix) and not torch.equal(plain.bias, before)


@every
def test_state_returns_by_name(name):
    (model, optimizer), (other, of_other) = prepared(name), prepared(name)
    for number in range(3):
        step(model, optimizer, gradients(number, model))
    saved, loaded = SingleDevice(), SingleDevice()
    saved.optimizer, loaded.optimizer = optimizer, of_other
    state = saved.optimizer_state()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    loaded.load_optimizer_state({key: value.clone() for key, value in state.items()})
    other.load_state_dict(model.state_dict())
    for number in range(3, 6):
        step(model, optimizer, gradients(number, model))
        step(other, of_other, gradients(number, model))
    assert equal(everything(model, optimizer), everything(other, of_other))


@every
def test_a_step_never_waits_for_the_device(name):
    """Fake tensors raise as soon as the host reads a value or a shape that depends on data."""
    with FakeTensorMode():
        model, optimizer = prepared(name)
        for _ in range(2):
            for param in model.parameters():
                param.grad = torch.ones_like(param)
            optimizer.grad_scale, optimizer.found_inf = torch.ones(()), torch.zeros(())
            optimizer.step()
        with pytest.raises(DataDependentOutputException):
            model.scale.item()


@every
def test_every_weight_is_trained_once(name):
    model, optimizer = prepared(name)
    before = [p.detach().clone() for p in model.parameters()]
    step(model, optimizer, gradients(1, model))
    pairs = zip(model.parameters(), before, strict=True)
    assert all((new != old).all() for new, old in pairs)
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    assert sorted(names) == sorted([*SHAPES, *SPARED])


def test_the_registry_knows_them_all():
    assert optimizers.names() == ["adafactor", "adamw", "lamb", "muon", "sgd"]
    assert all(optimizers.get(name) for name in optimizers.names())


def test_a_group_may_have_a_rate_of_its_own():
    first, second = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "rate": 0.25}])
    set_learning_rate(optimizer, 4.0)
    assert [group["lr"] for group in optimizer.param_groups] == [4.0, 1.0]

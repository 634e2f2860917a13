"""NVIDIA apex needs a GPU; here stand-ins with its interface do."""

import sys
import types

import pytest
import torch

from uer.optimizers import adamw
from uer.optimizers._apex import ApexAdamW, find_apex, fused_adam
from uer.optimizers.adamw import AdamW

RATE = 1e-2


class FusedAdam(torch.optim.Optimizer):
    """The interface of NVIDIA's class with ``capturable``, in plain torch."""

    def __init__(self, params, lr, bias_correction, betas, eps, capturable):
        assert capturable and not bias_correction
        super().__init__(params, {"lr": torch.tensor(lr), "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, grad_scaler):
        for group in self.param_groups:
            device = group["params"][0].device
            skip = grad_scaler._check_inf_per_device(self)[device]
            scale = grad_scaler._get_scale_async()
            assert group["lr"].dim() == 0 and skip.shape == scale.shape == (1,)
            assert group["weight_decay"] == 0.0 and not group["bias_correction"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["exp_avg"] = torch.zeros_like(param)
                    state["exp_avg_sq"] = torch.zeros_like(param)
                if int(skip) == 1:
                    continue
                grad, (beta1, beta2) = param.grad / scale, group["betas"]
                state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                root = state["exp_avg_sq"].sqrt() + group["eps"]
                param.sub_(group["lr"] * state["exp_avg"] / root)


def install(monkeypatch, tmp_path, files):
    """Put a package called apex on the path."""
    for name, text in files.items():
        path = tmp_path / "apex" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "apex"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture(autouse=True)
def forget():
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "apex"]:
        del sys.modules[name]


APPLIER = "class multi_tensor_applier:\n    available = {}\n"


@pytest.mark.parametrize(
    "files, kind",
    [
        ({}, "absent"),
        ({"__init__.py": "", "lib/__init__.py": ""}, "other"),
        ({"__init__.py": "import a_web_framework_that_is_not_there"}, "other"),
        (
            {
                "__init__.py": "",
                "multi_tensor_apply/__init__.py": APPLIER.format(True),
                "optimizers/__init__.py": "class FusedAdam: pass\n",
            },
            "nvidia",
        ),
        (
            {
                "__init__.py": "",
                "multi_tensor_apply/__init__.py": APPLIER.format(False),
                "optimizers/__init__.py": "class FusedAdam: pass\n",
            },
            "broken",
        ),
    ],
)
def test_which_apex_it_is(monkeypatch, tmp_path, files, kind):
    install(monkeypatch, tmp_path, files)
    assert find_apex() == kind
    assert (fused_adam() is not None) == (kind == "nvidia")


def test_a_module_without_a_specification_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "apex", types.ModuleType("apex"))
    assert find_apex() == "absent"


def test_the_fused_step_is_that_of_the_plain_one():
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(4, 3, generator=draw), torch.randn(6, 4, 3, generator=draw)
    made = []
    for fused in (True, False):
        params = [torch.nn.Parameter(start.clone()) for _ in range(3)]
        groups = ([("w", params[0]), ("unused", params[2])], [("b", params[1])])
        optimizer = AdamW(correct_bias=False, weight_decay=0.1).build(groups, RATE)
        if fused:
            optimizer = ApexAdamW(FusedAdam, optimizer.param_groups, **optimizer.defaults)
        for number, gradient in enumerate(gradients):
            params[0].grad, params[1].grad = gradient * 8, gradient * 16
            optimizer.grad_scale = torch.tensor(8.0)
            optimizer.found_inf = torch.tensor(float(number == 2))
            optimizer.step()
        made.append((params, optimizer))
    (left, one), (right, two) = made
    for mine, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(mine, theirs)
        assert one.state[mine].keys() == two.state[theirs].keys()
    assert torch.equal(left[2], start) and not torch.equal(left[0], left[1])


def test_neither_scale_nor_flag_is_needed():
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = ApexAdamW(
        FusedAdam, [{"params": [param], "weight_decay": 0.0}], lr=RATE, betas=(0.9, 0.9), eps=1e-6
    )
    param.grad = torch.ones(2)
    optimizer.step()
    assert not torch.equal(param, torch.ones(2))


def test_it_is_used_on_a_gpu_only(monkeypatch):
    monkeypatch.setattr(adamw, "fused_adam", lambda: pytest.fail("asked for on a CPU"))
    param = torch.nn.Parameter(torch.ones(2))
    AdamW(correct_bias=False).build(([("w", param)], []), RATE)

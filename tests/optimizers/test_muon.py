import pytest
import torch
from support import BERT, model_of

from uer.errors import ConfigError
from uer.optimizers.muon import Muon, orthogonal

RATE = 1e-2


def by_hand(start, gradients, *, momentum, decay):
    """Momentum, quintic iteration, decoupled decay; one matrix in double precision."""
    weight, mean = start.double(), torch.zeros_like(start).double()
    for gradient in (g.double() for g in gradients):
        mean = momentum * mean + (1 - momentum) * gradient
        ahead = momentum * mean + (1 - momentum) * gradient
        left, sizes, right = torch.linalg.svd(ahead / ahead.norm(), full_matrices=False)
        for _ in range(5):  # an odd polynomial of a matrix is one of its singular values
            sizes = 3.4445 * sizes - 4.7750 * sizes**3 + 2.0315 * sizes**5
        step = 0.2 * max(start.shape) ** 0.5 * left @ torch.diag(sizes) @ right
        weight = weight * (1 - RATE * decay) - RATE * step
    return weight


def trained(shape, updates=8, **options):
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=draw)
    gradients = torch.randn(updates, *shape, generator=draw)
    param = torch.nn.Parameter(start.clone())
    built = Muon(**options).build(([("w", param)], []), RATE, {"w"})
    for gradient in gradients:
        param.grad = gradient.clone()
        built.step()
    return param.detach(), start, gradients


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 3)])
def test_equal_to_the_iteration_on_singular_values(shape):
    param, start, gradients = trained(shape, momentum=0.9, weight_decay=0.1)
    expected = by_hand(start, gradients, momentum=0.9, decay=0.1)
    torch.testing.assert_close(param.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(32, 16), (16, 48)])
def test_as_torchs_which_computes_in_bf16(shape):
    param, start, gradients = trained(shape)
    other = torch.nn.Parameter(start.clone())
    theirs = torch.optim.Muon(
        [other], lr=RATE, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for gradient in gradients:
        other.grad = gradient.clone()
        theirs.step()
    moved = (other.detach() - start).norm()
    assert float((param - other.detach()).norm() / moved) < 0.02


def test_all_singular_values_come_near_one():
    matrix = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    sizes = torch.linalg.svdvals(orthogonal(matrix))
    assert float(sizes.min()) > 0.6 and float(sizes.max()) < 1.3
    assert torch.equal(orthogonal(torch.zeros(3, 2)), torch.zeros(3, 2))


def test_all_but_the_matrices_is_adamws_with_its_own_rate():
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(5, 3, generator=draw), torch.randn(9, 5, 3, generator=draw)
    mine, table, theirs = (torch.nn.Parameter(start.clone()) for _ in range(3))
    built = Muon(adamw_ratio=0.5, weight_decay=0.1).build(
        ([("w", mine), ("t", table)], []), RATE, {"w"}
    )
    built.param_groups[1]["lr"] = 0.5 * RATE
    adamw = torch.optim.AdamW(
        [theirs], lr=0.5 * RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True
    )
    for gradient in gradients:
        for param in (mine, table, theirs):
            param.grad = gradient.clone()
        built.step()
        adamw.step()
    assert torch.equal(table, theirs) and not torch.equal(mine, theirs)
    assert [group.get("rate", 1.0) for group in built.param_groups] == [1.0, 0.5]
    assert set(built.state[mine]) == {"momentum_buffer"}


def test_which_parameters_of_a_model_are_matrices():
    model = model_of(BERT)
    built = Muon().build(model.decay_groups(), RATE, model.hidden())
    matrices, *others = built.param_groups
    assert matrices["matrices"] and not any(group["matrices"] for group in others)
    expected = {
        f"{prefix}.weight"
        for prefix, module in model.encoder.layers.named_modules(prefix="encoder.layers")
        if isinstance(module, torch.nn.Linear)
    }
    assert set(matrices["param_names"]) == expected and len(expected) == 12
    rest = {name for group in others for name in group["param_names"]}
    assert rest | expected == {name for name, _ in model.named_parameters()}
    assert "targets.mlm.transform.weight" in rest and not rest & expected


def test_a_model_without_hidden_matrices_is_refused():
    param = torch.nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ConfigError, match="the model has none; use adamw"):
        Muon().build(([("w", param)], []), RATE)


@pytest.mark.parametrize(
    "constants, message",
    [({"momentum": 1.0}, r"momentum 1\.0"), ({"adamw_ratio": 0.0}, r"adamw_ratio 0\.0")],
)
def test_constants_out_of_range_are_refused(constants, message):
    with pytest.raises(ConfigError, match=message):
        Muon(**constants)

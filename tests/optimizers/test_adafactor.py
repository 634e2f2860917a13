import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.distributed.tensor.experimental import implicit_replication
from transformers.optimization import Adafactor as Theirs

from uer.errors import ConfigError
from uer.optimizers.adafactor import Adafactor

SHAPES = [(5, 3), (4,), (2, 3, 4), (3, 2, 5, 4), (1, 6), ()]


def starts(factor=1.0):
    draw = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=draw) * factor) for s in SHAPES]


def run(optimizer, params, updates=12):
    draw = torch.Generator().manual_seed(1)
    for _ in range(updates):
        for param in params:
            param.grad = torch.randn(param.shape, generator=draw)
        optimizer.step()


def agree(rate, options, their_options, factor=1.0):
    mine, others = starts(factor), starts(factor)
    built = Adafactor(weight_decay=0.1, **options).build(
        ([(str(n), p) for n, p in enumerate(mine)], []), rate
    )
    run(built, mine)
    run(Theirs(others, weight_decay=0.1, **their_options), others)
    for left, right in zip(mine, others, strict=True):
        torch.testing.assert_close(left, right, rtol=2e-5, atol=1e-6)
    return built, mine


@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("clip", [1.0, 0.3])
def test_with_an_external_learning_rate_equal_to_transformers(beta1, clip):
    """The predecessors' settings, and further ones."""
    agree(
        1e-2,
        {"beta1": beta1, "clip_threshold": clip},
        {
            "lr": 1e-2,
            "scale_parameter": False,
            "relative_step": False,
            "beta1": beta1 or None,
            "clip_threshold": clip,
        },
    )


@pytest.mark.parametrize("factor", [1.0, 1e-5])
def test_as_published_equal_to_transformers(factor):
    """The small weights count as large as least_scale."""
    agree(
        1.0,
        {"scale_parameter": True, "relative_step": True},
        {"scale_parameter": True, "relative_step": True},
        factor,
    )


def test_the_relative_step_falls_after_ten_thousand_updates():
    param = torch.nn.Parameter(torch.ones(2, 2))
    built = Adafactor(relative_step=True, weight_decay=0.0).build(([("w", param)], []), 1.0)
    run(built, [param], 1)
    built.state[param]["updates"].fill_(40_000 - 1)
    before = param.detach().clone()
    param.grad = torch.ones(2, 2)
    built.step()
    change = (before - param.detach()).square().mean().sqrt()
    assert 0 < float(change) <= 1 / 200 * (1 + 1e-5)


def test_matrices_keep_a_row_and_a_column():
    built, params = agree(
        1e-2,
        {},
        {"lr": 1e-2, "scale_parameter": False, "relative_step": False},
    )
    shapes = [{k: tuple(v.shape) for k, v in built.state[p].items()} for p in params]
    assert shapes[0] == {"updates": (), "row": (5,), "column": (3,)}
    assert shapes[1] == {"updates": (), "square": (4,)}
    assert shapes[3] == {"updates": (), "row": (3, 2, 5), "column": (3, 2, 4)}


@pytest.mark.parametrize(
    "constants, message",
    [
        ({"beta1": 1.0}, "beta1 1.0: must lie between 0 and 1, 1 excluded"),
        ({"beta2_decay": 0.0}, "beta2_decay 0.0: must lie"),
        ({"eps": 0.0}, "eps 0.0: must be a positive"),
        ({"clip_threshold": -1.0}, "clip_threshold -1.0"),
        ({"least_scale": float("inf")}, "least_scale inf"),
        ({"weight_decay": -1.0}, "weight_decay -1.0: must not be negative"),
    ],
)
def test_constants_out_of_range_are_refused(constants, message):
    with pytest.raises(ConfigError, match=message):
        Adafactor(**constants)


@pytest.fixture
def mesh():
    """A team of one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()


def test_divided_matrices_are_trained_and_go_on_from_a_state_that_was_loaded_whole(mesh):
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(4, 3, generator=draw), torch.randn(6, 4, 3, generator=draw)
    whole = torch.nn.Parameter(start.clone())
    divided = torch.nn.Parameter(distribute_tensor(start.clone(), mesh, [Shard(0)]))
    plain, other = (Adafactor().build(([("w", p)], []), 1e-2) for p in (whole, divided))
    with implicit_replication():
        for number, gradient in enumerate(gradients):
            whole.grad = gradient.clone()
            divided.grad = distribute_tensor(gradient, mesh, [Shard(0)])
            plain.step()
            other.step()
            if number == 2:
                for name, value in plain.state[whole].items():
                    other.state[divided][name] = value.clone()
    torch.testing.assert_close(divided.full_tensor(), whole)

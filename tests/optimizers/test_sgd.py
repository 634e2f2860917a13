import pytest
import torch

from uer.errors import ConfigError
from uer.optimizers.sgd import Sgd

RATE = 1e-2


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("divided", [True, False])
def test_equal_to_torchs_plain_loop(nesterov, decay, divided):
    draw = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(5, 3, generator=draw), torch.randn(12, 5, 3, generator=draw)
    pairs = [[torch.nn.Parameter(start.clone()) for _ in range(2)] for _ in range(2)]
    (mine, spared), (theirs, without) = pairs
    if divided:  # among processes, as far as one can see
        mine.full_tensor = None
    built = Sgd(momentum=0.8, nesterov=nesterov, weight_decay=decay).build(
        ([("w", mine)], [("b", spared)]), RATE
    )
    assert isinstance(built, torch.optim.SGD) != divided
    groups = [{"params": [theirs], "weight_decay": decay}, {"params": [without]}]
    loop = torch.optim.SGD(groups, lr=RATE, momentum=0.8, nesterov=nesterov, foreach=False)
    for gradient in gradients:
        for param in (mine, spared, theirs, without):
            param.grad = gradient.clone()
        built.step()
        loop.step()
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(spared, without)
    assert (decay != 0) == (not torch.equal(mine, spared))


@pytest.mark.parametrize(
    "constants, message",
    [
        ({"momentum": 1.0}, r"momentum 1\.0: must lie between 0 and 1"),
        ({"weight_decay": -0.1}, r"weight_decay -0\.1: must not be negative"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov: goes with a momentum above 0"),
    ],
)
def test_constants_out_of_range_are_refused(constants, message):
    with pytest.raises(ConfigError, match=message):
        Sgd(**constants)

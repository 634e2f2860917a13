from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from uer.builder import build
from uer.components import Encoder
from uer.errors import ConfigError
from uer.layers.layer_drop import LayerDrop
from uer.states import States
from uer.wanted import Wanted

SIZES = {
    "input_size": 8, "hidden_size": 8, "feedforward_size": 16, "heads_num": 2, "dropout": 0.0,
    "layers_num": 4,
}  # fmt: skip


def encoder(**keys):
    torch.manual_seed(0)
    return build(Encoder, "transformer", **SIZES, **keys)


def layers_used(made, states):
    """Which layers changed the states."""
    before, used = states.hidden, []
    for one in made(states).extras["layers"]:
        used.append(not torch.equal(one, before))
        before = one
    return used


@pytest.mark.parametrize("where", ["pre", "post"])
def test_layers_are_left_out_for_all_rows_at_their_rate(where):
    made, states = (
        encoder(layer_drop=0.3, layernorm_positioning=where),
        States(torch.randn(3, 5, 8)),
    )
    made.keep_layers()
    used = torch.tensor([layers_used(made, states) for _ in range(500)]).float()
    assert (used.mean(0) - 0.7).abs().max() < 0.08  # each by itself
    assert abs(torch.corrcoef(used.T)[0, 1]) < 0.15
    assert all(layers_used(made.eval(), states))


def test_the_seed_decides_and_nothing_else_changes():
    made, states = encoder(layer_drop=0.5), States(torch.randn(3, 5, 8))
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        runs.append(torch.stack([made(states).hidden for _ in range(6)]))
    assert torch.equal(*runs) and not torch.equal(runs[0][0], runs[0][1])
    plain = encoder()
    torch.manual_seed(3)
    plain(states)
    drawn = torch.rand(())
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(()))  # without it no random number is used up
    made.eval()
    assert torch.equal(made(states).hidden, plain(states).hidden)


def test_what_is_wanted_of_the_last_layer_may_be_what_it_read():
    made, hidden = encoder(layer_drop=0.5), torch.randn(3, 5, 8)
    wanted = Wanted(torch.tensor([1, 7, 14]), (3, 5))
    for seed in range(6):
        torch.manual_seed(seed)
        whole = made(States(hidden)).hidden
        torch.manual_seed(seed)
        some = made(States(hidden, wanted=wanted)).hidden
        torch.testing.assert_close(wanted.take(some), wanted.take(whole))


def test_a_layer_that_is_left_out_learns_nothing():
    made, states = encoder(layer_drop=0.5), States(torch.randn(3, 5, 8))
    made.keep_layers()
    outcomes = set()
    for _ in range(20):
        made.zero_grad()
        found = made(states)
        before = [states.hidden, *found.extras["layers"]]
        used = [not torch.equal(a, b) for a, b in pairwise(before)]
        found.hidden.square().sum().backward()
        learnt = [bool(layer.feed_forward.up.weight.grad.any()) for layer in made.layers]
        assert learnt == used
        outcomes.add(tuple(used))
    assert len(outcomes) > 4


def test_processes_wait_for_no_gradient(tmp_path):
    """The exchange of gradients wants one of every parameter in every step."""
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        made = DistributedDataParallel(Whole(encoder(layer_drop=0.8)))
        for _ in range(8):
            made(torch.randn(2, 3, 8)).square().sum().backward()
    finally:
        dist.destroy_process_group()


class Whole(torch.nn.Module):
    """An encoder of plain tensors."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, hidden):
        return self.inner(States(hidden)).hidden


def test_all_steps_cannot_go_without():
    with pytest.raises(ConfigError, match=r"layer_drop: 1.0 is not from 0 to below 1"):
        LayerDrop(1.0)

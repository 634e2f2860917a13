import torch

from uer.layers.pooling import pool
from uer.masks import KernelMask
from uer.states import States

HIDDEN = torch.arange(24.0).reshape(2, 3, 4)
CPU = torch.device("cpu")


def test_flat_indices_are_row_times_length_plus_column():
    states = States(HIDDEN)
    assert torch.equal(states.at(torch.tensor([4, 0, 4])), HIDDEN[[1, 0, 1], [1, 0, 1]])
    assert states.at(torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_label_indices_count_in_what_is_indexed():
    hidden = torch.arange(40.0).reshape(2, 5, 4)  # a class token, three patches, one token behind
    states = States(hidden, indexed=slice(1, 4))
    expected = torch.stack([hidden[0, 1], hidden[0, 3], hidden[1, 1], hidden[1, 3]])
    assert torch.equal(states.at(torch.tensor([0, 2, 3, 5])), expected)
    assert torch.equal(states.with_hidden(hidden + 1).at(torch.tensor([4])), hidden[1:, 2] + 1)
    assert torch.equal(pool(states, "first"), hidden[:, 0])  # documents count in the sequence
    assert torch.equal(pool(states, "last"), hidden[:, -1])


def test_without_documents_a_row_is_one():
    states = States(HIDDEN)
    assert states.firsts().tolist() == [0, 3] and states.lengths().tolist() == [3, 3]


def test_documents_are_where_the_batch_says():
    first, length = torch.tensor([0, 2, 3]), torch.tensor([2, 1, 3])
    states = States(HIDDEN, first=first, length=length)
    assert states.firsts() is first and states.lengths() is length


def test_other_vectors_keep_the_geometry():
    states = States(HIDDEN, segment=torch.ones(2, 3), parts={"text": slice(0, 3)})
    other = states.with_hidden(HIDDEN + 1)
    assert other.segment is states.segment and other.parts is states.parts
    assert torch.equal(other.hidden, HIDDEN + 1) and torch.equal(states.hidden, HIDDEN)


def test_masks_take_shape_and_padding_along():
    validity = torch.tensor([[True, True, False], [True, True, True]])
    states = States(HIDDEN, validity=validity)
    allowed, causal = states.self_mask("fully_visible").kernel(CPU)
    assert not causal and torch.equal(allowed[:, 0], validity[:, None].expand(2, 3, 3))
    assert states.self_mask("causal").kernel(CPU) == KernelMask(None, True)


def test_memory_is_seen_but_for_its_padding():
    validity = torch.tensor([[True, False], [True, True]])
    memory = States(HIDDEN[:, :2], validity=validity)
    allowed, _ = States(HIDDEN).cross_mask(memory).kernel(CPU)
    assert torch.equal(allowed[:, 0], validity[:, None].expand(2, 3, 2))
    assert States(HIDDEN).cross_mask(States(HIDDEN[:, :2])).kernel(CPU) == (None, False)


def test_reversing_turns_real_tokens_and_leaves_padding_behind():
    validity = torch.tensor([[True, True, False], [True, True, True]])
    states = States(HIDDEN, validity=validity)
    turned = states.reversed(HIDDEN)
    assert torch.equal(turned[0], HIDDEN[0, [1, 0, 2]])
    assert torch.equal(turned[1], HIDDEN[1, [2, 1, 0]])
    assert torch.equal(states.reversed(turned), HIDDEN)
    assert torch.equal(States(HIDDEN).reversed(HIDDEN), HIDDEN.flip(1))

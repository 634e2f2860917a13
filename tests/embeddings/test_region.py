"""Regions before a text: what is seen, what is counted."""

import pytest
import torch
from support import VLP, model_of
from torch.nn import functional as F

from uer.batch import Batch
from uer.errors import DataError
from uer.layers.pooling import pool


def shown(modes=(0, 1), rows=2):
    """Rows of a text of 5 tokens and 3 regions; those of mode 1 are written from left to right."""
    draw = torch.Generator().manual_seed(0)
    prefix = torch.tensor([[mode == 0] * 5 for mode in modes])
    return {
        "src.ids": torch.randint(5, 50, (rows, 5), generator=draw),
        "src.prefix": prefix,
        "src.segment": torch.tensor([[2 * mode + 1] * 5 for mode in modes]),
        "src.length": torch.tensor([5] * rows),
        "src.regions": torch.rand(rows, 3, 6, generator=draw) + 0.1,
        "src.boxes": torch.rand(rows, 3, 5, generator=draw),
        "labels.mlm.index": torch.tensor([1, 8]),
        "labels.mlm.value": torch.tensor([7, 9]),
    }


def states(model, fields):
    return model.states(Batch(fields)).hidden


def noticed(model, fields, name, where):
    """Which places of the sequence notice a change of a field."""
    changed = {**fields, name: fields[name].clone()}
    changed[name][where] += 1
    away = (states(model, fields) - states(model, changed)).abs().amax(-1)
    return [row.nonzero().flatten().tolist() for row in away > 1e-6]


def test_a_text_that_is_written_sees_regions_and_what_stands_before_it():
    model, fields = model_of(VLP), shown()
    every = list(range(8))
    for name in ("src.regions", "src.boxes"):
        assert noticed(model, fields, name, (0, 1)) == [every, []]
        assert noticed(model, fields, name, (1, 1)) == [[], every]
    assert noticed(model, fields, "src.ids", (0, 2)) == [every, []]  # sees all of itself
    assert noticed(model, fields, "src.ids", (1, 2)) == [[], [5, 6, 7]]


def test_the_first_token_and_labels_are_those_of_the_text():
    model, fields = model_of(VLP), shown()
    made = model.states(Batch(fields))
    assert torch.equal(pool(made, "first"), made.hidden[:, 3])
    torch.testing.assert_close(pool(made, "mean"), made.hidden[:, 3:].mean(1))
    assert torch.equal(made.at(torch.tensor([1, 8])), made.hidden[[0, 1], [4, 6]])
    model(Batch(fields))["mlm"].loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_regions_are_their_features_and_their_boxes():
    model, fields = model_of(VLP), shown()
    region = model.embedding.parts["region"]
    side = Batch(fields).side("src")
    made = region(side, None)
    first, _, second, _ = region.features
    features = F.relu(second(F.relu(first(side["regions"]))))
    expected = features + F.relu(region.boxes[0](side["boxes"]))
    torch.testing.assert_close(made.hidden[:, :3], expected)
    torch.testing.assert_close(made.hidden[:, 3:], region.text(side, None).hidden)
    assert made.segment[:, :4].tolist() == [[0, 0, 0, 1], [2, 2, 2, 3]]


def test_a_region_of_zeros_is_padding():
    model, fields = model_of(VLP), shown()
    padded = dict(fields)
    for name in ("src.regions", "src.boxes"):
        padded[name] = torch.cat([fields[name], torch.zeros_like(fields[name])], 1)
    torch.testing.assert_close(
        states(model, padded)[:, [0, 1, 2, 6, 7, 8, 9, 10]], states(model, fields)
    )


@pytest.mark.parametrize("name", ["regions", "boxes"])
def test_regions_of_another_width_are_refused(name):
    fields = shown()
    fields[f"src.{name}"] = torch.ones(2, 3, 4)
    with pytest.raises(DataError, match=f"{name} of the data are 4 wide"):
        model_of(VLP)(Batch(fields))

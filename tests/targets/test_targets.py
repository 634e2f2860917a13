"""The objectives by their formulas, and what every objective owes the trainer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.components import Target, targets
from uer.errors import ConfigError
from uer.states import States

FACTS = {"input_size": 8, "embedding_size": 6, "vocab_size": 11, "labels_num": 3}
HIDDEN = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([1, 3, 7])
VALUE = {"mlm": [4, 0, 10], "lm": [4, 0, 10], "sp": [1, 0], "cls": [2, 0]}


def made(name, **keys):
    facts = {key: FACTS[key] for key in asked(name)}
    torch.manual_seed(1)
    target = build(Target, name, **facts, **keys)
    target.name = name
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.normal_()
    return target


def asked(name):
    from uer.signature import parameters

    own = parameters(targets.get(name))
    return [key for key in FACTS if key in own]


def batch_for(target, value, index=INDEX):
    fields = {f"labels.{target.name}.value": torch.as_tensor(value)}
    if "index" in target.labels:
        fields[f"labels.{target.name}.index"] = index
    return Batch(fields)


@pytest.mark.parametrize("name", VALUE)
def test_a_score_is_a_sum_over_the_items(name):
    target = made(name)
    batch = batch_for(target, VALUE[name])
    score = target(States(HIDDEN), batch)
    assert target.weight(batch) == len(VALUE[name]) == score.metrics["accuracy"].weight
    if "index" in target.labels:
        parts = [batch_for(target, VALUE[name][n : n + 1], INDEX[n : n + 1]) for n in range(3)]
        single = [target(States(HIDDEN), part).loss_sum for part in parts]
    else:
        single = [
            target(States(HIDDEN[n : n + 1]), batch_for(target, VALUE[name][n : n + 1])).loss_sum
            for n in range(2)
        ]
    torch.testing.assert_close(score.loss_sum, torch.stack(single).sum())


@pytest.mark.parametrize("name", ["mlm", "lm"])
def test_without_items_the_loss_is_zero_and_connected(name):
    target, hidden = made(name), HIDDEN.clone().requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    batch = batch_for(target, none, none)
    score = target(States(hidden), batch)
    score.loss_sum.backward()
    assert score.loss_sum == 0 and target.weight(batch) == 0
    assert all(p.grad is not None and not p.grad.any() for p in target.parameters())
    assert hidden.grad is not None and not hidden.grad.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_masked_tokens_pass_a_transform_a_norm_and_the_output_layer(smoothing):
    target = made("mlm", label_smoothing=smoothing)
    states = F.gelu(F.linear(HIDDEN.flatten(0, 1)[INDEX], *target.transform.parameters()))
    normed = F.layer_norm(states, (6,), target.norm.weight, target.norm.bias, 1e-6)
    logits = F.linear(normed, target.output.weight, target.output.bias)
    score = target(States(HIDDEN), batch_for(target, VALUE["mlm"]))
    expected = F.cross_entropy(
        logits, torch.tensor(VALUE["mlm"]), reduction="sum", label_smoothing=smoothing
    )
    torch.testing.assert_close(score.loss_sum, expected)


@pytest.mark.parametrize("bias", [False, True])
def test_a_language_model_is_one_linear_map(bias):
    target = made("lm", has_lmtarget_bias=bias, label_smoothing=0.2)
    assert (target.output.bias is not None) == bias
    logits = F.linear(HIDDEN.flatten(0, 1)[INDEX], target.output.weight, target.output.bias)
    score = target(States(HIDDEN), batch_for(target, VALUE["lm"]))
    expected = F.cross_entropy(
        logits, torch.tensor(VALUE["lm"]), reduction="sum", label_smoothing=0.2
    )
    torch.testing.assert_close(score.loss_sum, expected)


@pytest.mark.parametrize("name", ["sp", "cls"])
def test_documents_are_judged_by_their_first_token(name):
    target = made(name)
    hidden = torch.tanh(F.linear(HIDDEN[:, 0], target.hidden.weight, target.hidden.bias))
    logits = F.linear(hidden, target.output.weight, target.output.bias)
    score = target(States(HIDDEN), batch_for(target, VALUE[name]))
    expected = F.cross_entropy(logits, torch.tensor(VALUE[name]), reduction="sum")
    torch.testing.assert_close(score.loss_sum, expected)
    assert score.metrics["accuracy"].total == (logits.argmax(-1) == torch.tensor(VALUE[name])).sum()


def test_classification_may_pool_otherwise_and_take_soft_labels():
    target = made("cls", pooling="mean", label_smoothing=0.1)
    hidden = torch.tanh(F.linear(HIDDEN.mean(1), target.hidden.weight, target.hidden.bias))
    logits = F.linear(hidden, target.output.weight, target.output.bias)
    shares = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    score = target(States(HIDDEN), batch_for(target, shares))
    expected = F.cross_entropy(logits, shares, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(score.loss_sum, expected)
    torch.testing.assert_close(target.logits(States(HIDDEN)), logits)


@pytest.mark.parametrize(("name", "ties"), [("mlm", True), ("lm", True), ("sp", False)])
def test_output_layers_over_the_vocabulary_can_be_tied(name, ties):
    target = made(name)
    table = nn.Parameter(torch.randn(11, 6 if name == "mlm" else 8))
    assert target.tie(table) is ties
    assert any(parameter is table for parameter in target.parameters()) is ties


def test_both_directions_have_their_half_and_one_output_layer():
    torch.manual_seed(0)
    target = build(Target, "bilm", input_size=6, vocab_size=9)
    target.name = "bilm"
    hidden = torch.randn(2, 4, 6)
    labels = {
        "labels.bilm.index": torch.tensor([0, 1, 4]),
        "labels.bilm.value": torch.tensor([3, 8, 1]),
        "labels.bilm.backward_index": torch.tensor([1, 5]),
        "labels.bilm.backward_value": torch.tensor([2, 7]),
    }
    score = target(States(hidden), Batch(labels))
    ahead = F.cross_entropy(
        hidden.flatten(0, 1)[[0, 1, 4], :3] @ target.output.weight.T,
        torch.tensor([3, 8, 1]),
        reduction="sum",
    )
    back = F.cross_entropy(
        hidden.flatten(0, 1)[[1, 5], 3:] @ target.output.weight.T,
        torch.tensor([2, 7]),
        reduction="sum",
    )
    torch.testing.assert_close(score.loss_sum, ahead + back)
    assert target.weight(Batch(labels)) == score.metrics["accuracy"].weight == 5
    with pytest.raises(ConfigError, match="hidden_size: 5 is odd; target 'bilm' gives each"):
        build(Target, "bilm", input_size=5, vocab_size=9)

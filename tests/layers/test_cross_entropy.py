import pytest
import torch

from uer.layers.cross_entropy import cross_entropy

LOGITS = 3 * torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
VALUE = torch.tensor([0, 4, 2, 2, 1, 3, 0])


def test_the_loss_is_the_sum_of_negative_log_probabilities():
    score = cross_entropy(LOGITS, VALUE)
    torch.testing.assert_close(
        score.loss_sum, -LOGITS.softmax(-1).log()[torch.arange(7), VALUE].sum()
    )
    correct, weight = score.metrics["accuracy"]
    assert correct == (LOGITS.argmax(-1) == VALUE).sum() and weight == 7


@pytest.mark.parametrize("classes", [5, 0])
def test_without_items_the_loss_is_a_connected_zero(classes):
    logits = torch.zeros(0, classes, requires_grad=True)
    score = cross_entropy(logits, torch.zeros(0, dtype=torch.int64))
    score.loss_sum.backward()
    assert score.loss_sum == 0 and logits.grad is not None and logits.grad.shape == (0, classes)
    assert score.metrics["accuracy"] == (0, 0)


def test_soft_labels_are_shares():
    shares = torch.rand(7, 5, generator=torch.Generator().manual_seed(1)).softmax(-1)
    score = cross_entropy(LOGITS, shares)
    torch.testing.assert_close(score.loss_sum, -(shares * LOGITS.log_softmax(-1)).sum())
    assert score.metrics["accuracy"].total == (LOGITS.argmax(-1) == shares.argmax(-1)).sum()
    one_hot = torch.nn.functional.one_hot(VALUE, 5).float()
    torch.testing.assert_close(
        cross_entropy(LOGITS, one_hot).loss_sum, cross_entropy(LOGITS, VALUE).loss_sum
    )


def test_smoothing_spreads_a_share_over_all_classes():
    hard = torch.nn.functional.one_hot(VALUE, 5).float()
    spread = cross_entropy(LOGITS, 0.9 * hard + 0.1 / 5)
    smooth = cross_entropy(LOGITS, VALUE, label_smoothing=0.1)
    torch.testing.assert_close(smooth.loss_sum, spread.loss_sum)


def test_half_precision_is_scored_in_float32():
    score = cross_entropy(LOGITS.bfloat16(), VALUE)
    assert score.loss_sum.dtype == torch.float32
    torch.testing.assert_close(
        score.loss_sum, cross_entropy(LOGITS.bfloat16().float(), VALUE).loss_sum
    )

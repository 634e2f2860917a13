"""What stays exact where products are rounded, and what fp16 is refused for."""

from types import SimpleNamespace

import pytest
import torch
from support import BERT, MODELS, batch_of, documents_of, model_of
from torch.nn import functional as F
from training_fakes import make_trainer

from uer.builder import build
from uer.errors import ConfigError
from uer.layers.base import Attention
from uer.layers.cross_entropy import cross_entropy
from uer.layers.norms.legacy import LegacyNorm
from uer.layers.norms.normal import LayerNorm
from uer.layers.norms.rms import RMSNorm
from uer.training.half import require_range

ROUNDING = 2.0**-8  # of a number in bf16


def rounded(*shape, mean=0.0):
    draw = torch.Generator().manual_seed(0)
    return (mean + torch.randn(*shape, generator=draw)).bfloat16()


def low():
    return torch.autocast("cpu", torch.bfloat16)


def by_hand(kind, hidden):
    """The norm in double precision, without its scale and shift, which are one and zero."""
    if kind is RMSNorm:
        return hidden / hidden.square().mean(-1, keepdim=True).sqrt()
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / hidden.std(-1, keepdim=True, correction=int(kind is LegacyNorm))


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm, LegacyNorm])
def test_norms_sum_in_fp32(kind):
    """Mean 40 and deviation 1: statistics in bf16 would be wrong in the first digit."""
    hidden = rounded(3, 4096, mean=40.0)
    with low():
        found = kind(size=4096)(hidden)
    assert found.dtype == torch.bfloat16
    expected = by_hand(kind, hidden.double())
    torch.testing.assert_close(found.double(), expected, rtol=ROUNDING, atol=1e-4)


def test_softmax_sums_in_fp32():
    """4096 equal shares of a value 1: a sum in bf16 stays where one share is half a last digit."""
    attention = build(Attention, "multihead", hidden_size=8, heads_num=1)
    context = SimpleNamespace(kernel=lambda query: (None, False))
    query, key = torch.zeros(1, 1, 2, 8).bfloat16(), torch.zeros(1, 1, 4096, 8).bfloat16()
    with low():
        mixed = attention.mix(query, key, torch.ones_like(key), context)
    assert mixed.dtype == torch.bfloat16 and torch.equal(mixed, torch.ones_like(mixed))


def test_losses_are_computed_in_fp32():
    logits, value = rounded(16, 30000, mean=5.0), torch.arange(16)
    with low():
        score = cross_entropy(logits, value)
    expected = F.cross_entropy(logits.double(), value, reduction="sum")
    assert score.loss_sum.dtype == torch.float32
    assert score.loss_sum.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_loss_of_a_model_is_fp32(name):
    batch = batch_of(documents_of([9, 7]), [[0], [1]])[0]
    with low():
        scores = model_of(MODELS[name])(batch)
    assert {score.loss_sum.dtype for score in scores.values()} == {torch.float32}


LIKE_T5 = {**BERT, "layernorm": "rms", "remove_attention_scale": True}


def test_fp16_is_refused_for_models_like_t5():
    with pytest.raises(ConfigError, match=r"--precision fp16: models like T5 .* 65504, .* bf16 or"):
        require_range(model_of(LIKE_T5), "fp16")
    for precision in ("bf16", "fp32"):
        require_range(model_of(LIKE_T5), precision)
    for key in ("layernorm", "remove_attention_scale"):
        require_range(model_of({k: v for k, v in LIKE_T5.items() if k != key}), "fp16")


def test_a_run_refuses_it_before_training(tmp_path):
    trainer = make_trainer(tmp_path, model=model_of(LIKE_T5))
    trainer.engine.precision = "fp16"
    with pytest.raises(ConfigError, match="models like T5"):
        trainer.run()

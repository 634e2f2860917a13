import copy

import pytest
import torch
from support import BERT, MODELS, TINY, batch_of, documents_of, model_of
from torch import nn

from uer.training.blocks import blocks, recompute

SEQ2SEQ = {
    **TINY,
    "embedding": ["word", "pos"],
    "encoder": "transformer",
    "tgt_embedding": ["word", "pos"],
    "decoder": "transformer",
    "target": "lm",
}
KINDS = {
    "bert": BERT,
    "t5 bias": {**BERT, "embedding": ["word", "seg"], "position": "relative"},
    "residual": {**BERT, "attention": "residual"},
    "rotary": MODELS["llama"],
    "shared": MODELS["albert"],
    "seq2seq": SEQ2SEQ,
}


def whole_batch():
    documents = documents_of([9, 7, 5, 6])
    batch, _ = batch_of(documents, [[0, 1], [2, 3]])
    target = {f"tgt.{k[4:]}": v for k, v in batch.items() if k.startswith("src.")}
    return type(batch)({**batch, **target})


def loss_and_gradients(model, batch):
    torch.manual_seed(3)
    loss = torch.stack([score.loss_sum for score in model(batch).values()]).sum()
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def test_blocks_are_the_layers_of_both_stacks_each_once():
    model = model_of(SEQ2SEQ)
    assert blocks(model) == [*model.encoder.layers, *model.decoder.layers]
    assert len(blocks(model_of(MODELS["albert"]))) == 1
    assert blocks(nn.Linear(2, 2)) == []


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_computed_twice_is_equal_dropout_included(kind, precision):
    model = model_of({**KINDS[kind], "dropout": 0.3}).train()
    other, batch = copy.deepcopy(model), whole_batch()
    names = list(other.state_dict())
    assert recompute(other) == len(blocks(model))
    assert list(other.state_dict()) == names
    with torch.autocast("cpu", precision, enabled=precision is not None):
        loss, gradients = loss_and_gradients(model, batch)
        again, others = loss_and_gradients(other, batch)
    assert torch.equal(loss, again)
    assert all(torch.equal(gradients[n], others[n]) for n in names if gradients.get(n) is not None)


def test_only_the_inputs_of_layers_are_kept():
    """Counted: the bytes that autograd saves for the backward pass."""
    kept = []
    for twice in (False, True):
        model, batch = model_of({**BERT, "layers_num": 4}).train(), whole_batch()
        if twice:
            recompute(model)
        saved = {}

        def note(tensor, saved=saved):
            if not isinstance(tensor, nn.Parameter):
                saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(batch)
        kept.append(sum(saved.values()))
    assert kept[1] < 0.5 * kept[0]


def test_without_gradients_nothing_is_computed_twice():
    model, batch = model_of(BERT), whole_batch()
    calls = []
    model.encoder.layers[0].register_forward_hook(lambda *_: calls.append(1))
    recompute(model)
    with torch.no_grad():
        model(batch)
    assert len(calls) == 1

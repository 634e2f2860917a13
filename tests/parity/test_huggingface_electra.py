"""ELECTRA against transformers: both of its models, with small random weights in float32.

The generator is `ElectraForMaskedLM`, the discriminator `ElectraForPreTraining`; what lies between
them, the sampling, is ours alone, so theirs reads what ours has sampled.
"""

import re

import pytest
import torch
from support import BERT, VOCAB, batch_of, documents_of, model_of
from torch.nn import functional as F
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

EPS = 1e-6
SMALL = {
    "encoder": "transformer",
    "hidden_size": 4,
    "feedforward_size": 8,
    "heads_num": 1,
    "layers_num": 2,
    "dropout": 0.0,
    "layernorm_eps": EPS,
    "target": "mlm",
    "tie_weights": True,
}
ELECTRA = {
    **BERT,
    "emb_size": 8,
    "layernorm_eps": EPS,
    "target": [{"rtd": {"weight": 50.0}}],
    "generator": SMALL,
}
NAMES = (
    (r"electra\.embeddings\.word_embeddings", "embedding.parts.word"),
    (r"electra\.embeddings\.position_embeddings", "embedding.parts.pos"),
    (r"electra\.embeddings\.token_type_embeddings", "embedding.parts.seg"),
    (r"electra\.embeddings\.LayerNorm", "embedding.norm"),
    (r"electra\.embeddings_project", "encoder.projection"),
    (r"electra\.encoder\.layer", "encoder.layers"),
    (r"attention\.self\.", "attention."),
    (r"attention\.output\.LayerNorm", "attention_norm"),
    (r"attention\.output\.dense", "attention.output"),
    (r"intermediate\.dense", "feed_forward.up"),
    (r"(layers\.\d+)\.output\.LayerNorm", r"\1.feed_forward_norm"),
    (r"(layers\.\d+)\.output\.dense", r"\1.feed_forward.down"),
    (r"discriminator_predictions\.dense_prediction", "targets.rtd.output"),
    (r"discriminator_predictions\.dense", "targets.rtd.hidden"),
    (r"generator_predictions\.dense", "targets.mlm.transform"),
    (r"generator_predictions\.LayerNorm", "targets.mlm.norm"),
    (r"generator_lm_head", "targets.mlm.output"),
)


def renamed(state, prefix=""):
    names = {}
    for name in state:
        ours = name
        for pattern, replacement in NAMES:
            ours = re.sub(pattern, replacement, ours)
        names[prefix + ours] = state[name]
    return names


def theirs(kind, hidden, inner, heads, seed):
    torch.manual_seed(seed)
    model = kind(
        ElectraConfig(
            vocab_size=VOCAB,
            embedding_size=8,
            hidden_size=hidden,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=inner,
            max_position_embeddings=64,
            layer_norm_eps=EPS,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


@pytest.fixture(scope="module")
def models():
    """Ours, and theirs with its weights; their generator has the discriminator's embeddings."""
    discriminator = theirs(ElectraForPreTraining, 16, 32, 2, 0)
    generator = theirs(ElectraForMaskedLM, 4, 8, 1, 1)
    generator.electra.embeddings.load_state_dict(discriminator.electra.embeddings.state_dict())
    ours = model_of(ELECTRA)
    weights = renamed(discriminator.state_dict())
    weights |= renamed(generator.state_dict(), "targets.rtd.generator.")
    ours.load_state_dict(weights)
    return ours, generator, discriminator


def inputs(batch):
    return {
        "attention_mask": batch["src.validity"].long(),
        "token_type_ids": batch["src.segment"],
    }


def test_both_models_and_both_losses(models):
    ours, generator, discriminator = models
    batch, place = batch_of(documents_of([9, 4, 12]), [[0], [1], [2]])
    with torch.no_grad():
        head = ours.heads["rtd"]
        torch.manual_seed(3)
        read, made = head.prepare(batch)
        torch.manual_seed(3)
        scores, weights = ours(batch), ours.weights(batch)
        labels = torch.full_like(batch["src.ids"], -100).flatten()
        labels[batch["labels.mlm.index"]] = batch["labels.mlm.value"]
        one = generator(batch["src.ids"], labels=labels.view_as(batch["src.ids"]), **inputs(batch))
        replaced = read["labels.rtd.value"].view_as(batch["src.ids"])
        two = discriminator(read["src.ids"], labels=replaced, **inputs(batch))
        logits = head.logits(ours.states(read).hidden)
    assert 0 < replaced.sum() <= len(batch["labels.mlm.value"])
    torch.testing.assert_close(logits.flatten()[place], two.logits.flatten()[place])
    for name, loss in (("generator.mlm", one.loss), ("rtd", two.loss)):
        torch.testing.assert_close(scores[name].loss_sum / weights[name], loss)
    torch.testing.assert_close(made["generator.mlm"].loss_sum, scores["generator.mlm"].loss_sum)


def test_the_loss_of_a_step_is_the_sum_of_theirs(models):
    ours, generator, discriminator = models
    batch, _ = batch_of(documents_of([8, 8]), [[0], [1]])
    torch.manual_seed(3)
    scores, weights = ours(batch), ours.weights(batch)
    loss = sum(ours.loss_weights[n] * s.loss_sum / weights[n] for n, s in scores.items())
    ours.zero_grad()
    loss.backward()
    torch.manual_seed(3)
    read, _ = ours.heads["rtd"].prepare(batch)
    segment = batch["src.segment"]
    predicted = generator(batch["src.ids"], token_type_ids=segment).logits.flatten(0, 1)
    expected = F.cross_entropy(predicted[batch["labels.mlm.index"]], batch["labels.mlm.value"])
    replaced = read["labels.rtd.value"].view_as(segment)
    expected = (
        expected + 50 * discriminator(read["src.ids"], token_type_ids=segment, labels=replaced).loss
    )
    for model in (generator, discriminator):
        model.zero_grad()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    shared = generator.electra.embeddings.word_embeddings.weight.grad
    shared = shared + discriminator.electra.embeddings.word_embeddings.weight.grad
    # padding_idx: they keep the gradient of [PAD]'s row away; no batch of these has that id
    torch.testing.assert_close(ours.embedding.table.grad, shared, atol=1e-5, rtol=1e-4)

"""MPNet against transformers, on small random weights in float32: what it is after pre-training."""

import re

import pytest
import torch
from support import TINY, VOCAB, batch_of, documents_of, model_of
from transformers import MPNetConfig, MPNetForMaskedLM

EPS = 1e-5
MPNET = {
    **TINY,
    "layernorm_eps": EPS,
    "hidden_act": "gelu",
    "embedding": ["word", "pos"],
    "position_offset": 2,
    "encoder": "mpnet",
    "position": "relative",
    "target": "mlm",
    "tie_weights": True,
}
NAMES = (
    (r"mpnet\.embeddings\.word_embeddings", "embedding.parts.word"),
    (r"mpnet\.embeddings\.position_embeddings", "embedding.parts.pos"),
    (r"mpnet\.embeddings\.LayerNorm", "embedding.norm"),
    (r"mpnet\.encoder\.relative_attention_bias", "encoder.position"),
    (r"mpnet\.encoder\.layer", "encoder.layers"),
    (r"attention\.attn\.q\.", "attention.query."),
    (r"attention\.attn\.k\.", "attention.key."),
    (r"attention\.attn\.v\.", "attention.value."),
    (r"attention\.attn\.o\.", "attention.output."),
    (r"attention\.LayerNorm", "attention_norm"),
    (r"intermediate\.dense", "feed_forward.up"),
    (r"(layers\.\d+)\.output\.LayerNorm", r"\1.feed_forward_norm"),
    (r"(layers\.\d+)\.output\.dense", r"\1.feed_forward.down"),
    (r"lm_head\.dense", "targets.mlm.transform"),
    (r"lm_head\.layer_norm", "targets.mlm.norm"),
    (r"lm_head\.decoder", "targets.mlm.output"),
)


def renamed(name):
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return name


@pytest.mark.parametrize("encoder", ["mpnet", "transformer"])
def test_hidden_states_and_loss(encoder):
    torch.manual_seed(0)
    theirs = MPNetForMaskedLM(
        MPNetConfig(
            vocab_size=VOCAB,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=66,
            layer_norm_eps=EPS,
        )
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    ours = model_of({**MPNET, "encoder": encoder})
    weights = {renamed(name): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict({n: v for n, v in weights.items() if n != "lm_head.bias"})
    batch, place = batch_of(documents_of([9, 40, 12]), [[0], [1], [2]])
    index = batch["labels.mlm.index"]
    labels = torch.full_like(batch["src.ids"], -100).flatten()
    labels[index] = batch["labels.mlm.value"]
    with torch.no_grad():
        out = theirs(
            input_ids=batch["src.ids"],
            attention_mask=batch["src.validity"].long(),
            labels=labels.view_as(batch["src.ids"]),
            output_hidden_states=True,
        )
        states, score = ours.states(batch), ours(batch)["mlm"]
        logits = ours.heads["mlm"].logits(states.at(index))
    hidden = out.hidden_states[-1].flatten(0, 1)[place]
    torch.testing.assert_close(states.at(place), hidden, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(logits, out.logits.flatten(0, 1)[index], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(score.loss_sum / len(index), out.loss, atol=1e-5, rtol=1e-5)

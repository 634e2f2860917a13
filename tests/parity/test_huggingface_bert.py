"""BERT against transformers, on small random weights in float32.

Post-norm is `BertForPreTraining`, pre-norm `MegatronBertForPreTraining` (no norm after the
embeddings, one after the last layer). Gelu is exact on both sides.
"""

import re

import pytest
import torch
from support import BERT, VOCAB, batch_of, documents_of
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForPreTraining,
    MegatronBertConfig,
    MegatronBertForPreTraining,
)

from uer.builder import Planner
from uer.model import Model

EPS = 1e-6
OURS = {
    "post": {**BERT, "layernorm_eps": EPS},
    "pre": {
        **BERT,
        "layernorm_eps": EPS,
        "layernorm_positioning": "pre",
        "remove_embedding_layernorm": True,
    },
}
THEIRS = {
    "post": (BertConfig, BertForPreTraining),
    "pre": (MegatronBertConfig, MegatronBertForPreTraining),
}
COMMON = (
    (r"bert\.embeddings\.word_embeddings", "embedding.parts.word"),
    (r"bert\.embeddings\.position_embeddings", "embedding.parts.pos"),
    (r"bert\.embeddings\.token_type_embeddings", "embedding.parts.seg"),
    (r"bert\.embeddings\.LayerNorm", "embedding.norm"),
    (r"bert\.encoder\.layer\.(\d+)", r"encoder.layers.\1"),
    (r"bert\.encoder\.ln", "encoder.norm"),
    (r"attention\.self\.", "attention."),
    (r"attention\.output\.dense", "attention.output"),
    (r"intermediate\.dense", "feed_forward.up"),
    (r"bert\.pooler\.dense", "targets.sp.hidden"),
    (r"cls\.seq_relationship", "targets.sp.output"),
    (r"cls\.predictions\.transform\.dense", "targets.mlm.transform"),
    (r"cls\.predictions\.transform\.LayerNorm", "targets.mlm.norm"),
    (r"cls\.predictions\.decoder", "targets.mlm.output"),
    (r"cls\.predictions\.bias", "targets.mlm.output.bias"),
)
NAMES = {
    "post": (
        (r"attention\.output\.LayerNorm", "attention_norm"),
        (r"(layers\.\d+)\.output\.LayerNorm", r"\1.feed_forward_norm"),
        (r"(layers\.\d+)\.output\.dense", r"\1.feed_forward.down"),
    ),
    "pre": (
        (r"attention\.ln", "attention_norm"),
        (r"(layers\.\d+)\.ln", r"\1.feed_forward_norm"),
        (r"(layers\.\d+)\.output\.dense", r"\1.feed_forward.down"),
    ),
}


def renamed(name, norm):
    for pattern, ours in (*COMMON[:6], *NAMES[norm], *COMMON[6:]):
        name = re.sub(pattern, ours, name)
    return name


@pytest.fixture(scope="module", params=["post", "pre"])
def pair(request):
    """Our model and theirs, with the same weights."""
    config, kind = THEIRS[request.param]
    torch.manual_seed(0)
    theirs = kind(
        config(
            vocab_size=VOCAB,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            layer_norm_eps=EPS,
            hidden_act="gelu",
        )
    ).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    planner = Planner(OURS[request.param])
    ours = planner.section(Model).build({"vocab_size": VOCAB}).eval()
    ours.load_state_dict(
        {
            renamed(name, request.param): value
            for name, value in theirs.state_dict().items()
            if not name.endswith("position_ids")
        }
    )
    return ours, theirs


def test_hidden_states_and_both_losses(pair):
    ours, theirs = pair
    documents = documents_of([9, 4, 12])
    batch, place = batch_of(documents, [[0], [1], [2]])
    with torch.no_grad():
        out = theirs(
            input_ids=batch["src.ids"],
            attention_mask=batch["src.validity"].long(),
            token_type_ids=batch["src.segment"],
            output_hidden_states=True,
        )
        states, scores = ours.states(batch), ours(batch)
    hidden = out.hidden_states[-1]
    torch.testing.assert_close(states.at(place), hidden.flatten(0, 1)[place], atol=1e-5, rtol=0)
    predictions = out.prediction_logits.flatten(0, 1)[batch["labels.mlm.index"]]
    expected = {
        "mlm": F.cross_entropy(predictions, batch["labels.mlm.value"]),
        "sp": F.cross_entropy(out.seq_relationship_logits, batch["labels.sp.value"]),
    }
    for name, loss in expected.items():
        mean = scores[name].loss_sum / ours.weights(batch)[name]
        torch.testing.assert_close(mean, loss, atol=1e-5, rtol=0)


def test_packed_rows_compute_what_theirs_computes_alone(pair):
    ours, theirs = pair
    documents = documents_of([5, 4, 6, 3])
    batch, place = batch_of(documents, [[0, 1], [2, 3]])
    with torch.no_grad():
        packed = ours.states(batch).at(place).split([5, 4, 6, 3])
        for number, document in enumerate(documents):
            alone, _ = batch_of([document], [[0]])
            out = theirs(
                input_ids=alone["src.ids"],
                token_type_ids=alone["src.segment"],
                output_hidden_states=True,
            )
            torch.testing.assert_close(packed[number], out.hidden_states[-1][0], atol=1e-5, rtol=0)

"""ProphetNet against transformers, on small random weights in float32.

transformers (5.x) mixes up the order of heads, tokens and streams when it looks up the bias of the
predicting streams; the authors' own code does not. So the comparison is made twice: with theirs as
it is, and weights that make the order of no matter; and with that look-up put right, and any
weights.
"""

import re

import pytest
import torch
from support import TINY, VOCAB, documents_of, model_of
from transformers import ProphetNetConfig, ProphetNetForConditionalGeneration
from transformers.models.prophetnet.modeling_prophetnet import ProphetNetNgramSelfAttention

from uer.batch import Batch

EPS = 1e-5
N = 3
PROPHETNET = {
    **TINY,
    "max_seq_length": 39,
    "position_offset": 1,
    "relative_attention_buckets_num": 8,
    "relative_attention_max_distance": 12,
    "layernorm_eps": EPS,
    "hidden_act": "gelu",
    "embedding": ["word", "pos"],
    "encoder": "transformer",
    "tgt_embedding": "prophetnet",
    "ngram": N,
    "decoder": "prophetnet",
    "decoder_layers_num": 3,
    "target": "ngram",
    "tie_weights": True,
    "share_embedding": True,
}
NAMES = (
    (r"prophetnet\.encoder\.word_embeddings", "embedding.parts.word"),
    (r"prophetnet\.encoder\.position_embeddings", "embedding.parts.pos"),
    (r"prophetnet\.encoder\.embeddings_layer_norm", "embedding.norm"),
    (r"prophetnet\.decoder\.word_embeddings", "tgt_embedding.word"),
    (r"prophetnet\.decoder\.position_embeddings", "tgt_embedding.pos"),
    (r"prophetnet\.decoder\.embeddings_layer_norm", "tgt_embedding.norm"),
    (r"prophetnet\.decoder\.ngram_embeddings\.weight", "tgt_embedding.streams"),
    (r"prophetnet\.(encoder|decoder)", r"\1"),
    (r"cross_attn_layer_norm", "cross_attention_norm"),
    (r"self_attn_layer_norm", "attention_norm"),
    (r"feed_forward_layer_norm", "feed_forward_norm"),
    (r"cross_attn\.", "cross_attention."),
    (r"self_attn\.", "attention."),
    (r"(query|key|value)_proj", r"\1"),
    (r"out_proj", "output"),
    (r"relative_pos_embeddings", "relative"),
    (r"feed_forward\.intermediate", "feed_forward.up"),
    (r"feed_forward\.output", "feed_forward.down"),
    (r"lm_head", "targets.ngram.output"),
)


def renamed(name):
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return name


def theirs_with(eps):
    torch.manual_seed(0)
    model = ProphetNetForConditionalGeneration(
        ProphetNetConfig(
            vocab_size=VOCAB,
            hidden_size=16,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_encoder_layers=2,
            num_decoder_layers=3,
            num_encoder_attention_heads=2,
            num_decoder_attention_heads=2,
            max_position_embeddings=40,
            ngram=N,
            num_buckets=8,
            relative_max_distance=12,
            eps=eps,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def put_right(self, hidden_states, attn_weights, position_ids, predict_relative_position_buckets):
    """[B, n, N, T, 2 T]: of a query's own bias per bucket and head, that of each key's bucket."""
    bias = self.relative_pos_embeddings(hidden_states.transpose(1, 2))
    bias = bias.unflatten(-1, (self.num_buckets, self.num_attn_heads)).permute(0, 1, 4, 2, 3)
    bucket = predict_relative_position_buckets.long()[:, None, None]
    return bias.gather(-1, bucket.expand(*bias.shape[:-1], -1))


def make_order_of_no_matter(theirs):
    """A bias per bucket only, the same for all heads and whatever the token is."""
    with torch.no_grad():
        for layer in theirs.prophetnet.decoder.layers:
            relative = layer.self_attn.relative_pos_embeddings
            relative.weight.zero_()
            relative.bias.copy_(torch.randn(8).repeat_interleave(2))


def pair(eps=0.0, *, as_it_is=True):
    theirs = theirs_with(eps)
    if as_it_is:
        make_order_of_no_matter(theirs)
    ours = model_of({**PROPHETNET, "label_smoothing": eps})
    weights = {renamed(n): v for n, v in theirs.state_dict().items()}
    weights.pop("prophetnet.word_embeddings.weight", None)
    ours.load_state_dict(weights)
    return ours, theirs


def batch_of(sources, targets):
    """Padded rows; the label of a target token is the next one."""
    fields = {}
    for side, documents in (("src", sources), ("tgt", targets)):
        width = max(len(each) for each in documents)
        ids = torch.zeros(len(documents), width, dtype=torch.int64)
        validity = torch.zeros(len(documents), width, dtype=torch.bool)
        for row, each in enumerate(documents):
            ids[row, : len(each)], validity[row, : len(each)] = each, True
        lengths = torch.tensor([len(each) for each in documents])
        fields |= {f"{side}.ids": ids, f"{side}.validity": validity, f"{side}.length": lengths}
    width = fields["tgt.ids"].shape[1]
    places = [torch.arange(len(each)) + row * width for row, each in enumerate(targets)]
    fields["labels.ngram.index"] = torch.cat(places)
    fields["labels.ngram.value"] = torch.cat([(7 * each + 3) % VOCAB for each in targets])
    return Batch(fields)


SOURCES, TARGETS = documents_of([9, 14, 5]), documents_of([25, 7, 16], seed=1)


@pytest.mark.parametrize("as_it_is", [True, False])
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_streams_logits_and_loss(eps, as_it_is, monkeypatch):
    if not as_it_is:
        name = "get_predict_relative_pos_embeddings"
        monkeypatch.setattr(ProphetNetNgramSelfAttention, name, put_right)
    ours, theirs = pair(eps, as_it_is=as_it_is)
    batch = batch_of(SOURCES, TARGETS)
    index = batch["labels.ngram.index"]
    labels = torch.full_like(batch["tgt.ids"], -100).flatten()
    labels[index] = batch["labels.ngram.value"]
    with torch.no_grad():
        out = theirs(
            input_ids=batch["src.ids"],
            attention_mask=batch["src.validity"].long(),
            decoder_input_ids=batch["tgt.ids"],
            labels=labels.view_as(batch["tgt.ids"]),
            output_hidden_states=True,
            use_cache=False,
        )
        states, score = ours.states(batch), ours(batch)["ngram"]
        head = ours.heads["ngram"]
        logits = [head.logits(stream.flatten(0, 1)[index]) for stream in streams_of(states)]
    every = out.decoder_ngram_hidden_states[-1].unflatten(1, (N, -1))
    for mine, their in zip(streams_of(states), every.unbind(1), strict=True):
        torch.testing.assert_close(
            mine.flatten(0, 1)[index], their.flatten(0, 1)[index], atol=2e-5, rtol=1e-4
        )
    torch.testing.assert_close(states.hidden, states.extras["streams"][:, 0])
    expected = [out.logits, *out.logits_ngram.unbind(1)]
    for mine, their in zip(logits, expected, strict=True):
        torch.testing.assert_close(mine, their.flatten(0, 1)[index], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(score.loss_sum / len(index), out.loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.weights(batch)["ngram"], torch.tensor(float(len(index))))


def test_the_memory():
    ours, theirs = pair()
    batch = batch_of(SOURCES, TARGETS)
    with torch.no_grad():
        memory = ours.encoder(ours.embedding(batch.side("src"), None)).hidden
        expected = theirs.prophetnet.encoder(
            input_ids=batch["src.ids"], attention_mask=batch["src.validity"].long()
        ).last_hidden_state
    real = batch["src.validity"]
    torch.testing.assert_close(memory[real], expected[real], atol=2e-5, rtol=1e-4)


def streams_of(states):
    return states.extras["streams"].unbind(1)

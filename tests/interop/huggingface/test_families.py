"""Every family: transformers' model → ours → transformers, on tiny random weights.

The reference is transformers itself: hidden states, logits and losses of padded rows agree, and
what is written and read again holds the same bits.
"""

import json

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import Planner
from uer.interop.huggingface.destination import export
from uer.interop.huggingface.source import HuggingFaceFolder
from uer.model import Model
from uer.processors.base import Processor
from uer.training.loading import fill

V = 40
BERT = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}
GPT2 = {"vocab_size": V, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24}
T5 = {"vocab_size": V, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 4}
LLAMA = {**BERT, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}

ROBERTA = {**BERT, "max_position_embeddings": 26, "type_vocab_size": 1, "pad_token_id": 1}
ALBERT = {**BERT, "embedding_size": 8}
BART = {
    "vocab_size": V,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 24,
}
ELECTRA = {**BERT, "embedding_size": 8}
PROPHETNET = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_encoder_layers": 2,
    "num_decoder_layers": 1,
    "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 24,
    "num_buckets": 8,
    "relative_max_distance": 12,
}
MPNET = {**BERT, "max_position_embeddings": 26}
WINDOW = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}
BLOOM = {"vocab_size": V, "hidden_size": 24, "n_layer": 2, "n_head": 6, "pad_token_id": 3}
OPT = {
    "vocab_size": V,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "ffn_dim": 24,
    "max_position_embeddings": 24,
}
MODERN = {
    **BERT,
    "num_hidden_layers": 4,
    "local_attention": 6,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}

# name → (model class, its configuration)
CASES = {
    "bert": ("BertModel", BERT),
    "bert-pretraining": ("BertForPreTraining", {**BERT, "hidden_act": "gelu_new"}),
    "bert-mlm": ("BertForMaskedLM", {**BERT, "type_vocab_size": 3}),
    "bert-untied": ("BertForMaskedLM", {**BERT, "tie_word_embeddings": False}),
    "bert-classifier": ("BertForSequenceClassification", {**BERT, "num_labels": 3}),
    "electra": ("ElectraModel", ELECTRA),
    "electra-generator": ("ElectraForMaskedLM", {**ELECTRA, "hidden_act": "relu"}),
    "electra-discriminator": ("ElectraForPreTraining", {**ELECTRA, "hidden_act": "relu"}),
    "mpnet": ("MPNetModel", MPNET),
    "mpnet-mlm": ("MPNetForMaskedLM", MPNET),
    "mpnet-classifier": ("MPNetForSequenceClassification", {**MPNET, "num_labels": 3}),
    "prophetnet": ("ProphetNetForConditionalGeneration", PROPHETNET),
    "gpt2": ("GPT2Model", GPT2),
    "gpt2-lm": ("GPT2LMHeadModel", {**GPT2, "n_inner": 24}),
    "t5": ("T5ForConditionalGeneration", {**T5, "num_decoder_layers": 1}),
    "t5-v1.1": (
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "t5-v1.1-untied": (
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5-untied": ("MT5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu"}),
    "ul2": ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-silu"}),
    "byt5": ("T5ForConditionalGeneration", {**T5, "num_layers": 3, "num_decoder_layers": 1}),
    "t5-body": ("T5Model", T5),
    "mt5": ("MT5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-gelu"}),
    "roberta": ("RobertaModel", ROBERTA),
    "roberta-mlm": ("RobertaForMaskedLM", ROBERTA),
    "roberta-untied": ("RobertaForMaskedLM", {**ROBERTA, "tie_word_embeddings": False}),
    "roberta-classifier": ("RobertaForSequenceClassification", {**ROBERTA, "num_labels": 3}),
    "xlm-roberta-mlm": ("XLMRobertaForMaskedLM", {**ROBERTA, "hidden_act": "relu"}),
    "albert": ("AlbertForPreTraining", ALBERT),
    "albert-mlm": ("AlbertForMaskedLM", {**ALBERT, "hidden_act": "gelu"}),
    "albert-untied": ("AlbertForMaskedLM", {**ALBERT, "tie_word_embeddings": False}),
    "albert-classifier": ("AlbertForSequenceClassification", {**ALBERT, "num_labels": 3}),
    "gpt2-classifier": ("GPT2ForSequenceClassification", {**GPT2, "pad_token_id": 0}),
    "bart": ("BartModel", BART),
    "bart-lm": ("BartForConditionalGeneration", {**BART, "scale_embedding": True}),
    "pegasus": ("PegasusModel", {**BART, "pad_token_id": 0}),
    "pegasus-lm": ("PegasusForConditionalGeneration", {**BART, "pad_token_id": 0}),
    "mistral-lm": ("MistralForCausalLM", {**LLAMA, "sliding_window": 3}),
    "qwen2-lm": ("Qwen2ForCausalLM", {**LLAMA, "tie_word_embeddings": True}),
    "qwen2-window": ("Qwen2Model", {**LLAMA, **WINDOW}),
    "qwen3-lm": ("Qwen3ForCausalLM", {**LLAMA, "head_dim": 8}),
    "llama-classifier": ("LlamaForSequenceClassification", {**LLAMA, "num_labels": 3}),
    "bloom": ("BloomModel", BLOOM),
    "bloom-lm": ("BloomForCausalLM", BLOOM),
    "opt-lm": ("OPTForCausalLM", OPT),
    "opt-no-bias": ("OPTModel", {**OPT, "enable_bias": False}),
    "modernbert": ("ModernBertModel", MODERN),
    "modernbert-mlm": ("ModernBertForMaskedLM", {**MODERN, "classifier_activation": "relu"}),
    "llama": ("LlamaModel", LLAMA),
    "llama-lm": ("LlamaForCausalLM", LLAMA),
    "llama3-lm": ("LlamaForCausalLM", {**LLAMA, "rope_parameters": LLAMA3, "head_dim": 6}),
}
# What of transformers' model has no counterpart here.
LEFT = {
    "bert": "pooler.",
    "roberta": "pooler.",
    "mpnet": "pooler.",
    "bert-untied": "cls.predictions.bias",
    "roberta-untied": "lm_head.bias",
    "albert-untied": "predictions.bias",
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Their model, its folder, our model with its weights, and our configuration."""
    name, folder = request.param, tmp_path_factory.mktemp("theirs")
    kind, options = CASES[name]
    torch.manual_seed(0)
    kind = getattr(hf, kind)
    theirs = kind(kind.config_class(**options)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    if name == "prophetnet":
        make_order_of_no_matter(theirs)
    theirs.save_pretrained(folder)
    if name.endswith("-untied") and theirs.config.is_encoder_decoder:
        theirs = untied(theirs, folder)
    source = HuggingFaceFolder(folder)
    config = source.config()
    ours = model_of(config).eval()
    report = fill(ours, source.tensors(list(ours.heads)), folder)
    assert not (report.missing or report.mismatched)
    assert all(LEFT.get(name, "nothing") in one for one in report.unexpected)
    return name, theirs, ours, config


def untied(theirs, folder):
    """T5 v1.1 as published: transformers ties the output layer unless the file holds another."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(V, 16)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    theirs = type(theirs).from_pretrained(folder).eval()
    assert torch.equal(theirs.lm_head.weight, tensors["lm_head.weight"])
    return theirs


def make_order_of_no_matter(theirs):
    """transformers mixes heads, tokens and streams up where it looks up the positions' bias.

    tests/parity/test_huggingface_prophetnet.py compares any weights with that look-up put right.
    """
    with torch.no_grad():
        for layer in theirs.prophetnet.decoder.layers:
            relative = layer.self_attn.relative_pos_embeddings
            relative.weight.zero_()
            relative.bias.copy_(torch.randn(8).repeat_interleave(4))


def model_of(config):
    planner = Planner(config)
    plan = planner.section(Model)
    planner.choice("data_processor", Processor)
    planner.finish(also_known=("about", "facts", "task", "data_processor"))
    return plan.build(config["facts"])


def rows(lengths, seed):
    """Random ids [B, L] without special ones, and where they are real."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, V, (len(lengths), max(lengths)), generator=draw)
    return ids, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def sides(theirs):
    """A batch for ours and the arguments for theirs that say the same."""
    pad = getattr(theirs.config, "pad_token_id", None) or 0
    ids, real = rows([11, 7, 4], 1)
    ids = ids.where(real, pad)
    fields = {"src.ids": ids, "src.validity": real, "src.length": real.sum(1)}
    asked = {"input_ids": ids, "attention_mask": real.long()}
    if getattr(theirs.config, "type_vocab_size", 1) > 1:
        fields["src.segment"] = asked["token_type_ids"] = (torch.arange(11) > 3).long() * real
    if theirs.config.is_encoder_decoder:
        tgt, seen = rows([6, 3, 5], 2)
        tgt = tgt.where(seen, pad)
        fields |= {"tgt.ids": tgt, "tgt.validity": seen, "tgt.length": seen.sum(1)}
        asked |= {"decoder_input_ids": tgt, "decoder_attention_mask": seen.long()}
        real = seen
    return fields, asked, real


def run(theirs, asked):
    with torch.no_grad():
        return theirs(**asked, output_hidden_states=True)


def last(out):
    if "decoder_ngram_hidden_states" in out:
        return out.decoder_ngram_hidden_states[-1][:, : out.logits.shape[1]]
    if "last_hidden_state" in out:
        return out.last_hidden_state
    return (out.get("decoder_hidden_states") or out.hidden_states)[-1]


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_hidden_states(case):
    _, theirs, ours, _ = case
    fields, asked, real = sides(theirs)
    with torch.no_grad():
        states = ours.states(Batch(fields))
    close(states.hidden[real], last(run(theirs, asked))[real])


def test_logits_and_losses(case):
    _, theirs, ours, _ = case
    fields, asked, real = sides(theirs)
    place = real.flatten().nonzero()[:, 0][::2]
    every = torch.randint(5, V, real.shape, generator=torch.Generator().manual_seed(3))
    labels = torch.full_like(every, -100).flatten()
    labels[place] = every.flatten()[place]
    labels = labels.view(real.shape)
    value = labels.flatten()[place]
    classes = torch.tensor([1, 0, 1])
    for name in ours.heads:
        documents, tokens = name in ("sp", "cls"), name == "rtd"
        fields[f"labels.{name}.value"] = classes if documents else value
        if tokens:
            fields["labels.rtd.value"] = every.flatten() % 2
        elif not documents:
            fields[f"labels.{name}.index"] = place
    batch = Batch(fields)
    with torch.no_grad():
        states, scores, out = ours.states(batch), ours(batch), run(theirs, asked)
        for name, head in ours.heads.items():
            expected = their_logits(out, name)
            if name == "rtd":
                close(head.logits(states.hidden)[real], expected[real])
                loss = run(theirs, {**asked, "labels": every % 2}).loss
                close(scores[name].loss_sum / real.sum(), loss)
                continue
            if name in ("mlm", "lm", "ngram"):
                expected = expected.flatten(0, 1)[place]
                close(head.logits(states.at(place)), expected)
            elif name == "cls":
                close(head.logits(states), expected)
            mean = scores[name].loss_sum / ours.weights(batch)[name]
            if name == "ngram":  # the mean of all streams, compared below
                continue
            close(mean, F.cross_entropy(expected, batch[f"labels.{name}.value"]))
        if list(ours.heads) == ["mlm"] or (theirs.config.is_encoder_decoder and ours.heads):
            only = next(iter(ours.heads))
            asked = {**asked, "labels": labels}
            close(scores[only].loss_sum / len(value), run(theirs, asked).loss)


def their_logits(out, head):
    if head == "sp":
        return out.get("seq_relationship_logits", out.get("sop_logits"))
    return out.get("prediction_logits", out.get("logits"))


def test_written_and_read_again_the_bits_are_the_same(case, tmp_path):
    name, theirs, ours, config = case
    made = export(config, ours.state_dict())
    made.write(tmp_path)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    left = LEFT.get(name, "nothing")
    assert all(key.startswith(left) for key in info["missing_keys"])
    assert not info["unexpected_keys"]
    state = again.state_dict()
    for key, tensor in theirs.state_dict().items():
        assert key.startswith(left) or torch.equal(state[key], tensor), key
    written = HuggingFaceFolder(tmp_path).config()
    assert {**written, "about": 0} == {**config, "about": 0}


def test_the_generic_classes_open_what_is_written(case, tmp_path):
    _, theirs, ours, config = case
    export(config, ours.state_dict()).write(tmp_path)
    assert type(hf.AutoModel.from_pretrained(tmp_path)) is not None
    assert hf.AutoConfig.from_pretrained(tmp_path).model_type == theirs.config.model_type

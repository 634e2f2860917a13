"""Folders that are legal, but not as transformers writes them today, or told by other keys."""

import json
import re

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file
from support import BERT, model_of
from tiny import BERT as SIZES
from tiny import bert, edit, run

from uer.config import load_config
from uer.interop.convert import read_checkpoint
from uer.interop.huggingface.weights import write_weights
from uer.interop.legacy.checkpoint import write_legacy
from uer.training.checkpoint import read_weights


def test_norms_in_the_words_of_tensorflow(theirs, tmp_path):
    tensors = load_file(theirs / "model.safetensors")
    older = {
        key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): tensor
        for key, tensor in tensors.items()
    }
    assert older.keys() != tensors.keys()
    (theirs / "model.safetensors").unlink()
    torch.save(older, theirs / "pytorch_model.bin")
    assert run("convert", theirs, tmp_path / "ours") == 0
    assert run("convert", tmp_path / "ours", tmp_path / "again") == 0
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize(
    ("kind", "options", "target"),
    [
        ("ElectraForPreTraining", {**SIZES, "hidden_act": "relu"}, "rtd"),
        ("T5ForConditionalGeneration", {"d_model": 16, "d_kv": 8, "num_layers": 1}, "lm"),
        (
            "ProphetNetForConditionalGeneration",
            {"hidden_size": 16, "num_encoder_layers": 1},
            "ngram",
        ),
    ],
)
def test_what_the_files_tell_without_architectures(tmp_path, kind, options, target):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    kind = getattr(hf, kind)
    kind(kind.config_class(vocab_size=30, **options)).save_pretrained(theirs)
    edit(theirs, architectures=None)
    assert run("convert", theirs, ours) == run("convert", ours, again) == 0
    assert load_config(ours / "config.yaml")["target"] == [target]
    written = json.loads((again / "config.json").read_text())
    assert written["architectures"] == [kind.__name__]
    one, other = (kind.from_pretrained(path).state_dict() for path in (theirs, again))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_keys_by_their_other_names(tmp_path):
    theirs, again = tmp_path / "theirs", tmp_path / "again"
    keys = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24}
    bert(theirs, "GPT2LMHeadModel", tokenizer=False, **keys)
    config = json.loads((theirs / "config.json").read_text())
    del config["n_head"]
    (theirs / "config.json").write_text(json.dumps({**config, "num_attention_heads": 4}))
    assert run("convert", theirs, tmp_path / "ours") == 0
    assert run("convert", tmp_path / "ours", again) == 0
    assert hf.AutoConfig.from_pretrained(again).n_head == 4


def test_an_older_key_of_rotary_positions_decides(tmp_path):
    theirs = tmp_path / "theirs"
    bert(theirs, "LlamaModel", tokenizer=False, num_key_value_heads=1)
    edit(theirs, rope_scaling={"type": "linear", "factor": 2.0})
    assert hf.AutoConfig.from_pretrained(theirs).rope_parameters["factor"] == 2.0
    scaling = read_checkpoint(theirs).config["rope_scaling"]
    assert scaling == {"rope_type": "linear", "factor": 2.0}


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("T5ForConditionalGeneration", {"decoder_start_token_id": 7, "pad_token_id": 3}),
        ("LlamaForCausalLM", {"eos_token_id": [1, 2]}),
        ("MPNetModel", {"pad_token_id": 3}),
    ],
)
def test_ids_stay(tmp_path, kind, ids):
    theirs, ours, again = (tmp_path / name for name in ("theirs", "ours", "again"))
    bert(theirs, kind, tokenizer=False, **ids)
    assert run("convert", theirs, ours) == run("convert", ours, again) == 0
    written = json.loads((again / "config.json").read_text())
    assert {key: written[key] for key in ids} == ids


def test_classes_of_another_kind_are_named(tmp_path, caplog):
    caplog.set_level("INFO")
    kind = "multi_label_classification"
    bert(tmp_path / "theirs", "BertForSequenceClassification", problem_type=kind)
    assert run("convert", tmp_path / "theirs", tmp_path / "ours") == 0
    assert f"problem_type: '{kind}' has no counterpart here" in caplog.text


def test_an_output_layer_of_its_own_is_not_scaled(tmp_path, capsys):
    theirs = tmp_path / "theirs"
    model = bert(theirs, "T5ForConditionalGeneration", tokenizer=False, d_kv=8, num_layers=1)
    tensors = load_file(theirs / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(model.config.vocab_size, 16)
    write_weights(tensors, theirs)
    assert run("convert", theirs, tmp_path / "ours") == 2
    assert "output layer of its own is an option that is not supported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "options", "again"),
    [
        ("RobertaForMaskedLM", {"type_vocab_size": 1, "pad_token_id": 1}, "BertForMaskedLM"),
        ("LlamaForCausalLM", {"num_key_value_heads": 1}, "LlamaForCausalLM"),
        ("OPTForCausalLM", {"ffn_dim": 32, "word_embed_proj_dim": 16}, "GPT2LMHeadModel"),
    ],
)
def test_by_way_of_the_predecessors(tmp_path, kind, options, again):
    """Their tables begin with the first position, so that another family may fit."""
    theirs, ours, back = (tmp_path / name for name in ("theirs", "ours", "back"))
    model = bert(theirs, kind, tokenizer=False, **options)
    file, config = tmp_path / "model.bin", ours / "config.yaml"
    assert run("convert", theirs, ours) == run("convert", ours, file, "--to", "legacy") == 0
    assert run("convert", file, tmp_path / "read", "--config_path", config) == 0
    assert run("convert", tmp_path / "read", back) == 0
    ids = torch.tensor([[7, 9, 8, 12, 6]])
    with torch.no_grad():
        found = getattr(hf, again).from_pretrained(back).eval()(input_ids=ids).logits
        expected = model(input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)  # their norm is another
    assert kind != again or torch.equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "options", "fits"),
    [
        ("ModernBertForMaskedLM", {"decoder_bias": True}, False),
        ("Qwen2ForSequenceClassification", {"num_key_value_heads": 1, "pad_token_id": 0}, True),
        ("LlamaForCausalLM", {"num_key_value_heads": 1}, False),
        ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 1, "n_head": 2}, False),
    ],
)
def test_a_classifier_on_any_body(tmp_path, capsys, kind, options, fits):
    theirs, ours, again, texts = (tmp_path / n for n in ("theirs", "ours", "again", "train.tsv"))
    if kind.startswith("Modern"):
        options |= dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id"), 0)
        options |= {"bos_token_id": 1, "eos_token_id": 2}
    bert(theirs, kind, **options)
    texts.write_text("label\ttext_a\n0\tthe cat\n1\tthe dog\n")
    words = ("--pretrained_model_path", theirs, "--train_path", texts, "--output_model_path", ours)
    assert run("finetune", "classifier", *words, "--epochs_num", 1, "--seq_length", 8) == 0
    assert run("convert", ours, again) == (0 if fits else 2)
    if fits:
        assert type(hf.AutoModelForSequenceClassification.from_pretrained(again)) is getattr(
            hf, kind
        )
    else:
        said = capsys.readouterr().err
        assert "no family of transformers is the same model; the nearest is" in said
        assert ".." not in said


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_classifier_of_the_predecessors_is_chosen_by_flag(tmp_path, prefix):
    config = {**BERT, "target": ["cls"], "layernorm": "legacy"}
    write_legacy(model_of(config), tmp_path / "written")
    older = {
        prefix + re.sub(r"^target\.cls\.linear_", "output_layer_", key): tensor
        for key, tensor in torch.load(tmp_path / "written").items()
    }
    torch.save(older, tmp_path / "model.bin")
    del config["layernorm"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "target": ["mlm", "sp"]}))
    words = (tmp_path / "ours", "--config_path", tmp_path / "config.json", "--target", "cls")
    assert run("convert", tmp_path / "model.bin", *words) == 0
    assert load_config(tmp_path / "ours" / "config.yaml")["target"] == ["cls"]
    assert "targets.cls.output.weight" in read_weights(tmp_path / "ours")

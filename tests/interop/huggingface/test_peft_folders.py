"""Adapters in peft's folders, there and back, beside what peft itself computes."""

import json

import peft
import pytest
import torch
import transformers
from support import MODELS, model_of

from uer.cli.main import run
from uer.config import dump_yaml
from uer.interop.pretrained import checkpoint_config, load_pretrained
from uer.recipe import read_recipe
from uer.training import lora
from uer.training.checkpoint import save_checkpoint
from uer.training.settings import Settings
from uer.training.state import Contents

# peft uses words of transformers that go out of date, and tells what patterns are not for.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
    pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning"),
]
SIZES = {"vocab_size": 40, "max_position_embeddings": 32, "hidden_size": 16}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
NONE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
GPT2 = {"vocab_size": 40, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
GPT2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
MADE = {
    "bert": (transformers.BertForMaskedLM, transformers.BertConfig, {**SIZES, **NONE}),
    "llama": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig,
        {**SIZES, "num_key_value_heads": 2},
    ),
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config, GPT2),
    "bloom": (
        transformers.BloomForCausalLM,
        transformers.BloomConfig,
        {"vocab_size": 40, "hidden_size": 16, "n_layer": 2, "n_head": 2, "hidden_dropout": 0.0},
    ),
}
TARGETS = {
    "bert": ["query", "value", "intermediate.dense"],
    "llama": ["q_proj", "k_proj", "down_proj"],
    "gpt2": ["c_attn", "mlp.c_fc"],
    "bloom": ["query_key_value", "dense_h_to_4h"],
}
IDS = torch.tensor([[5, 9, 12, 7, 30, 22], [8, 8, 17, 33, 6, 11]])


def disturbed(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)
    return model.eval()


@pytest.fixture(params=MADE)
def base(request, tmp_path):
    """A tiny model of transformers, and its folder."""
    kind, config, sizes = MADE[request.param]
    torch.manual_seed(3)
    model = kind(config(**sizes)).eval()
    model.save_pretrained(tmp_path / "base")
    return request.param, kind, tmp_path / "base"


def uer(*words):
    command, *rest = map(str, words)
    return run(command, rest, f"uer {command}")


def logits(model, ids=IDS):
    with torch.no_grad():
        return model(input_ids=ids).logits


def merged_logits(kind, ours, folder):
    """Those of the sum, which goes to transformers as a whole model."""
    assert uer("merge-lora", ours, folder / "whole") == 0
    assert uer("convert", folder / "whole", folder / "theirs") == 0
    return logits(kind.from_pretrained(folder / "theirs").eval())


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def peft_model(name, kind, folder, **more):
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=TARGETS[name], **more)
    return disturbed(peft.get_peft_model(kind.from_pretrained(folder), config))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"use_rslora": True, "rank_pattern": {"query": 5, "q_proj": 5, "c_attn": 5}},
        {"alpha_pattern": {"value": 2, "k_proj": 2, "c_fc": 2}},
    ],
    ids=["plain", "ranks", "alphas"],
)
def test_theirs_become_ours_and_theirs_again(base, more, tmp_path):
    name, kind, folder = base
    theirs = peft_model(name, kind, folder, **more)
    theirs.save_pretrained(tmp_path / "peft")
    assert uer("convert", tmp_path / "peft", tmp_path / "ours") == 0
    expected = logits(theirs)
    assert (expected - logits(kind.from_pretrained(folder))).abs().max() > 1e-2
    close(merged_logits(kind, tmp_path / "ours", tmp_path), expected)
    assert uer("convert", tmp_path / "ours", tmp_path / "again", "--to", "peft") == 0
    again = peft.PeftModel.from_pretrained(kind.from_pretrained(folder), tmp_path / "again")
    close(logits(again.eval()), expected)
    said = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == str(folder)


def run_of_ours(folder, output, **keys):
    """A checkpoint as a run with adapters writes it."""
    config = checkpoint_config(folder)
    model = read_recipe(config).model.build(config["facts"])
    load_pretrained(model, folder)
    settings = Settings(output_model_path="-", use_lora=True, **keys)
    lora.adapt(model, settings)
    disturbed(model)
    about = lora.section(model, settings, str(folder))
    contents = Contents(config=dump_yaml({**config, "lora": about}))
    save_checkpoint(output, model.state_dict(), contents)


def test_ours_become_theirs(base, tmp_path):
    """Query and value, which GPT-2 has in one map with the key."""
    _, kind, folder = base
    run_of_ours(folder, tmp_path / "run", lora_r=3, lora_alpha=5.0)
    assert uer("convert", tmp_path / "run", tmp_path / "peft", "--to", "peft") == 0
    theirs = peft.PeftModel.from_pretrained(kind.from_pretrained(folder), tmp_path / "peft")
    close(logits(theirs.eval()), merged_logits(kind, tmp_path / "run", tmp_path))
    assert uer("convert", tmp_path / "peft", tmp_path / "back") == 0
    close(merged_logits(kind, tmp_path / "back", tmp_path / "2"), logits(theirs))


def test_a_classifier_that_was_trained_beside(tmp_path):
    """The base is a language model: its head is left out, the adapters' folder has another."""
    torch.manual_seed(4)
    config = transformers.BertConfig(**SIZES, **NONE, num_labels=3)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "base")
    kind = transformers.BertForSequenceClassification
    model = kind.from_pretrained(tmp_path / "base", num_labels=3)
    beside = ["classifier", "bert.pooler.dense"]
    made = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=beside)
    theirs = disturbed(peft.get_peft_model(model, made))
    theirs.save_pretrained(tmp_path / "peft")
    assert uer("convert", tmp_path / "peft", tmp_path / "ours") == 0
    close(merged_logits(kind, tmp_path / "ours", tmp_path), logits(theirs))
    assert uer("convert", tmp_path / "ours", tmp_path / "again", "--to", "peft") == 0
    said = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert said["modules_to_save"] == sorted(beside)
    fresh = kind.from_pretrained(tmp_path / "base", num_labels=3)
    close(logits(peft.PeftModel.from_pretrained(fresh, tmp_path / "again").eval()), logits(theirs))


def test_what_is_refused(tmp_path, capsys):
    kind, config, sizes = MADE["bert"]
    kind(config(**sizes)).save_pretrained(tmp_path / "base")

    def said(source="peft", *words):
        assert uer("convert", tmp_path / source, tmp_path / "out", *words) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "holds a whole model" not in said("base", "--to", "peft")
    model = peft_model("bert", kind, tmp_path / "base", use_dora=True)
    model.save_pretrained(tmp_path / "peft")
    assert "use_dora: True is an option that is not supported here" in said()
    peft_model("bert", kind, tmp_path / "base").save_pretrained(tmp_path / "peft")
    assert "adapters are converted as they are" in said("peft", "--resize_vocab_to", "50")
    assert "adapters are converted as they are" in said("peft", "--to", "huggingface")
    other = config(**{**sizes, "hidden_size": 24})
    kind(other).save_pretrained(tmp_path / "base")
    assert "does not fit the weights of" in said()
    file = tmp_path / "peft" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "is damaged or cut off" in said()
    file.unlink()
    assert "there is no adapter_model.safetensors" in said()
    (tmp_path / "base").rename(tmp_path / "moved")
    assert "write the folder of that model into" in said()


def test_rows_in_another_order_are_refused(tmp_path, capsys):
    config = {**MODELS["llama"], "position": "rotary_interleaved", "embedding": ["word"]}
    config |= {"remove_embedding_layernorm": True}
    model = model_of(config, vocab_size=40)
    whole = {**config, "facts": {"vocab_size": 40}}
    save_checkpoint(tmp_path / "base", model.state_dict(), Contents(config=dump_yaml(whole)))
    run_of_ours(tmp_path / "base", tmp_path / "run")
    assert uer("convert", tmp_path / "run", tmp_path / "out", "--to", "peft") == 2
    assert "its rows have another order in transformers" in capsys.readouterr().err

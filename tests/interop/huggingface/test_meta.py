"""Meta's LLaMA files, made here from a model of transformers, which is the reference."""

import json

import pytest
import torch
import transformers as hf
from comparing import close, model_of
from test_families import LLAMA, rows

from uer.batch import Batch
from uer.errors import CheckpointError, ConfigError
from uer.interop.convert import read_checkpoint
from uer.interop.huggingface.folders import is_foreign, open_folder
from uer.interop.pretrained import load_pretrained

NAMES = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "embed_tokens": "tok_embeddings",
    "lm_head": "output",
    "model.": "",
}
PARAMETERS = {"dim": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-6}


def saved(folder, shares, words_dim=1, **parameters):
    """Write a model in Meta's way; returns transformers' model."""
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**LLAMA)).eval()
    files = [{"rope.freqs": torch.ones(2)} for _ in range(shares)]
    for name, tensor in model.state_dict().items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # the rows of a head: 0, 2, 1, 3 here, for pairs are neighbours there
            tensor = tensor.view(-1, 2, 2, 16).transpose(1, 2).reshape(-1, 16)
        for theirs, metas in NAMES.items():
            name = name.replace(theirs, metas)
        dim = 1 if name.endswith(("wo.weight", "w2.weight")) else 0
        dim = words_dim if name == "tok_embeddings.weight" else dim
        parts = [tensor] * shares if tensor.dim() == 1 else tensor.chunk(shares, dim)
        for file, part in zip(files, parts, strict=True):
            file[name] = part.clone()
    for number, file in enumerate(files):
        torch.save(file, folder / f"consolidated.{number:02}.pth")
    given = {**PARAMETERS, "vocab_size": -1, "multiple_of": 8, **parameters}
    (folder / "params.json").write_text(json.dumps(given))
    return model


@pytest.mark.parametrize(("shares", "words_dim"), [(1, 1), (2, 1), (2, 0)])
def test_logits(tmp_path, shares, words_dim):
    theirs = saved(tmp_path, shares, words_dim)
    made = read_checkpoint(tmp_path)
    assert is_foreign(tmp_path) and made.kind == "huggingface"
    assert not (made.report.missing or made.report.unexpected)
    ours = model_of(made.config)
    load_pretrained(ours, tmp_path)
    ids, _ = rows([7, 7], 3)
    with torch.no_grad():
        states = ours.states(Batch({"src.ids": ids}))
        close(ours.heads["lm"].logits(states.hidden), theirs(ids).logits)


def test_scaled_positions(tmp_path):
    saved(tmp_path, 1, use_scaled_rope=True, rope_theta=500000.0)
    config = open_folder(tmp_path).config()
    assert config["rope_theta"] == 500000.0 and config["rope_scaling"]["factor"] == 8.0


def test_what_is_not_known_is_refused(tmp_path):
    saved(tmp_path, 2, moe=True)
    with pytest.raises(ConfigError, match="moe is an option that is not supported here"):
        open_folder(tmp_path)
    saved(tmp_path, 2)
    torch.save({"norm.weight": torch.ones(16)}, tmp_path / "consolidated.01.pth")
    with pytest.raises(CheckpointError, match="hold different tensors"):
        open_folder(tmp_path)

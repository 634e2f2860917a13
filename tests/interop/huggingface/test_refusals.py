"""What is not read, and what the sentence about it says."""

import pytest
import torch
from safetensors.torch import load_file
from tiny import bert, edit

from uer.errors import CheckpointError, ConfigError, UserError
from uer.interop.convert import read_checkpoint
from uer.interop.huggingface.weights import write_weights
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.recipe import read_recipe


@pytest.fixture
def theirs(tmp_path):
    folder = tmp_path / "theirs"
    bert(folder)
    return folder


def test_families(theirs):
    edit(theirs, model_type="roburta")
    with pytest.raises(
        ConfigError, match=r"config\.json: model_type: no family .* did you mean 'roberta'"
    ):
        read_checkpoint(theirs)
    edit(theirs, model_type=None)
    with pytest.raises(ConfigError, match=r"does not say its model_type; add .* albert, "):
        read_checkpoint(theirs)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("hidden_act", "laplace"),
    ],
)
def test_options_that_are_not_there(theirs, key, value):
    edit(theirs, **{key: value})
    with pytest.raises(ConfigError, match=rf"config\.json: {key}: '?{value}'? is an option that"):
        read_checkpoint(theirs)


@pytest.mark.parametrize(
    ("model_type", "keys", "sentence"),
    [
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: 0.5"),
        ("llama", {"attention_bias": True}, "attention_bias, mlp_bias"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "max_window_layers"),
        ("opt", {"word_embed_proj_dim": 8}, "word_embed_proj_dim: 8 is not hidden_size 16"),
        ("opt", {"do_layer_norm_before": False}, "do_layer_norm_before: False"),
        ("albert", {"num_hidden_groups": 2}, "num_hidden_groups: 2"),
        ("t5", {"feed_forward_proj": "gated-swiglu"}, "feed_forward_proj: 'gated-swiglu'"),
        ("modernbert", {"layer_types": ["sliding_attention", "full_attention"]}, "uneven"),
        ("modernbert", {"layer_types": ["full_attention"]}, "there are 1 for 2 layers"),
        ("modernbert", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "'yarn'"),
        ("mistral", {"layer_types": ["sliding_attention", "full_attention"]}, "layer_types"),
        ("qwen2", {"layer_types": ["chunked_attention"] * 2}, "'chunked_attention'"),
        ("llama", {"rope_scaling": "linear"}, "rope_scaling: 'linear' is no mapping"),
        ("bart", {"normalize_before": True}, "normalize_before: True"),
        ("pegasus", {"static_position_embeddings": False}, "static_position_embeddings: False"),
        ("roberta", {"pad_token_id": None}, "pad_token_id: None is no id"),
        ("prophetnet", {"pad_token_id": None}, "pad_token_id: None is no id"),
        ("bert", {"hidden_act": ["gelu"]}, r"hidden_act: \['gelu'\] is an option"),
        ("bert", {"id2label": {"good": 0}}, "id2label: .* does not map numbers"),
        ("bert", {"quantization_config": {"load_in_8bit": True}}, "quantized weights are not"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "apply_residual"),
    ],
)
def test_options_of_other_families(theirs, model_type, keys, sentence):
    edit(theirs, model_type=model_type, **keys)
    with pytest.raises(ConfigError, match=sentence):
        read_checkpoint(theirs)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tf_model.h5", "TensorFlow's, which are not read; save them with"),
        ("model.ckpt-100.index", "TensorFlow's"),
        ("flax_model.msgpack", "Flax's, which are not read; save them with"),
        ("latest_checkpointed_iteration.txt", "a folder of Megatron, which is not read; convert"),
        ("mp_rank_00", "a folder of Megatron"),
        ("adapter_config.json", "low-rank differences to the weights of another model"),
        ("README.md", "there are no weights; expected model.safetensors or"),
    ],
)
def test_weights_of_others(theirs, name, sentence):
    (theirs / "model.safetensors").unlink()
    (theirs / name).write_text("")
    with pytest.raises(CheckpointError, match=sentence):
        read_checkpoint(theirs)
    if name != "README.md":
        (theirs / "config.json").unlink()
        with pytest.raises(CheckpointError, match=sentence):
            read_checkpoint(theirs)


def test_other_folders_are_no_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no manifest\.json: it is no checkpoint"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere")


def test_files_that_are_cut_off(theirs):
    path = theirs / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is damaged or cut off: copy or download it again"):
        read_checkpoint(theirs)
    path.unlink()
    (theirs / "pytorch_model.bin").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read \("):
        read_checkpoint(theirs)


def test_shards_that_are_missing(theirs):
    write_weights(load_file(theirs / "model.safetensors"), theirs, limit=4000)
    (theirs / "model.safetensors").unlink()
    missing = sorted(theirs.glob("model-00002-*"))[0]
    missing.unlink()
    with pytest.raises(CheckpointError, match=f"lacks {missing.name}, which model.safetensors.ind"):
        read_checkpoint(theirs)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": {}}'])
def test_damaged_indices_and_configurations(theirs, content):
    (theirs / "model.safetensors").rename(theirs / "model-00001-of-00002.safetensors")
    (theirs / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json (is no JSON|holds no m|names no file)"):
        read_checkpoint(theirs)
    (theirs / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        read_checkpoint(theirs)


def test_weights_that_do_not_fit_the_configuration(theirs):
    edit(theirs, num_hidden_layers=3)
    with pytest.raises(
        CheckpointError, match=r"the checkpoint lacks encoder\.layers\.2\."
    ) as error:
        read_checkpoint(theirs)
    assert "--allow_partial" not in str(error.value)  # uer convert has no such flag
    edit(theirs, num_hidden_layers=2, intermediate_size=40)
    with pytest.raises(CheckpointError, match=r"the shapes differ of encoder\.layers\.0\.f"):
        read_checkpoint(theirs)


def test_tensors_that_should_be_one_and_differ(theirs):
    tensors = load_file(theirs / "model.safetensors")
    bias = tensors["cls.predictions.bias"]
    write_weights({**tensors, "cls.predictions.decoder.bias": bias + 1}, theirs)
    with pytest.raises(CheckpointError, match="differs from another tensor of the folder"):
        read_checkpoint(theirs)


def test_heads_without_a_counterpart_are_left_out(tmp_path):
    theirs = tmp_path / "theirs"
    bert(theirs, "BertForTokenClassification", tokenizer=False)
    made = read_checkpoint(theirs)
    assert "its head has no counterpart here and is left out" in made.notes[0]
    assert made.report.unexpected == ["classifier.bias", "classifier.weight"]
    assert made.config["target"] == [] and made.tokenizer is None


def test_a_model_is_loaded_with_another_head(theirs):
    config = {**choose_config(None, str(theirs)), "target": ["mlm", "sp"]}
    model = read_recipe(config).model.build(config["facts"])
    report = load_pretrained(model, theirs)
    assert dialect_of(theirs) is None
    assert report.missing == [
        f"targets.sp.{layer}.{kind}"
        for layer in ("hidden", "output")
        for kind in ("bias", "weight")
    ]
    assert not report.unexpected


def test_no_code_of_a_file_is_run(theirs, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("code was run",))

    (theirs / "model.safetensors").unlink()
    torch.save({"a": Evil()}, theirs / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(theirs)
    assert "code was run" not in capsys.readouterr().out

import json
import re

import pytest
import torch
from support import BERT, MODELS, TINY, model_of

from uer.errors import CheckpointError
from uer.interop.legacy.checkpoint import is_legacy_checkpoint, read_legacy, write_legacy
from uer.interop.legacy.config import translate
from uer.interop.legacy.names import to_ours, to_theirs
from uer.interop.pretrained import checkpoint_config, dialect_of, load_pretrained, require_folder

NAMES = {
    "embedding.word.embedding.weight": "embedding.parts.word.weight",
    "module.embedding.layer_norm.gamma": "embedding.norm.weight",
    "tgt_embedding.pos.embedding.weight": "tgt_embedding.parts.pos.weight",
    "encoder.transformer.11.self_attn.linear_layers.0.weight": (
        "encoder.layers.11.attention.query.weight"
    ),
    "encoder.transformer.0.self_attn.final_linear.bias": "encoder.layers.0.attention.output.bias",
    "encoder.transformer.0.layer_norm_2.beta": "encoder.layers.0.feed_forward_norm.bias",
    "encoder.transformer.feed_forward.linear_1.weight": "encoder.layers.0.feed_forward.up.weight",
    "encoder.transformer.3.feed_forward.linear_gate.weight": (
        "encoder.layers.3.feed_forward.gate.weight"
    ),
    "encoder.layer_norm.gamma": "encoder.norm.weight",
    "encoder.linear.weight": "encoder.projection.weight",
    "target.mlm.linear_2.bias": "targets.mlm.output.bias",
    "target.lm.output_layer.weight": "targets.lm.output.weight",
    "target.sp.linear_1.weight": "targets.sp.hidden.weight",
    "output_layer_2.bias": "targets.cls.output.bias",
    "something.of.their.own": "something.of.their.own",
}


@pytest.mark.parametrize("theirs", NAMES)
def test_names(theirs):
    assert to_ours(theirs) == NAMES[theirs]


def test_a_checkpoint_is_read_without_its_padding_segment(tmp_path):
    path = tmp_path / "model.bin"
    segments = torch.arange(6.0).reshape(3, 2)
    torch.save({"embedding.seg.embedding.weight": segments}, path)
    assert is_legacy_checkpoint(path) and dialect_of(path) == "legacy"
    (found,) = read_legacy(path).items()
    assert found[0] == "embedding.parts.seg.weight" and torch.equal(found[1], segments[1:])


def test_weights_of_theirs_fill_a_model(tmp_path):
    model, path = model_of(BERT), tmp_path / "model.bin"
    table = torch.randn(50, 16)
    torch.save({"embedding.word.embedding.weight": table}, path)
    with pytest.raises(CheckpointError):
        load_pretrained(model, path)
    report = load_pretrained(model, path, allow_partial=True)
    assert torch.equal(model.embedding.parts["word"].weight, table)
    assert "embedding.parts.word.weight" in report.matched and report.missing


class Evil:
    def __reduce__(self):
        return (print, ("code was run",))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no archive", b"a file where", b"\x80\x02", b"\x80\x02}."]
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"model\.bin cannot be read as a checkpoint \(.+\); c"
    ):
        read_legacy(path)


def test_no_code_of_a_file_is_run(tmp_path, capsys):
    path = tmp_path / "model.bin"
    torch.save({"a": Evil()}, path)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        read_legacy(path)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, torch.zeros(2)])
def test_what_holds_no_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(CheckpointError, match="holds no dictionary of tensors; a state dict saved"):
        read_legacy(tmp_path / "model.bin")


def test_missing_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        read_legacy(tmp_path / "none.bin")
    for ask in (checkpoint_config, dialect_of, require_folder):
        with pytest.raises(CheckpointError, match="none"):
            ask(tmp_path / "none")
    assert dialect_of(None) is None


def test_a_file_of_theirs_says_nothing_about_its_model(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.bin")
    with pytest.raises(CheckpointError, match="says nothing about its model; give --config_path"):
        require_folder(tmp_path / "model.bin")


# ------------------------------------------------------------------------- how files may look

OTHERS = {
    "module.encoder.transformer.0.layer_norm_1.gamma": "encoder.layers.0.attention_norm.weight",
    "embedding.word_embedding.weight": "embedding.parts.word.weight",
    "embedding.position_embedding.weight": "embedding.parts.pos.weight",
    "embedding.segment_embedding.weight": "embedding.parts.seg.weight",
    "target.mlm_linear_1.weight": "targets.mlm.transform.weight",
    "target.mlm_linear_2.bias": "targets.mlm.output.bias",
    "target.layer_norm.gamma": "targets.mlm.norm.weight",
    "target.nsp_linear_1.weight": "targets.sp.hidden.weight",
    "target.sop_linear_2.bias": "targets.sp.output.bias",
    "target.linear_1.weight": "targets.mlm.transform.weight",
    "target.decoder.transformer_decoder.1.layer_norm_3.beta": (
        "decoder.layers.1.feed_forward_norm.bias"
    ),
    "decoder.transformer_decoder.0.context_attn.linear_layers.1.weight": (
        "decoder.layers.0.cross_attention.key.weight"
    ),
    "decoder.self_pos_emb.relative_attention_bias.weight": "decoder.position.weight",
    "embedding.embedding_1.word.embedding.weight": "embedding.streams.1.parts.word.weight",
    "embedding.dual.stream_0_layer_norm.beta": "embedding.norms.0.bias",
    "encoder.encoder_1.rnn_backward.bias_hh_l3": ("encoder.streams.1.back.layers.3.bias_hh_l0"),
    "encoder.rnn.weight_ih_l1_reverse": "encoder.backward_layers.1.weight_ih_l0",
    "encoder.gate_b.4": "encoder.layers.4.gate.bias_2",
    "target.clr.encoder_1_projection": "targets.clr.projections.1.weight",
    "target.bilm.output_layer.weight": "targets.bilm.output.weight",
}


@pytest.mark.parametrize("theirs", OTHERS)
def test_names_of_other_versions_and_families(theirs):
    assert to_ours(theirs) == OTHERS[theirs]


def test_names_lead_back_to_where_they_came_from():
    for theirs, ours in {**NAMES, **OTHERS}.items():
        if theirs != ours:
            assert to_ours(to_theirs(ours)) == ours
    assert to_theirs("something.of.their.own") is None


def test_the_table_of_relative_positions_that_is_used_counts(tmp_path):
    used, unused = torch.ones(4, 2), torch.zeros(4, 2)
    name = "relative_pos_emb.relative_attention_bias.weight"
    both = {f"encoder.transformer.0.{name}": used, f"encoder.{name}": unused}
    for state, expected in ((both, used), ({f"encoder.{name}": unused}, unused)):
        torch.save(state, tmp_path / "model.bin")
        assert torch.equal(read_legacy(tmp_path / "model.bin")["encoder.position.weight"], expected)


def test_a_folder_of_blocks_is_one_checkpoint(tmp_path):
    parts = {"a.bin": {"encoder.linear.bias": torch.ones(2)}, "b.bin": {"x": torch.zeros(1)}}
    for name, state in parts.items():
        torch.save(state, tmp_path / name)
    index = {key: name for name, state in parts.items() for key in state}
    file = tmp_path / "tencentpretrain_model.bin.index.json"
    file.write_text(json.dumps({"weight_map": index, "metadata": {"total_size": 12}}))
    assert is_legacy_checkpoint(tmp_path) and dialect_of(tmp_path) == "legacy"
    assert read_legacy(tmp_path).keys() == {"encoder.projection.bias", "x"}
    file.write_text(json.dumps({"weight_map": {**index, "y": "a.bin"}}))
    with pytest.raises(CheckpointError, match="the index names y, which is in none of the files"):
        read_legacy(tmp_path)
    file.write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as an index"):
        read_legacy(tmp_path)


def test_low_rank_differences_are_no_model(tmp_path):
    key = "encoder.transformer.0.self_attn.linear_layers.0.lora_A"
    torch.save({key: torch.zeros(2, 4)}, tmp_path / "model.bin")
    with pytest.raises(
        CheckpointError, match=r"holds low-rank differences \(such as encoder\.tran"
    ):
        read_legacy(tmp_path / "model.bin")


STREAM = {"embedding": ["word", "pos"], "encoder": "transformer", **TINY}
DUAL = {
    "embedding": ["dual"],
    "encoder": "dual",
    "target": ["clr"],
    "stream_0": STREAM,
    "stream_1": {**STREAM, "layers_num": 1},
    "dropout": 0.0,
}


def test_dual_files_of_a_converter_lack_a_level_and_the_streams_norms(tmp_path):
    model, path = model_of(translate(DUAL, "legacy")[0]), tmp_path / "model.bin"
    write_legacy(model, path)
    whole = torch.load(path)
    slipped = {
        key.replace("embedding.dual.", "embedding."): value
        for key, value in whole.items()
        if "stream_" not in key
    }
    torch.save(slipped, path)
    load_pretrained(model, path)
    assert torch.equal(model.embedding.norms[1].weight, torch.ones(16))
    assert not model.embedding.norms[1].bias.any()
    torch.save({key: v for key, v in whole.items() if "stream_" not in key}, path)
    with pytest.raises(CheckpointError, match=r"the checkpoint lacks embedding\.norms\.0\.bias"):
        load_pretrained(model, path)


CLS = {**BERT, "target": ["cls"], "tie_weights": False}


def test_heads_of_fine_tuned_models_are_read(tmp_path):
    model, path = model_of(translate(CLS, "legacy")[0]), tmp_path / "model.bin"
    write_legacy(model, path)
    state = {
        re.sub(r"^target\.cls\.linear_", "output_layer_", key): value
        for key, value in torch.load(path).items()
    }
    assert "output_layer_2.bias" in state
    torch.save(state, path)
    other = model_of(translate(CLS, "legacy")[0], seed=1)
    report = load_pretrained(other, path)
    assert not report.missing and not report.unexpected
    assert torch.equal(other.targets["cls"].output.bias, model.targets["cls"].output.bias)


# ------------------------------------------------------------------------------------- writing


def test_what_differs_there_is_said(tmp_path):
    path = tmp_path / "model.bin"
    assert write_legacy(model_of(translate(BERT, "legacy")[0]), path) == []
    (note,) = write_legacy(model_of(BERT), path)
    assert note.startswith("their layer norm divides by another deviation")
    sinusoids = {**BERT, "embedding": ["word", "sinusoidalpos"], "layernorm": "legacy"}
    del sinusoids["max_seq_length"]
    (note,) = write_legacy(model_of(sinusoids), path)
    assert note.startswith("their sinusoidal positions")
    dual = {**translate(DUAL, "legacy")[0], "embedding": "dual"}
    del dual["dropout"]
    (note,) = write_legacy(model_of(dual), path)
    assert note.startswith("their dual embedding has one more norm")
    scaled = {**MODELS["llama"], "tie_weights": True, "scale_tied_output": True}
    (note,) = write_legacy(model_of({**scaled, "position": "rotary_interleaved"}), path)
    assert note.startswith("their output layer does not scale")
    llama = {**MODELS["llama"], "position": "rotary_interleaved"}
    assert write_legacy(model_of(llama), path) == []
    for keys, sentence in (
        ({"rope_theta": 5e5}, "their rotary positions have the base 10000"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "their rotary positions have"),
        ({"attention_window": 3}, "their attention has no window"),
        ({"qkv_bias": True}, "their attention has biases in all"),
    ):
        (note,) = write_legacy(model_of({**llama, **keys}), path)
        assert note.startswith(sentence)


def test_what_has_no_place_there_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    for config, reason in (
        (MODELS["llama"], "rotary positions in halves"),
        ({**MODELS["llama"], "position": "alibi"}, "linear biases of positions"),
        ({**BERT, "position_offset": 2}, "a table of positions that does not begin with"),
        ({**BERT, "segments_num": 3}, "other than two segments"),
        (
            {**BERT, "query_key_norm": "rms"},
            r"the parameter encoder\.layers\.0\.attention\.query_n",
        ),
        ({**BERT, "target": [{"mlm": {"name": "other"}}]}, r"the parameter targets\.other\."),
    ):
        with pytest.raises(CheckpointError, match=f"models have no place for {reason}"):
            write_legacy(model_of(config), path)
    assert not path.exists()

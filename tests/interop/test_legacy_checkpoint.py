import pytest
import torch
from support import BERT, model_of

from uer.errors import CheckpointError
from uer.interop.legacy_checkpoint import is_legacy_checkpoint, read_legacy
from uer.interop.legacy_names import to_ours
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

import pytest

from uer.cli.main import run
from uer.registry import import_registries


def out(capsys, *words):
    assert run("explain", words, "uer explain") == 0
    return capsys.readouterr().out


def test_a_part_is_explained_by_text_keys_parts_facts_and_file(capsys):
    text = out(capsys, "transformer", "--kind", "encoder")
    assert text.startswith("encoder 'transformer': uer.encoders.transformer.TransformerEncoder\n")
    for line in (
        "A stack of layers under one described attention mask (arXiv:1706.03762).",
        "  layers_num: int  number of layers",
        "  attention_head_size: int | None = None  width of one attention head; by default hidden",
        "  mask: fully_visible | causal | causal_with_prefix = fully_visible  which tokens self-",
        "  layer: layer = transformer",
        "  position: position scheme | None = None",
        "  input_size: int",
    ):
        assert f"\n{line}" in text
    assert "uer/encoders/transformer.py\n" in text and "layer 'transformer'" not in text


def test_without_a_kind_every_part_of_the_name_is_explained(capsys):
    text = out(capsys, "transformer")
    assert "encoder 'transformer'" in text and "layer 'transformer'" in text


def test_lists_of_parts_say_so(capsys):
    assert "  parts: list of embedding\n" in out(capsys, "sum")


def test_every_part_can_be_explained(capsys):
    for registry in import_registries():
        for name in registry.names():
            assert f"{registry.kind} '{name}': " in out(capsys, name)


def test_a_key_is_explained_by_its_meaning_and_those_who_ask(capsys):
    text = out(capsys, "layernorm_eps")
    assert text.startswith("key 'layernorm_eps': float  constant under the root of a norm\n")
    assert "\n  norm 'rms': 1e-06 by default\n" in text
    assert "\n  layer 'transformer': required\n" in out(capsys, "hidden_size")
    assert out(capsys, "tie_weights").startswith("key 'tie_weights': bool  output layers share")
    assert "\n  encoder 'transformer': transformer by default\n" in out(capsys, "layer")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["hiden_size"],
            "no part and no configuration key is called 'hiden_size'; did you mean 'hi",
        ),
        (["mlmm"], "called 'mlmm'; did you mean 'mlm'?"),
        (["transformer", "--kind", "target"], "no target and no configuration key is called 'tran"),
        (["mlm", "--kind", "goal"], "there is no kind of part 'goal'. Known: embeddings, "),
    ],
)
def test_unknown_names(capsys, words, message):
    assert run("explain", words, "uer explain") == 2
    assert message in capsys.readouterr().err

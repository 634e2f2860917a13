import pytest

from uer.cli.main import run
from uer.registry import import_registries


def out(capsys, *words):
    assert run("list", words, "uer list") == 0
    return capsys.readouterr().out


def test_every_kind_and_every_part_is_named_with_its_text(capsys):
    text = out(capsys)
    for registry in import_registries():
        for name in registry.names():
            line = next(s for s in text.splitlines() if s.split() and s.split()[0] == name)
            assert line.startswith("  ")
            assert f"  {registry.summary(name)}" in text
    encoders = text.partition("\nencoders (encoder)\n")[2].partition("\n\n")[0]
    assert "  transformer  " in encoders and "A stack of layers under" in encoders


@pytest.mark.parametrize("kind", ["encoder", "encoders"])
def test_one_kind(capsys, kind):
    text = out(capsys, kind)
    assert text.startswith("encoders (encoder)\n") and "mlm" not in text


def test_an_unknown_kind_is_answered_with_the_nearest(capsys):
    assert run("list", ["encodes"], "uer list") == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "uer list: there is no kind of part 'encodes'; did you mean 'encoders'?"
    )

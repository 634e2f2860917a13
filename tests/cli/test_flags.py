from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from uer.cli.flags import ANSWERED, POSITIONAL, REFUSED, Overrides, call
from uer.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Group:
    rate: Annotated[float, "share of 100 %"] = 0.5
    steps: Annotated[int, "updates"] = 10
    place: Annotated[str, "where"]


def plain(
    *,
    corpus: Annotated[list[str], "files"],
    number: Annotated[int, "how many"] = 3,
    scale: Annotated[float, "how large"] = 1.0,
    quick: Annotated[bool, "hurry"] = False,
    maybe: Annotated[bool | None, "perhaps"] = None,
    mode: Annotated[Literal["one", "two"], "which"] = "one",
    more: Annotated[list[str] | None, "further files"] = None,
) -> dict[str, Any]:
    """Do something plain.

    At length.

    Args:
        corpus: not shown in the help.
    """
    return {k: v for k, v in locals().items() if v is not None}


def grouped(
    *, task: Annotated[str, "which task", POSITIONAL], group: Annotated[dict[str, Any], Group],
    overrides: Overrides,
) -> tuple[str, dict[str, Any], dict[str, Any]]:  # fmt: skip
    """Do something grouped."""
    return task, group, overrides


def optional(*, kind: Annotated[str | None, "which", POSITIONAL] = None) -> str | None:
    """Perhaps."""
    return kind


def run(line: str, command: Any = plain) -> Any:
    return call(command, line.split(), "prog")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--number 5", {"number": 5}),
        ("--number=5", {"number": 5}),
        ("--number -5", {"number": -5}),
        ("--scale 1e-4", {"scale": 1e-4}),
        ("--scale=-1e-4", {"scale": -1e-4}),
        ("--scale 2", {"scale": 2.0}),
        ("--quick", {"quick": True}),
        ("--quick true", {"quick": True}),
        ("--quick=False", {"quick": False}),
        ("--maybe false", {"maybe": False}),
        ("--mode two", {"mode": "two"}),
        ("--more x y z", {"more": ["x", "y", "z"]}),
    ],
)
def test_values(line, expected):
    before = {"corpus": ["a"], "number": 3, "scale": 1.0, "quick": False, "mode": "one"}
    assert run(f"--corpus a {line}") == {**before, **expected}
    assert run(f"{line} --corpus a") == {**before, **expected}


def test_lists_take_several_words_and_strings_stay_strings():
    assert run("--corpus a 1 true")["corpus"] == ["a", "1", "true"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: --corpus; prog --help lists the flags"),
        ("--corpus a --number x", "--number: invalid int value: 'x'"),
        ("--corpus a --number 1.5", "--number: invalid int value"),
        ("--corpus a --quick maybe", "--quick: invalid .*value: 'maybe'"),
        ("--corpus a --mode three", "--mode: invalid choice: 'three'"),
        ("--corpus a --numbr 3", "prog has no flag --numbr; --help lists the flags"),
        ("--corpus a --num 3", "prog has no flag --num;"),
        ("--corpus a --number", "--number: expected one argument"),
        ("--corpus", "--corpus: expected at least one argument"),
    ],
)
def test_mistakes(line, message):
    with pytest.raises(UserError, match=message):
        run(line)


def test_a_word_that_belongs_to_no_flag():
    with pytest.raises(UserError, match="'stray' belongs to no flag"):
        run("--corpus a --number 3 stray")


def test_help_holds_every_meaning_and_default(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for words in ("Do something plain. At length.", "how many (default: 3)", "perhaps", "hurry"):
        assert words in text
    assert "not shown" not in text


# -------------------------------------------------------------------- groups, overrides


def test_groups_receive_what_was_given_and_overrides_the_rest():
    task, group, overrides = run(
        "mine --rate 0.1 --place here --layers_num 4 --embedding word pos --tie_weights "
        "--learning=1e-4 --mask=causal --bias -3 --ratio -1e-4",
        grouped,
    )
    assert (task, group) == ("mine", {"rate": 0.1, "place": "here"})
    assert overrides == {
        "layers_num": 4,
        "embedding": ["word", "pos"],
        "tie_weights": True,
        "learning": 1e-4,
        "mask": "causal",
        "bias": -3,
        "ratio": -1e-4,
    }


def test_groups_have_required_fields_and_types():
    with pytest.raises(UserError, match="required: --place"):
        run("mine", grouped)
    with pytest.raises(UserError, match="--rate: invalid float value: 'x'"):
        run("mine --place p --rate x", grouped)
    with pytest.raises(UserError, match="required: TASK"):
        run("--place p", grouped)


def test_help_of_groups_and_overrides(capsys):
    with pytest.raises(SystemExit):
        run("--help", grouped)
    text = capsys.readouterr().out
    for words in ("share of 100 %", "updates (default: 10)", "which task", "`uer explain NAME`"):
        assert words in text


def test_a_command_may_give_a_field_another_default():
    def own(
        *, place: Annotated[str, "another text"] = "there", group: Annotated[dict[str, Any], Group]
    ) -> tuple[str, dict[str, Any]]:
        """Do."""
        return place, group

    assert call(own, [], "prog") == ("there", {})
    assert call(own, ["--place", "x", "--steps", "2"], "prog") == ("x", {"steps": 2})


def test_a_positional_word_may_be_optional():
    assert run("", optional) is None and run("encoder", optional) == "encoder"
    with pytest.raises(UserError, match="'b' belongs to no flag"):
        run("a b", optional)


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_refused_flags_say_why_unless_they_ask_for_nothing(flag):
    allowed, reason = REFUSED[flag]
    with pytest.raises(UserError, match=f"--{flag}: {reason}"):
        run(f"mine --place p --{flag} 2", grouped)
    assert run(f"mine --place p --{flag} {allowed}", grouped)[2] == {}


@pytest.mark.parametrize("flag", sorted(ANSWERED))
def test_flags_without_effect_are_answered(flag, caplog):
    caplog.set_level("INFO")
    assert run(f"mine --place p --{flag} 5", grouped)[2] == {}
    assert caplog.messages == [f"--{flag} has no effect: {ANSWERED[flag]}."]

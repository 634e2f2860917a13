import math
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uer import config
from uer.config import (
    decode,
    dump_yaml,
    find_config,
    load_config,
    model_folders,
    parse_value,
    parse_yaml,
    shipped_models,
)
from uer.errors import ConfigError

SCALARS = {
    "1e-4": 1e-4,
    "1E5": 1e5,
    "-2.5e+3": -2500.0,
    ".5": 0.5,
    "1.": 1.0,
    "012": 12,
    "-7": -7,
    "0x10": 16,
    "0o17": 15,
    "true": True,
    "False": False,
    "TRUE": True,
    "null": None,
    "~": None,
    "": None,
    ".inf": math.inf,
    "-.INF": -math.inf,
    "on": "on",
    "off": "off",
    "yes": "yes",
    "no": "no",
    "1_000": "1_000",
    "1:30": "1:30",
    "2020-01-01": "2020-01-01",
    "e5": "e5",
    "1e": "1e",
    ".": ".",
    "models/a": "models/a",
    "'1'": "1",
    "nothing": "nothing",
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_are_those_of_yaml_1_2(text):
    value = parse_value(text)
    assert value == SCALARS[text] and type(value) is type(SCALARS[text])


def test_nan_is_a_number():
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "x:\n  a: 1\n\n  a: 2", "a: 1\n? a\n: 2"])
def test_a_key_that_stands_twice_is_refused_with_its_line(text):
    with pytest.raises(ConfigError, match=r"f\.yaml: is no valid YAML: line [34]?.*'a' stands twi"):
        parse_yaml(text, "f.yaml")


def test_broken_yaml_is_refused_with_its_line(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(ConfigError, match=r"(?s)broken\.yaml: is no valid YAML: .*line 3"):
        load_config(file)


def test_broken_json_is_refused_with_its_line(tmp_path):
    file = tmp_path / "broken.json"
    file.write_text('{\n"a": 1\n"b": 2}')
    with pytest.raises(ConfigError, match=r"broken\.json: line 3 is no valid JSON"):
        load_config(file)


@pytest.mark.parametrize("text", ["[1, 2]", "word", ""])
def test_a_configuration_is_a_mapping(tmp_path, text):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="must hold 'key: value' lines"):
        load_config(file)


def test_json_is_read(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"hidden_size": 8, "rate": 1e-4}')
    assert load_config(file) == {"hidden_size": 8, "rate": 1e-4}


# -------------------------------------------------------------------------------- finding files


def test_a_json_path_finds_its_yaml_twin_but_prefers_itself(tmp_path):
    (tmp_path / "c.yaml").write_text("a: 1")
    assert find_config(tmp_path / "c.json") == tmp_path / "c.yaml"
    (tmp_path / "c.json").write_text("{}")
    assert find_config(tmp_path / "c.json") == tmp_path / "c.json"


@pytest.mark.parametrize(
    "name", ["models/bert/tiny_config.json", "models/bert/tiny_config.yaml", "bert/tiny"]
)
def test_models_of_the_toolkit_are_found_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == model_folders()[0] / "bert" / "tiny_config.yaml"


def test_shipped_models_can_be_found_by_their_names():
    assert "bert/tiny" in shipped_models()
    assert all(find_config(name).is_file() for name in shipped_models())


def test_an_unknown_configuration_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"bert/tinny: there is no such .* mean 'bert/tiny'\?"):
        find_config("bert/tinny")


def test_an_installed_package_carries_its_models(tmp_path, monkeypatch):
    (tmp_path / "uer" / "models" / "toy").mkdir(parents=True)
    (tmp_path / "uer" / "models" / "toy" / "mini_config.yaml").write_text("a: 1")
    monkeypatch.setattr(config, "__file__", str(tmp_path / "uer" / "config.py"))
    assert shipped_models() == ["toy/mini"] and load_config("toy/mini") == {"a": 1}


# ------------------------------------------------------------------------------------ round trip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=12),
    st.sampled_from(sorted(SCALARS)),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_1", min_size=1), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc_", min_size=1, max_size=5), values, max_size=4))
def test_what_is_written_is_read_back_unchanged(mapping):
    read = parse_yaml(dump_yaml(mapping))
    assert repr(read) == repr(mapping)  # types and the order of keys, too


# ------------------------------------------------------------------------------- values of a type

GOOD = [
    (int, 3),
    (float, 3),
    (float, 1e-12),
    (float, float("inf")),
    (bool, True),
    (str, "3"),
    (int | None, None),
    (Literal["a", "b"], "a"),
    (list[int], [1, 2]),
    (tuple[float, float], [0.5, 1]),
    (dict[str, str], {"a": "b"}),
]
BAD = [
    (int, 3.0),
    (int, True),
    (int, "3"),
    (float, "1e-4"),
    (float, True),
    (bool, 1),
    (bool, "true"),
    (str, 3),
    (int, None),
    (Literal["a", "b"], "c"),
    (list[int], 3),
    (list[int], [1, "2"]),
    (tuple[float, float], [1.0]),
    (dict[str, str], {"a": 1}),
]


@pytest.mark.parametrize(("hint", "value"), GOOD)
def test_values_of_the_stated_type_pass(hint, value):
    got = decode(hint, value)
    assert got == (tuple(value) if isinstance(got, tuple) else value)
    assert hint is not float or type(got) is float


@pytest.mark.parametrize(("hint", "value"), BAD)
def test_values_of_another_type_are_refused(hint, value):
    with pytest.raises(ValueError, match=r"\.$"):
        decode(hint, value)


def test_the_place_inside_a_value_is_named():
    with pytest.raises(ValueError, match=r"^1: input should be"):
        decode(list[int], [1, "2"])
    with pytest.raises(ValueError, match="JSON"):
        decode(list[int], object())

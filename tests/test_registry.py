import sys
from importlib.metadata import EntryPoint

import pytest

from uer import registry as module
from uer.components import Target, targets
from uer.errors import ConfigError, UserError
from uer.registry import Registry, import_registries, load_plugin


class Base:
    """What all toys are."""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a registry over a package of the given files."""
    made = []

    def registry_of(**files):
        name = f"toys_{tmp_path.name.replace('-', '_')}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for stem, text in files.items():
            (folder / f"{stem}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        made.append(name)
        return Registry("toy", Base, name)

    yield registry_of
    Registry._by_base.pop(Base, None)
    for name in [name for name in sys.modules if name.split(".")[0] in made]:
        del sys.modules[name]


@pytest.fixture
def plugged(monkeypatch):
    """Registers what a test plugs in, for the test only."""
    for one in import_registries():
        monkeypatch.setattr(one, "_plugins", dict(one._plugins))


PART = f"import {__name__} as t\nclass Ball(t.Base):\n    '''Rolls.\n\n    Always.'''\n"


def test_a_file_is_a_part_and_is_imported_when_it_is_chosen(make):
    toys = make(ball=PART, doll="raise RuntimeError('imported too early')\n", _hidden="", base="")
    assert toys.names() == ["ball", "doll"]
    assert f"{toys.package}.ball" not in sys.modules
    assert toys.summary("ball") == "Rolls."
    assert f"{toys.package}.ball" not in sys.modules
    assert toys.get("ball").__name__ == "Ball"
    with pytest.raises(RuntimeError, match="too early"):
        toys.get("doll")


def test_the_summary_is_that_of_the_part_and_not_of_its_helpers(make):
    own = "from x import Base\nclass Ball(Base):\n    'Rolls.'\n"
    toys = make(ball=own + "class Helper:\n    'Helps.'\n", cube="class _H:\n    'no'\n")
    assert toys.summary("ball") == "Rolls." and toys.summary("cube") == ""


def test_an_unknown_name_is_answered_with_the_nearest(make):
    toys = make(ball=PART, doll=PART)
    with pytest.raises(ConfigError, match=r"no toy is called 'bal'; did you mean 'ball'\? Known: "):
        toys.get("bal")
    with pytest.raises(ConfigError, match=r"no toy is called 'xyz'\. Known: ball, doll\."):
        toys.get("xyz")


def test_an_empty_registry_says_so(make):
    with pytest.raises(ConfigError, match="no toy is called 'ball': there is none yet"):
        make().get("ball")


@pytest.mark.parametrize(
    ("text", "found"),
    [("x = 1\n", "none"), (PART + "class Other(t.Base): pass\n", "Ball, Other")],
)
def test_a_file_holds_exactly_one_part(make, text, found):
    with pytest.raises(ConfigError, match=rf"ball\.py must define exactly one toy .*: {found}\."):
        make(ball=text).get("ball")


def test_entry_points_are_parts_and_load_when_they_are_chosen(make, monkeypatch):
    toys = make(ball=PART)
    points = [
        EntryPoint("kite", f"{__name__}:Kite", toys.package),
        EntryPoint("stone", f"{__name__}:Stone", toys.package),
    ]
    monkeypatch.setattr(
        module, "entry_points", lambda group: points if group == toys.package else []
    )
    assert toys.names() == ["ball", "kite", "stone"]
    assert toys.get("kite") is Kite and toys.summary("kite") == "Flies."
    with pytest.raises(ConfigError, match=r"the toy 'stone' is .*Stone.*, which is no Base"):
        toys.get("stone")


class Kite(Base):
    """Flies."""


class Stone:
    """No toy."""


def test_two_owners_of_a_name_are_refused(make, monkeypatch):
    toys = make(kite=PART)
    points = [EntryPoint("kite", f"{__name__}:Kite", toys.package)]
    monkeypatch.setattr(
        module, "entry_points", lambda group: points if group == toys.package else []
    )
    with pytest.raises(ConfigError, match=r"'kite' has two owners: the file .*kite\.py and the en"):
        toys.get("kite")


def test_registering_is_refused_for_a_taken_name_and_for_a_foreign_class(make):
    toys = make(ball=PART)
    toys.register("kite", Kite)
    toys.register("kite", Kite)  # the same again is no conflict
    assert toys.get("kite") is Kite
    with pytest.raises(ConfigError, match="the toy 'ball' exists already; rename the plugin"):
        toys.register("ball", Kite)
    with pytest.raises(ConfigError, match=r"the toy 'stone' is .*, which is no Base"):
        toys.register("stone", Stone)


def test_a_base_knows_its_registry():
    assert Registry.of(Target) is targets and Registry.of(Stone) is None and Registry.of(3) is None
    assert targets in Registry.all()


# -------------------------------------------------------------------------------------- plugins

PLUGIN = """
from uer.targets.sp import SentencePair
class {name}(SentencePair):
    '''A pair.'''
"""


def test_a_plugin_file_registers_its_parts_under_its_stem(tmp_path, plugged):
    file = tmp_path / "plugged_pair.py"
    file.write_text(PLUGIN.format(name="Mine"))
    assert load_plugin(file) == ["target 'plugged_pair'"]
    assert targets.get("plugged_pair").__name__ == "Mine"
    assert targets.summary("plugged_pair") == "A pair."


def test_a_plugin_cannot_take_a_name(tmp_path, plugged):
    file = tmp_path / "mlm.py"
    file.write_text(PLUGIN.format(name="Mine"))
    with pytest.raises(ConfigError, match="the target 'mlm' exists already; rename the plugin"):
        load_plugin(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError.*nothing_of_this"),
        ("class (", "cannot be imported: SyntaxError"),
        ("class Mine: pass", "defines no part: derive a class from one of .*Target"),
    ],
)
def test_a_plugin_without_a_part_is_refused(tmp_path, text, message):
    file = tmp_path / "broken_plugin.py"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"broken_plugin\.py {message}"):
        load_plugin(file)


def test_a_missing_plugin_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--plugin .*none\.py: there is no such file"):
        load_plugin(tmp_path / "none.py")


def test_every_part_of_the_toolkit_can_be_imported_and_has_a_summary():
    for registry in import_registries():
        if registry.package.startswith("uer."):
            for name in registry.names():
                assert issubclass(registry.get(name), registry.base)
                assert registry.summary(name).endswith((".", ")")), (registry.kind, name)

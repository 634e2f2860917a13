"""The binder's rules, on toy parts; what the toolkit's own parts ask for is tested with them."""

from typing import Annotated, Any, ClassVar, Literal

import pytest

from uer.builder import Planner, build
from uer.components import Encoder
from uer.encoders.transformer import TransformerEncoder
from uer.errors import ConfigError, UserError
from uer.planned import Plan
from uer.processors.base import Processor
from uer.registry import Registry
from uer.signature import Factory, Given, default, parameters

Size = Annotated[int, "how big"]


class Engine:
    """Moves."""


class Wheel:
    """Turns."""

    entry_keys: ClassVar[dict[str, type]] = {"name": str, "weight": float}
    loss_weight = 1.0


class Body:
    """Holds; a list of bodies is a stack."""

    list_name: ClassVar[str] = "stack"


class Steam(Engine):
    def __init__(self, *, size: Size, wheel: Wheel = default("wood")) -> None:
        self.size, self.wheel = size, wheel


class Electric(Engine):
    def __init__(self, *, size: Annotated[int, "how big the battery is"]) -> None:
        self.size = size


class Twin(Engine):
    """Two engines, each with a section of its own."""

    def __init__(self, *, left: Engine, right: Engine, level: Annotated[int, "floor"] = 0) -> None:
        self.left, self.right, self.level = left, right, level


class Wood(Wheel):
    def __init__(self, *, spokes: Annotated[int, "spokes of a wheel"] = 8) -> None:
        self.spokes = spokes


class Rubber(Wheel):
    def __init__(
        self, *, load: Given[int], size: Size, rate: Annotated[float, "share"] = 0.5
    ) -> None:
        self.load, self.size, self.rate = load, size, rate


class Fussy(Wheel):
    def __init__(self, *, spokes: Annotated[int, "spokes of a wheel"]) -> None:
        if spokes < 3:
            raise ConfigError([f"spokes: {spokes} are too few."])


class Box(Body):
    def __init__(
        self, *, size: Size, paint: Annotated[Literal["red", "blue"], "colour"] = "red"
    ) -> None:
        self.size, self.paint = size, paint


class Crate(Box):
    """Another box."""


class Stack(Body):
    def __init__(self, *, parts: list[Factory[Body]], gap: Annotated[int, "room"] = 1) -> None:
        self.parts, self.gap = [part() for part in parts], gap


class Pair(Body):
    """Reads the same nested sections as `Twin`, at its own slot."""

    def __init__(self, *, left: Body, right: Body) -> None:
        self.left, self.right = left, right


class Car:
    """The toy model."""

    reads_section: ClassVar[bool] = True

    def __init__(
        self,
        *,
        engine: Factory[Engine],
        body: Body | None = None,
        trailer: Factory[Engine] | None = None,
        wheels: list[Factory[Wheel]] = (),
        companion: Factory["Car"] | None = None,
        doors: Annotated[int, "doors"] = 4,
    ) -> None:
        self.engine = engine.given(load=doors)()
        self.trailer = trailer() if trailer else None
        self.body, self.doors = body, doors
        self.wheels = [wheel() for wheel in wheels]
        self.companion = companion() if companion else None


@pytest.fixture(autouse=True)
def _toys():
    kinds = {Engine: "engine", Wheel: "wheel", Body: "body"}
    toys = {
        Engine: {"steam": Steam, "electric": Electric, "twin": Twin},
        Wheel: {"wood": Wood, "rubber": Rubber, "fussy": Fussy},
        Body: {"box": Box, "crate": Crate, "stack": Stack, "pair": Pair},
    }
    for base, kind in kinds.items():
        registry = Registry(kind, base, f"no_package_of_{kind}s")
        for name, part in toys[base].items():
            registry.register(name, part)
    yield
    for base in kinds:
        Registry._by_base.pop(base)


def car(facts: dict[str, Any] | None = None, **config: Any) -> Car:
    planner = Planner(config, "car.yaml")
    plan = planner.section(Car)
    planner.finish()
    return plan.build(facts)


def problems(**config: Any) -> list[str]:
    planner = Planner(config)
    planner.section(Car)
    with pytest.raises(ConfigError) as caught:
        planner.finish()
    return caught.value.problems


# ------------------------------------------------------------------------------- sections, slots


def test_a_key_reaches_everything_inside():
    made = car(engine="steam", body="box", size=3, spokes=5)
    assert (made.engine.size, made.engine.wheel.spokes, made.body.size) == (3, 5, 3)


def test_inner_sections_come_first():
    made = car(engine={"steam": {"size": 9, "wheel": {"wood": {"spokes": 2}}}}, body="box", size=3)
    assert (made.engine.size, made.engine.wheel.spokes, made.body.size) == (9, 2, 3)


def test_a_slot_prefix_speaks_to_one_slot_and_to_what_is_inside_it():
    made = car(engine="steam", trailer="steam", size=3, trailer_size=4, trailer_spokes=1)
    assert (made.engine.size, made.engine.wheel.spokes) == (3, 8)
    assert (made.trailer.size, made.trailer.wheel.spokes) == (4, 1)


def test_a_prefix_of_no_slot_is_unknown():
    assert problems(engine="steam", size=1, _doors=2) == [
        "_doors: nobody asks for this key; did you mean 'doors'?"
    ]


def test_a_part_inside_is_chosen_by_its_key():
    made = car({"load": 7}, engine="steam", wheel="rubber", size=3, rate=1)
    assert isinstance(made.engine.wheel, Rubber) and made.engine.wheel.rate == 1.0


def test_a_part_may_be_left_out_where_that_is_allowed():
    assert car(engine="steam", size=1, body=None).body is None
    assert car(engine="steam", size=1, body="none").body is None
    assert problems(engine=None) == ["engine: this part cannot be left out."]


# -------------------------------------------------------------------------------- every key asked


def test_every_key_must_be_asked_for():
    assert problems(engine="steam", sise=3, colour=1) == [
        "engine 'steam' needs the key 'size': how big.",
        "sise: nobody asks for this key; did you mean 'size'?",
        "colour: nobody asks for this key.",
    ]


def test_keys_of_inner_sections_too():
    assert problems(engine={"steam": {"size": 1, "spokkes": 2}}) == [
        "engine.steam.spokkes: nobody asks for this key; did you mean 'spokes'?"
    ]


def test_a_key_that_an_inner_section_overrides_for_everybody_is_asked_for_by_nobody():
    (problem,) = problems(engine={"steam": {"size": 1}}, size=2)
    assert problem.startswith("size: nobody asks for this key")


def test_a_key_cannot_mean_two_things():
    (problem,) = problems(engine="electric", body="box", size=3)
    assert problem == (
        "size means different things to engine 'electric' (how big the battery is) and to body "
        "'box' (how big); give each its own inside its section: {name: {size: …}}."
    )
    made = car(engine={"electric": {"size": 3}}, body={"box": {"size": 4}})
    assert (made.engine.size, made.body.size) == (3, 4)


def test_all_problems_come_at_once():
    config = {"engine": "steam", "body": {"box": {"paint": "green"}}, "spokes": "x", "door": 2}
    found = problems(**config)
    assert len(found) == 5
    text = "\n".join(found)
    for words in (
        "engine 'steam' needs the key 'size'",
        "spokes: 'x' does not fit (spokes of a wheel)",
        "body.box.paint: 'green' does not fit (colour): input should be 'red' or 'blue'",
        "door: nobody asks for this key; did you mean 'doors'?",
        "body 'box' needs the key 'size'",
    ):
        assert words in text
    with pytest.raises(ConfigError, match=r"^car\.yaml: 5 problems:\n  - "):
        car(**config)


def test_an_unknown_module_silences_what_follows_from_it():
    assert problems(engine="stem", size=3, spokes=1, anything=2) == [
        "engine: no engine is called 'stem'; did you mean 'steam'? Known: electric, steam, twin."
    ]


def test_a_missing_part_is_named():
    assert problems(doors=3, size=4) == [
        "car needs the key 'engine': which engine it is made of."
    ]  # whether size is asked for cannot be known


def test_a_missing_key_that_is_there_misspelt_is_suggested_all_the_same():
    assert problems(engin="steam", size=4) == [
        "car needs the key 'engine': which engine it is made of.",
        "engin: nobody asks for this key; did you mean 'engine'?",
    ]


@pytest.mark.parametrize("value", [3, {"steam": {}, "electric": {}}, {}, ["steam"], True])
def test_what_names_no_part_is_refused(value):
    assert problems(engine=value, size=1) == [
        f"engine: {value!r} names no engine; write a name or {{name: {{keys}}}}."
    ]


def test_what_is_no_section_is_refused():
    assert problems(engine={"steam": 3}, size=1) == [
        "engine.steam: 3 is no section; write {key: value}."
    ]
    assert problems(engine="steam", size=1, companion="steam") == [
        "companion: 'steam' is no section; write a model's keys below it."
    ]


# --------------------------------------------------------------------------------- lists, entries


def test_a_list_is_the_part_that_lists_stand_for():
    made = car(engine="steam", size=2, body=["box", {"crate": {"size": 5}}], gap=3)
    assert isinstance(made.body, Stack) and made.body.gap == 3
    assert [part.size for part in made.body.parts] == [2, 5]


def test_a_list_may_stand_in_a_nested_section():
    inner = {"engine": "steam", "body": ["box", "crate"], "size": 1}
    made = car(engine="twin", body="pair", left=inner, right={**inner, "body": "box"})
    assert isinstance(made.body.left, Stack) and isinstance(made.body.right, Box)


def test_entries_of_a_list_may_have_names_and_weights():
    wheels = ["wood", {"wood": {"name": "spare", "weight": 0.5, "spokes": 3}}]
    made = car(engine="steam", size=1, wheels=wheels)
    assert [wheel.name for wheel in made.wheels] == ["wood", "spare"]
    assert [wheel.loss_weight for wheel in made.wheels] == [1.0, 0.5]
    assert [wheel.spokes for wheel in made.wheels] == [8, 3]


def test_a_single_entry_needs_no_list():
    assert [type(wheel) for wheel in car(engine="steam", size=1, wheels="wood").wheels] == [Wood]


def test_two_entries_of_one_name_are_refused():
    (problem,) = problems(engine="steam", size=1, wheels=["wood", "wood"])
    assert problem.startswith("wheels: two entries are called 'wood'; give one its own")
    (problem,) = problems(engine="steam", size=1, body=["box", "box"])  # these have no names
    assert problem == "body: two entries are called 'box'; keep one."


def test_an_entrys_own_keys_are_typed():
    (problem,) = problems(engine="steam", size=1, wheels=[{"wood": {"weight": "much"}}])
    assert problem.startswith("wheels[0].wood.weight: 'much': input should be a valid number")


# ------------------------------------------------------------------------- streams and companions


def test_nested_sections_are_read_at_every_slot_and_inherit():
    made = car(
        engine="twin",
        body="pair",
        left={"engine": "steam", "body": "box", "size": 1},
        right={"engine": "steam", "body": "box", "spokes": 2},
        size=7,
    )
    assert (made.engine.left.size, made.engine.right.size) == (1, 7)
    assert (made.body.left.size, made.body.right.size) == (1, 7)
    assert (made.engine.left.wheel.spokes, made.engine.right.wheel.spokes) == (8, 2)


def test_a_key_of_a_nested_section_that_nobody_asks_for_is_reported_once():
    found = problems(
        engine="twin",
        body="pair",
        left={"engine": "steam", "body": "box", "size": 1, "spoke": 3},
        right={"engine": "steam", "body": "box", "size": 1},
    )
    assert found == ["left.spoke: nobody asks for this key; did you mean 'spokes'?"]


@pytest.mark.parametrize("nothing", [None, "none"])
def test_a_companion_may_be_left_out(nothing):
    assert car(engine="steam", size=9, companion=nothing).companion is None


def test_companions_do_not_inherit():
    inner = {"engine": "steam", "size": 1, "doors": 2}
    made = car(engine="steam", size=9, spokes=3, companion=inner)
    assert (made.companion.engine.size, made.companion.doors) == (1, 2)
    assert made.companion.engine.wheel.spokes == 8
    del inner["size"]
    assert problems(engine="steam", size=9, companion=inner) == [
        "engine 'steam' needs the key 'size': how big."
    ]


# ------------------------------------------------------------------------------------------ facts


def test_facts_reach_whoever_asks_and_may_name_a_slot():
    config = {"engine": "steam", "trailer": "steam", "wheel": "rubber", "size": 1}
    made = car({"load": 1, "trailer.load": 2}, **config)
    assert made.engine.wheel.load == made.doors == 4  # `given` beats what is known outside
    assert made.trailer.wheel.load == 2
    wheels = [{"rubber": {"name": "spare"}}, "rubber"]
    made = car({"load": 1, "wheels.spare.load": 3}, engine="steam", size=1, wheels=wheels)
    assert [wheel.load for wheel in made.wheels] == [3, 1]


def test_a_fact_is_no_key():
    assert problems(engine="steam", size=1, load=3) == ["load: nobody asks for this key."]


def test_a_missing_fact_is_named():
    with pytest.raises(UserError, match="wheel 'rubber' needs to know 'load', which comes from"):
        car(engine="steam", size=1, wheels=["rubber"])


@pytest.mark.parametrize(
    ("processor", "lacks"), [("mlm", "mask"), ("lm", "cls"), ("lm", "pad"), ("cls", "sep")]
)
def test_a_missing_special_token_is_named_with_the_way_out(processor, lacks):
    roles = {f"{role}_id": number for number, role in enumerate(("pad", "cls", "sep", "mask"))}
    facts = {**roles, "special_ids": [0, 1, 2, 3], "vocab_size": 9}
    planner = Planner({"data_processor": processor, "seq_length": 8})
    plan = planner.choice("data_processor", Processor)
    planner.finish()
    plan.build(facts)
    del facts[f"{lacks}_id"]
    message = f"needs the special token '{lacks}', and the tokenizer has none; .*--special_tokens_"
    with pytest.raises(UserError, match=message):
        plan.build(facts)


def test_missing_sentinels_are_named():
    class Wing(Wheel):
        def __init__(self, *, sentinel_ids: Given[list[int]]) -> None: ...

    with pytest.raises(UserError, match="part needs the special token 'sentinel', and the toke"):
        Plan(Wing, "wing", "", "part").build({"special_ids": [0]})


def test_plans_know_which_facts_they_ask_for():
    planner = Planner({"engine": "steam", "size": 1, "wheels": ["rubber"]})
    assert planner.section(Car).asks() == {"load"}
    assert planner.asked() == {"engine", "size", "wheels"}


def test_a_constructor_may_refuse():
    with pytest.raises(ConfigError, match="spokes: 2 are too few"):
        car(engine="steam", wheel="fussy", spokes=2, size=1)


# ------------------------------------------------------------------------------ build, signatures


def test_build_makes_a_part_of_keywords():
    assert build(Wheel, "rubber", load=3, size=2, rate=1).rate == 1.0
    keys = {"hidden_size": 8, "layers_num": 1, "heads_num": 2, "feedforward_size": 4}
    encoder = build(Encoder, "transformer", input_size=8, **keys)
    assert isinstance(encoder, TransformerEncoder)


def test_build_is_as_strict_as_a_file():
    with pytest.raises(ConfigError, match="rat: nobody asks for this key; did you mean 'rate'"):
        build(Wheel, "rubber", load=3, size=2, rat=1)
    with pytest.raises(ConfigError, match="no wheel is called 'ruber'; did you mean 'rubber'"):
        build(Wheel, "ruber")
    with pytest.raises(UserError, match="needs to know 'load'"):
        build(Wheel, "rubber", size=2)


def test_signatures_that_state_no_schema_are_their_authors_mistake():
    class Positional(Wheel):
        def __init__(self, size: Size) -> None: ...

    class Bare(Wheel):
        def __init__(self, *, size) -> None: ...

    class Mute(Wheel):
        def __init__(self, *, size: int) -> None: ...

    for part, message in (
        (Positional, "'size' must be keyword-only"),
        (Bare, "'size' has no annotation"),
        (Mute, "neither Annotated"),
    ):
        with pytest.raises(TypeError, match=message):
            parameters(part)

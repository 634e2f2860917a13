import pytest
from support import BERT

from uer.cli.run import build_model
from uer.config import dump_yaml, load_config
from uer.errors import ConfigError
from uer.recipe import body_keys, read_recipe

CONFIG = {**BERT, "data_processor": "bert", "about": {"paper": "x"}}


def problems(config, **keys):
    with pytest.raises(ConfigError) as caught:
        read_recipe(None, config, **keys)
    return caught.value.problems


def test_a_configuration_describes_everything():
    recipe = read_recipe(
        None,
        {**CONFIG, "optimizer": "adamw", "scheduler": "cosine", "warmup": 0.2, "batch_size": 4},
    )
    assert recipe.processor is not None and recipe.processor.name == "bert"
    assert (recipe.optimizer.name, recipe.schedule.name) == ("adamw", "cosine")
    assert recipe.schedule.values == {"warmup": 0.2} and recipe.settings == {"batch_size": 4}
    assert recipe.facts == {} and recipe.notes == []


def test_optimizer_and_schedule_have_defaults_and_a_processor_does_not():
    recipe = read_recipe(None, BERT)
    assert (recipe.optimizer.name, recipe.schedule.name) == ("adamw", "linear")
    assert recipe.processor is None


def test_the_command_line_wins_over_the_file_and_the_file_over_the_data_set(tmp_path):
    (tmp_path / "c.yaml").write_text(dump_yaml({**CONFIG, "seq_length": 20}))
    defaults = {"data_processor": "mlm", "seq_length": 10, "short_seq_prob": 0.3}
    recipe = read_recipe(tmp_path / "c.yaml", {"layers_num": 5}, defaults=defaults)
    assert recipe.processor is not None and recipe.processor.name == "bert"
    assert recipe.processor.values == {"seq_length": 20, "short_seq_prob": 0.3}
    assert recipe.config["layers_num"] == 5


def test_on_the_command_line_one_name_is_a_list_of_one():
    recipe = read_recipe(None, {**CONFIG, "embedding": "word", "target": "mlm"})
    assert recipe.config["embedding"] == ["word"] and recipe.config["target"] == ["mlm"]
    assert recipe.model.parts["embedding"].name == "sum"  # with its norm, as in the predecessors


@pytest.mark.parametrize("wrong", ["klingon", 3, ["legacy"]])
def test_an_unknown_dialect(wrong):
    (problem,) = problems({**CONFIG, "dialect": wrong})
    assert problem == f"dialect: '{wrong}' is none; choose published or legacy."


def test_the_dialect_of_the_weights_wins_and_is_kept():
    assert read_recipe(None, CONFIG, dialect="legacy").config["layernorm"] == "legacy"
    assert read_recipe(None, CONFIG, dialect="legacy").config["dialect"] == "legacy"
    assert "dialect" not in read_recipe(None, CONFIG).config
    spoken = {**CONFIG, "dialect": "legacy"}
    assert read_recipe(None, spoken).config["layernorm"] == "legacy"
    assert "layernorm" not in read_recipe(None, spoken, dialect="published").config


def test_dropped_keys_are_noted():
    (note,) = read_recipe(None, {**CONFIG, "layer_number_scale": True}).notes
    assert note.startswith("layer_number_scale is ignored")


def test_settings_are_typed_and_told_from_unknown_keys():
    assert problems({**CONFIG, "batch_size": "big", "batchsize": 3}) == [
        "batch_size: 'big' does not fit: input should be a valid integer.",
        "batchsize: nobody asks for this key; did you mean 'batch_size'?",
    ]


def test_targets_find_their_labels_in_what_the_processor_provides():
    (problem,) = problems({**CONFIG, "target": ["mlm", {"sp": {"name": "order"}}]})
    assert problem == (
        "target: 'order' needs labels that the data processor 'bert' does not make; it makes "
        "labels for: mlm, sp."
    )


def test_problems_of_all_parts_come_at_once():
    found = problems({**CONFIG, "scheduler": "cosin", "optimizer": 3, "dropout": "x"})
    assert len(found) == 3, found


def test_what_a_data_set_was_made_for_is_left_out_where_nobody_asks():
    made_for = {"data_processor": "mlm", "full_sentences": True, "seq_length": 64}
    asked = {**CONFIG, "data_processor": "mlm", "target": ["mlm"]}
    assert read_recipe(None, asked, defaults=made_for).config["full_sentences"] is True
    config = read_recipe(None, CONFIG, defaults=made_for).config
    assert "full_sentences" not in config and config["seq_length"] == 64
    with pytest.raises(ConfigError, match="full_sentences: nobody asks"):
        read_recipe({"full_sentences": True}, CONFIG, defaults=made_for)


def test_a_body_is_what_a_task_keeps_of_a_pre_trained_model():
    config = {**CONFIG, "seq_length": 20, "batch_size": 3, "pooling": "mean"}
    kept = body_keys(config, "cls")
    assert kept["pooling"] == "mean" and kept["embedding"] == ["word", "pos", "seg"]
    assert not {"data_processor", "seq_length", "batch_size", "about"} & kept.keys()
    assert "pooling" not in body_keys(config, "mlm")


def test_an_architecture_without_a_target_is_planned_and_cannot_be_trained(tmp_path):
    body = {key: value for key, value in BERT.items() if key not in ("target", "tie_weights")}
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml({**body, "pooling": "mean"}))
    recipe = read_recipe(file)
    with pytest.raises(ConfigError, match="names none, so there is nothing to train; choose one"):
        build_model(recipe, {"vocab_size": 9})
    with pytest.raises(ConfigError, match="poling: nobody asks for this key; did you mean 'pool"):
        read_recipe(file, {"poling": "mean"})
    with pytest.raises(ConfigError, match="pooling: nobody asks for this key"):
        read_recipe(file, {"target": ["mlm"]})


LM = {**CONFIG, "data_processor": "lm", "target": ["lm"]}


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"mask": "fully_visible"},
        {"encoder": {"lstm": {"bidirectional": True}}},
        {"encoder": "bilstm"},
    ],
)
def test_a_model_that_sees_its_labels_is_refused(encoder):
    with pytest.raises(ConfigError, match="'lm' predicts the next token, but the encoder shows it"):
        read_recipe(None, {**LM, **encoder})


@pytest.mark.parametrize("mask", ["causal", "causal_with_prefix"])
def test_a_model_that_does_not_is_not(mask):
    assert read_recipe(None, {**LM, "mask": mask}).model.parts["target"][0].name == "lm"


# ------------------------------------------------------------------------------------- strictness

TINY_BERT = load_config("models/bert/tiny_config.yaml")
CHECKED = [key for key in TINY_BERT if key != "about"]


@pytest.mark.parametrize("key", CHECKED)
def test_a_misspelt_key_is_refused_with_its_path(key):
    wrong = key[:-1] + "x" + key[-1]
    found = problems({wrong if name == key else name: v for name, v in TINY_BERT.items()})
    assert any(
        problem.startswith(f"{wrong}: nobody asks for this key; did you mean '{key}'")
        for problem in found
    )


@pytest.mark.parametrize("key", CHECKED)
@pytest.mark.parametrize("wrong", [1.5, "?", [[1]]], ids=["fraction", "word", "list"])
def test_a_value_of_another_type_is_refused_with_its_path(key, wrong):
    if isinstance(wrong, float) and isinstance(TINY_BERT[key], float):
        wrong = True
    found = problems({**TINY_BERT, key: wrong})
    assert any(problem.startswith((f"{key}: ", f"{key}[0]")) for problem in found), found

import json

import pytest
import torch
from support import SHARED_DATA

from uer.interop.legacy.config import translate
from uer.processors.base import processors
from uer.recipe import read_recipe

CONFIGS = SHARED_DATA / "predecessor_configs"
FAMILIES = (
    *("albert", "bart", "bert", "bloom", "cnn", "gpt2", "llama", "llama2", "megatron", "pegasus"),
    *("rnn", "sbert", "t5", "t5-v1_1", "transformer", "xlm-roberta", "beit", "clip", "vilt", "vit"),
    *("dall-e", "s2t", "talk2face"),
)
FILES = sorted(file for name in FAMILIES for file in (CONFIGS / name).glob("*.json"))

needs_files = pytest.mark.skipif(
    not FILES, reason=f"no configurations of the predecessors in {CONFIGS}; set UER_SHARED_DATA"
)


# ------------------------------------------------------------------------------- shipped files


@needs_files
@pytest.mark.parametrize("dialect", ["published", "legacy"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_model_of_theirs_loads_unchanged(file, dialect, tmp_path):
    config = json.loads(file.read_text())
    if config.get("data_processor", "bert") not in processors.names():
        del config["data_processor"]
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
    plan = read_recipe(file, dialect=dialect).model
    for name in ("encoder", "decoder"):
        if plan.parts[name] and "layers_num" in plan.parts[name].values:
            plan.parts[name].values["layers_num"] = 1  # all are alike, and many take a while
    with torch.device("meta"):
        model = plan.build({"vocab_size": 21128, "labels_num": 10})
    assert list(model.targets) == config.get("target", [])


@needs_files
@pytest.mark.parametrize("name", ["sbert/base", "rnn/siamese_lstm"])
def test_an_architecture_gets_its_target_from_elsewhere(name):
    file = CONFIGS / f"{name}_config.json"
    recipe = read_recipe(file, {"target": ["clr"]}, dialect="published")
    pooling = json.loads(file.read_text())["pooling"]
    (target,) = recipe.model.parts["target"]
    assert target.values == {"pooling": pooling}
    assert recipe.model.parts["encoder"].values == {"tie_streams": True}


# ------------------------------------------------------------------------------------ the table


def test_one_of_ours_passes_through_unchanged():
    config = {
        "about": {"paper": "x"},
        "embedding": ["word", "sinusoidalpos"],
        "mask": "causal",
        "dropout": 0.1,
        "decoder": "transformer",
        "position": "relative",
        "tie_weights": True,
    }
    assert translate(config) == (config, [])


@pytest.mark.parametrize(
    "key", ["layer_number_scale", "image_tokenizer", "deep_init", "ignore_index", "prefix_lm_loss"]
)
def test_keys_without_a_counterpart_are_reported(key):
    ours, (note,) = translate({key: True, "hidden_size": 4})
    assert ours == {"hidden_size": 4} and note.startswith(f"{key} is ignored: ")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"rotary_position_embedding": True}, {"position": "rotary"}),
        ({"relative_position_embedding": True}, {"position": "relative"}),
        ({"rotary_position_embedding": False}, {}),
        ({"alibi_position_embedding": True}, {"position": "alibi"}),
        ({"has_residual_attention": True}, {"attention": "residual"}),
        ({"local_kv_heads_num": 2}, {"kv_heads_num": 2}),
        ({"layernorm": "t5"}, {"layernorm": "rms"}),
        ({"mask": "prefix"}, {"mask": "causal_with_prefix"}),
        ({"embedding": ["dual"]}, {"embedding": "dual"}),
        ({"stream_0": {"mask": "prefix"}}, {"stream_0": {"mask": "causal_with_prefix"}}),
        ({"projection": True, "feature_size": 8}, {"feature_size": 8}),
        ({"projection": False, "feature_size": 8}, {}),
    ],
)
def test_their_names(theirs, ours):
    assert translate(theirs) == (ours, [])


def test_their_beit_predicts_codes_of_whole_images():
    theirs = {
        "data_processor": "beit",
        "image_preprocess": ["crop", "normalize"],
        "tokenizer": "vqgan",
        "image_tokenizer": {"image_vocab_size": 64},
    }
    ours, notes = translate(theirs)
    assert ours == {
        "data_processor": "beit",
        "image_preprocess": ["normalize"],
        "codes_num": 64,
        "facts": {"vocab_size": 64},
    }
    assert any("image_preprocess random_resized_crop is ignored" in note for note in notes)
    crop = {"data_processor": "vit", "image_preprocess": ["crop"]}
    assert translate(crop)[0]["image_preprocess"] == ["random_resized_crop"]


def test_how_streams_are_pooled_is_for_the_target_to_know():
    config = {"pooling": "mean", "stream_0": {"pooling": "first"}, "stream_1": {}}
    ours, _ = translate(config)
    assert ours == {"pooling": "first", "pooling_1": "mean", "stream_0": {}, "stream_1": {}}
    alike, _ = translate({"stream_0": {"pooling": "max"}, "stream_1": {"pooling": "max"}})
    assert alike == {"pooling": "max", "stream_0": {}, "stream_1": {}}


def test_files_of_theirs_mean_more_than_they_say():
    ours, _ = translate({"embedding": ["word", "sinusoidalpos"]}, theirs=True)
    assert ours["scale_embedding"] is True
    t5 = {"decoder": "transformer", "relative_position_embedding": True, "tie_weights": True}
    assert translate(t5, theirs=True)[0]["scale_tied_output"] is True
    assert "scale_tied_output" not in translate({**t5, "tie_weights": False}, theirs=True)[0]
    dual = {"embedding": ["dual"], "tie_weights": True, "stream_0": {"vocab_size": 9}}
    ours, (note,) = translate(dual, theirs=True)
    assert ours == {"embedding": "dual", "tie_streams": True, "stream_0": {}}
    assert note == "vocab_size is ignored: the tokenizer knows how many tokens there are."
    bare = {"stream_0": {"embedding": ["word"], "max_seq_length": 9}}
    ours, (note,) = translate(bare, theirs=True)
    assert ours == {"stream_0": {"embedding": ["word"]}} and note.startswith("max_seq_length is")


def test_their_bert_with_a_sentencepiece_model_is_a_tokenizer_of_its_own():
    theirs = {"tokenizer": "bert", "spm_model_path": "m", "vocab_path": "v", "seq_length": 8}
    ours, (note,) = translate(theirs)
    assert ours == {"tokenizer": "sentencepiece_comma", "spm_model_path": "m", "seq_length": 8}
    assert note == "vocab_path is ignored: with a sentencepiece model nobody reads it."
    others = {"tokenizer": "xlmroberta", "spm_model_path": "m"}
    assert translate(others) == (others, [])


def test_processors_that_hide_spans_do_not_read_their_masking_flags():
    theirs = {"data_processor": "t5", "span_masking": True, "span_max_length": 5, "seq_length": 8}
    ours, notes = translate(theirs)
    assert ours == {"data_processor": "t5", "seq_length": 8}
    assert [note.partition(" is ignored")[0] for note in notes] == [
        "masking span",
        "span_max_length",
    ]
    assert "corruption_rate and mean_span_length" in notes[0]
    others = {"data_processor": "mlm", "span_masking": True, "span_max_length": 5}
    assert translate(others)[0] == {
        "data_processor": "mlm",
        "masking": "span",
        "span_max_length": 5,
    }


def test_their_codes_of_images_are_added_to_any_tokenizer():
    theirs = {
        "encoder": "transformer",
        "tokenizer": "multimodal",
        "image_height": 256,
        "image_tokenizer": {"image_vocab_size": 1024, "frame_size": 16},
    }
    ours, notes = translate(theirs)
    assert ours == {"encoder": "transformer", "data_processor": "dalle", "codes_num": 1024}
    assert "image_height is ignored: codes are read, not pixels." in notes
    assert translate({"tokenizer": "text_image"})[0] == {"tokenizer": "bert"}

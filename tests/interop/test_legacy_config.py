import pytest

from uer.interop.legacy_config import translate


def test_one_of_ours_passes_through_unchanged():
    config = {
        "about": {"paper": "x"},
        "embedding": ["word", "pos"],
        "mask": "causal",
        "dropout": 0.1,
    }
    assert translate(config) == (config, [])


@pytest.mark.parametrize("key", ["layer_number_scale", "image_tokenizer", "deep_init"])
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
        ({"mask": "prefix"}, {"mask": "causal_with_prefix"}),
        ({"embedding": ["dual"]}, {"embedding": "dual"}),
        ({"stream_0": {"mask": "prefix"}}, {"stream_0": {"mask": "causal_with_prefix"}}),
    ],
)
def test_their_names(theirs, ours):
    assert translate(theirs) == (ours, [])


def test_their_bert_with_a_sentencepiece_model_is_a_tokenizer_of_its_own():
    theirs = {"tokenizer": "bert", "spm_model_path": "m", "vocab_path": "v", "seq_length": 8}
    ours, (note,) = translate(theirs)
    assert ours == {"tokenizer": "sentencepiece_comma", "spm_model_path": "m", "seq_length": 8}
    assert note == "vocab_path is ignored: with a sentencepiece model nobody reads it."
    others = {"tokenizer": "xlmroberta", "spm_model_path": "m"}
    assert translate(others) == (others, [])


def test_what_their_code_never_reads_has_no_effect_in_their_dialect():
    ours, (note,) = translate({"alibi_position_embedding": True, "layernorm": "rms"}, "legacy")
    assert ours == {"layernorm": "rms"} and "alibi_position_embedding is ignored" in note


def test_their_dialect_has_their_norm_and_their_untied_output_layer():
    ours, _ = translate(
        {"layernorm_eps": 1e-12, "share_embedding": True, "tie_weights": True}, "legacy"
    )
    assert ours["layernorm"] == "legacy" and ours["layernorm_eps"] == 1e-6
    assert ours["share_embedding"] is True and ours["tie_weights"] is False
    assert translate({"tie_weights": True}, "legacy")[0]["tie_weights"] is True


def test_translating_twice_is_translating_once():
    theirs = {"mask": "prefix", "rotary_position_embedding": True, "share_embedding": True}
    once, _ = translate(theirs, "legacy")
    assert translate(once, "legacy") == (once, [])


def test_streams_inherit_the_norm_of_the_whole():
    ours, _ = translate({"layernorm": "rms", "stream_0": {"layers_num": 2}}, "legacy")
    assert ours == {"layernorm": "rms", "stream_0": {"layers_num": 2}}
    own, _ = translate({"layernorm": "rms", "stream_0": {"layernorm": "normal"}}, "legacy")
    assert own["stream_0"] == {"layernorm": "legacy", "layernorm_eps": 1e-6}

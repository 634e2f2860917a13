import pytest

from uer.interop.legacy.config import translate
from uer.interop.legacy.sections import STREAMS


def test_dropout_that_both_streams_replace_is_reported():
    streams = {name: {"dropout": 0.2} for name in STREAMS}
    ours, (note,) = translate({"embedding": ["dual"], "dropout": 0.1, **streams}, theirs=True)
    assert "dropout" not in ours and note.startswith("dropout is ignored outside of the streams")


def test_what_their_code_never_reads_has_no_effect_in_their_dialect():
    ours, (note,) = translate({"alibi_position_embedding": True}, "legacy")
    assert "position" not in ours and "alibi_position_embedding is ignored" in note


def test_their_dialect_has_their_norm_and_their_untied_output_layer():
    ours, _ = translate({"share_embedding": True, "tie_weights": True}, "legacy")
    assert ours == {"layernorm": "legacy", "share_embedding": True, "tie_weights": False}
    assert translate({"tie_weights": True}, "legacy")[0]["tie_weights"] is True


def test_embeddings_and_the_head_have_their_norm_whatever_is_asked_for():
    own = {"legacy": {"layernorm_eps": 1e-6}}
    config = {"embedding": ["word"], "tgt_embedding": ["word"], "target": ["mlm"]}
    for key, value in (("layernorm", "rms"), ("layernorm_eps", 1e-12)):
        ours, _ = translate({**config, key: value}, "legacy")
        assert ours[key] == value and ours["target_layernorm"] == own
        assert ours["embedding_layernorm"] == ours["tgt_embedding_layernorm"] == own
    assert translate(config, "legacy")[0] == {**config, "layernorm": "legacy"}


def test_their_tables_are_used_from_the_first_row():
    ours, _ = translate({"embedding": ["word"], "position_offset": 2, "segments_num": 1}, "legacy")
    assert ours == {"embedding": ["word"], "layernorm": "legacy"}


def test_parts_with_an_arithmetic_of_their_own():
    theirs = {
        "embedding": ["word", {"sinusoidalpos": {"sinusoids": "halves"}}],
        "tgt_embedding": ["word", "sinusoidalpos"],
        "decoder": "transformer",
        "rotary_position_embedding": True,
        "has_residual_attention": True,
        "scale_tied_output": True,
        "pooling": "mean",
    }
    ours, _ = translate(theirs, "legacy")
    assert ours == {
        "embedding": ["word", "legacy_sinusoidalpos"],
        "tgt_embedding": ["word", "legacy_sinusoidalpos"],
        "scale_embedding": True,
        "decoder": "transformer",
        "position": "rotary_interleaved",
        "decoder_position": "none",
        "encoder_attention": "residual",
        "layernorm": "legacy",
        "pooling": "legacy_mean",
    }
    assert translate({"encoder": "gatedcnn"}, "legacy")[0]["encoder"] == "legacy_gatedcnn"
    assert translate({"embedding": ["dual"]}, "legacy")[0]["embedding"] == "legacy_dual"


@pytest.mark.parametrize(
    "theirs",
    [
        {"mask": "prefix", "rotary_position_embedding": True, "share_embedding": True},
        {"layernorm": "rms", "embedding": ["word", "sinusoidalpos"], "target": ["mlm"]},
        {"layernorm_eps": 1e-12, "embedding": ["word"], "decoder": "transformer"},
        {"embedding": ["dual"], "tie_weights": True, "stream_0": {"layernorm": "normal"}},
        {"encoder": "gatedcnn", "pooling": "last", "has_residual_attention": True},
    ],
)
def test_translating_twice_is_translating_once(theirs):
    once, _ = translate(theirs, "legacy")
    assert translate(once, "legacy") == (once, [])
    published, _ = translate(theirs, theirs=True)
    assert translate(published) == (published, [])


def test_streams_inherit_the_norm_of_the_whole():
    ours, _ = translate({"layernorm": "rms", "stream_0": {"layers_num": 2}}, "legacy")
    assert ours == {"layernorm": "rms", "stream_0": {"layers_num": 2}}
    own, _ = translate({"layernorm": "rms", "stream_0": {"layernorm": "normal"}}, "legacy")
    assert own["stream_0"] == {"layernorm": "legacy"}

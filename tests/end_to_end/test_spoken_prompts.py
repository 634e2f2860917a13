"""The recipes of docs/speech.md on real speech: learning by heart, and codes that stay in use."""

import json
import shutil

import pytest
from support import REPOSITORY, python

from scripts.spoken_prompts import spelt_out


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("the prompts are Debian packages, and there is no apt-get here")
    folder = tmp_path_factory.mktemp("spoken_prompts")
    go(folder, "-m", "scripts.spoken_prompts", "--output_path", folder)
    return folder


def go(folder, *words, fails=False):
    done = python(*words, cwd=REPOSITORY, timeout=3600)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr + done.stdout


def test_what_is_said_is_spelt_out():
    assert spelt_out(" Press 1 for voice-mail, or dial *.") == (
        "press one for voice mail or dial star"
    )
    assert spelt_out(" dash [-]") == "dash" and spelt_out("3D audio") == "three d audio"
    assert spelt_out("[beep]") == spelt_out("dial 500") == spelt_out("(1 second)") == ""


@pytest.mark.heavy
def test_ctc_learns_fifty_prompts_by_heart(prompts):
    said = go(
        prompts, "finetune/run_speech2text_ctc.py", "--config_path", "ctc/prompts",
        "--tokenizer", "byte", "--extra_ids", "0", "--train_path", prompts / "train.tsv",
        "--test_path", prompts / "train.tsv", "--output_model_path", prompts / "ctc",
        "--epochs_num", "100", "--batch_size", "5", "--learning_rate", "1e-3", "--warmup", "0.1",
    )  # fmt: skip
    rate = float(said.rpartition("CER ")[2].split()[0])
    assert rate < 0.05
    go(
        prompts, "inference/run_speech2text_ctc_infer.py", "--load_model_path", prompts / "ctc",
        "--test_path", prompts / "held_out.tsv", "--prediction_path", prompts / "texts.txt",
    )  # fmt: skip
    said = go(prompts, "-m", "scripts.error_rates", prompts / "held_out.tsv", prompts / "texts.txt")
    print(said)
    assert 0.05 < float(said.rpartition("CER ")[2].split()[0]) < 1.0


@pytest.fixture(scope="module")
def sounds(prompts):
    go(
        prompts, "preprocess.py", "--corpus_path", prompts / "sounds.txt",
        "--data_processor", "wav2vec2", "--dataset_path", prompts / "sounds",
    )  # fmt: skip
    return prompts / "sounds"


def pretrain(sounds, name, *more, fails=False):
    return go(
        sounds, "pretrain.py", "--config_path", "wav2vec2/prompts", "--dataset_path", sounds,
        "--output_model_path", sounds.parent / name, "--total_steps", "500",
        "--log_path", sounds.parent / f"{name}.jsonl", "--report_steps", "50", *more, fails=fails,
    )  # fmt: skip


@pytest.mark.heavy
def test_codes_stay_in_use(sounds):
    pretrain(sounds, "wav2vec2")
    lines = (sounds.parent / "wav2vec2.jsonl").read_text().splitlines()
    used = [json.loads(line) for line in lines if "code_perplexity" in line]
    print(used[-1])
    assert used[-1]["wav2vec2.code_perplexity"] >= 0.1 * 80


@pytest.mark.heavy
def test_a_run_without_diversity_collapses_and_is_ended(sounds):
    said = pretrain(sounds, "collapsed", "--diversity_weight", "0", fails=True)
    assert "the codes have collapsed" in said and "Traceback" not in said

"""Objectives of sounds learn: better than on shuffled texts, labels or sounds without structure."""

import sys

import numpy as np
import pytest
import torch
from support import REPOSITORY

from uer.batch import Batch
from uer.data.bucket_stream import BucketStream
from uer.recipe import read_recipe

sys.path.insert(0, str(REPOSITORY / "tests" / "processors"))
from sound_corpora import RATE, sound_store, stored

ENCODER = {
    "encoder": "transformer", "layers_num": 2, "hidden_size": 32, "emb_size": 32, "heads_num": 2,
    "feedforward_size": 64, "dropout": 0.0, "layernorm_positioning": "pre",
    "remove_embedding_layernorm": True, "sampling_rate": RATE,
}  # fmt: skip
FRAMES = {**ENCODER, "audio_feature_size": 20}
SPEECH = {
    **FRAMES, "embedding": ["speech", "sinusoidalpos"], "conv_channels": [32, 64],
    "conv_kernel_sizes": [5, 5],
}  # fmt: skip
RUNS = {
    "s2t": {
        **SPEECH, "tgt_embedding": ["word", "sinusoidalpos"], "decoder": "transformer",
        "decoder_layers_num": 1, "target": "lm",
    },
    "ctc": {**SPEECH, "target": "ctc"},
    "wav2vec2": {
        **ENCODER, "embedding": ["wave", "convpos"], "conv_channels": [32, 32, 32],
        "conv_kernel_sizes": [10, 8, 4], "conv_strides": [5, 4, 4], "conv_norm": "layer",
        "conv_pos_kernel_size": 16, "conv_pos_groups": 4, "mask_time_length": 5,
        "negatives_num": 20, "target": "wav2vec2", "codebook_size": 20, "code_size": 32,
        "contrast_size": 32, "gumbel_decay": 0.99, "feature_penalty_weight": 1.0,
        "least_code_use": 0.0,
    },
    "tera": {**FRAMES, "embedding": ["frame", "sinusoidalpos"], "target": "frames"},
    "ssast": {
        **FRAMES, "embedding": ["spectrogram", "pos"], "spectrogram_patch": [4, 5],
        "patch_mask_rate": 0.4, "max_seq_length": 400, "target": "ssast",
    },
}  # fmt: skip
LETTERS = "abcdefgh"
NOTES = 300 * 1.3 ** np.arange(8)


def melodies(count, seed):
    """Texts, and the sounds in which each letter is a note."""
    draw = np.random.default_rng(seed)
    time = np.arange(int(0.12 * RATE)) / RATE
    for _ in range(count):
        text = "".join(draw.choice(list(LETTERS), draw.integers(3, 7)))
        notes = [np.sin(6.28 * NOTES[LETTERS.index(letter)] * time) for letter in text]
        sound = 0.3 * np.concatenate(notes)
        yield text, (sound + draw.normal(0, 0.01, len(sound))).astype("f4")


def store_of(name, folder, *, noise):
    """Sixty melodies, or as many sounds in which nothing follows from anything."""
    made = list(melodies(60, 0))
    draw = np.random.default_rng(1)
    sounds = [draw.normal(0, 0.2, len(s)).astype("f4") if noise else s for _, s in made]
    texts = name in ("s2t", "ctc")
    manifest = sound_store(folder, [[text] if texts else [] for text, _ in made], [], sounds=sounds)
    return stored(folder, manifest, "transcribed_sounds" if texts else "sounds")


def last_loss(name, store, *, shuffle, steps=300):
    """Mean over the last 30 steps of the loss; of wav2vec2's without what is added to it."""
    torch.manual_seed(0)
    recipe = read_recipe(None, {**RUNS[name], "data_processor": name})
    facts = {"vocab_size": 259, "pad_id": 0, "sep_id": 1, "eos_id": 1}
    model, processor = recipe.model.build(facts), recipe.processor.build(facts)
    stream = BucketStream(store, processor, batch_size=8, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator, found = torch.Generator().manual_seed(1), []
    for step in range(steps):
        batch = stream.next()
        batch = _shuffled(batch, generator) if shuffle else batch
        (score,), (weight,) = model(batch).values(), model.weights(batch).values()
        optimizer.zero_grad()
        (score.loss_sum / weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.on_update(step + 1, steps)
        part = score.metrics.get("contrast") if name == "wav2vec2" else None
        found.append((part.total / part.weight if part else score.loss_sum / weight).item())
    return sum(found[-30:]) / 30


def _shuffled(batch, generator):
    """The batch with the texts (or frames) that are asked for in another order."""
    return Batch(
        {
            name: value[torch.randperm(len(value), generator=generator)]
            if name.startswith("labels.") and name.endswith("value")
            else value
            for name, value in batch.items()
        }
    )


@pytest.mark.heavy
@pytest.mark.parametrize("name", RUNS)
def test_the_objective_learns(tmp_path, name):
    unlabelled = name in ("wav2vec2", "ssast")  # what is asked for is the sound itself
    store = store_of(name, tmp_path / "melodies", noise=False)
    control = store_of(name, tmp_path / "noise", noise=True) if unlabelled else store
    learnt = last_loss(name, store, shuffle=False)
    unlearnable = last_loss(name, control, shuffle=not unlabelled)
    assert learnt < 0.85 * unlearnable, (learnt, unlearnable)

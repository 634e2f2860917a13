"""Objectives on images learn: every loss falls well below that of a control."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import SPECIALS, WORDS

from uer.batch import Batch
from uer.builder import build
from uer.data.media.references import MediaColumn, Reference
from uer.data.preprocess import preprocess_media
from uer.data.store import Store
from uer.data.text_stream import TextStream
from uer.recipe import read_recipe
from uer.tokenizers.base import Tokenizer

SIDE, PATCH, IMAGES = 16, 4, 128
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "stone": (120, 120, 120)}
BODY = {
    "image_height": SIDE,
    "image_width": SIDE,
    "patch_size": PATCH,
    "image_preprocess": [{"normalize": {"statistics": "half"}}],
    "emb_size": 32,
    "hidden_size": 32,
    "feedforward_size": 64,
    "heads_num": 2,
    "layers_num": 2,
    "dropout": 0.0,
    "encoder": "transformer",
    "layernorm_positioning": "pre",
    "remove_embedding_layernorm": True,
}
CONFIGS = {
    "vit": {"embedding": ["patch", "pos"], "max_seq_length": 17, "target": ["cls"]},
    "mae": {
        "embedding": ["patch", "gridpos"],
        "decoder": "mae",
        "decoder_layers_num": 1,
        "normalize_pixels": False,
        "image_mask_rate": 0.5,
        "target": ["pixel"],
    },
    "beit": {
        "embedding": ["masked_patch"],
        "position": "patch_relative",
        "layer": "scaled",
        "codes_num": 8,
        "target": ["codes"],
    },
    "vilt": {
        "embedding": ["word_patch", "pos", "seg"],
        "max_seq_length": 24,
        "seq_length": 4,
        "mask_rate": 0.5,
        "target": ["mlm", "sp"],
    },
}


def pictures():
    """Bright or dark halves in one of three colours, with noise: [N, Y, X, 3] and their kinds."""
    draw = np.random.default_rng(0)
    kind = draw.integers(0, 4, IMAGES)  # which half is bright
    colour = draw.integers(0, len(COLOURS), IMAGES)
    pixels = np.zeros((IMAGES, SIDE, SIDE, 3))
    pixels += np.array(list(COLOURS.values()))[colour][:, None, None]
    half = SIDE // 2
    bright = np.full((4, SIDE, SIDE), 0.3)
    bright[0, :half], bright[1, half:], bright[2, :, :half], bright[3, :, half:] = 1, 1, 1, 1
    pixels = pixels * bright[kind][..., None] + draw.normal(0, 8, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8), kind, colour


def store_of(name, folder):
    pixels, kind, colour = pictures()
    names = [f"{number}.png" for number in range(IMAGES)]
    for image, file in zip(pixels, names, strict=True):
        Image.fromarray(image).save(folder / file)
    if name == "vilt":
        words, places = list(COLOURS), ("here", "there", "under", "over")
        rows = [f"{words[c]} {places[k]}\t{f}" for c, k, f in zip(colour, kind, names, strict=True)]
        (folder / "pairs.tsv").write_text("\n".join(rows) + "\n")
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in [*SPECIALS, *WORDS]))
        tokenizer = build(Tokenizer, "bert", vocab_path=str(folder / "vocab.txt"))
        preprocess_media(
            [folder / "pairs.tsv"],
            folder / "data",
            tokenizer=tokenizer,
            corpus_format="captioned_images",
        )
        return Store.open(folder / "data")
    patches = pixels.reshape(IMAGES, 4, PATCH, 4, PATCH, 3).mean((2, 4))  # [N, 4, 4, 3]
    code = (patches.max(-1) > 100) * 4 + patches.argmax(-1)
    columns = {"label": kind, "codes": code.reshape(IMAGES, 16)}
    media = {"image": MediaColumn.of(folder, [Reference(file) for file in names])}
    return Store.in_memory(None, [], columns=columns, media=media)


def shuffled(batch, generator):
    """The batch with the values of its labels in another order; patches among other images."""
    fields = dict(batch)
    if "src.visible" in batch:  # every patch at its place, but of any image
        image = batch["src.image"].clone()
        for y in range(0, SIDE, PATCH):
            for x in range(0, SIDE, PATCH):
                order = torch.randperm(len(image), generator=generator)
                place = (..., slice(y, y + PATCH), slice(x, x + PATCH))
                image[place] = batch["src.image"][order][place]
        fields["src.image"] = image
    for name, value in batch.items():
        if name.startswith("labels.") and name.endswith("value"):
            fields[name] = value[torch.randperm(len(value), generator=generator)]
    return Batch(fields)


def last_loss(name, store, *, control):
    """Of the first target, over the last 20 of 300 steps."""
    torch.manual_seed(0)
    recipe = read_recipe(None, {**BODY, **CONFIGS[name], "data_processor": name})
    tokens = store.tokenizer().facts() if store.sides else {}
    facts = {**tokens, "labels_num": 4}
    model, processor = recipe.model.build(facts).train(), recipe.processor.build(facts)
    stream = TextStream(
        store, processor, batch_size=16, seq_length=processor.seq_length, packing="off", seed=1
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator, last = torch.Generator().manual_seed(1), []
    target = CONFIGS[name]["target"][0]
    for _ in range(300):
        batch = stream.next()
        batch = shuffled(batch, generator) if control else batch
        scores, weights = model(batch), model.weights(batch)
        means = {key: score.loss_sum / weights[key] for key, score in scores.items()}
        optimizer.zero_grad()
        torch.stack(list(means.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        last.append(means[target].item())
    return sum(last[-20:]) / 20


@pytest.mark.heavy
@pytest.mark.parametrize("name", CONFIGS)
def test_the_objective_learns(tmp_path, name):
    store = store_of(name, tmp_path)
    learnt, control = (last_loss(name, store, control=control) for control in (False, True))
    assert learnt < 0.9 * control

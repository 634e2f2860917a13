"""An image tokenizer: codes, pixels, and what it learns."""

import pytest
import torch
from support import TINY, model_of
from torch.nn import functional as F

from uer.batch import Batch
from uer.errors import ConfigError
from uer.optimizers.adamw import AdamW
from uer.training.engines.single import SingleDevice
from uer.training.trainer import update

VQ = {
    **{key: value for key, value in TINY.items() if key != "max_seq_length"},
    "embedding": {"sum": {"parts": ["patch", "pos"], "max_seq_length": 6}},
    "class_token": False,
    "image_height": 8,
    "image_width": 12,
    "patch_size": 4,
    "channels_num": 2,
    "encoder": "transformer",
    "target": "vq",
    "codebook_size": 7,
    "code_size": 5,
}


def pictures(rows=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    fields = {"src.image": torch.randn(rows, 2, 8, 12, generator=draw)}
    return Batch({**fields, "src.length": torch.full((rows,), 6)})


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("decay", [None, 0.9])
def test_the_loss_is_the_error_of_what_is_painted_and_the_distance_to_codes(decay, class_token):
    changes = {"class_token": class_token, "codebook_decay": decay}
    if class_token:
        changes["embedding"] = ["patch", "pos"]
    model, batch = model_of({**VQ, **changes}), pictures()
    target = model.heads["vq"]
    states = model.states(batch)
    codes = target.codes(states)
    assert codes.shape == (3, 6) and codes.dtype == torch.int64
    painted = target.image(codes)
    assert painted.shape == (3, 2, 8, 12)
    away = F.normalize(target.to_code(states.hidden[:, int(class_token) :]), dim=-1)
    distance = (away - target.codebook.vectors(codes)).square().mean(-1).sum()
    pixels = F.mse_loss(painted, batch["src.image"]) * 18
    score = model(batch)["vq"]
    assert model.weights(batch)["vq"] == 18
    times = 0.25 if decay else 1.25
    torch.testing.assert_close(score.loss_sum, pixels + times * distance, atol=1e-4, rtol=1e-5)
    score.loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_patches_are_painted_where_they_were_cut():
    model = model_of(VQ)
    target = model.heads["vq"]
    with torch.no_grad():
        target.to_pixels.weight.zero_()
        target.to_pixels.bias.copy_(torch.arange(32.0))
    painted = target.image(torch.zeros(1, 6, dtype=torch.int64))
    one = torch.arange(32.0).view(2, 4, 4)
    for row in range(2):
        for column in range(3):
            assert torch.equal(painted[0, :, 4 * row : 4 * row + 4, 4 * column :][..., :4], one)


def test_a_batch_that_only_fills_has_no_items():
    model, batch = model_of(VQ).train(), dict(pictures(1))
    batch["src.length"] = batch["src.length"][:0]
    score = model(Batch(batch))["vq"]
    assert score.loss_sum == 0 and model.weights(Batch(batch))["vq"] == 0
    score.loss_sum.backward()
    model.on_update(1, 2)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_other_images_than_it_was_made_for_are_refused():
    model = model_of(VQ)
    with pytest.raises(ConfigError, match="codes 6 patches of an image and finds 4"):
        model(Batch({"src.image": torch.zeros(1, 2, 8, 8)}))
    with pytest.raises(ConfigError, match="patch_size"):
        model_of({**VQ, "patch_size": 5})


@pytest.mark.parametrize(("decay", "share", "least"), [(None, 0.3, 2), (0.9, 0.05, 12)])
def test_it_learns_to_paint_with_codes(decay, share, least):
    """Images of sixteen greys. Trained codes, which do not split, stay few."""
    torch.manual_seed(0)
    sizes = {"codebook_size": 64, "code_size": 8}
    model = model_of({**VQ, **sizes, "codebook_decay": decay}).train()
    engine, optimizer = SingleDevice(), AdamW()
    engine.prepare(model, lambda: optimizer.build(model.decay_groups(), 3e-3))
    for step in range(200):
        greys = torch.randint(16, (16, 2, 3)) / 4 - 1.5
        image = greys.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None].expand(-1, 2, -1, -1)
        batch = Batch({"src.image": image, "src.length": torch.full((16,), 6)})
        _, scored = update(engine, model, [batch], 3e-3)
        model.on_update(step + 1, 200)
    metrics = scored[0].scores["vq"].metrics
    error, used = (float(r.total / r.weight) for r in metrics.values())
    assert error < share * image.var() and used > least

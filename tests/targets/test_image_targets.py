import json

import pytest
import torch
from support import TINY, model_of
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import build
from uer.components import Target
from uer.errors import ConfigError, DataError
from uer.layers.pooling import pool
from uer.states import States
from uer.training.checkpoint import Contents, save_checkpoint

IMAGE = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))  # 2 x 3 patches of 2
HIDDEN = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(1))
STATES = States(HIDDEN, indexed=slice(1, 7), parts={"image": slice(1, 7)})
INDEX = torch.tensor([1, 5, 6 + 0])


def target(name, **keys):
    made = build(Target, name, input_size=8, **keys)
    made.name = name
    return made


@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("normalised", [True, False])
def test_pixels_are_predicted_where_labels_say(loss, normalised):
    head = target("pixel", patch_size=2, normalize_pixels=normalised, pixel_loss=loss)
    batch = Batch({"src.image": IMAGE, "labels.pixel.index": INDEX})
    score, total = head(STATES, batch), 0.0
    for row, patch in ((0, 1), (0, 5), (1, 0)):
        y, x = patch // 3 * 2, patch % 3 * 2
        wanted = IMAGE[row, :, y : y + 2, x : x + 2].permute(1, 2, 0).flatten()
        if normalised:
            wanted = (wanted - wanted.mean()) / (wanted.var() + 1e-6).sqrt()
        error = head.output(HIDDEN[row, 1 + patch]) - wanted
        total = total + (error.square() if loss == "l2" else error.abs()).mean()
    torch.testing.assert_close(score.loss_sum, total)
    assert head.weight(batch) == 3


def test_without_hidden_patches_the_loss_is_a_connected_zero():
    head = target("pixel", patch_size=2)
    empty = Batch({"src.image": IMAGE, "labels.pixel.index": INDEX[:0]})
    score = head(STATES, empty)
    assert score.loss_sum == 0 and head.weight(empty) == 0
    score.loss_sum.backward()
    assert head.output.weight.grad.abs().max() == 0


def test_codes_are_predicted_where_labels_say():
    head = target("codes", codes_num=5)
    value = torch.tensor([4, 0, 2])
    batch = Batch({"labels.codes.index": INDEX, "labels.codes.value": value})
    logits = head.output(HIDDEN[[0, 0, 1], [2, 6, 1]])
    score = head(STATES, batch)
    torch.testing.assert_close(score.loss_sum, F.cross_entropy(logits, value, reduction="sum"))
    assert score.metrics["accuracy"].total == (logits.argmax(-1) == value).sum()


def test_a_teacher_is_learnt_from_by_a_token_of_its_own():
    head = target("distillation", labels_num=3)
    states = States(HIDDEN, parts={"distillation": slice(1, 2)})
    logits = head.output(HIDDEN[:, 1])
    for value in (torch.tensor([2, 0]), torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])):
        batch = Batch({"src.image": IMAGE, "labels.distillation.value": value})
        assert head.prepare(batch)[0] is batch and head.weight(batch) == 2
        score = head(states, batch)
        wanted = F.cross_entropy(logits, value, reduction="sum")
        torch.testing.assert_close(score.loss_sum, wanted)
    with pytest.raises(DataError, match="needs distillation_token: true"):
        head.logits(STATES)


STUDENT = {
    "embedding": ["patch", "pos"],
    "image_height": 4,
    "image_width": 6,
    "patch_size": 2,
    "encoder": "transformer",
    "layernorm_positioning": "pre",
    **{**TINY, "max_seq_length": 8},
}


def test_a_teacher_labels_the_images_it_is_shown(tmp_path):
    config = {**STUDENT, "target": ["cls"], "pooling": "patches"}
    teacher = model_of(config)
    contents = Contents(config=json.dumps({**config, "facts": {"labels_num": 3}}))
    save_checkpoint(tmp_path / "teacher", teacher.state_dict(), contents)
    taught = {**STUDENT, "distillation_token": True, "target": ["cls", "distillation"]}
    student = model_of({**taught, "teacher_model_path": str(tmp_path / "teacher")})
    batch = Batch({"src.image": IMAGE, "labels.cls.value": torch.tensor([1, 0])})
    classes = teacher.heads["cls"].logits(teacher.states(batch)).argmax(-1)
    scores = student(batch)
    logits = student.heads["distillation"].logits(student.states(batch))
    wanted = F.cross_entropy(logits, classes, reduction="sum")
    torch.testing.assert_close(scores["distillation"].loss_sum, wanted)
    assert student.weights(batch)["distillation"] == 2
    assert not any("teacher" in name for name in student.state_dict())
    with pytest.raises(ConfigError, match="needs the key 'teacher_model_path'"):
        model_of(taught)(batch)
    other = model_of({**taught, "teacher_model_path": str(tmp_path / "teacher")}, labels_num=4)
    with pytest.raises(ConfigError, match="is no classifier of 4 classes"):
        other(batch)


def test_patches_are_pooled_without_the_tokens_before_them():
    torch.testing.assert_close(pool(STATES, "patches"), HIDDEN[:, 1:].mean(1))
    with pytest.raises(DataError, match="pooling 'patches' is for images"):
        pool(States(HIDDEN), "patches")


def test_what_was_pooled_may_be_normalised():
    head = target("cls", labels_num=3, pooled_norm="normal", classifier_hidden=False)
    wanted = head.output(F.layer_norm(HIDDEN[:, 0], (8,), eps=1e-6))
    torch.testing.assert_close(head.logits(STATES), wanted)

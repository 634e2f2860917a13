"""Targets whose teacher is a copy of the model: what is compared, counted, followed and kept."""

import math

import pytest
import torch
from support import TINY, batch_of, documents_of, model_of
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import Planner
from uer.errors import ConfigError, DataError
from uer.layers.projection import BatchNorm
from uer.model import Model
from uer.training.checkpoint import Contents, load_weights, save_checkpoint

BODY = {"encoder": "transformer", **TINY, "embedding": ["word", "pos"], "pooling": "mean"}
TEACHER = {"copy": "model", "momentum": 0.9}
DINO = {
    **BODY,
    "target": "dino",
    "prototypes_num": 12,
    "projection_hidden_size": 10,
    "projection_size": 6,
    "teacher": TEACHER,
}
BYOL = {
    **BODY,
    "target": "byol",
    "projection_hidden_size": 10,
    "projection_size": 6,
    "teacher": TEACHER,
}
DATA2VEC = {**BODY, "target": "data2vec", "top_layers": 2, "teacher": TEACHER}
del DATA2VEC["pooling"]
LENGTHS = (6, 9, 4)


def side(name, lengths, seed):
    made, _ = batch_of(documents_of(lengths, seed), [[n] for n in range(len(lengths))])
    return {f"{name}.{k[4:]}": v for k, v in made.items() if k.startswith("src.")}


def shown(lengths=LENGTHS, more=2, seed=0):
    """A batch of several views of each row."""
    fields = side("src", lengths, seed)
    for number in range(more):
        fields |= side(f"view.{number}", lengths, 10 * number + seed + 1)
    return Batch(fields)


def masked(lengths=LENGTHS):
    """A batch in which the student misses some tokens; the teacher of text sees the same."""
    batch, _ = batch_of(documents_of(lengths), [[n] for n in range(len(lengths))])
    fields = {k: v for k, v in batch.items() if k.startswith("src.")}
    return Batch({**fields, "labels.data2vec.index": torch.tensor([1, 3, 10, 19])})


def head_of(model):
    (head,) = model.heads.values()
    return head


# ---------------------------------------------------------------------------------- the teacher


def test_a_teacher_is_no_part_of_what_is_trained():
    model = model_of(DINO).train()
    teacher = head_of(model).teacher
    own = {id(p) for p in teacher.parameters()}
    assert own and not any(p.requires_grad for p in teacher.parameters())
    decayed, spared = model.decay_groups()
    assert not own & {id(p) for _, p in (*decayed, *spared)}
    assert model.training and not any(module.training for module in teacher.modules())
    student = sum(p.numel() for part in (model.embedding, model.encoder) for p in part.parameters())
    head = sum(p.numel() for p in head_of(model).head.parameters())
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == student + head
    assert list(model.objectives) == ["dino"]


def test_it_begins_as_the_weights_that_were_loaded_and_goes_on_as_it_was_saved():
    model = model_of(DINO)
    teacher = head_of(model).teacher
    table = model.embedding.table
    assert not torch.equal(teacher["embedding"].table, table)
    model.on_start()
    assert torch.equal(teacher["embedding"].table, table)
    model.on_update(1, 10)
    before = teacher["embedding"].table.clone()
    with torch.no_grad():
        table.add_(1.0)
    model.on_start()
    assert torch.equal(teacher["embedding"].table, before)


def test_it_keeps_its_momentum_of_itself():
    model = model_of(DINO)
    model.on_start()
    teacher = head_of(model).teacher
    expected = [p.clone().double() for p in teacher.parameters()]
    for step in range(1, 5):
        with torch.no_grad():
            for p in model.parameters():
                if p.requires_grad:
                    p.add_(torch.randn_like(p))
        model.on_update(step, 8)
        momentum = 1 - 0.1 * (math.cos(math.pi * step / 8) + 1) / 2
        students = [model.embedding, model.encoder, head_of(model).head]
        weights = [p for student in students for p in student.parameters()]
        expected = [
            momentum * old + (1 - momentum) * new
            for old, new in zip(expected, weights, strict=True)
        ]
    for own, wanted in zip(teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(own.double(), wanted, atol=1e-6, rtol=1e-5)


def test_its_momentum_rises_on_a_cosine_or_a_line():
    teacher = head_of(model_of(DINO)).teacher
    assert teacher.momentum_of(5, 10) == pytest.approx(0.95)
    assert teacher.momentum_of(10, 10) == pytest.approx(1.0)
    line = {"copy": "model", "momentum": 0.99, "momentum_end": 0.999, "momentum_updates": 4}
    teacher = head_of(model_of({**DINO, "teacher": line})).teacher
    found = [teacher.momentum_of(step, 100) for step in (1, 2, 4, 50)]
    assert found == pytest.approx([0.99225, 0.9945, 0.999, 0.999])


def test_what_it_is_made_of_is_checked():
    for teacher, word in (
        ({"copy": "model", "momentum": 1.5}, "momentum"),
        ({"copy": "model", "momentum_updates": 0}, "momentum_updates"),
        ({"copy": "me"}, "copy"),
        ({"momentum": 0.9}, "copy"),
    ):
        with pytest.raises(ConfigError, match=word):
            model_of({**DINO, "teacher": teacher})
    with pytest.raises(ConfigError, match="teacher"):
        model_of({key: value for key, value in DINO.items() if key != "teacher"})
    decoding = {"tgt_embedding": ["word"], "decoder": "transformer"}
    with pytest.raises(ConfigError, match="leave the decoder out"):
        model_of({**DINO, **decoding})


@pytest.mark.parametrize("config", [DINO, BYOL])
def test_a_checkpoint_holds_the_teacher_and_its_place(tmp_path, config):
    model, other = model_of(config, seed=1).train(), model_of(config, seed=2)
    model(shown())
    model.on_update(1, 10)
    save_checkpoint(tmp_path / "c", model.state_dict(), Contents(config="x: 1\n"))
    report = load_weights(other, tmp_path / "c")
    assert not report.missing and not report.unexpected
    other.on_start()
    for (name, left), right in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name


def test_it_is_built_without_weights_for_counting():
    planner = Planner(DINO)
    plan = planner.section(Model)
    with torch.device("meta"):
        model = plan.build({"vocab_size": 30})
    assert all(p.is_meta for p in model.parameters())


# ------------------------------------------------------------------------------------- the losses


def vectors(part, config, batch, name):
    """What a part of the model (the model itself or its teacher's) makes of a view, by hand."""
    embedding, encoder = part
    states = encoder(embedding(batch.side(name), None))
    lengths = batch[f"{name}.length"]
    return torch.stack([h[:n].mean(0) for h, n in zip(states.hidden, lengths, strict=True)])


def parts(model):
    teacher = head_of(model).teacher
    return (model.embedding, model.encoder), (teacher["embedding"], teacher["encoder"])


NAMES = ("src", "view.0", "view.1", "view.2")


def expected_dino(model, batch, temperature, names=NAMES):
    head, (student, teacher) = head_of(model), parts(model)

    def cosines(head, rows):
        units = F.normalize(head.output(head.maps(rows)), dim=-1)
        return units @ F.normalize(head.prototypes, dim=-1).T

    mine = [cosines(head.head, vectors(student, DINO, batch, n)) / 0.1 for n in names]
    theirs = [
        cosines(head.teacher["head"], vectors(teacher, DINO, batch, n)).detach() for n in names[:2]
    ]
    losses = [
        F.cross_entropy(mine[s], ((theirs[t] - head.centre) / temperature).softmax(-1))
        for t in range(2)
        for s in range(len(names))
        if s != t
    ]
    return sum(losses) / len(losses), torch.cat(theirs)


def test_dino_compares_every_pair_of_views():
    model, batch = model_of(DINO), shown(more=3)
    head_of(model).centre.copy_(torch.randn(12) * 0.1)
    score = model(batch)["dino"]
    expected, _ = expected_dino(model, batch, 0.07)
    weight = model.weights(batch)["dino"]
    assert weight == 3
    torch.testing.assert_close(score.loss_sum / weight, expected, atol=1e-5, rtol=1e-5)
    score.loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_dinos_centre_follows_the_teacher_once_an_update():
    model = model_of(DINO).train()
    one, two = shown(seed=0), shown((5, 3), seed=3)
    names = NAMES[:3]
    said = [expected_dino(model, batch, 0.07, names)[1] for batch in (one, two)]
    model(one), model(two)
    assert head_of(model).centre.abs().max() == 0
    model.on_update(1, 100)
    expected = 0.1 * torch.cat(said).mean(0)
    torch.testing.assert_close(head_of(model).centre, expected, atol=1e-6, rtol=1e-5)
    before = head_of(model).centre.clone()
    model.eval()(one)
    model.on_update(2, 100)  # nothing was said in training
    assert torch.equal(head_of(model).centre, before)


def test_dinos_loss_is_a_sum_over_images():
    model = model_of(DINO)
    assert model.additive
    whole = shown()
    halves = [shown_rows(whole, rows) for rows in ([0, 1], [2])]
    sums = [model(half)["dino"].loss_sum for half in halves]
    torch.testing.assert_close(model(whole)["dino"].loss_sum, sum(sums), atol=1e-5, rtol=1e-5)


def shown_rows(batch, rows):
    return Batch({name: value[rows] for name, value in batch.items()})


def test_the_teachers_temperature_warms_up_and_prototypes_wait():
    changes = {"teacher_temperature_updates": 4, "frozen_prototypes_updates": 2}
    model, batch = model_of({**DINO, **changes}).train(), shown()
    for update, temperature in ((0, 0.04), (1, 0.0475), (2, 0.055), (4, 0.07), (9, 0.07)):
        head_of(model).updates.fill_(update)
        score = model(batch)["dino"]
        expected, _ = expected_dino(model, batch, temperature, NAMES[:3])
        torch.testing.assert_close(score.loss_sum / 3, expected, atol=1e-5, rtol=1e-5)
        model.zero_grad()
        score.loss_sum.backward()
        moved = head_of(model).head.prototypes.grad.abs().max() > 0
        assert bool(moved) == (update >= 2)


def test_dinos_figures_show_both_collapses():
    model, batch = model_of(DINO), shown()
    head = head_of(model)

    def figures():
        return {k: float(r.total / r.weight) for k, r in model(batch)["dino"].metrics.items()}

    assert 0 < figures()["entropy"] < 1
    with torch.no_grad():  # one prototype wins everywhere
        head.centre.zero_()
        head.centre[3] = -100.0
    assert figures()["entropy"] < 1e-3 and figures()["diversity"] < 1e-3
    with torch.no_grad():  # all prototypes are alike, and so are all images
        head.centre.zero_()
        for one in (head.head, head.teacher["head"]):
            one.prototypes.fill_(1.0)
            one.output.weight.zero_()
    assert figures()["entropy"] > 0.999 and figures()["feature_spread"] < 1e-3


def test_byol_predicts_the_other_view_of_the_teacher():
    model, batch = model_of(BYOL), shown(more=1)
    assert not model.additive
    head, (student, teacher) = head_of(model), parts(model)

    def mlp(maps, rows):
        first, norm, _, last = maps
        hidden = F.batch_norm(first(rows), None, None, norm.weight, norm.bias, training=True)
        return last(hidden.relu())

    losses = []
    for one, other in (("src", "view.0"), ("view.0", "src")):
        said = mlp(head.predictor, mlp(head.projection, vectors(student, BYOL, batch, one)))
        wanted = mlp(head.teacher["projection"], vectors(teacher, BYOL, batch, other))
        pair = [F.normalize(v, dim=-1) for v in (said, wanted)]
        losses.append(F.mse_loss(*pair, reduction="sum"))
    score = model(batch)["byol"]
    torch.testing.assert_close(score.loss_sum, sum(losses), atol=1e-5, rtol=1e-4)
    score.loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_batch_norm_is_torchs():
    rows, norm = torch.randn(7, 5) * 3 + 1, BatchNorm(5)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    expected = F.batch_norm(rows, None, None, norm.weight, norm.bias, training=True)
    torch.testing.assert_close(norm(rows), expected)
    assert norm(rows[:0]).shape == (0, 5)


@pytest.mark.parametrize(("beta", "top"), [(2.0, 2), (0.0, 1), (0.5, 2)])
def test_data2vec_predicts_the_mean_of_normalised_layers(beta, top):
    model = model_of({**DATA2VEC, "smooth_l1_beta": beta, "top_layers": top})
    batch = masked()
    index = batch["labels.data2vec.index"]
    _, (embedding, encoder) = parts(model)
    made = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: made.append(out)) for layer in encoder.layers
    ]
    with torch.no_grad():
        encoder(embedding(batch.side("src"), None))
    for hook in hooks:
        hook.remove()
    layers = [F.layer_norm(one.flatten(0, 1)[index], (16,)) for one in made[-top:]]
    wanted = torch.stack(layers).mean(0)
    said = head_of(model).output(model.states(batch).at(index))
    away = (said - wanted).abs()
    each = torch.where(away < beta, away**2 / (2 * max(beta, 1e-9)), away - beta / 2)
    score = model(batch)["data2vec"]
    torch.testing.assert_close(score.loss_sum, each.mean(-1).sum(), atol=1e-5, rtol=1e-5)
    assert model.weights(batch)["data2vec"] == 4 and model.additive
    figure = score.metrics["target_spread"]
    expected = wanted.std(0, correction=0).mean()
    torch.testing.assert_close(figure.total / figure.weight, expected, atol=1e-5, rtol=1e-5)


def test_data2vec_needs_the_layers_it_averages():
    with pytest.raises(ConfigError, match="top_layers: 3, but the encoder has 2"):
        model_of({**DATA2VEC, "top_layers": 3})
    recurrent = {"encoder": "lstm", "embedding": ["word"], "bidirectional": False}
    keys = {key: DATA2VEC[key] for key in ("target", "teacher", "top_layers")}
    sizes = {key: TINY[key] for key in ("emb_size", "hidden_size", "layers_num", "dropout")}
    with pytest.raises(ConfigError, match="choose transformer"):
        model_of({**recurrent, **keys, **sizes})


@pytest.mark.parametrize(("config", "make"), [(DINO, shown), (BYOL, shown), (DATA2VEC, masked)])
def test_without_items_the_loss_is_a_connected_zero(config, make):
    model, batch = model_of(config).train(), dict(make())
    for name in batch:
        if name.endswith((".length", ".index")):
            batch[name] = batch[name][:0]
    batch["src.first"] = torch.zeros(0, dtype=torch.int64)
    for name in [name for name in batch if name.startswith("view")]:
        batch[f"{name.rpartition('.')[0]}.first"] = batch["src.first"]
    score = next(iter(model(Batch(batch)).values()))
    assert score.loss_sum == 0 and not score.loss_sum.isnan()
    score.loss_sum.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.on_update(1, 10)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("config", [DINO, BYOL])
def test_one_view_is_refused(config):
    with pytest.raises(DataError, match="views"):
        model_of(config)(shown(more=0))


# ---------------------------------------------------------------------------------- the encoder


@pytest.mark.parametrize("more", [{}, {"parameter_sharing": True}])
def test_an_encoder_gives_its_layers_when_asked(more):
    model = model_of({**BODY, **more, "target": "dino", **{k: DINO[k] for k in DINO.keys() - BODY}})
    side = shown().side("src")
    before = model.encoder(model.embedding(side, None))
    assert "layers" not in before.extras
    model.encoder.keep_layers()
    after = model.encoder(model.embedding(side, None))
    assert after.extras["layers"].shape == (2, 3, 9, 16)
    assert torch.equal(after.hidden, before.hidden)
    assert torch.equal(after.extras["layers"][-1], after.hidden)  # no norm follows: post

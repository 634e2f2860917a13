"""Self-distilled features know what views have in common; without a common thing they do not.

Images are one of eight patterns under noise that is as strong and differs in every view. Neighbours
by features are asked for the pattern: of an untrained model, of one whose views show the same
pattern, and of the control, whose views show patterns that have nothing to do with each other.
"""

import pytest
import torch
from support import TINY
from torch.nn import functional as F

from uer.batch import Batch
from uer.builder import Planner
from uer.model import Model
from uer.optimizers.adamw import AdamW
from uer.training.engines.single import SingleDevice
from uer.training.trainer import update

pytestmark = pytest.mark.heavy

KINDS, SIDE, PATCH, ROWS = 8, 16, 4, 32
STEPS = {"byol": 300, "dino": 300, "data2vec": 600}
PATCHES = (SIDE // PATCH) ** 2
BODY = {
    **TINY,
    "emb_size": 32,
    "hidden_size": 32,
    "feedforward_size": 64,
    "heads_num": 4,
    "embedding": ["patch", "pos"],
    "max_seq_length": PATCHES + 1,
    "image_height": SIDE,
    "image_width": SIDE,
    "patch_size": PATCH,
    "channels_num": 1,
    "encoder": "transformer",
    "layernorm_positioning": "pre",
    "teacher": {"copy": "model", "momentum": 0.98},
}
HEAD = {"pooling": "mean", "projection_hidden_size": 64, "projection_size": 32}
CONFIGS = {
    "byol": {**BODY, **HEAD, "target": "byol"},
    # Cold: with 0.07, good for 65,536 prototypes, so few vectors drift together.
    "dino": {
        **BODY,
        **HEAD,
        "target": "dino",
        "prototypes_num": 64,
        "teacher_temperature": 0.04,
    },
    "data2vec": {
        **BODY,
        "embedding": ["masked_patch", "pos"],
        "target": "data2vec",
        "top_layers": 2,
    },
}


def patterns():
    draw = torch.Generator().manual_seed(5)
    small = torch.randn(KINDS, 1, SIDE // PATCH, SIDE // PATCH, generator=draw)
    return F.interpolate(small, SIDE)


def images(kinds, generator, noise=1.0):
    """Their patterns under noise as coarse as they are."""
    small = torch.randn(len(kinds), 1, SIDE // PATCH, SIDE // PATCH, generator=generator)
    return patterns()[kinds] + noise * F.interpolate(small, SIDE)


def batch_of(name, generator, shuffled):
    kinds = torch.randint(KINDS, (ROWS,), generator=generator)
    length = torch.full((ROWS,), PATCHES)
    fields = {"src.image": images(kinds, generator), "src.length": length}
    if name != "data2vec":
        others = torch.randint(KINDS, (ROWS,), generator=generator) if shuffled else kinds
        return Batch({**fields, "view.0.image": images(others, generator), "view.0.length": length})
    masked = torch.rand(ROWS, PATCHES, generator=generator).argsort(1) < PATCHES // 2
    fields |= {"src.image": images(kinds, generator, noise=0.3), "src.masked": masked}
    if shuffled:  # every patch of another image
        patches = F.unfold(fields["src.image"], PATCH, stride=PATCH)
        mixed = torch.stack(
            [p[torch.randperm(ROWS, generator=generator)] for p in patches.unbind(2)]
        )
        fields["src.image"] = F.fold(mixed.permute(1, 2, 0), SIDE, PATCH, stride=PATCH)
    return Batch({**fields, "labels.data2vec.index": masked.flatten().nonzero().flatten()})


def built(name):
    planner = Planner(CONFIGS[name])
    plan = planner.section(Model)
    planner.finish()
    torch.manual_seed(1)
    return plan.build({})


def trained(name, *, shuffled=False):
    model, generator = built(name).train(), torch.Generator().manual_seed(2)
    model.on_start()
    engine, optimizer = SingleDevice(), AdamW()
    engine.prepare(model, lambda: optimizer.build(model.decay_groups(), 2e-3))
    for step in range(1, STEPS[name] + 1):
        _, scored = update(engine, model, [batch_of(name, generator, shuffled)], 2e-3)
        model.on_update(step, STEPS[name])
    figures = scored[0].scores[name].metrics
    return model, {key: float(r.total / r.weight) for key, r in figures.items()}


@torch.no_grad()
def neighbours_agree(model):
    """Share of 256 images whose five nearest of 256 others show mostly their pattern."""
    model.eval()
    generator = torch.Generator().manual_seed(3)
    kinds = torch.randint(KINDS, (512,), generator=generator)
    states = model.states(Batch({"src.image": images(kinds, generator)}))
    features = F.normalize(states.hidden[:, 1:].mean(1), dim=-1)
    near = (features[256:] @ features[:256].T).topk(5).indices
    votes = F.one_hot(kinds[:256][near], KINDS).sum(1)
    return (votes.argmax(-1) == kinds[256:]).float().mean().item()


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_features_know_what_views_have_in_common(name):
    at_random = neighbours_agree(built(name))
    model, figures = trained(name)
    control, _ = trained(name, shuffled=True)
    learnt, without = neighbours_agree(model), neighbours_agree(control)
    print(name, at_random, learnt, without, figures)
    assert learnt > at_random + 0.1 and learnt > without + 0.1
    assert figures["feature_spread"] > 0.15  # no collapse


def test_what_is_hidden_is_predicted_from_what_is_seen():
    """Of a pattern the rest follows, of patches of different images nothing does."""
    model, figures = trained("data2vec")
    control, _ = trained("data2vec", shuffled=True)
    generator = torch.Generator().manual_seed(4)

    @torch.no_grad()
    def explained(one, shuffled):
        batch = batch_of("data2vec", generator, shuffled)
        head = one.eval().heads["data2vec"]
        index = batch["labels.data2vec.index"]
        whole = Batch({"image": batch["src.image"]})
        wanted = head._targets(head.taught(whole), index)
        said = head.output(one.states(batch).at(index))
        place = index % PATCHES  # what follows from the place alone explains nothing
        share = F.one_hot(place, PATCHES).float()
        mean = (share.T @ wanted) / share.sum(0)[:, None].clamp(min=1)
        return 1 - ((said - wanted).square().sum() / (mean[place] - wanted).square().sum()).item()

    print("data2vec", explained(model, False), explained(control, True), figures)
    assert explained(model, False) > explained(control, True) + 0.2
    assert figures["target_spread"] > 0.1

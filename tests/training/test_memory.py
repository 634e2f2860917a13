"""What a step is said to hold, beside what torch's allocator reports for the real one."""

import copy

import pytest
import torch
from support import BERT, MODELS, batch_of, documents_of, model_of
from torch.profiler import profile

from uer.layers.dropout import Dropout
from uer.optimizers.adafactor import Adafactor
from uer.optimizers.adamw import AdamW
from uer.score import Score
from uer.training.blocks import recompute
from uer.training.lora import adapt
from uer.training.memory import Step, simulate
from uer.training.settings import Settings

TOLERANCE = 0.02  # stated in docs/scaling.md
WIDE = {"emb_size": 128, "hidden_size": 128, "feedforward_size": 512, "heads_num": 4}
CASES = [
    ("bert", "fp32", "", AdamW()),
    ("gpt2", "fp32", "recomputed", Adafactor()),
    ("llama", "bf16", "", AdamW(correct_bias=False)),
    ("bert", "fp32", "adapted", AdamW()),
]


def build(name, how=""):
    model = model_of({**MODELS[name], **WIDE}, vocab_size=3000)
    if how == "adapted":
        adapt(model, Settings(output_model_path="-", use_lora=True, lora_targets=["encoder"]))
    return model


def batch(rows=8):
    return batch_of(documents_of([64] * rows), [[number] for number in range(rows)])[0]


def allocated(run):
    """The most that torch's allocator holds while something runs, above what it held before."""
    with profile(profile_memory=True) as recorded:
        run()
    held = highest = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


@pytest.mark.parametrize(("name", "precision", "how", "optimizer"), CASES)
def test_a_step_holds_what_it_is_said_to(name, precision, how, optimizer):
    def make(model):
        return optimizer.build(model.decay_groups(), 1e-3)

    said = simulate(
        lambda: build(name, how),
        make,
        batch(),
        precision=precision,
        checkpoint_activations=how == "recomputed",
    )
    model = build(name, how).train()
    made = make(model)
    if how == "recomputed":
        recompute(model)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            scores = model(batch())
        torch.stack([score.loss_sum for score in scores.values()]).sum().backward()

    highest = allocated(run)
    assert said.peak() == pytest.approx(highest, rel=TOLERANCE)
    assert highest > 2**23  # more than chance would hide
    made.step()
    state = [v for one in made.state.values() for v in one.values()]
    size = {True: 0, False: 0}
    for parameter in model.parameters():
        size[parameter.requires_grad] += 4 * parameter.numel()
    assert said.optimizer == sum(v.numel() * v.element_size() for v in state)
    assert (said.weights, said.trained) == (sum(size.values()), size[True])
    assert said.gradients == sum(4 * p.grad.numel() for p in model.parameters() if p.requires_grad)
    assert (said.trained < said.weights / 10) == (how == "adapted")


def test_recomputing_holds_less_and_more_rows_hold_more():
    def peak(rows, **how):
        make = lambda model: AdamW().build(model.decay_groups(), 1e-3)  # noqa: E731
        return simulate(lambda: build("bert"), make, batch(rows), **how).peak(0.0)

    two, four, six = (peak(rows) for rows in (2, 4, 6))
    assert two < four < six and six - four == pytest.approx(four - two, rel=0.05)
    assert peak(6, checkpoint_activations=True) < 0.8 * six


def test_layers_and_halves():
    make = lambda model: AdamW().build(model.decay_groups(), 1e-3)  # noqa: E731
    whole = simulate(lambda: model_of(BERT), make, batch_of(documents_of([9]), [[0]])[0])
    model = model_of(BERT)
    layer = sum(p.numel() for p in model.encoder.layers[0].parameters())
    every = sum(p.numel() for p in model.parameters())
    assert whole.layer == 4 * layer and whole.outside == 4 * (every - 2 * layer)
    half = simulate(
        lambda: model_of(BERT),
        make,
        batch_of(documents_of([9]), [[0]])[0],
        precision="bf16",
        half=True,
    )
    assert (half.weights, half.gradients) == (whole.weights // 2, whole.gradients // 2)


def test_a_model_may_hold_a_copy_of_its_own_parts():
    """A teacher: its weights are among the model's, and not among what is trained."""

    class Taught(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.student = torch.nn.Linear(8, 8)
            self.teacher = copy.deepcopy(self.student).requires_grad_(False)

        def forward(self, batch):
            rows = torch.ones(4, 8)
            loss = (self.student(rows) - self.teacher(rows)).square().sum()
            return {"x": Score(loss_sum=loss, metrics={})}

    make = lambda model: torch.optim.SGD(model.parameters(), lr=1e-3)  # noqa: E731
    said = simulate(Taught, make, batch())
    assert (said.trained, said.weights) == (4 * 72, 8 * 72)


def test_the_part_of_gradients_that_stays_is_said():
    step = Step(0, 0, 0, 0, 0, 0, [(False, 10), (True, 4), (False, -6), (True, 4), (True, -8)])
    assert (step.peak(), step.peak(0.5), step.peak(0.0)) == (14, 12, 10)


def test_dropout_keeps_a_byte_for_a_number():
    """As on GPUs; only a CPU's own dropout keeps less."""
    kept = []
    values = torch.ones(100, device="meta", requires_grad=True)
    pack, unpack = (lambda t: kept.append(t) or t), (lambda t: t)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        Dropout(0.1)(values)
    assert sum(t.numel() * t.element_size() for t in kept) == 100

"""Compiled layers compute what they computed before, and a compiler that fails is left out."""

import pytest
import torch
from support import BERT, batch_of, documents_of, model_of
from training_fakes import make_trainer

from uer.errors import ConfigError
from uer.training import compiling
from uer.training.compiling import compile_layers, require_compiling
from uer.training.engine import engines

COMPILE = torch.compile
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # inside torch's compiler


def losses(model, updates=3):
    """The losses of some steps of gradient descent."""
    batch = batch_of(documents_of([9, 7]), [[0], [1]])[0]
    optimizer, found = torch.optim.SGD(model.parameters(), lr=1e-3), []
    for _ in range(updates):
        loss = torch.stack([score.loss_sum for score in model(batch).values()]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


def use(monkeypatch, backend):
    monkeypatch.setattr(
        compiling.torch, "compile", lambda forward, **how: COMPILE(forward, backend=backend, **how)
    )


def compared():
    plain, compiled = (model_of({**BERT, "layers_num": 4}).train() for _ in range(2))
    assert compile_layers(compiled) == 4
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-5)


def test_layers_go_through_the_compiler_and_losses_stay(monkeypatch):
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    use(monkeypatch, backend)
    compared()
    # One graph serves all layers, as the masks are made outside of it, and one the last, which
    # makes only what the targets read.
    assert len(seen) == 2


@pytest.mark.heavy
def test_losses_of_the_real_compiler():
    compared()


def test_a_compiler_that_fails_is_told_once_and_left_out(monkeypatch, caplog):
    def backend(graph, inputs):
        raise RuntimeError("there is no compiler")

    use(monkeypatch, backend)
    compared()
    (line,) = [r.message for r in caplog.records if r.name.startswith("uer")]
    assert line.startswith("--compile: the compiler failed (") and "there is no compiler" in line


def test_what_it_does_not_go_with(tmp_path):
    for name in ("fsdp", "deepspeed"):
        with pytest.raises(ConfigError, match="--compile: goes with --engine single or ddp"):
            require_compiling(engines.get(name)(), checkpoint_activations=False)
    with pytest.raises(ConfigError, match="--compile and --checkpoint_activations: choose one"):
        make_trainer(tmp_path, compile=True, checkpoint_activations=True).run()

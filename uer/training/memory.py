"""What a training step holds in memory, found by going through it without computing.

The step runs on tensors that have shapes and no numbers; every storage is noted when it comes and
when it goes. So the figure is that of the step itself, whatever the model is made of: what layers
keep for the backward pass, logits and their gradients, copies in another precision, passing
results. What the allocator wastes between them is not in it.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from uer.batch import Batch
from uer.model import Model
from uer.training.blocks import blocks, recompute
from uer.training.machine import DTYPES, Arithmetic


class Step(NamedTuple):
    """What one update holds, in bytes.

    Args:
        weights: all parameters.
        trained: the parameters that are trained.
        gradients: theirs.
        optimizer: the optimizer's state.
        layer: parameters of the largest layer.
        outside: parameters that are in no layer.
        events: (what, bytes) of forward and backward pass in their order; freed ones are negative,
            and ``what`` is whether it is a parameter's gradient.
    """

    weights: int
    trained: int
    gradients: int
    optimizer: int
    layer: int
    outside: int
    events: list[tuple[bool, int]]

    def peak(self, share: float = 1.0) -> int:
        """The most that a forward and backward pass adds to weights and optimizer state.

        Args:
            share: of the gradients that have come to stay, as far as a process keeps them.
        """
        highest, others, gradients = 0.0, 0, 0
        for is_gradient, size in self.events:
            if is_gradient:
                gradients += size
            else:
                others += size
            highest = max(highest, others + share * gradients)
        return round(highest)


def simulate(
    build: Callable[[], Model],
    make: Callable[[Model], torch.optim.Optimizer],
    batch: Batch,
    *,
    precision: Arithmetic = "fp32",
    checkpoint_activations: bool = False,
    half: bool = False,
) -> Step:
    """Go through an update without computing it.

    Args:
        build: makes the model as it is trained.
        make: its optimizer.
        batch: any batch of the shapes in question.
        precision: arithmetic of the forward pass.
        checkpoint_activations: layers are computed twice.
        half: the weights themselves are kept in this precision (DeepSpeed).
    """
    with numberless() as mode:
        model = build().train()
        if half:
            model = _in_half(model, DTYPES[precision])
        optimizer = make(model)
        if checkpoint_activations:
            recompute(model)
        there = batch._made({name: mode.from_tensor(value) for name, value in batch.items()})
        low = precision != "fp32"
        with (
            _Storages() as storages,
            torch.autocast("cpu", DTYPES[precision] if low else None, enabled=low),
        ):
            _loss(model, there).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        events = storages.told_apart(gradients)
        optimizer.step()
        state = [v for one in optimizer.state.values() for v in tree_leaves(one)]
        inside = {id(p) for block in blocks(model) for p in block.parameters()}
        return Step(
            weights=_bytes(model.parameters()),
            trained=_bytes(p for p in model.parameters() if p.requires_grad),
            gradients=_bytes(gradients),
            optimizer=_bytes(v for v in state if isinstance(v, torch.Tensor)),
            layer=max((_bytes(block.parameters()) for block in blocks(model)), default=0),
            outside=_bytes(p for p in model.parameters() if id(p) not in inside),
            events=events,
        )


@contextmanager
def numberless() -> Iterator[FakeTensorMode]:
    """Tensors have shapes and no numbers; modules can be copied, as teachers are."""
    with warnings.catch_warnings(), _Shared() as mode:
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        yield mode


class _Shared(FakeTensorMode):
    """A copied tensor belongs to the mode of the first, not to a copy of the mode."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


class _Storages(TorchDispatchMode):
    """Notes every storage that an operation makes, and when it goes."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, Any] = {}  # number of the first event by the storage's identity
        self._events: list[tuple[int, int]] = []  # number of the storage's first event, bytes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        before = {id(one.untyped_storage()) for one in _tensors((args, kwargs))}
        for one in _tensors(result):
            storage = one.untyped_storage()
            if id(storage) not in self._known and id(storage) not in before:
                self._note(storage)
        return result

    def told_apart(self, gradients: Iterable[torch.Tensor]) -> list[tuple[bool, int]]:
        """The events: whether each is about one of these tensors, and its bytes."""
        found = {self._known.get(id(one.untyped_storage())) for one in gradients}
        return [(number in found, size) for number, size in self._events]

    def _note(self, storage: torch.UntypedStorage) -> None:
        number, size = len(self._events), storage.nbytes()
        key = id(storage)
        self._known[key] = number
        self._events.append((number, size))

        def gone() -> None:
            self._known.pop(key, None)
            self._events.append((number, -size))

        weakref.finalize(storage, gone)


def _loss(model: Model, batch: Batch) -> torch.Tensor:
    """A loss of all targets, as the training loop adds them."""
    return torch.stack([score.loss_sum for score in model(batch).values()]).sum()


def _in_half(model: Model, dtype: torch.dtype) -> Model:
    """The same model with its weights in another precision; tied ones stay tied."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            if id(value) not in made:
                made[id(value)] = nn.Parameter(value.detach().to(dtype), value.requires_grad)
            setattr(module, name, made[id(value)])
    return model


def _tensors(tree: Any) -> Iterable[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Of tensors, each storage once."""
    found = {id(one): one.numel() * one.element_size() for one in tensors}
    return sum(found.values())

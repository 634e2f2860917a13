"""Low-rank adapters (LoRA, arXiv:2106.09685), through the library peft.

A linear map W is left as it is and joined by a difference B·A of rank r, times alpha / r; only A
and B are trained. What the checkpoint to start from did not know (a task's head) is trained whole.

A model with adapters says in its ``state_dict`` what is trained, and nothing else. So whatever
writes or reads its state, whichever engine runs it, handles the small part only; the weights that
stay are loaded from the checkpoint they came from, which ``lora`` in ``config.yaml`` names::

    lora: {base: /models/bert, digest: 5d41…, r: 8, alpha: 16, dropout: 0, targets: null,
           modules_to_save: null}
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from uer.errors import ConfigError, UserError
from uer.training.freezing import matching, plain_name
from uer.training.settings import Settings

_log = logging.getLogger(__name__)

SECTION = "lora"
LORA_KEYS = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets", "lora_modules_to_save")
_ADAPTER = "default"  # peft's name of an only one
DOWN, UP = f".lora_A.{_ADAPTER}.weight", f".lora_B.{_ADAPTER}.weight"
_SAMPLED = 4096  # numbers of a tensor that a digest looks at


def adapt(model: nn.Module, settings: Settings, untrained: Collection[str] = ()) -> list[str]:
    """Give a model adapters, and train only these and what is trained whole.

    Args:
        model: with the weights that stay; changed in place.
        settings: rank, scale, dropout, and which parts.
        untrained: names of parameters that have no trained values: they are trained whole.

    Returns:
        Names of the linear maps that have adapters now.

    Raises:
        ConfigError: a pattern matches nothing, or nothing can be adapted.
        UserError: peft is not installed.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    whole = {id(named[name]) for name in untrained if name in named}
    patterns = settings.lora_modules_to_save or []
    whole |= {id(named[name]) for name in matching(named, patterns, "lora_modules_to_save")}
    chosen = _chosen(model, settings.lora_targets, whole)
    peft = _imported()
    config = peft.LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="|".join(map(re.escape, chosen)),
    )
    fake = any(isinstance(parameter, FakeTensor) for parameter in named.values())
    with torch.device("meta") if fake else nullcontext():
        peft.inject_adapter_in_model(config, model, _ADAPTER)
    if fake:
        _bring_beside(model)
    for parameter in named.values():
        parameter.requires_grad_(id(parameter) in whole)
    _leave_out_frozen(model)
    return chosen


def section(model: nn.Module, settings: Settings, base: str) -> dict[str, Any]:
    """What a checkpoint says about its adapters.

    Args:
        model: after `adapt`.
        settings: of the run.
        base: where the weights that stay come from.
    """
    named = model.named_parameters(remove_duplicate=False)
    weights = {plain_name(name): value for name, value in named}
    found = digest(weights, model.state_dict(keep_vars=True))
    kept = {key.removeprefix("lora_"): getattr(settings, key) for key in LORA_KEYS}
    return {"base": base, "digest": found, **kept}


def given_by(about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run whose checkpoint says this about its adapters."""
    return {"use_lora": True, **{key: about[key.removeprefix("lora_")] for key in LORA_KEYS}}


def require_same(about: Mapping[str, Any] | None, settings: Settings, path: str) -> None:
    """A run goes on with the adapters that it has.

    Args:
        about: what the checkpoint says about its adapters; None: it has none.
        settings: of the run.
        path: the checkpoint, for messages.

    Raises:
        ConfigError: the settings ask for others, or for some where there are none.
    """
    if about is None:
        if settings.use_lora:
            raise ConfigError(
                [
                    f"--use_lora: {path} was trained without; resume it without the flag, or "
                    "start from its weights with --pretrained_model_path."
                ]
            )
        return
    problems = [
        f"--{name} {getattr(settings, name)}: {path} was trained with {value}; leave it out."
        for name, value in given_by(about).items()
        if getattr(settings, name) != value
    ]
    if problems:
        raise ConfigError(problems)


def adapted(state: Iterable[str]) -> list[str]:
    """Names of the weights that a state's adapters belong to, as they are without adapters."""
    return sorted(name.removesuffix(DOWN) + ".weight" for name in state if name.endswith(DOWN))


def digest(weights: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """What tells weights from others: a hash of evenly spread numbers of each tensor.

    Args:
        weights: by their names without adapters.
        state: adapters; the weights that they belong to count, each by the first of its names.
    """
    made, seen = hashlib.sha256(), set[int]()
    for name in adapted(state):
        adapter = id(state[name.removesuffix(".weight") + DOWN])
        if adapter not in seen:
            flat = weights[name].detach().flatten()
            some = flat[:: max(1, flat.numel() // _SAMPLED)].float().cpu()
            made.update(f"{name} {list(weights[name].shape)} ".encode())
            made.update(some.numpy().tobytes())
        seen.add(adapter)
    return made.hexdigest()


def _chosen(model: nn.Module, patterns: list[str] | None, whole: Collection[int]) -> list[str]:
    """Names of the linear maps to adapt."""
    named = list(model.named_modules())
    linear = {name: module for name, module in named if isinstance(module, nn.Linear)}
    if patterns is None:
        declared = {
            id(layer)
            for _, module in named
            if hasattr(module, "adaptable")
            for layer in module.adaptable()  # pyright: ignore[reportCallIssue]
        }
        wanted = [name for name, module in linear.items() if id(module) in declared]
        if not wanted:
            raise ConfigError(
                [
                    "--use_lora: the model has no attention, whose maps would be adapted; choose "
                    f"linear maps with --lora_targets{_such_as(linear)}"
                ]
            )
    else:
        wanted = matching(linear, patterns, "lora_targets")
    shared = _shared(model)
    left_out = [name for name in wanted if id(linear[name].weight) in shared]
    chosen = [
        name for name in wanted if name not in left_out and id(linear[name].weight) not in whole
    ]
    if left_out:
        _log.info("LoRA leaves out what serves in several places: %s", ", ".join(left_out))
    if not chosen:
        raise ConfigError(
            [
                "--lora_targets: every linear map that matches is trained whole, or shares its "
                "weights with another part; choose others."
            ]
        )
    return chosen


def _shared(model: nn.Module) -> set[int]:
    """Tensors that belong to several modules, or to one that stands in several."""
    owners: dict[int, set[tuple[int, int]]] = {}
    parents = {(id(child), id(parent)) for parent in model.modules() for child in parent.children()}
    above: dict[int, set[int]] = {}
    for child, parent in parents:
        above.setdefault(child, set()).add(parent)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            places = {(id(module), parent) for parent in above.get(id(module), {0})}
            owners.setdefault(id(parameter), set()).update(places)
    return {tensor for tensor, places in owners.items() if len(places) > 1}


def _such_as(linear: Mapping[str, nn.Linear]) -> str:
    return f" (such as {', '.join(list(linear)[:3])})." if linear else "; but it has none."


def _leave_out_frozen(model: nn.Module) -> None:
    """From now on the state is what is trained."""
    frozen = {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad
    }

    def leave_out(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
        for name in frozen:
            state.pop(prefix + name, None)

    model.register_state_dict_post_hook(leave_out)


def _bring_beside(model: nn.Module) -> None:
    """Give adapters that were made on no device that of the model.

    They were for a plan, whose tensors have no numbers: peft would move the modules that hold
    them, which torch cannot, but leaves those without a device alone.
    """
    device = next(model.parameters()).device
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            if value.device.type == "meta":
                setattr(module, name, nn.Parameter(torch.empty_like(value, device=device)))


def _imported() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise UserError("--use_lora needs the extra 'lora': pip install 'uer[lora]'.") from error

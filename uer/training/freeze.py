"""Parameters that stay as they are."""

from __future__ import annotations

from torch import nn

from uer.model import Model


def freeze_body(model: Model) -> int:
    """Train the targets' own parameters only: a probe of what the rest has learnt.

    The rest computes as in evaluation, without dropout, also while the model is trained.

    Returns:
        How many parameters are frozen.
    """
    body = [model.embedding, model.encoder, model.tgt_embedding, model.decoder]
    frozen = {}
    for part in body:
        if part is not None:
            part.requires_grad_(False)
            _keep_evaluating(part)
            frozen |= {id(parameter): parameter.numel() for parameter in part.parameters()}
    return sum(frozen.values())


def _keep_evaluating(module: nn.Module) -> None:
    """`Module.train` of what holds the module changes nothing in it."""
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign]

"""DeiT."""

from __future__ import annotations

from collections.abc import Sequence

from uer.interop.huggingface.base import Config
from uer.interop.huggingface.families.vit import Vit
from uer.interop.huggingface.images import PARTS
from uer.interop.huggingface.names import Table


class Deit(Vit):
    """DeiT (arXiv:2012.12877): ViT with a second token that learns from a teacher."""

    parts = {**PARTS, "distillation_token": True}
    image_processor = "DeiTImageProcessor"
    heads = {
        "DeiTModel": (),
        "DeiTForImageClassification": ("cls",),
        "DeiTForImageClassificationWithTeacher": ("cls", "distillation"),
    }
    prefix = "deit."
    tokens = 2

    def names(self, theirs: Config, targets: Sequence[str]) -> Table:
        """See `Family.names`; beside a teacher's head the classifier has another name."""
        taught = "distillation" in targets
        other = {
            "cls_classifier": "targets.cls.output",
            "distillation_classifier": "targets.distillation.output",
        }
        found = super().names(theirs, targets)
        return {**other, **found} if taught else {**found, **other}

"""A model of transformers and what becomes of it here and back."""

import torch
import transformers as hf

from uer.builder import Planner
from uer.interop.huggingface.destination import export
from uer.interop.huggingface.source import HuggingFaceFolder
from uer.model import Model
from uer.processors.base import Processor
from uer.training.loading import fill


def their_model(kind, options, *, noise=0.1, fixed=False):
    """A model of transformers whose weights are large enough for every detail to count.

    Args:
        kind: name of its class.
        options: of its configuration.
        noise: what is added to the weights.
        fixed: to those that are not trained, too.
    """
    torch.manual_seed(0)
    kind = getattr(hf, kind)
    model = kind(kind.config_class(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if fixed or parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=noise)
    return model


def read_here(folder, left=()):
    """Our model with the weights of a folder, and its configuration; all of them have a place.

    Args:
        folder: written by transformers.
        left: parts of the names of weights without a counterpart here.
    """
    source = HuggingFaceFolder(folder)
    config = source.config()
    model = model_of(config)
    report = fill(model, source.tensors(list(model.heads)), folder)
    assert not (report.missing or report.mismatched)
    assert all(any(part in name for part in left) for name in report.unexpected)
    return model, config


def model_of(config):
    planner = Planner(config)
    plan = planner.section(Model)
    planner.choice("data_processor", Processor)
    planner.finish(also_known=("about", "facts", "task"))
    return plan.build(config["facts"]).eval()


def run(theirs, asked, **more):
    with torch.no_grad():
        return theirs(**asked, **more)


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def assert_comes_back(theirs, ours, config, folder, left=()):
    """Written and read again by transformers, the bits are the same, and so is what is said.

    Args:
        theirs: the model of transformers.
        ours: what was read of it.
        config: its configuration here.
        folder: where to write.
        left: as in `read_here`.
    """
    export(config, ours.state_dict()).write(folder)
    again, info = type(theirs).from_pretrained(folder, output_loading_info=True)
    gone = info["missing_keys"]
    assert all(any(part in name for part in left) for name in gone) and not info["unexpected_keys"]
    state = again.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert name in gone or torch.equal(state[name], tensor), name
    assert {**HuggingFaceFolder(folder).config(), "about": 0} == {**config, "about": 0}
    generic = hf.AutoModel.from_pretrained(folder)
    assert generic.config.model_type == theirs.config.model_type
    return again

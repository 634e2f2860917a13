"""Models computed by the predecessors themselves, reproduced (`dialect: legacy`).

The packs lie in the folder that UER_PARITY_DIR names (default: ../shared/parity).
"""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uer.batch import Batch
from uer.builder import Planner
from uer.interop.legacy_checkpoint import read_legacy
from uer.interop.legacy_config import translate
from uer.model import Model

ROOT = Path(os.environ.get("UER_PARITY_DIR", Path(__file__).parents[3] / "shared" / "parity"))
FAMILIES = ("bert", "gpt2", "prefixlm", "cls-bert", "albert")
PACKS = [pack for pack in FAMILIES if (ROOT / pack).is_dir()]

if not PACKS:
    pytest.skip(
        f"no parity packs in {ROOT}; set UER_PARITY_DIR to their folder", allow_module_level=True
    )


def load(pack):
    folder = ROOT / pack
    config, _ = translate(json.loads((folder / "config.json").read_text()), "legacy")
    facts = {"vocab_size": 97, "labels_num": config.pop("labels_num", None)}
    planner = Planner(config, str(folder / "config.json"))
    plan = planner.section(Model)
    planner.finish(also_known=["data_processor"])
    model = plan.build(facts).eval()
    model.load_state_dict(read_legacy(folder / "model.bin"))
    return model, load_file(folder / "case.safetensors")


def batch_of(case):
    seg = case["in.seg"]
    fields = {
        "src.ids": case["in.src"],
        "src.segment": (seg - 1).clamp(min=0),
        "src.validity": seg > 0,
        "src.prefix": seg == 1,
        "src.length": (seg > 0).sum(1),
        "src.first": torch.arange(seg.shape[0]) * seg.shape[1],
    }
    for name, label in case.items():
        if name.startswith("in.tgt.") and label.dim() == 1:
            fields[f"labels.{name[7:]}.value"] = label
        elif name == "in.tgt.mlm":
            index = label.flatten().nonzero().flatten()
            fields |= {"labels.mlm.index": index, "labels.mlm.value": label.flatten()[index]}
        elif name == "in.tgt" and label.dim() == 1:
            fields["labels.cls.value"] = label
        elif name == "in.tgt":
            index = seg.flatten().nonzero().flatten()
            fields |= {"labels.lm.index": index, "labels.lm.value": label.flatten()[index]}
    return Batch(fields)


def losses(case):
    """{target: mean loss} as the predecessors returned it."""
    found = {}
    for name, value in case.items():
        if name in ("out.loss.mlm.0", "out.loss.sp.0"):
            found[name.split(".")[2]] = value
        elif name == "out.loss":
            found["lm"] = value
        elif name == "out.loss.0":
            found["cls"] = value
    return found


@pytest.mark.parametrize("pack", PACKS)
def test_a_predecessors_checkpoint_computes_what_it_computed_there(pack):
    model, case = load(pack)
    batch = batch_of(case)
    real = case["in.seg"] > 0
    with torch.no_grad():
        embedded = model.embedding(batch.side("src"), None).hidden
        encoded = model.states(batch).hidden
        scores = model(batch)
    torch.testing.assert_close(embedded[real], case["out.embedding"][real], atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded[real], case["out.encoder"][real], atol=1e-4, rtol=0)
    expected = losses(case)
    assert expected.keys() == scores.keys()
    for name, loss in expected.items():
        mean = scores[name].loss_sum / model.weights(batch)[name]
        torch.testing.assert_close(mean, loss, atol=1e-4, rtol=0)
        accuracy = scores[name].metrics["accuracy"]
        counted = case.get(f"out.loss.{name}.1", case.get("out.loss.1"))
        if counted is not None:
            assert accuracy.total.item() == counted.item()

"""Reading of parity packs: what the predecessors were given, and what they returned."""

import torch

from uer.batch import Batch
from uer.builder import Planner
from uer.interop.legacy.config import translate
from uer.model import Model


def built(config, state):
    """The model of a predecessors' configuration, in their dialect.

    Args:
        config: their flat configuration.
        state: their tensors; their shapes tell the sizes of vocabularies and classes.
    """
    ours, _ = translate(config, "legacy")
    ours.pop("labels_num", None)
    planner = Planner(ours)
    plan = planner.section(Model)
    of_data = ("data_processor", "image_preprocess", "audio_preprocess")
    of_data += ("max_audio_frames", "specaugment")
    planner.finish(also_known=of_data)
    rows = {key: value.shape[0] for key, value in state.items() if value.dim()}
    tables = (".word.embed", ".language_embedding.embed")
    words = {
        side: [
            n for key, n in rows.items() if key.startswith(side) and any(t in key for t in tables)
        ]
        for side in ("embedding", "tgt_embedding")
    }
    facts = {f"{side}.vocab_size": sizes[0] for side, sizes in words.items() if sizes}
    last = words["tgt_embedding"] or words["embedding"] or [None]
    return plan.build(
        {
            **facts,
            "target.vocab_size": last[0],
            "labels_num": rows.get("target.cls.linear_2.weight"),
        }
    ).eval()


def side(name, ids, seg):
    """A side's fields of their ids and segments (0 at padding), or of their image."""
    if ids.dim() == 4:
        return {f"{name}.image": ids}
    if ids.dim() == 3:  # acoustic frames; segments are those of what four of them become
        return {f"{name}.frames": ids, f"{name}.length": 4 * (seg > 0).sum(1)}
    seg = seg[:, : ids.shape[1]]  # an image may stand behind the text
    return {
        f"{name}.ids": ids,
        f"{name}.segment": (seg - 1).clamp(min=0),
        f"{name}.validity": seg > 0,
        f"{name}.prefix": seg == 1,
        f"{name}.length": (seg > 0).sum(1),
        f"{name}.first": torch.arange(seg.shape[0]) * seg.shape[1],
    }


def batch_of(case, targets, *, prefix_lm_loss=False):
    """Their input as a batch of ours, with the labels of some targets."""
    fields, seg = {}, case.get("in.tgt_seg", case.get("in.seg"))
    if "in.src" in case:
        fields |= side("src", case["in.src"], case["in.seg"])
    elif "in.seg" in case:  # a text and an image that make one sequence
        fields |= side("src", case["in.src.0"], seg) | side("src", case["in.src.1"], seg)
        seg = seg[:, : case["in.src.0"].shape[1]]
    else:
        for number in (0, 1):
            fields |= side(f"src.{number}", case[f"in.src.{number}"], case[f"in.seg.{number}"])
    if "in.tgt_in" in case:
        fields |= side("tgt", case["in.tgt_in"], case["in.tgt_seg"])
    for name in targets:
        if name == "clr":
            continue
        label = case.get(f"in.tgt.{name}", case.get("in.tgt"))
        if name == "mlm":
            label = label[:, : seg.shape[1]]
            index = label.flatten().nonzero().flatten()
        elif name == "lm":
            index = (seg > int(prefix_lm_loss)).flatten().nonzero().flatten()
        else:
            fields[f"labels.{name}.value"] = label
            continue
        fields |= {
            f"labels.{name}.index": index,
            f"labels.{name}.value": label.flatten()[index],
        }
    return Batch(fields)


def returned(case, target):
    """(mean loss, number of right predictions or None) as they returned them for a target."""
    head = f"out.loss.{target}" if f"out.loss.{target}.0" in case else "out.loss"
    if head in case:
        return case[head], None
    return case[f"{head}.0"], case.get(f"{head}.1")


def hiddens(case, name):
    """Their vectors ``out.<name>`` with what is real of them: one pair, or one for each stream."""
    if f"out.{name}" in case:
        return [(case[f"out.{name}"], case["in.tgt_seg" if name == "decoder" else "in.seg"] > 0)]
    streams = [n for n in (0, 1) if f"out.{name}_{n}" in case]
    return [(case[f"out.{name}_{n}"], case[f"in.seg.{n}"] > 0) for n in streams]

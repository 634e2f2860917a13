"""`uer retrieve`: find images by texts and texts by images; `inference/run_retrieval_infer.py`."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import torch

from uer.cli.flags import Overrides
from uer.cli.outputs import require_file_place
from uer.cli.towers import Comparing, first_tab_free, shown
from uer.data.media.report import MediaReport
from uer.errors import UserError
from uer.files import atomic_file
from uer.registry import load_plugins
from uer.tasks._towers import ranks

_log = logging.getLogger(__name__)


def retrieve(
    *,
    load_model_path: Annotated[str, "checkpoint of a model of texts and images"],
    test_path: Annotated[str, "rows of text<TAB>image path, as for preprocess.py"],
    prediction_path: Annotated[str | None, "file to write the best images of each text to"] = None,
    recall_at: Annotated[list[int], "how many of the best count as found"] = (1, 5, 10),  # type: ignore[assignment]
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    comparing: Annotated[dict[str, Any], Comparing],
    overrides: Overrides,
) -> None:
    """Measure how well texts find their images and images their texts.

    All images of the table are the pool. Rows that name the same image are its texts; rows of the
    same text name its images; any of them counts as found.
    """
    load_plugins(plugin)
    if any(k < 1 for k in recall_at):
        raise UserError(f"--recall_at {' '.join(map(str, recall_at))}: must be at least 1.")
    if prediction_path is not None:
        require_file_place(prediction_path, flag="prediction_path", inputs=[test_path])
    common = Comparing(**comparing)
    towers = common.load(load_model_path, overrides)
    report = MediaReport(common.media_report_path)
    media, texts, _, _ = common.rows(test_path, "captioned_images", report)
    places: dict[str, int] = {}
    own = [places.setdefault(one.name, len(places)) for one in media]
    first = {place: one for one, place in zip(reversed(media), reversed(own), strict=True)}
    vectors, kept = towers.images([first[place] for place in range(len(places))], report)
    names = list(dict.fromkeys(texts))
    numbers = {text: number for number, text in enumerate(names)}
    right = torch.zeros(len(names), len(places), dtype=torch.bool)
    right[[numbers[text] for text in texts], own] = True
    right = right[:, torch.from_numpy(kept)]
    asked = right.any(1)
    logits = towers.logits(towers.texts(names), vectors)
    if line := report.line():
        _log.warning("%s", line)
    for what, table, truth in (
        ("text to image", logits[asked], right[asked]),
        ("image to text", logits.T, right.T),
    ):
        _log.info("%s, %d among %d: %s", what, *table.shape, _recalls(table, truth, recall_at))
    if prediction_path is not None:
        _write(prediction_path, names, [first[int(n)].name for n in kept], logits, max(recall_at))


def _recalls(logits: torch.Tensor, right: torch.Tensor, recall_at: list[int]) -> str:
    behind = ranks(logits, right)
    found = [f"recall@{k} {shown((behind < k).double().mean().item())}" for k in recall_at]
    return f"{', '.join(found)}; median rank {behind.median().item() + 1:g}"


def _write(
    path: str, texts: list[str], images: list[str], logits: torch.Tensor, count: int
) -> None:
    """A table ``text<TAB>images``, the best image first, blanks between."""
    best = logits.topk(min(count, len(images)), dim=1).indices.tolist()
    lines = ["text\timages"]
    for text, row in zip(first_tab_free(texts), best, strict=True):
        lines.append(f"{text}\t{' '.join(images[n] for n in row)}")
    with atomic_file(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")

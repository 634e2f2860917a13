"""`uer zero-shot`: classify images by names of classes; `inference/run_zero_shot_infer.py`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import torch
from torch.nn import functional as F

from uer.cli.flags import Overrides
from uer.cli.outputs import require_file_place
from uer.cli.towers import Comparing, first_tab_free, shown
from uer.data.media.report import MediaReport
from uer.errors import ConfigError, DataError
from uer.files import atomic_file
from uer.registry import load_plugins
from uer.tasks._towers import Towers, ranks

_log = logging.getLogger(__name__)


def zero_shot(
    *,
    load_model_path: Annotated[str, "checkpoint of a model of texts and images"],
    test_path: Annotated[
        str, "images: a folder with a sub-folder for each class, or rows of label<TAB>image path"
    ],
    prediction_path: Annotated[str, "file to write predictions to"],
    classes_path: Annotated[
        str | None, "names of the classes, one a line (default: names of the sub-folders)"
    ] = None,
    template: Annotated[
        list[str], "texts with {} for the name of a class; a class is the mean of its texts"
    ] = ("a photo of a {}.",),  # type: ignore[assignment]
    unlabelled: Annotated[bool, "rows are paths alone, or a folder holds images of any class"] = (
        False
    ),
    plugin: Annotated[list[str] | None, "Python files that define further parts"] = None,
    comparing: Annotated[dict[str, Any], Comparing],
    overrides: Overrides,
) -> None:
    """Give each image the class whose name, in a sentence, goes best with it.

    Nothing is trained. With labels the accuracy is logged.
    """
    load_plugins(plugin)
    if wrong := [one for one in template if "{}" not in one]:
        raise ConfigError([f"--template {wrong[0]!r}: there is no {{}} for the name of a class."])
    inputs = [test_path] if classes_path is None else [test_path, classes_path]
    require_file_place(prediction_path, flag="prediction_path", inputs=inputs)
    common = Comparing(**comparing)
    towers = common.load(load_model_path, overrides)
    report = MediaReport(common.media_report_path)
    corpus_format = "images" if unlabelled else "labelled_images"
    media, _, columns, folders = common.rows(test_path, corpus_format, report)
    classes = folders if classes_path is None else _classes(Path(classes_path))
    _check(classes, columns.get("label", []), test_path, folders)
    vectors, kept = towers.images(media, report)
    logits = towers.logits(_centres(towers, classes, template), vectors).T
    if line := report.line():
        _log.warning("%s", line)
    if "label" in columns:
        labels = torch.tensor(columns["label"])[torch.from_numpy(kept)]
        behind = ranks(logits, F.one_hot(labels, len(classes)).bool())
        top = ", ".join(f"top-{k} {shown((behind < k).double().mean().item())}" for k in (1, 5))
        _log.info("%d images of %d classes: accuracy %s", len(labels), len(classes), top)
    best = logits.argmax(1).tolist()
    named = first_tab_free(classes)
    lines = ["image\tlabel\tclass"]
    lines += [f"{media[n].name}\t{b}\t{named[b]}" for n, b in zip(kept, best, strict=True)]
    with atomic_file(prediction_path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _log.info("%s: %d predictions.", prediction_path, len(best))


def _centres(towers: Towers, classes: list[str], templates: list[str]) -> torch.Tensor:
    """[C, F] unit vectors of the classes."""
    texts = [template.replace("{}", name) for name in classes for template in templates]
    each = towers.texts(texts).unflatten(0, (len(classes), len(templates)))
    return F.normalize(each.mean(1), dim=-1)


def _classes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"it cannot be read: {error}.", path) from error
    found = [line.strip() for line in lines if line.strip()]
    if len(set(found)) < max(2, len(found)):
        raise DataError("expected names of two classes or more, one a line, none twice.", path)
    return found


def _check(classes: list[str], labels: list[int], path: str, folders: list[str]) -> None:
    if not classes:
        raise ConfigError(["--classes_path is needed: only sub-folders have names of classes."])
    if folders and labels and len(classes) != len(folders):
        raise DataError(f"the folder has {len(folders)} classes and {len(classes)} names.", path)
    if labels and max(labels) >= len(classes):
        raise DataError(
            f"the label {max(labels)} is outside 0 … {len(classes) - 1}, the {len(classes)} names.",
            path,
        )

"""What the commands for models of texts and images share: flags, loading, reading rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from uer.cli.tasks import build_processor
from uer.cli.tokenizer import choose_tokenizer, split_tokenizer
from uer.data.media.collect import Collection
from uer.data.media.references import Medium
from uer.data.media.report import MediaReport
from uer.errors import ConfigError, DataError, UserError
from uer.interop.pretrained import choose_config, dialect_of, load_pretrained
from uer.recipe import read_recipe
from uer.tasks._towers import Towers
from uer.training import machine
from uer.training.settings import Precision
from uer.zoo.resolve import resolve

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """How texts and images are read and compared; the flags of both commands."""

    media_root: Annotated[
        str | None, "folder that the paths of images are relative to (default: the table's)"
    ] = None
    media_report_path: Annotated[str | None, "table to name images in that could not be read"] = (
        None
    )
    config_path: Annotated[str | None, "configuration (default: the checkpoint's)"] = None
    tokenizer: Annotated[
        str | None, "name of the tokenizer, with its flags (default: the checkpoint's, else bert)"
    ] = None
    special_tokens_path: Annotated[str | None, "JSON file of special tokens by role"] = None
    batch_size: Annotated[int, "texts or images of a batch"] = 64
    device: Annotated[str, "auto, cpu, cuda, cuda:<n> or mps"] = "auto"
    precision: Annotated[Precision, "arithmetic of the forward pass"] = "auto"
    threads: Annotated[int | None, "threads of the CPU; by default what torch chooses"] = None

    def load(self, checkpoint: str, overrides: Mapping[str, Any]) -> Towers:
        """The model of a checkpoint.

        Raises:
            UserError: it cannot be loaded, or compares no texts with images.
        """
        if self.batch_size < 1:
            raise UserError(f"--batch_size {self.batch_size}: must be at least 1.")
        path = resolve(checkpoint)
        described, keys = split_tokenizer(dict(overrides))
        dialect = dialect_of(path)
        recipe = read_recipe(choose_config(self.config_path, path), keys, dialect=dialect)
        if recipe.processor is None:
            raise ConfigError(
                ["data_processor: the configuration names none; choose clip or siglip."]
            )
        prepared = machine.prepare(self.device, self.precision, self.threads)
        _log.info(prepared.line())
        made = choose_tokenizer(self.tokenizer, self.special_tokens_path, described, path)
        facts = {**made.facts(), **recipe.facts}
        model = recipe.model.build(facts).to(prepared.device)
        report = load_pretrained(model, path)
        if report.missing:
            raise UserError(f"{path} is no whole model of texts and images ({report.line()[:-1]}).")
        return Towers(model, build_processor(recipe, facts), made, batch_size=self.batch_size)

    def rows(
        self, path: str, corpus_format: str, report: MediaReport
    ) -> tuple[list[Medium], list[str], dict[str, list[int]], list[str]]:
        """The rows of a manifest, folder or tar file with images.

        Returns:
            Their images, texts and labels (as far as the format has them), and names of classes
            where these are sub-folders.

        Raises:
            DataError: it holds no row that can be used.
        """
        rows = Collection.of([path], corpus_format, report, self.media_root)
        media: list[Medium] = []
        texts: list[str] = []
        columns: dict[str, list[int]] = {}
        for piece in rows.pieces():
            media += [Medium(rows.root, one) for one in piece.media["image"]]
            texts += piece.texts
            for name, values in piece.columns.items():
                table = np.asarray(values)
                if table.ndim != 1:
                    raise DataError(
                        f"the {name}s are shares of classes; give each image one.", path
                    )
                columns.setdefault(name, []).extend(table.tolist())
        if not media:
            raise DataError(f"there is no row that can be used. {report.line()}", path)
        return media, texts, columns, rows.classes


def shown(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f} %"


def first_tab_free(names: Sequence[str]) -> list[str]:
    """Texts as fields of a table."""
    return [" ".join(name.split()) for name in names]

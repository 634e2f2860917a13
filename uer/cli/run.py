"""A run of a command that trains: its settings and processes, its model, its trainer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from uer.cli import team
from uer.cli.origin import Origin
from uer.cli.reporting import Reporting
from uer.cli.starting import growth, require_same_optimizer, start, told_facts
from uer.cli.tokenizer import side_facts
from uer.config import dump_yaml
from uer.data.loader import Loader
from uer.data.stream import Stream
from uer.errors import ConfigError, UserError
from uer.model import Model
from uer.recipe import Recipe
from uer.tokenizers.base import Tokenizer
from uer.training import machine
from uer.training.evaluation import Evaluation
from uer.training.progress import Meter
from uer.training.settings import Settings
from uer.training.state import Contents
from uer.training.trainer import Trainer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """A model with its first weights, and what it was built from.

    Args:
        model: adapters added and parameters frozen as the settings say.
        facts: what was known when it was built.
        labels: the part of it that the data told.
        tokenizers: by side.
        about: what checkpoints say about its adapters.
    """

    model: Model
    facts: Mapping[str, Any]
    labels: Mapping[str, Any]
    tokenizers: Mapping[str, Tokenizer]
    about: Mapping[str, Any]


class Run:
    """Makes this process one of the run's: device, seed and the other processes.

    Args:
        origin: what the run starts from.
        recipe: of the model.
        launch: the flags of `Launch` that were given.
        settings: the flags of `Settings` that were given.
        implied: settings for what neither flags nor files say.

    Attributes:
        given: the settings that anybody has given.
        settings: all of them.
        team: this process and the others.

    Raises:
        UserError: flags, files and launcher contradict each other, or the others cannot be met.
    """

    def __init__(
        self,
        origin: Origin,
        recipe: Recipe,
        launch: Mapping[str, Any],
        settings: Mapping[str, Any],
        implied: Mapping[str, Any] | None = None,
    ) -> None:
        self.origin, self.recipe = origin, recipe
        self.given = {**(implied or {}), **team.settings_in(launch)}
        self.given |= {**origin.settings(), **recipe.settings, **settings}
        self.settings = Settings(**self.given)
        self.team = team.gather(launch, self.settings)
        origin.found.agree(self.team.processes)
        require_same_optimizer(recipe, origin.found.folder)
        machine.seed_everything(self.settings.seed)

    def build(self, tokenizers: Mapping[str, Tokenizer], labels: Mapping[str, Any]) -> Built:
        """The model of the recipe, with the weights that the run starts from.

        Args:
            tokenizers: by side.
            labels: what the data tell about their classes.

        Raises:
            UserError: configuration, tokenizer, settings and checkpoints do not fit.
        """
        origin = self.origin
        grown = growth(tokenizers, self.recipe, origin.pretrained)
        facts = known_facts(tokenizers, self.recipe, labels, grown)
        model = build_model(self.recipe, facts)
        about = start(
            model,
            self.settings,
            pretrained=origin.pretrained,
            resume=origin.found.folder,
            adapters=origin.adapters,
            allow_partial=origin.allow_partial,
            grown=grown,
        )
        return Built(model, facts, labels, tokenizers, about)

    def train(
        self,
        built: Built,
        stream: Stream | Loader,
        settings: Settings,
        *,
        reporting: Reporting,
        evaluation: Evaluation | None = None,
        meter: Meter | None = None,
        task: str | None = None,
    ) -> None:
        """Train to the end.

        Args:
            built: the model.
            stream: the training data.
            settings: of the run, once its length is known.
            reporting: where reports go.
            evaluation: what is measured at every checkpoint.
            meter: measures the speed.
            task: what the model is trained for; its best checkpoint stands at the output path
                itself, and says so.
        """
        told = {"facts": told_facts(self.recipe, built.facts, built.labels)}
        named = {} if task is None else {"task": task}
        source, target = built.tokenizers.get("src"), built.tokenizers.get("tgt")
        trainer = Trainer(
            built.model,
            stream,
            settings,
            optimizer=self.recipe.optimizer.build(),
            schedule=self.recipe.schedule.build(settings.facts()),
            engine=self.team.engine(settings),
            contents=Contents(
                config=dump_yaml({**self.recipe.config, **built.about, **named, **told}),
                save_tokenizer=source.save if source else None,
                save_tgt_tokenizer=target.save if target else None,
            ),
            evaluation=evaluation,
            writers=reporting.writers(settings, self.team.processes),
            meter=meter,
            numbered=task is None,
        )
        trainer.run(self.origin.found.folder, auto=self.origin.found.auto)


def build_model(recipe: Recipe, facts: Mapping[str, Any]) -> Model:
    """The model of a recipe, with at least one target.

    Raises:
        ConfigError: there is nothing to train it for.
    """
    model = recipe.model.build(facts)
    if not model.objectives:
        raise ConfigError(
            [
                "target: the configuration names none, so there is nothing to train; choose one "
                "with --target (clr for a dual model), or fine-tune the architecture for a task."
            ]
        )
    trained, resting = (
        sum(p.numel() for p in model.parameters() if p.requires_grad == wanted)
        for wanted in (True, False)
    )
    beside = f" (and {resting:,} that rest)" if resting else ""
    _log.info("model of %s parameters%s: %s", f"{trained:,}", beside, ", ".join(model.objectives))
    return model


def known_facts(
    tokenizers: Mapping[str, Tokenizer],
    recipe: Recipe,
    labels: Mapping[str, Any],
    grown: Collection[tuple[int, int]] = (),
) -> dict[str, Any]:
    """What is known before a model is built; what a checkpoint knows of its tables counts.

    Args:
        tokenizers: by side.
        recipe: of the model; carries what the checkpoint knows.
        labels: what the data tell about their classes.
        grown: see `growth`.

    Raises:
        UserError: the tokenizer has tokens that the word table has no rows for.
    """
    if not tokenizers:
        return {**recipe.facts, **labels}
    decodes = recipe.model.parts.get("tgt_embedding") is not None
    source = tokenizers["src"]
    told = side_facts(source, tokenizers.get("tgt"), decodes=decodes)
    facts = {**told, **recipe.facts, **labels}
    if (facts["vocab_size"], source.vocab_size) in grown:
        facts["vocab_size"] = source.vocab_size
    if facts["vocab_size"] < source.vocab_size:
        raise UserError(
            f"the checkpoint has {facts['vocab_size']} word vectors, the tokenizer "
            f"{source.vocab_size} tokens, not all of which stand behind those of the checkpoint; "
            f"enlarge it with `uer convert --resize_vocab_to {source.vocab_size}`."
        )
    return facts

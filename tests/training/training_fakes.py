"""A tiny model with two targets, a shuffled stream, and how to train one with the other."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from uer.batch import Batch
from uer.layers.dropout import Dropout
from uer.optimizers.adamw import AdamW
from uer.schedules.linear import Linear
from uer.score import Ratio, Score
from uer.training.engines.single import SingleDevice
from uer.training.settings import Settings
from uer.training.state import Contents
from uer.training.trainer import Trainer

VOCAB, WIDTH, LENGTH = 11, 8, 6


class FakeModel(nn.Module):
    """embedding → encoder → two targets; the first is tied to the embedding."""

    additive = True

    def __init__(self, dropout: float = 0.0, seed: int = 1) -> None:
        super().__init__()
        self.loss_weights = {"tok": 1.0, "doc": 0.5}
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.encoder = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), Dropout(dropout))
        self.targets = nn.ModuleDict(
            {"tok": nn.Linear(WIDTH, VOCAB, bias=False), "doc": nn.Linear(WIDTH, 3)}
        )
        self.targets["tok"].weight = self.embedding.weight
        self.updates: list[tuple[int, int]] = []

    def forward(self, batch: Batch) -> dict[str, Score]:
        hidden = self.encoder(self.embedding(batch["src.ids"])).flatten(0, 1)
        return {name: self._score(name, hidden, batch) for name in self.loss_weights}

    def _score(self, name: str, hidden: torch.Tensor, batch: Batch) -> Score:
        value = batch[f"labels.{name}.value"]
        logits = self.targets[name](hidden.index_select(0, batch[f"labels.{name}.index"])).float()
        right = (logits.argmax(-1) == value).float().sum()
        loss = F.cross_entropy(logits, value, reduction="sum") + 0.0 * hidden.float().sum()
        return Score(loss, {"accuracy": Ratio(right, self.weights(batch)[name])})

    def weights(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {
            name: torch.full((), float(batch[f"labels.{name}.value"].shape[0]))
            for name in self.loss_weights
        }

    def decay_groups(self):
        named = list(self.named_parameters())
        return [n for n in named if n[1].ndim > 1], [n for n in named if n[1].ndim == 1]

    def hidden(self):
        return {f"encoder.{name}" for name, _ in self.encoder.named_parameters()}

    def stages(self):
        return [{"embedding.weight"}, self.hidden()]

    def on_start(self) -> None:
        pass

    def on_update(self, step: int, total: int) -> None:
        self.updates.append((step, total))

    def on_resume(self, step: int, total: int) -> None:
        self.resumed = (step, total)


def rows_to_batch(rows: list[int]) -> Batch:
    """Row ``i`` is a function of ``i``: its tokens, and an own number of items of each target."""
    ids, tok, doc = [], [], []
    for place, row in enumerate(rows):
        draw = torch.Generator().manual_seed(row)
        ids.append(torch.randint(VOCAB, (LENGTH,), generator=draw))
        tok += [place * LENGTH + column for column in range(row % 4)]  # 0 to 3 items
        doc += [place * LENGTH] if row % 3 else []
    ids_of = torch.stack(ids)
    flat = ids_of.flatten()
    tok_index, doc_index = torch.tensor(tok).long(), torch.tensor(doc).long()
    return Batch(
        {
            "src.ids": ids_of,
            "src.length": torch.full((len(rows),), LENGTH),
            "labels.tok.index": tok_index,
            "labels.tok.value": flat[tok_index],
            "labels.doc.index": doc_index,
            "labels.doc.value": flat[doc_index] % 3,
        }
    )


class FakeStream:
    """Rows in an order that is shuffled anew each epoch; the last batch of an epoch is short."""

    def __init__(self, batch_size: int = 8, rows: int = 37) -> None:
        self.batch_size, self.rows = batch_size, rows
        self.epoch = self.index = 0

    def next(self) -> Batch:
        if not self.rows:
            raise StopIteration
        rows = self.rows_at(self.epoch, self.index)
        self.index += self.batch_size
        if self.index >= self.rows:
            self.epoch, self.index = self.epoch + 1, 0
        return self.made(rows)

    def rows_at(self, epoch: int, index: int) -> list[int]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(epoch))
        return order[index : index + self.batch_size].tolist()

    def instances(self, position: dict[str, int]) -> dict[int, list[int]]:
        return {position["epoch"]: self.rows_at(**position)}

    def made(self, rows: list[int]) -> Batch:
        return rows_to_batch(rows)

    def position(self) -> dict[str, int]:
        return {"epoch": self.epoch, "index": self.index}

    def seek(self, position: dict[str, int]) -> None:
        self.epoch, self.index = position["epoch"], position["index"]


class FakeEvaluationData:
    def __init__(self, batches: list[list[int]] | None = None) -> None:
        self.batches = [[100, 101, 102], [103, 105]] if batches is None else batches

    def once(self):
        return (rows_to_batch(rows) for rows in self.batches)


class Memory:
    """A writer that keeps reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.closed = False

    def write(self, step, figures) -> None:
        self.reports.append((step, dict(figures)))

    def close(self) -> None:
        self.closed = True


def make_settings(folder, **changes) -> Settings:
    usual = {"total_steps": 20, "learning_rate": 1e-2, "precision": "fp32", "device": "cpu"}
    return Settings(output_model_path=str(folder / "out"), **{**usual, **changes})


def make_trainer(folder, *, model=None, stream=None, dropout=0.0, **options) -> Trainer:
    """A trainer of the fake model; other options are settings or arguments of the trainer."""
    own = {k: options.pop(k) for k in ("evaluation", "writers", "numbered") if k in options}
    settings = make_settings(folder, **options)
    return Trainer(
        model or FakeModel(dropout),
        stream or FakeStream(),
        settings,
        optimizer=AdamW(),
        schedule=Linear(total_steps=settings.total_steps),
        engine=SingleDevice(max_grad_norm=settings.max_grad_norm),
        contents=Contents(config="encoder: fake\n"),
        **own,
    )


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def folders(path):
    """Names of the folders inside, in the order of their numbers."""
    return sorted((p.name for p in path.iterdir() if p.is_dir()), key=lambda n: (len(n), n))

"""Runs of models with a teacher: interrupted ones, and those of several processes."""

import itertools
import json

import pytest
import torch
from ranks import HERE, run
from support import TINY, batch_of, documents_of, model_of
from training_fakes import FakeStream, make_trainer, same_weights

from uer.batch import Batch
from uer.training.machine import seed_everything

BODY = {"encoder": "transformer", **TINY, "embedding": ["word", "pos"], "pooling": "mean"}
HEAD = {"projection_hidden_size": 8, "projection_size": 8}
TEACHER = {"copy": "model", "momentum": 0.9}
DINO = {
    **BODY,
    **HEAD,
    "target": "dino",
    "prototypes_num": 8,
    "teacher_temperature_updates": 7,
    "frozen_prototypes_updates": 4,
    "teacher": TEACHER,
}
BYOL = {**BODY, **HEAD, "target": "byol", "teacher": TEACHER}


class Views(FakeStream):
    """Two views of each row: two texts."""

    def made(self, rows):
        fields = {}
        for seed, side in enumerate(("src", "view.0")):
            documents = documents_of([3 + row % 4 for row in rows], seed=seed + 10 * rows[0])
            batch, _ = batch_of(documents, [[n] for n in range(len(rows))])
            fields |= {f"{side}.{k[4:]}": v for k, v in batch.items() if k.startswith("src.")}
        return Batch(fields)


@pytest.mark.parametrize("config", [DINO, BYOL])
def test_ten_updates_are_five_and_five(tmp_path, config):
    options = {"total_steps": 10, "save_checkpoint_steps": 5, "accumulation_steps": 2}
    seed_everything(3)
    straight, again = model_of(config, seed=1), model_of(config, seed=2)
    make_trainer(tmp_path / "a", model=straight, stream=Views(), **options).run()
    resumed = make_trainer(tmp_path / "b", model=again, stream=Views(), **options)
    resumed.run(resume=tmp_path / "a" / "out-5")
    assert same_weights(straight, again)
    (head,) = straight.heads.values()
    assert int(head.teacher.updates) == 10
    assert not torch.equal(head.teacher["embedding"].table, straight.embedding.table)


def followed(engines, models):
    words = [word for triple in itertools.product(engines, models, [2]) for word in triple]
    out, _ = run(HERE / "follow_teacher.py", *words, patience=1500)
    lines = [line[7:] for line in out.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == len(words) // 3
    return [json.loads(line) for line in lines]


@pytest.mark.heavy
@pytest.mark.parametrize("engine", ["ddp", "fsdp"])
def test_two_ranks_follow_one(engine):
    for result in followed([engine], ["dino", "data2vec"]):
        alone, together = result.pop("losses")
        assert together == pytest.approx(alone, rel=1e-5), result
        assert len(set(alone)) == 20, result

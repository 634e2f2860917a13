"""Too many bad updates in a row: their instances are written, and the run may go back and on."""

import json

import pytest
import torch
from ranks import HERE, finish, run, start
from training_fakes import FakeModel, FakeStream, make_trainer, same_weights

from uer.errors import ConfigError, UserError
from uer.training.checkpoint import load_trainer_state, load_weights
from uer.training.engine import engines
from uer.training.rewinding import require_rewinding, step_to_go_back_to
from uer.training.settings import Settings

MARK = 99  # as a length: the batch is bad
LIMIT = {"save_checkpoint_steps": 4, "max_skipped_updates": 3, "dropout": 0.2}


class Model(FakeModel):
    """A marked batch has no finite loss."""

    def forward(self, batch):
        scores, bad = super().forward(batch), (batch["src.length"] == MARK).any()
        tok = scores["tok"]
        factor = torch.where(bad, float("nan"), 1.0)
        return {**scores, "tok": tok._replace(loss_sum=tok.loss_sum * factor)}


class Stream(FakeStream):
    """Marks the batches of some calls, counted from 0; a rewound run calls further."""

    def __init__(self, bad, begin=0):
        super().__init__(batch_size=4)
        self.bad, self.calls = bad, begin

    def made(self, rows):
        batch = super().made(rows)
        self.calls += 1
        bad = self.calls - 1 in self.bad
        return batch.replace(src__length=torch.full((len(rows),), MARK)) if bad else batch


def rewound(folder, bad, **options):
    trainer = make_trainer(folder, model=Model(0.2), stream=Stream(bad), **LIMIT | options)
    trainer.run()
    return trainer


def read(path):
    return json.loads(path.read_text())


def test_instances_are_written_before_the_run_ends(tmp_path):
    with pytest.raises(UserError, match=r"up to update 8 .* are listed in .*out-skipped-8\.json"):
        rewound(tmp_path, {2, 5, 6, 7})
    found = read(tmp_path / "out-skipped-8.json")
    assert [update["update"] for update in found] == [6, 7, 8]
    twin, rows = FakeStream(batch_size=4), []
    for _ in range(8):
        rows.append(twin.instances(twin.position()))
        twin.next()
    assert [update["instances"] for update in found] == [
        [[{str(epoch): numbers for epoch, numbers in one.items()}]] for one in rows[5:8]
    ]
    assert found[0]["began_at"] == [{"epoch": 0, "index": 20}]


def test_updates_before_a_resume_are_among_them(tmp_path):
    options = {**LIMIT, "total_steps": 4}
    make_trainer(tmp_path, model=Model(), stream=Stream({2, 3}), **options).run()
    options["total_steps"] = 20
    with pytest.raises(UserError, match="3 updates in a row up to update 5"):
        make_trainer(tmp_path, model=Model(), stream=Stream({0}), **options).run(tmp_path / "out-4")
    found = read(tmp_path / "out-skipped-5.json")
    assert [(u["update"], u["began_at"][0]["index"]) for u in found] == [(3, 8), (4, 12), (5, 16)]


def test_a_run_goes_back_and_on_behind_the_data(tmp_path, caplog):
    """Updates 6, 7, 8 are bad: back to update 4, and on with the data of update 9."""
    trainer = rewound(tmp_path / "a", {5, 6, 7}, rewind=1, ema_decay=0.9)
    assert "goes back to" in caplog.text and "(1 of 1 times)" in caplog.text
    progress = trainer.progress
    assert (progress.step, progress.skipped, progress.rewound) == (20, 3, 1)
    # The same by hand: the checkpoint of update 4, with the stream moved.
    other = make_trainer(
        tmp_path / "b", model=Model(0.2), stream=Stream({}), ema_decay=0.9, **LIMIT
    )
    seek = other.stream.seek
    other.stream.seek = lambda position: seek({"epoch": 0, "index": 32})
    other.run(tmp_path / "a" / "out-4")
    assert same_weights(trainer.model, other.model)
    left, right = (load_trainer_state(tmp_path / name / "out-20") for name in "ab")
    for one, two in ((left.optimizer, right.optimizer), (left.average, right.average)):
        assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
    assert left.progress.position == right.progress.position


def test_the_number_of_times_is_bounded(tmp_path):
    """Calls 8 to 11 are updates 5 to 8 again."""
    with pytest.raises(UserError, match="3 updates in a row up to update 8"):
        rewound(tmp_path, {5, 6, 7, 9, 10, 11}, rewind=1)
    files = [read(tmp_path / f"out-skipped-8{times}.json") for times in ("", ".1")]
    assert [[update["update"] for update in found] for found in files] == [[6, 7, 8]] * 2
    assert files[0] != files[1]


def test_without_a_checkpoint_the_run_ends(tmp_path):
    with pytest.raises(UserError, match=r"up to update 3 .* There is no checkpoint to go back to"):
        rewound(tmp_path, {0, 1, 2}, rewind=1)


@pytest.mark.parametrize(
    ("saved", "first", "step"),
    [([4, 8, 12], 11, 8), ([4, 8, 12], 13, 12), ([12], 11, 12), ([4, 8], 4, 8), ([], 3, None)],
)
def test_which_checkpoint(saved, first, step):
    assert step_to_go_back_to(saved, first) == step


def test_where_it_is_refused(tmp_path):
    for name in ("fsdp", "deepspeed"):
        with pytest.raises(ConfigError, match="--rewind 2: goes with --engine single or ddp"):
            require_rewinding(engines.get(name)(), 2, numbered=True)
    with pytest.raises(ConfigError, match="--rewind 1: only pre-training keeps checkpoints"):
        make_trainer(tmp_path, rewind=1, numbered=False).run()
    with pytest.raises(ConfigError, match="--rewind -1: must not be negative"):
        Settings(output_model_path="out", rewind=-1)


def test_two_processes_go_back_together(tmp_path):
    """Rows 64 to 79 are bad: updates 9 and 10; both processes go on with row 80 after update 6."""
    common = {"engine": "ddp", "poisoned": True, "limit": 2, "save": 6}
    jobs = [
        {**common, "folder": str(tmp_path / name), **more} for name, more in (("a", {"rewind": 1}),)
    ]
    run(HERE / "jobs.py", json.dumps(jobs))
    found = read(tmp_path / "a" / "out-skipped-10.json")
    assert [update["instances"] for update in found] == [
        [[{"0": list(range(n, n + 4))}], [{"0": list(range(n + 4, n + 8))}]] for n in (64, 72)
    ]
    progress = load_trainer_state(tmp_path / "a" / "out-20").progress
    assert (progress.step, progress.rewound, progress.skipped) == (20, 1, 2)
    assert progress.position == {"row": 80 + 8 * 14}
    results = finish(
        start(HERE / "jobs.py", json.dumps([{**common, "folder": str(tmp_path / "b")}]))
    )
    assert [status for status, _, _ in results] == [1, 1], results
    assert all("2 updates in a row up to update 10" in err for _, _, err in results)
    load_weights(FakeModel(), tmp_path / "b" / "out-6")

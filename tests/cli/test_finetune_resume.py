"""`uer finetune --resume auto`, from the command line."""

import logging

from support import TINY, table

from uer.cli.main import run
from uer.config import dump_yaml
from uer.training.checkpoint import load_trainer_state

CONFIG = {"embedding": ["word", "pos", "seg"], "encoder": "transformer", **TINY}


def test_a_run_goes_on_from_what_it_kept(tmp_path, vocabulary, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "tiny.yaml").write_text(dump_yaml(CONFIG))
    (tmp_path / "rows.tsv").write_text(table(16))
    given = {"train_path": tmp_path / "rows.tsv", "config_path": tmp_path / "tiny.yaml"}
    given |= {"vocab_path": vocabulary, "output_model_path": tmp_path / "tuned", "batch_size": 4}
    given |= {"seq_length": 16, "threads": 1, "resume": "auto"}

    def tune(**more):
        flags = {**given, **more}.items()
        words = ["classifier", *(str(w) for name, value in flags for w in (f"--{name}", value))]
        assert run("finetune", words, "uer finetune") == 0
        return load_trainer_state(tmp_path / "tuned").progress.step

    assert tune(total_steps=4) == 4
    assert f"no checkpoint {tmp_path}/tuned-<step> to go on from: the run begins" in caplog.text
    assert tune(total_steps=8) == 8
    assert f"resumed from {tmp_path}/tuned after update 4; changed since: total" in caplog.text
    assert tune(total_steps=8) == 8 and "has done all 8 updates" in caplog.text

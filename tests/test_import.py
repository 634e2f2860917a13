"""What has to be quick does not wait for torch."""

import pytest
from support import python

SHOW = "import sys; print('torch' in sys.modules, 'uer' in sys.modules)"


@pytest.mark.parametrize(
    "code",
    [
        "import uer",
        "from uer.cli.main import main; main(['--help'])",
        "from uer.cli.main import main; main(['--version'])",
        "from uer.cli.main import main; main(['zoo', 'list'])",
        "from uer.cli.main import main\ntry: main(['doctor', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_torch_is_not_imported(tmp_path, code):
    done = python("-c", f"{code}\n{SHOW}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False True"


def test_the_overview_names_every_command(tmp_path):
    done = python("-m", "uer", "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: uer COMMAND [flags]")
    for command in (
        "preprocess",
        "pretrain",
        "finetune",
        "infer",
        "vocab",
        "list",
        "explain",
        "doctor",
        "zoo",
    ):
        assert f"\n  {command} " in done.stdout

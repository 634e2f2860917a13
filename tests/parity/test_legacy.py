"""Models computed by the predecessors themselves, reproduced (`dialect: legacy`).

The packs lie in the folder that UER_PARITY_DIR names (default: ../shared/parity).
"""

import json
import os
from pathlib import Path

import pytest
from legacy_checks import check
from safetensors.torch import load_file

from uer.errors import ConfigError
from uer.interop.legacy.config import translate
from uer.processors.base import processors

ROOT = Path(os.environ.get("UER_PARITY_DIR", Path(__file__).parents[3] / "shared" / "parity"))
PACKS = sorted(file.parent.name for file in ROOT.glob("*/config.json"))

if not PACKS:
    pytest.skip(
        f"no parity packs in {ROOT}; set UER_PARITY_DIR to their folder", allow_module_level=True
    )


@pytest.mark.parametrize("pack", PACKS)
def test_a_predecessors_checkpoint_computes_what_it_computed_there(pack, tmp_path):
    folder = ROOT / pack
    config = json.loads((folder / "config.json").read_text())
    if config.get("data_processor") not in processors.names():
        config.pop("data_processor", None)
    try:
        translate(config, "legacy")
    except ConfigError as error:
        assert all(problem.endswith("is not supported yet.") for problem in error.problems)
        pytest.skip(error.problems[0])
    check(config, folder / "model.bin", load_file(folder / "case.safetensors"), tmp_path)

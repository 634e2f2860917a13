"""The losses of 20 steps of every objective are those of the text file beside this one.

A change that is meant to change arithmetic or randomness writes them anew::

    python -m pytest tests/end_to_end/test_golden_losses.py --write-golden
"""

import json
from pathlib import Path

import pytest
from small_runs import RUNS, steps, store_of

GOLDEN = Path(__file__).with_name("golden_losses.json")


def losses(name, folder):
    """{objective: [20] mean losses}."""
    found = {}
    for step in steps(name, store_of(name, folder), 20):
        for key, (total, weight) in step.items():
            found.setdefault(key, []).append(float(f"{total / max(weight, 1):.5g}"))
    return found


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_its_losses(name, tmp_path, request):
    found = losses(name, tmp_path)
    if request.config.getoption("--write-golden"):
        stored = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        lines = (
            f" {json.dumps(key)}: {json.dumps(value)}"
            for key, value in sorted({**stored, name: found}.items())
        )
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    expected = json.loads(GOLDEN.read_text())[name]
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-3, abs=1e-6), key

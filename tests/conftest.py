"""Shared by all tests: one thread, a tiny vocabulary and tiny corpora."""

import logging
import random

import pytest
import torch
from support import SPECIALS, WORDS


def pytest_addoption(parser):
    parser.addoption(
        "--write-golden", action="store_true", help="write the golden losses instead of testing"
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _as_before():
    """Undo what a command does to its process: it flushes denormals, and logs to its stderr."""
    yield
    torch.set_flush_denormal(False)
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [each for each in root.handlers if type(each) is not logging.StreamHandler]


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *WORDS]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Documents of sentences: a sentence per line, a blank line between documents."""
    draw = random.Random(1)
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    documents = (
        "\n".join(" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) for _ in range(6))
        for _ in range(30)
    )
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path

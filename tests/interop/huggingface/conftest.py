import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def theirs(tmp_path):
    """A folder with a BERT of transformers and its tokenizer."""
    from tiny import bert

    bert(tmp_path / "theirs")
    return tmp_path / "theirs"

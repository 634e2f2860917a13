import pytest

pytest.importorskip("PIL", reason="images need the extra 'vision'")

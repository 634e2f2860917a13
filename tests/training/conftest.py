import pytest

from uer.layers import dropout


@pytest.fixture
def small_pool(monkeypatch):
    """Dropout's masks are drawn anew within a short run."""
    monkeypatch.setattr(dropout.POOL, "size", 4096)
    monkeypatch.setattr(dropout.POOL, "_arrays", {})
    monkeypatch.setattr(dropout, "UPDATES_PER_POOL", 7)

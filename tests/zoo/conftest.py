import pytest
from fake_hub import FakeHub


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    served = FakeHub()
    yield served
    served.close()

import pytest


@pytest.fixture(scope="module")
def no_measurement():
    """The speed of the device takes longer to measure than these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uer.cli.pretrain.peak_flops", lambda device, precision: 1e12)
        yield

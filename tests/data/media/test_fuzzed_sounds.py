"""A thousand damaged sounds: each is decoded whole and finite, or refused with a reason."""

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
from fuzzed_sounds import fuzzed_sounds

from uer.data.media.fbank import Fbank, normalized
from uer.data.media.references import MediaError
from uer.data.media.sound import SoundReader

READ, FRAMES = SoundReader(16000, max_seconds=5), Fbank(16000, 80)


def test_a_thousand_sounds():
    decoded, reasons = 0, set()
    for content in fuzzed_sounds(1000):
        try:
            samples = READ.decode(content)
            frames = normalized(FRAMES(samples))
        except MediaError as error:
            reasons.add(error.reason)
            continue
        assert samples.dtype == np.float32 and 0 < len(samples) <= 5 * 16000
        assert len(frames) == FRAMES.length(np.array([len(samples)]))[0]
        assert np.isfinite(frames).all()
        decoded += 1
    assert decoded > 200 and len(reasons) >= 6


def test_memory_is_bounded_whatever_the_header_promises():
    """Six channels of five seconds are read by blocks; a thousand seconds are not read."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((5 * 48000, 6), "i2"), 48000, format="FLAC")
    long = io.BytesIO()
    soundfile.write(long, np.zeros(1000 * 48000, "i2"), 48000, format="FLAC")
    tracemalloc.start()
    READ.decode(file.getvalue())
    with pytest.raises(MediaError, match="too long"):
        READ.decode(long.getvalue())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4e6, "at float32 all channels would be 5.8 MB, the long one 192 MB"

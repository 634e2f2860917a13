"""A thousand damaged sounds: each is decoded whole and finite, or refused with a reason."""

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
from fuzzed_sounds import fuzzed_sounds

from uer.data.media.fbank import Fbank, normalized
from uer.data.media.sound import SoundReader
from uer.errors import DataError

READ, FRAMES = SoundReader(16000, max_seconds=5), Fbank(16000, 80)


def test_a_thousand_sounds():
    decoded, reasons = 0, set()
    for content in fuzzed_sounds(1000):
        try:
            samples = READ(content)
            frames = normalized(FRAMES(samples))
        except DataError as error:
            reasons.add(str(error).split()[0])
            continue
        assert samples.dtype == np.float32 and 0 < len(samples) <= 5 * 16000
        assert len(frames) == FRAMES.length(np.array([len(samples)]))[0]
        assert np.isfinite(frames).all()
        decoded += 1
    assert decoded > 200 and reasons >= {"is", "has", "holds", "lasts"}


def test_memory_is_bounded_whatever_the_header_promises():
    """Six channels of five seconds are read by blocks; a thousand seconds are not read."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((5 * 48000, 6), "i2"), 48000, format="FLAC")
    long = io.BytesIO()
    soundfile.write(long, np.zeros(1000 * 48000, "i2"), 48000, format="FLAC")
    tracemalloc.start()
    READ(file.getvalue())
    with pytest.raises(DataError, match=r"lasts 1000.0 seconds"):
        READ(long.getvalue())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4e6, "at float32 all channels would be 5.8 MB, the long one 192 MB"

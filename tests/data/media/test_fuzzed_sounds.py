"""A thousand damaged sounds: each is decoded whole and finite, or named with a reason."""

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
from fuzzed_sounds import fuzzed_sounds

from uer.builder import build
from uer.data.bucket_stream import BucketStream
from uer.data.media.references import MediaError
from uer.data.media.sound import SoundReader
from uer.data.preprocess import LEFT_OUT, preprocess_media
from uer.data.store import Store
from uer.processors.base import Processor

READ = SoundReader(16000, max_seconds=5)
PROCESSOR = build(Processor, "tera", max_audio_frames=500, crop=None)


def test_a_thousand_sounds_are_decoded_or_named(tmp_path):
    names = [f"{number}.snd" for number in range(1000)]
    for name, content in zip(names, fuzzed_sounds(1000), strict=True):
        (tmp_path / name).write_bytes(content)
    manifest = tmp_path / "sounds.txt"
    manifest.write_text("".join(f"{name}\n" for name in names))
    preprocess_media([manifest], tmp_path / "data", tokenizer=None, corpus_format="sounds")
    store, decoded = Store.open(tmp_path / "data"), set()
    stream = BucketStream(store, PROCESSOR, batch_tokens=1000, seed=1)
    for numbered in stream.numbered():
        lengths, frames = numbered.batch["src.length"].tolist(), numbered.batch["src.frames"]
        assert frames.isfinite().all() and max(lengths) == frames.shape[1] <= 500
        decoded |= {store.media["sound"][number].name for number in numbered.numbers}
    lines = (tmp_path / "data" / LEFT_OUT).read_text().splitlines()[1:]
    named = {line.split("\t")[0] for line in lines} | stream.media_report._seen
    assert decoded | named == set(names) and not decoded & named
    reasons = {line.split("\t")[1] for line in lines} | set(stream.media_report.counts)
    assert reasons >= {"no sound that can be read", "no samples", "too short", "too long"}
    assert reasons >= {"samples that are no numbers", "samples beyond all scales"}
    assert len(decoded) > 200
    assert all(len(stream.next()["src.frames"]) for _ in range(20)), "training goes on"


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

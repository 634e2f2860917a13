"""Small corpora of sounds."""

import numpy as np
import soundfile

from uer.data.bucket_stream import BucketStream
from uer.data.preprocess import preprocess_media
from uer.data.randomness import Draw
from uer.data.store import Store
from uer.tokenizers.byte import ByteTokenizer

RATE = 8000


def tones(seconds, seed=0):
    """Sums of two tones and a little noise, of so many seconds each."""
    draw = np.random.default_rng(seed)
    for length in seconds:
        time = np.arange(int(length * RATE)) / RATE
        one, other = draw.uniform(200, 3000, 2)
        made = 0.3 * np.sin(6.28 * one * time) + 0.2 * np.sin(6.28 * other * time)
        yield (made + draw.normal(0, 0.01, len(time))).astype("f4")


def sound_store(folder, fields, seconds, sounds=None):
    """Preprocess a manifest of sounds.

    Args:
        folder: to write to.
        fields: of each row what stands before the path; empty texts: only paths.
        seconds: how long the sounds are.
        sounds: the samples, by default tones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, samples in enumerate(sounds or tones(seconds)):
        soundfile.write(folder / f"{number}.wav", samples, RATE, subtype="FLOAT")
        lines.append("\t".join([*fields[number], f"{number}.wav"]) + "\n")
    (folder / "manifest.txt").write_text("".join(lines))
    return folder / "manifest.txt"


def stored(folder, manifest, corpus_format):
    """The store of a manifest."""
    texts = corpus_format.startswith("transcribed")
    preprocess_media(
        [manifest],
        folder / "data",
        tokenizer=ByteTokenizer(extra_ids=0) if texts else None,
        corpus_format=corpus_format,
    )
    return Store.open(folder / "data")


def read_all(processor, store, *, epoch=0, ordered=False, which=None):
    """All instances (or some), prepared together."""
    draw = Draw(1, epoch)
    instances = processor.index(store, draw)
    which = np.arange(len(instances)) if which is None else np.asarray(which)
    return processor.read(store, instances, which, draw, ordered=ordered)


def batches(processor, store, count, **keys):
    """The first batches of a stream."""
    stream = BucketStream(store, processor, seed=1, **({"batch_size": 4} | keys))
    return [stream.next() for _ in range(count)]

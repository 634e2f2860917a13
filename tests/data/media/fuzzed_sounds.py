"""Sounds as they come from the wild: of every kind, damaged in every way."""

import io
import random

import numpy as np
import soundfile

_KINDS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("MP3", None),
    ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"),
]  # fmt: skip
_RATES = [8000, 12000, 16000, 24000, 48000]


def fuzzed_sounds(count, seed=0):
    """Yield the content of ``count`` files."""
    choose, draw = random.Random(seed), np.random.default_rng(seed)
    for _ in range(count):
        yield _damaged(_sound(choose, draw), choose, draw)


def _sound(choose, draw):
    kind, subtype = choose.choice(_KINDS)
    size = choose.choice([0, 1, 2, 100, 1000, 5000, 12000])
    channels = choose.choice([1, 1, 2, 6] if (kind, subtype) == ("WAV", "PCM_16") else [1, 1, 2])
    samples = draw.normal(0, 0.2, (size, channels))
    if choose.random() < 0.1:
        samples[:] = 0
    if size and subtype in ("FLOAT", "DOUBLE") and choose.random() < 0.5:
        samples[draw.integers(size)] = choose.choice([np.nan, np.inf, -np.inf, 1e30])
    file = io.BytesIO()
    soundfile.write(file, samples, choose.choice(_RATES), format=kind, subtype=subtype)
    return file.getvalue()


def _damaged(content, choose, draw):
    way = choose.choice(["whole", "whole", "cut", "bits", "header", "other", "empty", "tail"])
    if way == "cut":
        return content[: choose.randrange(len(content) + 1)]
    if way == "bits":
        return _flipped(content, draw, 1 << 20)
    if way == "header":  # sizes, rates and counts that are lies
        return _flipped(content, draw, 64)
    if way == "other":
        start = choose.choice([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"ID3", b"<html>", b""])
        return start + draw.bytes(choose.choice([10, 1000, 10000]))
    if way == "tail":
        return content + draw.bytes(500)
    return b"" if way == "empty" else content


def _flipped(content, draw, size):
    damaged = bytearray(content or b"?")
    for place in draw.integers(min(size, len(damaged)), size=8):
        damaged[place] ^= 1 << draw.integers(8)
    return bytes(damaged)

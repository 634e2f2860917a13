"""Sounds are decoded, or refused with a reason."""

import io
import os

import numpy as np
import pytest
import soundfile

from uer.data.media.references import MediaError, Medium, Reference
from uer.data.media.sound import SoundReader, measure, resample

RATE = 16000
READ = SoundReader(RATE, max_seconds=10)


def tone(hertz, seconds=1.0, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("f4")


def content(samples, rate=RATE, kind="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype", "error"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "FLOAT", 0),
        ("WAV", "ULAW", 0.05),
        ("FLAC", "PCM_24", 1e-6),
        ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.05),
    ],
)
def test_formats(kind, subtype, error):
    samples = tone(440)
    read = READ.decode(content(samples, kind=kind, subtype=subtype))
    assert read.dtype == np.float32 and read.shape == samples.shape
    assert np.abs(read - samples).max() <= error


def test_an_mp3_is_read_though_its_header_only_estimates():
    read = READ.decode(content(tone(440), kind="MP3"))
    assert abs(len(read) - RATE) < RATE // 5
    spectrum = np.abs(np.fft.rfft(read))
    assert abs(spectrum.argmax() * RATE / len(read) - 440) < 3


def test_an_mp3_that_says_how_long_it_is_may_be_truncated():
    made = content(tone(440, 5.0), kind="MP3")
    tagged = b"ID3\x03\0\0" + bytes([0, 0, 2, 0]) + bytes(256) + made
    for whole in (made, tagged):
        assert len(READ.decode(whole)) == 5 * RATE
        with pytest.raises(MediaError, match="truncated"):
            READ.decode(whole[: len(whole) // 2])


def test_nothing_is_repeated_behind_the_end_of_an_mp3():
    noise = np.random.default_rng(0).normal(0, 0.1, 9 * RATE).astype("f4")
    made = content(noise, kind="MP3")
    whole, cut = READ.decode(made), READ.decode(made[: len(made) * 98 // 100])
    assert 8.6 * RATE < len(cut) < len(whole) == 9 * RATE
    np.testing.assert_allclose(cut[:-2000], whole[: len(cut) - 2000], atol=1e-4)


def test_channels_are_averaged():
    samples = np.stack([tone(440), tone(550), np.zeros(RATE, "f4")], axis=1)
    read = READ.decode(content(samples, subtype="FLOAT"))
    np.testing.assert_allclose(read, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_another_rate_gives_the_same_tone(rate):
    read = READ.decode(content(tone(1000, rate=rate), rate, subtype="FLOAT"))
    assert len(read) == READ.length(np.array([rate]), np.array([rate]))[0] == RATE
    inside = slice(RATE // 10, -RATE // 10)  # a filter needs what stands around
    assert np.abs(read - tone(1000))[inside].max() < 1e-4


def test_what_the_lower_rate_cannot_carry_is_filtered_out():
    """Without a filter, 5 kHz sampled at 8 kHz would sound like 3 kHz."""
    made = resample(tone(5000), RATE, 8000)
    assert np.abs(made[800:-800]).max() < 1e-4


def test_a_sound_of_any_length_has_the_length_that_was_foretold():
    lengths = np.arange(1, 200, 7)
    read = SoundReader(16000, 10)
    for rate in (7999, 8000, 11025, 44100):
        made = [len(read.decode(content(np.full(size, 0.1, "f4"), rate))) for size in lengths]
        assert made == read.length(lengths, np.full(len(lengths), rate)).tolist()


def test_silence_and_one_sample_are_sounds():
    assert not READ.decode(content(np.zeros(800, "f4"))).any()
    assert len(READ.decode(content(np.zeros(1, "f4")))) == 1


def medium_of(folder, made, *, before=0):
    """A sound in a file, perhaps behind other bytes."""
    (folder / "sound").write_bytes(bytes(before) + made)
    place = Reference("sound", before, len(made)) if before else Reference("sound")
    return Medium(os.path.realpath(folder), place)


@pytest.mark.parametrize("before", [0, 700])
def test_the_header_is_measured(tmp_path, before):
    made = content(np.zeros((400, 2), "f4"), 8000)
    medium = medium_of(tmp_path, made, before=before)
    assert measure(medium) == {"samples": 400, "rate": 8000}
    assert len(READ.read(medium)) == 800


def test_what_has_no_header_is_not_measured(tmp_path):
    with pytest.raises(MediaError, match="no sound"):
        measure(medium_of(tmp_path, b"just a text\n" * 100))
    with pytest.raises(MediaError, match="cannot be opened"):
        measure(Medium(os.path.realpath(tmp_path), Reference("missing")))
    with pytest.raises(MediaError, match="outside of the root"):
        measure(Medium(os.path.realpath(tmp_path), Reference("../sound")))


def not_a_number():
    return content(np.array([0.1, np.nan, 0.2], "f4"), subtype="FLOAT")


def cut_flac():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype("f4")
    whole = content(noise, kind="FLAC")
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: b"", "no sound"),
        (lambda: b"RIFF", "no sound"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "no sound"),
        (lambda: b"just a text\n" * 100, "no sound"),
        (lambda: content(np.zeros(0, "f4")), "no samples"),
        (not_a_number, "no numbers"),
        (lambda: content(np.array([0, np.inf], "f4"), subtype="FLOAT"), "no numbers"),
        (
            lambda: content(np.array([0, 1e30], "f4"), subtype="FLOAT"),
            "beyond all scales .up to 1e.30",
        ),
        (lambda: content(np.zeros(11 * RATE, "f4")), "too long .11.0 seconds; at most 10"),
        (cut_flac, "truncated|no sound"),
    ],
)
def test_what_is_no_sound_is_refused(made, reason):
    with pytest.raises(MediaError, match=reason):
        READ.decode(made())


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU"])
def test_what_ends_before_its_header_says_is_truncated(kind):
    whole = content(np.zeros(8000, "f4"), kind=kind)
    assert len(READ.decode(whole)) == 8000
    with pytest.raises(MediaError, match=r"truncated \([\d,]+ of 16,0[\d,]+ bytes"):
        READ.decode(whole[:9000])


@pytest.mark.parametrize("size", [0x7FFFFFDB, 0xFFFFFFFF])
def test_what_was_written_to_a_pipe_is_whole(size):
    made = content(np.zeros(8000, "f4"))
    assert made[36:40] == b"data"
    piped = made[:4] + b"\xff" * 4 + made[8:40] + size.to_bytes(4, "little") + made[44:]
    assert len(READ.decode(piped)) == 8000


def test_a_long_sound_is_refused_before_it_is_read(monkeypatch):
    """An hour of silence is a small file and a big array."""
    made = content(np.zeros(3600 * 8000, "i2"), 8000, kind="FLAC")
    assert len(made) < 200_000
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(MediaError, match=r"too long .3600.0 seconds"):
        READ.decode(made)

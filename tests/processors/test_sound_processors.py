"""What processors make of sounds."""

import numpy as np
import pytest
import soundfile
from fake_store import make_processor
from sound_corpora import RATE, batches, read_all, sound_store, stored, tones

from uer.data.media.fbank import Fbank, normalized
from uer.errors import ConfigError, DataError
from uer.frames import frames_after

FACTS = {"pad_id": 0, "sep_id": 1, "eos_id": 1, "labels_num": 2}
SMALL = {"sampling_rate": RATE, "audio_feature_size": 20}
WAVE = {"sampling_rate": RATE, "conv_kernel_sizes": [8, 4, 4], "conv_strides": [4, 4, 4]}
SECONDS = [0.5, 0.31, 0.8, 0.42, 0.6, 0.25]
TEXTS = ["one", "two two", "a longer text", "x", "five", "six"]
FEATURES = Fbank(RATE, 20)


def made(name, **keys):
    return make_processor(name, facts=FACTS, **keys)


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transcribed")
    manifest = sound_store(folder, [[text] for text in TEXTS], SECONDS)
    return stored(folder, manifest, "transcribed_sounds")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return stored(folder, sound_store(folder, [[]] * 6, SECONDS), "sounds")


def frames_of(number):
    return normalized(FEATURES(list(tones(SECONDS))[number]))


def ids_of(text):
    return [byte + 3 for byte in text.encode()]


def test_s2t_hears_frames_and_writes_texts(transcribed):
    prepared = read_all(made("s2t", **SMALL), transcribed).prepared
    for number, text in enumerate(TEXTS):
        np.testing.assert_allclose(
            prepared.arrays["src.frames"][number], frames_of(number), atol=1e-4
        )
        tgt = prepared.sides["tgt"]
        start, end = tgt.offsets[number : number + 2]
        assert tgt.ids[start:end].tolist() == [0, *ids_of(text)]
        side, places, values = prepared.token_labels["lm"]
        inside = (places >= start) & (places < end)
        assert side == "tgt" and values[inside].tolist() == [*ids_of(text), 1]
    assert prepared.arrays["src.length"].tolist() == [len(frames_of(n)) for n in range(6)]


def test_a_text_that_was_cut_does_not_teach_its_end(transcribed):
    prepared = read_all(made("s2t", **SMALL, tgt_seq_length=4), transcribed).prepared
    _, _, values = prepared.token_labels["lm"]
    labels = [[*ids_of(text), 1][:4] for text in TEXTS]
    assert values.tolist() == [token for text in labels for token in text]


def test_specaugment_is_for_training(transcribed):
    keys = {"specaugment": {"time_mask_T": 8, "time_mask_N": 2}}
    plain, masked = made("s2t", **SMALL), made("s2t", **SMALL, **keys)
    ordered, trained = (read_all(masked, transcribed, ordered=o).prepared for o in (True, False))
    later = read_all(masked, transcribed, epoch=1).prepared
    clean = read_all(plain, transcribed).prepared
    same = [
        [
            np.array_equal(a, b)
            for a, b in zip(x.arrays["src.frames"], clean.arrays["src.frames"], strict=True)
        ]
        for x in (ordered, trained, later)
    ]
    assert all(same[0]) and not all(same[1]) and not all(same[2])
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(trained.arrays["src.frames"], later.arrays["src.frames"], strict=True)
    )


def test_ctc_lists_the_tokens_of_each_row(transcribed):
    (batch,) = batches(made("ctc", **SMALL), transcribed, 1, batch_size=6)
    lengths = batch["src.length"].tolist()
    rows, values = batch["labels.ctc.index"], batch["labels.ctc.value"]
    said = [values[rows == row].tolist() for row in range(6)]
    wanted = {len(frames_of(n)): ids_of(text) for n, text in enumerate(TEXTS)}
    assert said == [wanted[length] for length in lengths]
    assert batch["src.frames"].shape == (6, max(lengths), 20)
    for row, length in enumerate(lengths):
        assert not batch["src.frames"][row, length:].any()


def test_ctc_may_read_samples(transcribed):
    (batch,) = batches(made("ctc", sounds="wave", sampling_rate=RATE), transcribed, 1, batch_size=6)
    assert sorted(batch["src.length"].tolist()) == sorted(int(s * RATE) for s in SECONDS)
    row, length = batch["src.wave"][0], batch["src.length"][0]
    assert abs(row[:length].mean()) < 1e-5 and abs(row[:length].std() - 1) < 1e-3


def test_sounds_that_are_too_long_or_too_short_are_left_out_and_counted(tmp_path):
    manifest = sound_store(tmp_path, [[]] * 4, [0.5, 0.01, 3.0, 0.02])
    store = stored(tmp_path, manifest, "sounds")
    processor = made("tera", **SMALL, max_audio_frames=100)
    instances = processor.index(store, None)
    assert instances.media["sound"].tolist() == [0]
    assert processor.left_out(store) == [
        ("1.wav", "too short", "0 frames; at least 1"),
        ("2.wav", "too long", "298 frames; at most 100"),
        ("3.wav", "too short", "0 frames; at least 1"),
    ]


def test_a_batch_of_frames_has_a_budget(plain):
    processor = made("tera", **SMALL)
    for batch in batches(processor, plain, 8, batch_size=None, batch_tokens=120):
        rows, longest, _ = batch["src.frames"].shape
        assert rows == 1 or rows * longest <= 120


def front_end(samples):
    return frames_after(samples, WAVE["conv_kernel_sizes"], WAVE["conv_strides"], False)


def test_wav2vec2_masks_stretches_and_draws_distractors(plain):
    processor = made("wav2vec2", **WAVE, mask_time_length=5, negatives_num=7)
    prepared = read_all(processor, plain).prepared
    labels = prepared.patch_labels["wav2vec2"]
    counts = front_end(prepared.arrays["src.length"])
    assert labels.counts.tolist() == counts.tolist()
    for row, masked in enumerate(prepared.arrays["src.masked"]):
        assert len(masked) == counts[row] and not masked.all()
        starts = np.flatnonzero(np.diff(masked.astype(int), prepend=0) == 1)
        ends = np.flatnonzero(np.diff(masked.astype(int), append=0) == -1)
        assert (ends - starts + 1 >= min(5, counts[row] // 2)).all()
        mine = labels.row == row
        places = labels.patch[mine]
        assert places.tolist() == np.flatnonzero(masked).tolist()
        others = labels.negative[mine]
        assert others.shape == (len(places), 7)
        assert masked[others].all() and (others != places[:, None]).all()


def test_distractors_are_drawn_from_all_masked_frames(plain):
    processor = made("wav2vec2", **WAVE, mask_time_length=5, negatives_num=200)
    labels = read_all(processor, plain, which=[0]).prepared.patch_labels["wav2vec2"]
    for place, others in zip(labels.patch, labels.negative, strict=True):
        assert set(others.tolist()) == set(labels.patch.tolist()) - {place}


def test_the_share_of_masked_frames_is_the_papers(tmp_path):
    """With 0.65 in stretches of 10 about half of the frames are masked (section 4.1: 49 %)."""
    noise = [np.random.default_rng(0).normal(0, 0.1, 15 * RATE).astype("f4")] * 2
    store = stored(tmp_path, sound_store(tmp_path, [[]] * 2, [], sounds=noise), "sounds")
    processor = made("wav2vec2", **WAVE)
    shares = [
        np.concatenate(read_all(processor, store, epoch=epoch).prepared.arrays["src.masked"]).mean()
        for epoch in range(5)
    ]
    assert abs(np.mean(shares) - 0.49) < 0.03


def test_longer_sounds_are_cropped_at_random(plain):
    processor = made("wav2vec2", **WAVE, crop=2400)
    lengths = read_all(processor, plain).prepared.arrays["src.length"]
    assert lengths.tolist() == [min(2400, int(s * RATE)) for s in SECONDS]
    first, later = (
        read_all(processor, plain, epoch=epoch, which=[2]).prepared.arrays["src.wave"][0]
        for epoch in (0, 1)
    )
    assert not np.array_equal(first, later)
    again = [
        read_all(processor, plain, epoch=epoch, which=[2], ordered=True).prepared
        for epoch in (0, 1)
    ]
    np.testing.assert_array_equal(*(one.arrays["src.wave"][0] for one in again))


def test_tera_alters_frames_and_asks_what_they_were(plain):
    keys = {"frequency_alteration": 0.0, "magnitude_alteration": 0.0, "time_alteration": 0.3}
    prepared = read_all(made("tera", **SMALL, **keys), plain).prepared
    labels = prepared.patch_labels["frames"]
    zeroed = 0
    for row, frames in enumerate(prepared.arrays["src.frames"]):
        clean = frames_of(row)
        changed = np.flatnonzero((np.abs(frames - clean) > 1e-3).any(axis=1))
        asked = labels.patch[labels.row == row]
        assert set(changed) <= set(asked) and len(asked) < len(frames)
        np.testing.assert_allclose(labels.value[labels.row == row], clean[asked], atol=1e-4)
        zeroed += int((~frames.any(axis=1)).sum())
    assert zeroed > 0


def test_tera_hides_bands_and_adds_noise(plain):
    bands = {"frequency_alteration": 0.5, "magnitude_alteration": 0.0, "time_alteration": 0.0}
    widths = set()
    for epoch in range(6):
        prepared = read_all(made("tera", **SMALL, **bands), plain, epoch=epoch).prepared
        for row, frames in enumerate(prepared.arrays["src.frames"]):
            hidden = np.flatnonzero(~frames.any(axis=0))
            widths.add(len(hidden))
            assert len(hidden) <= 10 and (np.diff(hidden) == 1).all()
            asked = (prepared.patch_labels["frames"].row == row).sum()
            assert asked == len(frames)
    assert max(widths) >= 8 and min(widths) <= 2
    noise = {"frequency_alteration": 0.0, "magnitude_alteration": 1.0, "time_alteration": 0.0}
    frames = read_all(made("tera", **SMALL, **noise), plain).prepared.arrays["src.frames"]
    difference = np.concatenate([f - frames_of(row) for row, f in enumerate(frames)])
    assert abs(difference.std() - 0.2) < 0.01 and abs(difference.mean()) < 0.01


def test_ssast_masks_clusters_of_whole_patches(plain):
    processor = made("ssast", **SMALL, spectrogram_patch=[4, 5], patch_mask_rate=0.4)
    prepared = read_all(processor, plain).prepared
    labels = prepared.patch_labels["ssast"]
    lone = 0
    for row, masked in enumerate(prepared.arrays["src.masked"]):
        patches = len(frames_of(row)) // 4 * 4
        assert len(masked) == labels.counts[row] == patches
        assert masked.sum() == round(0.4 * patches)
        assert labels.patch[labels.row == row].tolist() == np.flatnonzero(masked).tolist()
        grid = np.pad(masked.reshape(-1, 4), 1)
        around = grid[:-2, 1:-1] | grid[2:, 1:-1] | grid[1:-1, :-2] | grid[1:-1, 2:]
        lone += int((grid[1:-1, 1:-1] & ~around).sum())
    assert lone <= 3, "clusters, not single patches"


def test_hubert_asks_for_the_codes_of_masked_frames(tmp_path):
    sounds = list(tones(SECONDS))
    counts = [int(front_end(len(one))) for one in sounds]
    codes = [[100 * n + place for place in range(count)] for n, count in enumerate(counts)]
    codes[3] = codes[3][:-9]  # these do not belong to the sound
    fields = [[" ".join(map(str, row))] for row in codes]
    store = stored(tmp_path, sound_store(tmp_path, fields, [], sounds=sounds), "coded_sounds")
    processor = made("hubert", **WAVE, crop=2400, mask_time_length=5)
    read = read_all(processor, store)
    instances = processor.index(store, None)
    assert instances.media["sound"].tolist() == [0, 1, 2, 4, 5]
    assert [(one.name, one.reason) for one in processor.left_out(store)] == [
        ("3.wav", "other codes")
    ]
    labels = read.prepared.patch_labels["hubert"]
    waves = read.prepared.arrays["src.wave"]
    for row, number in enumerate([0, 1, 2, 4, 5]):
        mine = labels.row == row
        masked = read.prepared.arrays["src.masked"][row]
        assert labels.patch[mine].tolist() == np.flatnonzero(masked).tolist()
        begin = (labels.value[mine] - 100 * number) - labels.patch[mine]
        assert len(set(begin.tolist())) == 1 and begin[0] >= 0
        whole = sounds[number]
        first = begin[0] * 64
        stretch = (whole - whole.mean())[first : first + len(waves[row])]
        assert np.corrcoef(stretch, waves[row])[0, 1] > 0.999


def test_labelled_sounds(tmp_path):
    manifest = sound_store(tmp_path, [["0"], ["1"], ["1"]], SECONDS[:3])
    store = stored(tmp_path, manifest, "labelled_sounds")
    prepared = read_all(made("sound_cls", **SMALL), store).prepared
    assert prepared.row_labels["cls"].tolist() == [0, 1, 1]


def test_a_broken_sound_is_named_and_another_takes_its_place(tmp_path):
    manifest = sound_store(tmp_path, [[]] * 4, SECONDS[:4])
    bad = np.full(3000, np.nan, "f4")
    soundfile.write(tmp_path / "1.wav", bad, RATE, subtype="FLOAT")
    store = stored(tmp_path, manifest, "sounds")
    processor = made("tera", **SMALL)
    trained = read_all(processor, store)
    assert trained.which.tolist() == [0, 2, 2, 3]
    assert [(one.name, one.reason) for one in trained.unread] == [
        ("1.wav", "samples that are no numbers")
    ]
    assert read_all(processor, store, ordered=True).which.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("name", "keys", "reason"),
    [
        ("s2t", {"audio_feature_size": 0}, "audio_feature_size: 0 is less than 1"),
        ("s2t", {"specaugment": {"time_warp_W": 80}}, "time is not warped"),
        ("ctc", {"sounds": "wave", "max_audio_seconds": 0.0}, "must be positive"),
        ("tera", {"sounds": "wave"}, "choose fbank"),
        ("tera", {"time_alteration": 1.5}, "not in .0, 1"),
        ("ssast", {"patch_mask_rate": 1.0}, "patch_mask_rate"),
        ("wav2vec2", {"mask_time_prob": 0.0}, "mask_time_prob"),
        ("wav2vec2", {"conv_strides": [2]}, "each convolution has one of both"),
        ("wav2vec2", {"negatives_num": 0}, "negatives_num"),
    ],
)
def test_what_makes_no_sense_is_refused(name, keys, reason):
    with pytest.raises(ConfigError, match=reason):
        made(name, **keys)


def test_data_of_another_kind_are_refused(plain):
    with pytest.raises(DataError, match="have no texts"):
        made("s2t", **SMALL).index(plain, None)
    with pytest.raises(DataError, match="code for every frame"):
        made("hubert", **WAVE).index(plain, None)

"""Where a package is absent that reads images or sounds, a sentence names the extra."""

import sys
from pathlib import Path

import numpy as np
import pytest

from uer.builder import build
from uer.data.media.fbank import Fbank
from uer.data.media.image import open_image
from uer.data.media.references import Medium, Reference
from uer.data.media.rows import read_parquet
from uer.data.media.sound import SoundReader, measure, resample
from uer.errors import UserError
from uer.transforms.base import Transform

SILENCE = np.zeros(8000, "f4")


def flipped():
    return build(Transform, "horizontal_flip").training((8, 8), 3)


USES = {
    "pillow": ("PIL", "vision", lambda file: open_image(file, channels=3)),
    "torchvision": ("torchvision.transforms.v2", "vision", lambda file: flipped()),
    "soundfile": ("soundfile", "audio", SoundReader(16000, max_seconds=1).read),
    "soundfile's header": ("soundfile", "audio", measure),
    "soxr": ("soxr", "audio", lambda file: resample(SILENCE, 8000, 16000)),
    "pyarrow": ("pyarrow.parquet", "parquet", lambda file: next(read_parquet(Path("t"), ["path"]))),
    "kaldi-native-fbank": ("kaldi_native_fbank", "audio", lambda file: Fbank(8000, 20)(SILENCE)),
}


@pytest.mark.parametrize("use", USES)
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, use):
    (tmp_path / "file").write_bytes(b"RIFF")
    module, extra, read = USES[use]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install 'uer\[{extra}\]'\.$"):
        read(Medium(str(tmp_path), Reference("file")))

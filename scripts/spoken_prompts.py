"""Spoken prompts with transcripts, out of two Debian packages (CC BY-SA 3.0).

568 prompts of a telephone exchange, 25 minutes, one speaker, 8 kHz. `python -m
scripts.spoken_prompts` downloads them and writes manifests:

- ``sounds.txt``: the path of every prompt, for pre-training without transcripts;
- ``train.txt`` and ``held_out.txt``: ``text<TAB>path``, for pre-training with them;
- ``train.tsv`` and ``held_out.tsv``: the same rows as tables with the columns ``text`` and
  ``wav_path``, for fine-tuning and inference.

Texts are lower case with a-z, apostrophes and blanks; digits are spelt out. Prompts whose
transcript describes a sound ("[beep]") or holds a number of several digits are in ``sounds.txt``
only. The split is by a hash of the name, so it depends on nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")
SOUNDS = Path("usr/share/asterisk/sounds/en_US_f_Allison")
TRANSCRIPTS = Path("usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
OUT = Path("spoken_prompts")
TRAIN = 50  # prompts to train on, of at most so many seconds and at least so many letters
SECONDS, LETTERS = 4.0, 8
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Prompt(NamedTuple):
    """A file below the folder of sounds, and what is said in it (empty: it is not known)."""

    path: str
    text: str


def download(folder: Path) -> None:
    """Fetch the packages and unpack them; what is there already is kept.

    Raises:
        SystemExit: one of them could not be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not list(folder.glob(f"{package}_*.deb")):
            _command("apt-get", "download", package, folder=folder)
        (archive,) = folder.glob(f"{package}_*.deb")
        _command("dpkg-deb", "-x", archive.name, ".", folder=folder)


def _command(*words: str, folder: Path) -> None:
    try:
        status = subprocess.run(words, cwd=folder, check=False).returncode
    except FileNotFoundError:
        status = "that there is no such program"
    if status:
        raise SystemExit(
            f"{' '.join(words)}: failed with status {status}; on a system without Debian's packages "
            f"put {' and '.join(PACKAGES)} (.deb) into {folder} and unpack them there."
        )


def read_prompts(folder: Path) -> list[Prompt]:
    """All prompts of the unpacked packages, by name."""
    with gzip.open(folder / TRANSCRIPTS, "rt", encoding="utf-8") as file:
        lines = [line for line in file if line.strip() and not line.startswith(";")]
    texts = {name.strip(): spelt_out(text) for name, text in (row.split(":", 1) for row in lines)}
    names = sorted(
        path.relative_to(folder / SOUNDS).with_suffix("").as_posix()
        for path in (folder / SOUNDS).rglob("*.wav")
    )
    return [Prompt((SOUNDS / name).as_posix() + ".wav", texts.get(name, "")) for name in names]


def spelt_out(text: str) -> str:
    """What is said, as letters; empty where the transcript does not say it.

    >>> spelt_out(" Press 1 for voice-mail, or dial *.")
    'press one for voice mail or dial star'
    """
    text = re.sub(r"(?<=\w) \[.\]$", "", text.lower().strip())  # "dash [-]"
    if re.search(r"[\[<(]|[0-9]{2}|\d\.\d", text):
        return ""
    for digit, word in enumerate(_DIGITS):
        text = text.replace(str(digit), f" {word} ")
    text = text.replace("*", " star ").replace("#", " pound ")
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


def split(
    prompts: Iterable[Prompt], seconds: dict[str, float]
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on and prompts held out; no text stands in both.

    Args:
        prompts: those without a text are passed over.
        seconds: how long each is.
    """
    ordered = sorted(prompts, key=lambda one: hashlib.sha256(one.path.encode()).digest())
    seen: set[str] = set()
    fitting = []
    for prompt in ordered:
        if len(prompt.text) >= LETTERS and seconds[prompt.path] <= SECONDS:
            if prompt.text not in seen:
                fitting.append(prompt)
            seen.add(prompt.text)
    return fitting[:TRAIN], fitting[TRAIN:]


def write_manifests(folder: Path, prompts: Sequence[Prompt]) -> tuple[int, int]:
    """Write the manifests; how many prompts there are to train on, and held out."""
    import soundfile

    seconds = {one.path: soundfile.info(folder / one.path).duration for one in prompts}
    train, held_out = split(prompts, seconds)
    _write(folder / "sounds.txt", (one.path for one in prompts))
    for name, part in (("train", train), ("held_out", held_out)):
        rows = [f"{one.text}\t{one.path}" for one in part]
        _write(folder / f"{name}.txt", rows)
        _write(folder / f"{name}.tsv", ["text\twav_path", *rows])
    return len(train), len(held_out)


def _write(path: Path, lines: Iterable[str] | Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Download, unpack, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output_path", type=Path, default=OUT, help="folder to write to")
    folder = parser.parse_args().output_path
    download(folder)
    prompts = read_prompts(folder)
    train, held_out = write_manifests(folder, prompts)
    print(f"{folder}: {len(prompts)} prompts, {train} to train on, {held_out} held out.")


if __name__ == "__main__":
    main()

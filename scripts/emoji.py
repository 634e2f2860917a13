"""Pictures with captions: Noto Color Emoji and the names that Unicode gives them.

``python -m scripts.emoji NotoColorEmoji.ttf emoji-test.txt FOLDER`` writes the pictures and tables
of text<TAB>image path: ``train.tsv``, ``shuffled.tsv`` (the same with the captions of others),
``dev.tsv`` and ``pool.tsv``; and ``captions.txt``, the training captions for a vocabulary. The
files are those of Debian's packages fonts-noto-color-emoji and unicode-data; reading the font needs
fonttools.

What differs in skin or gender only is one concept, and a concept stands in one table. Which, its
hash decides; in ``dev`` and ``pool`` each has one picture. Skins are left out of all tables: they
would be nearly half of the pictures.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

POOL, DEV = 300, 150  # concepts
_PNG = b"\x89PNG"
_LINE = re.compile(r"(?P<codes>[0-9A-F ]+); fully-qualified\s+# \S+ E[\d.]+ (?P<name>.+)")
_JOINER, _EMOJI_STYLE = 0x200D, 0xFE0F
_SKINS = range(0x1F3FB, 0x1F400)
_GENDERS = (0x2640, 0x2642)
# Code points that differ in gender only, as one of them.
_SAME = {
    **dict.fromkeys((0x1F468, 0x1F469), 0x1F9D1),  # man, woman: person
    **dict.fromkeys((0x1F466, 0x1F467), 0x1F9D2),  # boy, girl: child
    **dict.fromkeys((0x1F474, 0x1F475), 0x1F9D3),  # old man, old woman: older person
    **dict.fromkeys((0x1F934, 0x1F478), 0x1FAC5),  # prince, princess: person with crown
    **dict.fromkeys((0x1F935, 0x1F470), 0x1F470),  # in tuxedo, with veil
    **dict.fromkeys((0x1F57A,), 0x1F483),  # man and woman dancing
    **dict.fromkeys((0x1F936,), 0x1F385),  # Mrs. Claus, Santa Claus
    **dict.fromkeys((0x1FAC3, 0x1FAC4), 0x1F930),  # pregnant man, person: woman
    **dict.fromkeys((0x1F46C, 0x1F46D), 0x1F46B),  # two men, two women, both holding hands
}
_GENDERED = re.compile(
    r"\b(wo)?m[ae]n\b|\bperson\b|\bpeople\b|\bboys?\b|\bgirls?\b|\bchild(ren)?\b"
)


class Picture(NamedTuple):
    """An emoji.

    Args:
        codes: its code points.
        caption: its name.
        png: the file.
    """

    codes: tuple[int, ...]
    caption: str
    png: bytes


def read_pictures(font: Path, names: Path) -> Iterator[Picture]:
    """The fully qualified emojis that the font has pictures of.

    Args:
        font: with bitmaps in its table CBDT.
        names: ``emoji-test.txt`` of Unicode.
    """
    from fontTools.ttLib import TTFont

    read: Any = TTFont(font, lazy=True)
    glyphs, pictures, ligatures = read.getBestCmap(), _bitmaps(read), _ligatures(read)
    for line in names.read_text(encoding="utf-8").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        codes = tuple(int(code, 16) for code in found["codes"].split())
        for kept in ([c for c in codes if c != _EMOJI_STYLE], codes):
            row = tuple(glyphs[code] for code in kept if code in glyphs)
            glyph = row[0] if len(row) == 1 else ligatures.get(row)
            if glyph in pictures:
                yield Picture(codes, found["name"], pictures[glyph])
                break


def concepts(pictures: Iterable[Picture]) -> list[list[Picture]]:
    """Pictures of the same, in their order: those that agree without skin and gender.

    Either their code points agree, or their names.
    """
    groups: list[list[Picture]] = []
    place: dict[object, int] = {}
    for picture in pictures:
        keys = (_bare_codes(picture.codes), _bare_name(picture.caption))
        found = sorted({place[key] for key in keys if key in place})
        number = found[0] if found else len(groups)
        if not found:
            groups.append([])
        for other in found[1:]:  # the keys of two groups meet
            groups[number] += groups[other]
            groups[other] = []
            place |= {key: number for key, where in place.items() if where == other}
        groups[number].append(picture)
        place |= dict.fromkeys(keys, number)
    return [group for group in groups if group]


def split(groups: Iterable[list[Picture]]) -> dict[str, list[Picture]]:
    """Pictures by table; no concept stands in two."""
    order = sorted(groups, key=lambda group: _hash(group[0].caption))
    pool, dev, rest = order[:POOL], order[POOL : POOL + DEV], order[POOL + DEV :]
    return {
        "pool": [group[0] for group in pool],
        "dev": [group[0] for group in dev],
        "train": [one for group in rest for one in group if not set(_SKINS) & set(one.codes)],
    }


def write(tables: dict[str, list[Picture]], folder: Path) -> None:
    """Write pictures and tables; in ``shuffled.tsv`` the training captions are exchanged."""
    (folder / "png").mkdir(parents=True, exist_ok=True)
    for name, pictures in tables.items():
        rows = [(one.caption, _file(one)) for one in pictures]
        for picture, (_, file) in zip(pictures, rows, strict=True):
            (folder / file).write_bytes(picture.png)
        _write_table(folder / f"{name}.tsv", rows)
        if name == "train":
            captions = [caption for caption, _ in rows]
            random.Random(1).shuffle(captions)
            exchanged = [(text, file) for text, (_, file) in zip(captions, rows, strict=True)]
            _write_table(folder / "shuffled.tsv", exchanged)
            text = "".join(f"{caption}\n" for caption in sorted(captions))
            (folder / "captions.txt").write_text(text, encoding="utf-8")


def _bitmaps(font: Any) -> dict[str, bytes]:
    found = {}
    for strike in font["CBDT"].strikeData:
        for glyph, bitmap in strike.items():
            start = bitmap.data.find(_PNG)
            if start >= 0:
                found[glyph] = bitmap.data[start:]
    return found


def _ligatures(font: Any) -> dict[tuple[str, ...], str]:
    """The glyph that stands for several."""
    found = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            inner = table.ExtSubTable if table.LookupType == 7 else table
            if inner.LookupType != 4:
                continue
            for first, ligatures in inner.ligatures.items():
                for one in ligatures:
                    found[(first, *one.Component)] = one.LigGlyph
    return found


def _bare_codes(codes: Iterable[int]) -> frozenset[int]:
    aside = {_JOINER, _EMOJI_STYLE, *_GENDERS, *_SKINS}
    return frozenset(_SAME.get(code, code) for code in codes if code not in aside)


def _bare_name(caption: str) -> str:
    """A name without skin and gender; one that is nothing else stays."""
    plain = re.sub(r"(:|,) .*skin tone.*", "", caption)
    bare = " ".join(_GENDERED.sub("", plain).split())
    return bare or plain


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _file(picture: Picture) -> str:
    return f"png/{'-'.join(f'{code:x}' for code in picture.codes)}.png"


def _write_table(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    lines = ["text\tpath", *(f"{text}\t{file}" for text, file in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(font: str, names: str, folder: str) -> None:
    """Write the tables and say how many there are."""
    tables = split(concepts(read_pictures(Path(font), Path(names))))
    write(tables, Path(folder))
    sizes = ", ".join(f"{len(pictures):,} in {name}.tsv" for name, pictures in tables.items())
    print(f"{folder}: {sizes}")


if __name__ == "__main__":
    main(*sys.argv[1:])

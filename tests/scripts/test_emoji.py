"""Which emojis are one concept, and how concepts are split; without the font."""

from scripts import emoji
from scripts.emoji import Picture, concepts, split, write

SKINS = [0x1F3FB, 0x1F3FF]


def picture(caption, *codes):
    return Picture(codes, caption, f"picture of {caption}".encode())


ROWERS = [
    picture("person rowing boat", 0x1F6A3),
    picture("person rowing boat: light skin tone", 0x1F6A3, SKINS[0]),
    picture("man rowing boat", 0x1F6A3, 0x200D, 0x2642, 0xFE0F),
    picture("woman rowing boat: dark skin tone", 0x1F6A3, SKINS[1], 0x200D, 0x2640, 0xFE0F),
]
COOKS = [picture("man cook", 0x1F468, 0x200D, 0x1F373), picture("cook", 0x1F9D1, 0x200D, 0x1F373)]
OTHERS = [picture("old man", 0x1F474), picture("old woman", 0x1F475), picture("cat", 0x1F408)]


def test_skin_and_gender_make_no_concept():
    found = concepts([ROWERS[0], COOKS[0], *ROWERS[1:], OTHERS[2], COOKS[1], *OTHERS[:2]])
    assert found == [ROWERS, COOKS, [OTHERS[2]], OTHERS[:2]]


def test_concepts_that_turn_out_to_be_one_are_joined():
    one, other = picture("bride", 1), picture("groom", 2)
    both = picture("bride", 2)  # the name of the one, the code of the other
    assert concepts([one, other, both]) == [[one, other, both]]


def test_a_concept_stands_in_one_table(monkeypatch, tmp_path):
    monkeypatch.setattr(emoji, "POOL", 2)
    monkeypatch.setattr(emoji, "DEV", 1)
    groups = [[picture(f"thing {n} {more}", n, more) for more in (50, 51)] for n in range(9)]
    groups[0].append(picture("thing 0: light skin tone", 0, SKINS[0]))
    tables = split(groups)
    assert {name: len(rows) for name, rows in tables.items()} == {"pool": 2, "dev": 1, "train": 12}
    seen = [{one.codes[0] for one in rows} for rows in tables.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 9
    assert all(SKINS[0] not in one.codes for rows in tables.values() for one in rows)
    write(tables, tmp_path)
    train, shuffled = (
        [line.split("\t") for line in (tmp_path / f"{name}.tsv").read_text().splitlines()]
        for name in ("train", "shuffled")
    )
    assert train[0] == ["text", "path"] and len(train) == 13
    assert [row[1] for row in train] == [row[1] for row in shuffled]
    assert sorted(train) != sorted(shuffled) and {t for t, _ in train} == {t for t, _ in shuffled}
    first = tables["train"][0]
    assert (tmp_path / train[1][1]).read_bytes() == first.png

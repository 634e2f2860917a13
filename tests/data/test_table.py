import pytest

from uer.data.table import read_table
from uer.errors import DataError


def table(tmp_path, content):
    path = tmp_path / "t.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_columns_and_line_numbers(tmp_path):
    text = '\ufefflabel\ttext_a\r\n1\t the cat \r\n\r\n0\t"dog"\r\n'
    read = read_table(table(tmp_path, text), ["text_a", "label"])
    assert read.columns == ["label", "text_a"] and len(read) == 2 and read.lines == [2, 4]
    assert read.column("text_a") == [" the cat ", '"dog"'] and read.integers("label") == [1, 0]
    assert "text_a" in read and "text_b" not in read


def test_a_row_of_empty_texts_is_a_row(tmp_path):
    read = read_table(table(tmp_path, "text_a\nx\n\n \ny\n\n"), ["text_a"])
    assert read.column("text_a") == ["x", "", " ", "y", ""] and read.lines == [2, 3, 4, 5, 6]
    read = read_table(table(tmp_path, "text_a\ttext_b\n\t\n\n\n"), ["text_a"])
    assert read.rows == [["", ""]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.tsv: the table is empty"),
        ("\n \n", r"t\.tsv: the table is empty"),
        ("text_a\n", r"t\.tsv: the table has column names, but no row"),
        (
            "\ntext\n1\n",
            r"t\.tsv:2: the table has no column 'text_a'; did you mean 'text'\? Its col",
        ),
        ("text_a\tlabel\nx\t1\t2\n", r"t\.tsv:2: this row has 3 fields, but the table has 2"),
        ("text_a\ttext_a\nx\ty\n", r"t\.tsv:1: two columns are called 'text_a'; rename one"),
        ("text_a\tlabel\nx\t1\nx\n", r"t\.tsv:3: this row has 1 fields"),
        (b"text_a\n\xff\n", r"t\.tsv:2: this line is not UTF-8; convert the file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, content), ["text_a"])


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.tsv: the table cannot be read: No such file"):
        read_table(tmp_path / "none.tsv", [])


@pytest.mark.parametrize("field", ["-1", "1.0", "x", "", " 1", "٣"])
def test_labels_are_numbers(tmp_path, field):
    read = read_table(table(tmp_path, f"label\ttext_a\n0\ta\n{field}\tb\n"), ["label"])
    with pytest.raises(DataError, match=r"t\.tsv:3: the label .* is no number; write 0, 1, 2"):
        read.integers("label")


def test_labels_have_a_bound(tmp_path):
    read = read_table(table(tmp_path, "label\n0\n3\n"), ["label"])
    assert read.integers("label", below=4) == [0, 3]
    with pytest.raises(DataError, match=r"t\.tsv:3: the label 3 is outside 0 … 2; the model knows"):
        read.integers("label", below=3)

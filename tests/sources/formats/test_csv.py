from __future__ import annotations

import csv
import io

import pytest

from seqgen.errors import ConfigError, TextError


def table(rows, **options) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, **options).writerows(rows)
    return written.getvalue()


REVIEWS = [["id", "review"], [1, 'She said "hi",\r\nthen left.'], [2, "plain"], [3, ""], [4, "나쁘다, 정말"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_cell_of_the_named_column_is_a_document(read, delimiter, end):
    content = table(REVIEWS, delimiter=delimiter, lineterminator=end)

    assert read("a.csv", content, field="review") == ('She said "hi",\r\nthen left.', "plain", "나쁘다, 정말")


def test_a_byte_order_mark_and_an_upper_case_suffix_are_read(read):
    assert read("A.CSV", "\ufefftext,n\na,1\n\nb,2") == ("a", "b")


def test_a_tsv_is_cut_at_tabs_only(read):
    assert read("a.tsv", 'label\ttext\n1\ta, "b"; c\n0\t"tab\there"\n') == ('a, "b"; c', "tab\there")


def test_the_column_must_exist_once(read):
    with pytest.raises(ConfigError, match=r"field: .*a\.csv has no column 'text'.* it has: 'id', 'review'"):
        read("a.csv", table(REVIEWS))
    with pytest.raises(ConfigError, match=r"field: .*a\.csv has no column 'reviews'.* it has: 'id', 'review'"):
        read("a.csv", table(REVIEWS), field="reviews")
    with pytest.raises(ConfigError, match="2 columns called 'text'"):
        read("a.csv", "text,text\na,b\n")


def test_a_table_of_tabs_without_the_column_may_be_pairs(read):
    with pytest.raises(ConfigError, match=r"no column 'text'.*--task translate"):
        read("a.tsv", "one\teins\ntwo\tzwei\n")
    with pytest.raises(ConfigError, match=r"no column 'text'") as refusal:
        read("a.csv", "one,eins\ntwo,zwei\n")
    assert "--task" not in str(refusal.value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [("a,b,c\n", "line 4: the row has 3 cells"), ("c\n", "line 4: the row has 1 cell")],
)
def test_a_row_of_another_length_is_refused_or_skipped(read, places, row, reason):
    content = f'text,n\n"one\nmore",1\n{row}two,2\n'

    with pytest.raises(TextError, match=rf"a\.csv, {reason}.*--on-bad-line skip"):
        read("a.csv", content)
    read = places("a.csv", content, on_bad_line="skip")
    assert read.found == [
        ("the document on line 2 of a.csv", "one\nmore"), ("the document on line 5 of a.csv", "two"),
    ]  # fmt: skip
    assert read.issues.skipped == 1
    assert "line 4" in read.issues.first_skipped


@pytest.mark.parametrize(
    "rows",
    [
        '"bad\n' + "".join(f"row{number}\n" for number in range(1000)),
        '"line one\nsaid "x" then\nrest of the cell\nlast line"\n',
        '"a"b\nmore\n',
        '"unclosed\n"closed"\n',
    ],
)
@pytest.mark.parametrize("on_bad_line", ["refuse", "skip"])
def test_unbalanced_quotes_are_never_skipped(read, rows, on_bad_line):
    with pytest.raises(TextError, match=r"a\.csv: .* row that begins on line 4 ") as refusal:
        read("a.csv", f'text\n"one\nmore"\n{rows}', on_bad_line=on_bad_line)

    assert "--on-bad-line" not in str(refusal.value)


def test_a_cell_may_be_longer_than_the_default_limit(read):
    assert read("a.csv", f"text\n{'x' * 3_000_000}\n") == ("x" * 3_000_000,)


def test_a_table_without_rows_is_empty(read):
    for content in ("", "text\n", "\n\n"):
        with pytest.raises(TextError, match="is empty"):
            read("a.csv", content)

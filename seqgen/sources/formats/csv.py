"""Read CSV and TSV: the first row names the columns, and each cell of one column is a document. Streamed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain

from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import FOR_PAIRS
from seqgen.sources.content import Content, Document
from seqgen.sources.fields import DEFAULT_FIELD
from seqgen.sources.lines import lines_with_ends
from seqgen.utils.text import plural

MAX_CELL = 1 << 27
"""Characters; a quote without an end makes the rest of the file one cell."""
DELIMITERS = ",;\t|"


def read(content: Content) -> Iterator[Document]:
    """Read a document per row, from the column that `--field` names.

    A .tsv file is cut at tabs, a .csv file at the most frequent delimiter of its first row.
    """
    lines = lines_with_ends(content.text())  # a quoted cell keeps its line ends
    header = next(lines, "")
    delimiter = "\t" if content.suffix == ".tsv" else max(DELIMITERS, key=_outside_quotes(header).count)
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # the default, 131,072, is less than an article
    rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    try:
        names = next((row for row in rows if row), None)
    except csv.Error as error:
        raise TextError(f"{content.name}, line 1 is not a row of CSV ({error})") from error
    if names is None:
        return
    column = _column(names, content, advice=f"; {FOR_PAIRS}" if delimiter == "\t" else "")
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise TextError(
                    f"{content.name}: a cell of the row that begins on line {number:,} is longer than "
                    f"{csv.field_size_limit():,} characters; split it, or save that text in a separate file"
                ) from error
            raise TextError(  # also with on_bad_line skip: the start of the next row is unknown
                f"{content.name}: the quotes of the row that begins on line {number:,} are not balanced ({error}), so "
                "the rest cannot be cut into rows; close the cell with a quote, and double each quote inside it"
            ) from error
        if row and len(row) != len(names):
            content.refuse(
                TextError(
                    f"{content.name}, line {number:,}: the row has {plural(len(row), 'cell')}, but the first row "
                    f"names {len(names)}"
                )
            )
        elif row:
            yield Document(iter([row[column]]), f"the document on line {number:,} of {content.name}")


def _column(names: list[str], content: Content, advice: str) -> int:
    field = content.reading.field or DEFAULT_FIELD
    shown = ", ".join(repr(name) for name in names[:20])
    if field not in names:
        raise ConfigError(
            f"field: {content.name} has no column {field!r}; choose one with --field, it has: {shown}{advice}"
        )
    if names.count(field) > 1:
        raise ConfigError(f"field: {content.name} has {names.count(field)} columns called {field!r}; rename them")
    return names.index(field)


def _outside_quotes(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)

"""CSV and TSV: the first row names the columns, and a column's cells are the documents. Streamed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain

from seqgen.errors import ConfigError, TextError
from seqgen.sources.content import Content, Document
from seqgen.sources.fields import DEFAULT_FIELD
from seqgen.sources.lines import lines_with_ends
from seqgen.utils.text import plural

LARGEST_CELL = 1 << 27
"""Characters; a quote that is never closed makes one cell of the rest of a file."""
DELIMITERS = ",;\t|"


def read(content: Content) -> Iterator[Document]:
    """Read a document a row, from the column that `--field` names; a .tsv is cut at tabs, a .csv at the first row's."""
    lines = lines_with_ends(content.text())  # which a cell in quotes keeps
    header = next(lines, "")
    delimiter = "\t" if content.suffix == ".tsv" else max(DELIMITERS, key=_outside_quotes(header).count)
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_CELL))  # of the process: 131,072 is less than an article
    rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    try:
        names = next((row for row in rows if row), None)
    except csv.Error as error:
        raise TextError(f"{content.name}, line 1 is not a row of CSV ({error})") from error
    if names is None:
        return
    column = _column(names, content)
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
                    f"{csv.field_size_limit():,} characters; cut it up, or save that text as a file of its own"
                ) from error
            raise TextError(  # whatever on_bad_line says: where the next row begins cannot be known
                f"{content.name}: the quotes of the row that begins on line {number:,} are not balanced ({error}), so "
                "what follows cannot be cut into rows; close the cell with a quote, and double each quote within it"
            ) from error
        if row and len(row) != len(names):
            content.refuse(
                TextError(
                    f"{content.name}, line {number:,}: the row has {plural(len(row), 'cell')}, and the first row "
                    f"names {len(names)}"
                )
            )
        elif row:
            yield Document(iter([row[column]]), f"the document on line {number:,} of {content.name}")


def _column(names: list[str], content: Content) -> int:
    field = content.reading.field or DEFAULT_FIELD
    shown = ", ".join(repr(name) for name in names[:20])
    if field not in names:
        reason = f"no column {field!r}" if content.reading.field else "no column 'text', and none is named"
        raise ConfigError(f"field: {content.name} has {reason}; name one by --field, of those that it has: {shown}")
    if names.count(field) > 1:
        raise ConfigError(f"field: {content.name} has {names.count(field)} columns called {field!r}; rename them")
    return names.index(field)


def _outside_quotes(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)

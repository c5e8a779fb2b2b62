"""Read pairs of a source and a target: two documents after one another.

    .jsonl .ndjson      an object a line, with the fields `--source-field` and `--target-field`
    .conll .iob .bio    a word a line: the word first and its tag last; a blank line ends a sentence
    else                a pair a line, with a tab between; nothing is quoted

Words and tags are joined by a space. A table of NSMC, whose first line is `id document label`, gives its last two
columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from seqgen.errors import TextError
from seqgen.sources.config import EXAMPLES, SIDES, Reading, Task
from seqgen.sources.content import Content, Document
from seqgen.sources.fields import parse_field, text_at, value_at
from seqgen.sources.formats.json_lines import parse_object, without_lone_surrogates
from seqgen.sources.lines import lines_with_ends
from seqgen.sources.misreading import detect_misreading
from seqgen.utils.text import plural

NSMC_HEADER = ["id", "document", "label"]
DOCUMENT_START = "-DOCSTART-"
"""The word by which CoNLL-2003 separates documents."""
HEAD_LINES = 100
"""Lines without a tab from which a file is refused as another format, and not by its first line."""
SHOWN_CHARACTERS = 40
"""Characters of a line that a message shows."""
_EXPECTED: dict[Task, str] = {
    "translate": "a source, a tab and a target in each line",
    "classify": "a text, a tab and its label in each line",
    "tag": "words, a tab and as many tags in each line",
}


class Pair(NamedTuple):
    """A source and its target, and the line that they are on."""

    source: str
    target: str
    line: int


def read(content: Content) -> Iterator[Document]:
    """Read the source and the target of each pair; a bad line is refused, or skipped and counted."""
    for pair in READERS.get(content.suffix, _read_table)(content):
        yield from checked(content, pair)


def checked(content: Content, pair: Pair) -> Iterator[Document]:
    """Yield both documents of a pair, or refuse it."""
    where = f"{content.name}, line {pair.line:,}"
    source, target = (without_lone_surrogates(content, text) for text in pair[:2])
    pair = Pair(source, target, pair.line)
    sides = SIDES[content.reading.task]
    empty = next((side for side, text in zip(sides, pair[:2], strict=True) if not text.strip()), None)
    words, tags = (len(text.split()) for text in pair[:2])
    if empty is not None:
        content.refuse(TextError(f"{where}: the {empty} is empty"))
    elif content.reading.task == "tag" and words != tags:
        content.refuse(TextError(f"{where}: {plural(words, 'word')} and {plural(tags, 'tag')}; give each word a tag"))
    else:
        for text in normalized(pair, content.reading):
            place = f"the {EXAMPLES[content.reading.task]} on line {pair.line:,} of {content.name}"
            yield Document(iter([text]), place)


def normalized(pair: Pair, reading: Reading) -> tuple[str, str]:
    """Return source and target as the task sees them: words and tags with one space between, labels stripped."""
    if reading.task == "tag":
        return " ".join(pair.source.split()), " ".join(pair.target.split())
    return pair.source, pair.target.strip() if reading.task == "classify" else pair.target


def read_lines(content: Content) -> Iterator[str]:
    """Read the lines of a file without their ends: one side of parallel files."""
    for line in lines_with_ends(content.text()):
        yield line.rstrip("\r\n")


def _read_table(content: Content) -> Iterator[Pair]:
    is_nsmc, lines = False, read_lines(content)
    head = list(islice(lines, HEAD_LINES))
    if content.reading.on_bad_line != "skip" and any(head) and not any("\t" in line for line in head):
        raise TextError(_describe_other(content, head))
    for number, line in enumerate(chain(head, lines), 1):
        cells = line.split("\t")
        if number == 1 and cells == NSMC_HEADER:
            is_nsmc = True
            continue
        if is_nsmc and len(cells) == len(NSMC_HEADER):
            cells = cells[1:]
        if not line or (is_nsmc and not cells[0].strip()):
            content.issues.empty += 1
        elif len(cells) != 2:
            content.refuse(
                TextError(
                    f"{content.name}, line {number:,} has {plural(len(cells) - 1, 'tab')}; give "
                    f"{_EXPECTED[content.reading.task]}"
                )
            )
        else:
            yield Pair(cells[0].strip(), cells[1].strip(), number)


def _describe_other(content: Content, head: Sequence[str]) -> str:
    """Say what a file without tabs looks like, by its first lines, and what is expected."""
    task, first = content.reading.task, next(filter(None, head))
    shown = first if len(first) <= SHOWN_CHARACTERS else f"{first[:SHOWN_CHARACTERS]}..."
    lines = "line" if len(head) == 1 else f"{len(head)} lines"
    found = detect_misreading("".join(f"{line}\n" for line in head))
    kind = "CSV" if content.suffix == ".csv" else None if found is None else found.what
    looks = "" if kind is None else f"; it looks like {kind}"
    others = {
        "translate": "a .jsonl file with --source-field and --target-field, or two parallel files",
        "classify": "or a .jsonl file with --source-field and --target-field",
        "tag": "a .jsonl file with --source-field and --target-field, or a .conll file",
    }[task]
    return (
        f"{content.name} has no tab in its first {lines}{looks}; the first is {shown!r}; give "
        f"{_EXPECTED[task]}, {others}"
    )


def _read_json_lines(content: Content) -> Iterator[Pair]:
    fields = {name: getattr(content.reading, name) for name in ("source_field", "target_field")}
    steps = {name: parse_field(field, name) for name, field in fields.items()}
    for number, line in enumerate(read_lines(content), 1):
        if not line.strip():
            continue
        where = f"{content.name}, line {number:,}"
        try:
            record = parse_object(line, where)
            source, target = (_text_at(record, steps[name], field, where, name) for name, field in fields.items())
        except TextError as error:
            content.refuse(error)
        else:
            yield Pair(source, target, number)


def _text_at(record: object, steps: tuple[str | int, ...], field: str, where: str, name: str) -> str:
    """Return the text of a field; a label may be a number or true or false."""
    value = value_at(record, steps, field)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):  # as all numbers of `parse_object`
        return str(int(value)) if value.is_integer() else str(value)
    return text_at(record, steps, field, where, f"--{name.replace('_', '-')}")


def _read_columns(content: Content) -> Iterator[Pair]:
    """Read sentences; one that has a word without a tag is refused, or skipped whole."""
    for sentence in _sentences(content):
        untagged = next((number for number, cells in sentence if len(cells) == 1), None)
        if untagged is None:
            words, tags = (" ".join(cells[place] for _, cells in sentence) for place in (0, -1))
            yield Pair(words, tags, sentence[0][0])
        else:
            content.refuse(TextError(f"{content.name}, line {untagged:,} has a word and no tag"))


def _sentences(content: Content) -> Iterator[list[tuple[int, list[str]]]]:
    """Yield the cells of the lines between blank ones, with their numbers."""
    sentence: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_lines(content), 1):
        cells = line.split()
        if cells and cells[0] != DOCUMENT_START:
            sentence.append((number, cells))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


READERS: dict[str, Callable[[Content], Iterator[Pair]]] = {
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    **dict.fromkeys((".conll", ".iob", ".bio"), _read_columns),
}
"""By suffix; any other is read as a table."""

"""`seqgen corpus stats`: statistics of a text and its likely problems, before training."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import JsonOption, QuietOption, TextsArgument, with_settings
from seqgen.cli.output import PAGE, notice, notice_pipes, printable, stderr, stdout, write_json

from seqgen.config import settings_of
from seqgen.sources.config import Reading
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from seqgen.sources.statistics.measure import Frequent, Repeated, Statistics

BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"})
_ACRONYM = re.compile(r"\b(?:nfc|nul|json|cr|c1)\b")
_KINDS = {1: "characters", 2: "pairs", 3: "triples"}


@with_settings(settings_of(Reading))
def stats(
    texts: TextsArgument,
    top: Annotated[int, typer.Option(min=1, help="How many of the most frequent characters and n-grams to list.")] = 10,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Show the contents of texts: scripts, entropies, frequent n-grams, duplicates, and likely problems."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from seqgen.sources.source import read_sources
    from seqgen.sources.statistics.measure import measure

    reading = Reading.of(**settings)
    notice_pipes(texts, quiet=quiet)
    console = stderr()
    notes: list[str] = []
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} characters read"))
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        documents = ((source.place, chunks) for source, chunks in read_sources(texts, reading, notes.append))
        found = measure(documents, top=top, raw=reading.is_raw, progress=lambda done: bar.advance(task, done))
    for message in notes:
        notice(message, quiet=quiet)
    if json:
        write_json(found.as_record())
    else:
        _print(found)


def _print(found: Statistics) -> None:
    console = stdout(PAGE)
    for title, content in (
        ("", _sizes(found)),
        ("scripts", _scripts(found)),
        ("entropy, bits per character", _entropies(found)),
        ("most frequent characters", _single_characters(found)),
        ("most frequent n-grams", _frequent(found)),
        ("problems", _findings(found)),
    ):
        if title:
            console.print(f"\n{title}", style="bold")
        console.print(content)


def _table(*justify: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for side in justify:
        table.add_column(justify="right" if side == "right" else "left", no_wrap=side != "fold")
    return table


def _sizes(found: Statistics) -> RenderableType:
    table = _table("left", "right", "left")
    newlines = ", ".join(f"{count:,} {kind.upper()}" for kind, count in found.newlines.items() if count)
    for name, value, note in (
        ("documents", found.documents, _repeated(found.repeated_documents)),
        ("lines", found.lines, _repeated(found.repeated_lines)),
        ("  longest", found.longest_line, singular_or_plural(found.longest_line, "character", "characters")),
        ("words", found.words, f"{found.word_ngrams[0].distinct:,} distinct{_of(found.word_ngrams[0], found.words)}"),
        ("characters", found.characters, f"{found.distinct_characters:,} distinct, {found.seen_once:,} seen once"),
        ("bytes as UTF-8", found.bytes, ""),
        ("line ends", sum(found.newlines.values()), newlines),
    ):
        table.add_row(name, f"{value:,}", note)
    return table


def _repeated(repeated: Repeated) -> str:
    about = "" if repeated.sampled == 1 else f" (estimated from 1 in {repeated.sampled})"
    return f"{repeated.copies:,} repeated, {100 * repeated.share:.1f}% of the characters{about}"


def _of(counted: Frequent, total: int) -> str:
    """Say how much of the text was counted, if not all."""
    return "" if counted.counted >= total else f" in the first {counted.counted:,}"


def _scripts(found: Statistics) -> RenderableType:
    table = _table("left", "right", "right", "left", "right")
    for script in found.scripts:
        share = script.characters / found.characters
        table.add_row(
            script.name, f"{script.distinct:,} distinct", f"{script.characters:,}", bar(share), f"{share:.1%}"
        )
    return table


def _entropies(found: Statistics) -> RenderableType:
    table = _table("left", "right", "fold")
    for entropy in found.entropies:
        notes = [f"{entropy.corrected_bits:.3f} with the Miller-Madow correction; too low for a short text"]
        if entropy.counted < found.characters:
            notes.append(f"of the first {plural(entropy.counted, 'character')}")
        table.add_row(f"order {entropy.order}", f"{entropy.bits:.3f}", "; ".join(notes if entropy.order else notes[1:]))
    return table


def _single_characters(found: Statistics) -> RenderableType:
    table = _table("left", "right", "left", "right")
    top = found.character_ngrams[0].top
    for character, count in top:
        share = count / found.characters
        table.add_row(visible(character), f"{count:,}", bar(share, count / top[0][1]), f"{share:.1%}")
    return table


def _frequent(found: Statistics) -> RenderableType:
    from rich.columns import Columns

    table = _table("left", "fold")
    for frequent in found.character_ngrams[1:]:
        grams = [f"{visible(gram)} {count:,}" for gram, count in frequent.top]
        table.add_row(f"{_KINDS[frequent.n]}{_of(frequent, found.characters)}", Columns(grams, padding=(0, 2)))
    for frequent in found.word_ngrams:
        grams = [f"{printable(gram)} {count:,}" for gram, count in frequent.top]
        words = "words" if frequent.n == 1 else f"{frequent.n} words"
        table.add_row(f"{words}{_of(frequent, found.words)}", Columns(grams, padding=(0, 2)))
    return table


def _findings(found: Statistics) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = []
    for finding in found.findings:
        name = _ACRONYM.sub(lambda found: found.group().upper(), finding.kind.replace("_", " "))
        place = f"first in {finding.place.document}, line {finding.place.line:,}"
        lines.append(Text(printable(f"{name}: {finding.count:,}, {place}"), style="yellow"))
        lines.append(Padding(Text(finding.advice, style="dim"), (0, 0, 0, 2), expand=False))
    return Group(*lines) if lines else Text("none found")


def bar(share: float, length: float | None = None) -> str:
    """Return a bar of `BAR` cells, filled by `length` (else `share`), in eighths of a cell."""
    eighths = math.ceil(8 * BAR * (share if length is None else length))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def visible(text: str) -> str:
    """Make white space and control characters visible; a combining mark gets a circle to sit on."""
    import unicodedata

    drawn = printable(text.translate(_VISIBLE))
    return f"◌{drawn}" if unicodedata.combining(drawn[:1] or " ") else drawn

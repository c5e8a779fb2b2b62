"""`seqgen predict`: name the label of texts, or tag their words, with a trained run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import (
    JsonLinesOption,
    QuietOption,
    RunOption,
    is_typed,
    machine_settings,
    pick,
    texts_of,
    with_settings,
)
from seqgen.cli.output import notice, printable, stdout, write_json, write_text
from seqgen.cli.prompt import UnknownPieces
from seqgen.cli.signals import exit_on_signal

from seqgen.config import settings_of
from seqgen.sources.config import Reading
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.pairs.labeler import Prediction

PREDICTION = "Prediction"
SETTINGS = {
    "encoding": settings_of(Reading)["encoding"]._replace(shown="utf-8", group=PREDICTION),
    **machine_settings(PREDICTION),
}
SHOWN_LABELS = 12
"""Labels of one text that are shown with their probabilities."""


@with_settings(SETTINGS, main=list(SETTINGS))
def predict(
    text: Annotated[
        str, typer.Argument(metavar="TEXT|-|FILE", help="A text in each line: a text, - for stdin, or a file.")
    ],
    run: RunOption = None,
    json: JsonLinesOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Name the label of each text, or the tag of each word, by a run trained with --task classify or tag.

    There is a line of output for each line of input, as soon as it comes: its label or its tags; with --json, an object
    with probabilities.
    The line of an empty line is empty.
    """
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.pairs.labeler import LabelerRun

    model = load(run, **pick(settings, "device", "threads")).expect(LabelerRun)
    unknown = UnknownPieces(model, (lambda line: " ".join(line.split())) if model.config.data.task == "tag" else str)
    batches, one = texts_of(text, "the text", settings, model.config.data, quiet=quiet)
    made = chain.from_iterable(model.predict(list(unknown.count(batch))) for batch in batches)
    if one and not json:
        found = next(made)
        print_prediction(found)
        cut = int(found.source_cut)
    else:
        with WorkBar("labeling", quiet=quiet or sys.stdout.isatty() or is_typed(text), unit="text") as bar:
            cut = _print_lines(made, bar, json=json)
    unknown.note("the text", quiet=quiet)
    limit = model.model.config.source_limit
    if cut and limit is not None:
        notice(f"{plural(cut, 'text')} had more than {plural(limit, 'token')}; the rest was not read", quiet=quiet)


def _print_lines(made: Iterable[Prediction], bar: WorkBar, *, json: bool) -> int:
    """Print a line for each prediction; return how many texts were cut."""
    cut = 0
    for number, found in enumerate(made, 1):
        cut += found.source_cut
        bar.show(number)
        if json:
            write_json({"text": found.text, **found.as_record()})
        else:
            write_text(f"{found.line}\n")
    return cut


def print_prediction(found: Prediction) -> None:
    """Print one prediction as a table: the labels with their probabilities, or each word with its tag."""
    from rich.table import Table

    from seqgen.runs.pairs.labeler import TagPrediction

    table = Table(box=None, pad_edge=False, show_header=False)
    if isinstance(found, TagPrediction):
        for word, tag, probabilities in found.words:
            table.add_row(printable(word), printable(tag), f"{probabilities[tag]:.1%}")
    else:
        for label, probability in list(found.probabilities.items())[:SHOWN_LABELS]:
            table.add_row(printable(label), f"{probability:.1%}")
    stdout().print(table)

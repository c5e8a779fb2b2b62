"""`seqgen embed evaluate`: vectors against word pairs with human scores, and by analogy questions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.embed.arguments import EmbeddingOption, MemberOption, VectorsOption, load_neighbors
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import notice, printable, stdout, write_json

from seqgen.utils.text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from seqgen.embeddings.evaluation import AnalogyReport, PairReport

SHOWN_WORDS = 10
"""Words outside the vocabulary that the notice names."""


def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="Word pairs with scores, as WordSim-353 and SimLex-999, or questions-words.txt."
        ),
    ],
    run: EmbeddingOption = None,
    vectors: VectorsOption = None,
    member: MemberOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare similarities with those that people gave, by Spearman's rank correlation, and answer analogy questions.

    A file has lines of two words and a score, between tabs or commas, or questions of four words
    in sections that begin with a line `: NAME`.
    Pairs and questions with a word outside the vocabulary are left out.
    The coverage is the share of those that are used.
    """
    from seqgen.embeddings.evaluation import evaluate_file

    neighbors = load_neighbors(run, vectors, member, quiet=quiet)
    reports = {}
    for name in files:
        with WorkBar(name, quiet=quiet, unit="question") as bar:
            reports[name] = evaluate_file(Path(name), neighbors, bar.show)
    if json:
        records = [{"file": name, **_as_record(report)} for name, report in reports.items()]
        write_json({"source": neighbors.name, "words": len(neighbors.words), "files": records})
        return
    console = stdout()
    for name, report in reports.items():
        _print(console, name, report)
        if report.missing:
            shown = ", ".join(report.missing[:SHOWN_WORDS]) + (", ..." if len(report.missing) > SHOWN_WORDS else "")
            notice(
                f"{name}: {plural(len(report.missing), 'word')} not in the vocabulary of {neighbors.name}: {shown}",
                quiet=quiet,
            )


def _as_record(report: PairReport | AnalogyReport) -> dict[str, Any]:
    from seqgen.embeddings.evaluation import PairReport

    if isinstance(report, PairReport):
        return asdict(report)
    totals = {one.name: {**asdict(one), "accuracy": one.accuracy} for one in report.totals}
    sections = [{**asdict(one), "accuracy": one.accuracy} for one in report.sections]
    return {"sections": sections, "totals": totals, "missing": report.missing}


def _print(console: Console, name: str, report: PairReport | AnalogyReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from seqgen.embeddings.evaluation import PairReport

    if isinstance(report, PairReport):
        figure = "none" if report.spearman is None else f"{report.spearman:.3f}"
        line = f"{name}: Spearman {figure} on {_coverage(report.used, report.pairs, 'pair')}"
        console.print(printable(line), soft_wrap=True)
        return
    *_, total = report.totals
    line = f"{name}: {_share(total.accuracy)} correct of {_coverage(total.used, total.questions, 'question')}"
    console.print(printable(line), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("section")
    for column in ("correct", "of", "accuracy", "coverage"):
        table.add_column(column, justify="right")
    for one in [*report.sections, *report.totals[:-1]]:
        coverage = _share(one.used / one.questions if one.questions else None)
        figures = (f"{one.correct:,}", f"{one.used:,}", _share(one.accuracy), coverage)
        table.add_row(Text(printable(one.name)), *figures)
    console.print(table)


def _coverage(used: int, all_of_them: int, unit: str) -> str:
    share = used / all_of_them if all_of_them else 0.0
    return f"{used:,} of {plural(all_of_them, unit)} ({share:.1%} covered by the vocabulary)"


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"

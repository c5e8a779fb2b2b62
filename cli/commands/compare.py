"""`seqgen compare`: score texts under several runs, with intervals and paired tests."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import (
    TEXTS,
    JsonOption,
    QuietOption,
    machine_settings,
    pick,
    reading_settings,
    refuse_reading,
    with_settings,
)
from seqgen.cli.output import clock, fit_table, notice, notice_pipes, printable, stdout, write_json
from seqgen.cli.signals import exit_on_signal

from seqgen.config import EVALUATION, settings_of
from seqgen.errors import ConfigError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.sources.config import Reading
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.inspection.comparison import ComparedText, MethodDifference, SeedSpread
    from seqgen.runs.summary import Summary
    from seqgen.runs.text import TextRun

SETTINGS = {**settings_of(EvaluationConfig), **reading_settings(), **machine_settings(EVALUATION)}
LEFT_OUT_FIRST = ("parameters", "trained", "tokens/s")
"""The columns that a narrow terminal drops, in this order."""

TextsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="TEXT", help=f"{TEXTS} One or more.", show_default="the validation part, if all have the same"
    ),
]
SeedsOption = Annotated[
    bool, typer.Option("--seeds", help="Group runs that differ only in their seed; show and test the spread.")
]
BlockOption = Annotated[
    int | None,
    typer.Option(
        "--block",
        min=10,
        metavar="BYTES",
        help="Length of the blocks of the bootstrap.",
        show_default="a 200th of the text, at least 500",
    ),
]


@with_settings(SETTINGS)
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Directories of trained runs, mixtures too.")],
    texts: TextsOption = None,
    seeds: SeedsOption = False,
    block: BlockOption = None,
    table: Annotated[bool, typer.Option("--csv", help="Print a line of CSV for each run and text.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Compare runs on texts: bits per byte with intervals, and a paired test of every two runs.

    The intervals and tests are by a bootstrap over blocks of the text. They say how sure a difference between these
    models is on texts like this one. A claim about two methods needs several seeds of each: --seeds.
    """
    from seqgen.inspection.comparison import compare as compare_runs
    from seqgen.inspection.comparison import group_by_seed, read_comparable
    from seqgen.runs.directory import RunDirectory
    from seqgen.runs.summary import summarize

    if json and table:
        raise ConfigError("csv: it cannot be combined with --json; choose one")
    reading = pick(settings, *Reading.model_fields)
    if not texts:
        refuse_reading(reading, "it has no effect without --text; name a text, or leave it out")
    configs = read_comparable(runs, on_validation=not texts)
    note = partial(notice, quiet=quiet)
    summaries = [summarize(RunDirectory(Path(run)), config, note) for run, config in configs.items()]
    groups = _check_groups(group_by_seed(configs)) if seeds else {}
    EvaluationConfig.of(**{name: value for name, value in settings.items() if name in EvaluationConfig.model_fields})
    notice_pipes(texts or [], quiet=quiet)
    machine = pick(settings, "device", "threads")
    with _Bars(quiet=quiet) as bars:
        compared = compare_runs(
            _load_each(runs, machine),
            texts or [],
            reading=reading,
            block=block,
            note=note,
            progress=bars.show,
            **settings,
        )
    if json:
        write_json(_as_record(summaries, compared, groups))
    elif table:
        _write_csv(summaries, compared, groups)
    else:
        _print(summaries, compared, groups, quiet=quiet)


def _check_groups(groups: Mapping[str, list[int]]) -> Mapping[str, list[int]]:
    """Return groups of which at least one has several seeds.

    Raises:
        ConfigError: none has.
    """
    if all(len(group) == 1 for group in groups.values()):
        raise ConfigError(
            "seeds: no two of these runs differ only in their seed; train more by seqgen train --seed, or leave it out"
        )
    return groups


def _load_each(runs: Sequence[str], machine: Mapping[str, Any]) -> Iterator[TextRun]:
    """Load each run when its turn comes."""
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    for run in runs:
        yield load(run, **machine).expect(TextRun)


class _Bars:
    """A bar for each run and text, one after another."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._current: tuple[str, str] | None = None
        self._bar = WorkBar("", quiet=quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def show(self, run: TextRun, text: str, done: int, total: int) -> None:
        """Show how many tokens of a text were scored."""
        if self._current != (str(run.path), text):
            self._bar.__exit__()
            self._current = (str(run.path), text)
            self._bar = WorkBar(f"{run.path} on {text}", quiet=self._quiet)
        self._bar.show(done, total)


def _print(
    summaries: Sequence[Summary], compared: Sequence[ComparedText], groups: Mapping[str, list[int]], *, quiet: bool
) -> None:
    from seqgen.evaluation.bootstrap import FEWEST_BLOCKS

    console = stdout()
    columns = ["run", *LEFT_OUT_FIRST, *map(_title, compared)]
    rows = list(_rows(summaries, compared))
    fitted = fit_table(console, columns, rows, figures=columns[1:], left_out_first=LEFT_OUT_FIRST)
    if fitted.fits:
        console.print(fitted.table)
    else:  # a table for each text
        for text in compared:
            own = fit_table(console, ["run", _title(text)], rows, figures=[_title(text)], left_out_first=())
            console.print(own.table)
    if fitted.left_out:
        notice(f"not shown at this width: {', '.join(fitted.left_out)}; --json has everything", quiet=quiet)
    names = [printable(one.run) for one in summaries]
    for text in compared:
        if text.blocks < FEWEST_BLOCKS:
            notice(
                f"{_title(text)}: {plural(text.bytes, 'byte')} make {plural(text.blocks, 'block')} of "
                f"{text.block_bytes:,}, and intervals and tests need {FEWEST_BLOCKS} blocks; name a longer text, or a "
                "shorter --block",
                quiet=quiet,
            )
        else:
            _print_blocks(text)
        if groups:
            _print_groups(text, groups)
        elif text.differences:
            _print_differences(text, names)


def _rows(summaries: Sequence[Summary], compared: Sequence[ComparedText]) -> Iterator[dict[str, str]]:
    for number, run in enumerate(summaries):
        speeds = [text.runs[number].tokens_per_second for text in compared if not text.dynamic]
        yield {
            "run": printable(run.run),
            "parameters": "-" if run.parameters is None else f"{run.parameters:,}",
            "trained": clock(run.seconds),
            "tokens/s": f"{sum(speeds) / len(speeds):,.0f}",
            **{_title(text): _figure(text, number) for text in compared},
        }


def _title(text: ComparedText) -> str:
    return printable(f"{text.name}, dynamic" if text.dynamic else text.name)


def _figure(text: ComparedText, number: int) -> str:
    one = text.runs[number]
    return f"{one.bits_per_byte:.4f}" + (_range(*one.interval) if one.interval else "")


def _range(low: float, high: float, sign: str = "") -> str:
    return f" ({low:{sign}.4f} to {high:{sign}.4f})"


def _print_blocks(text: ComparedText) -> None:
    """Print how the intervals were made."""
    from seqgen.evaluation.bootstrap import CONFIDENCE, REPLICATES

    blocks = f"{plural(text.blocks, 'block')} of {text.block_bytes:,} bytes, {REPLICATES:,} resamples"
    line = f"\n{_title(text)}: bits per byte, {CONFIDENCE:.0%} intervals by a bootstrap over {blocks}"
    stdout().print(line, soft_wrap=True)


def _print_differences(text: ComparedText, names: Sequence[str]) -> None:
    """Print the paired differences of every two runs on a text, and what they are a claim about."""
    console = stdout()
    rows = [
        {
            "run": names[one.first],
            "compared with it": names[one.second],
            "bits/byte": f"{one.bits_per_byte:+.4f}{_range(one.low, one.high, '+')}",
            "p": _p(one.p),
        }
        for one in text.differences
    ]
    columns = list(rows[0])
    console.print(fit_table(console, columns, rows, figures=columns[2:], left_out_first=()).table)
    console.print("The differences are of these models on this text; --seeds compares methods.", soft_wrap=True)


def _print_groups(text: ComparedText, groups: Mapping[str, list[int]]) -> None:
    """Print the spread over seeds of each group, and the differences of their means."""
    from seqgen.inspection.comparison import compare_methods

    console = stdout()
    console.print(f"{_title(text)}: bits per byte over seeds", soft_wrap=True)
    rows = [
        {
            "group": printable(name),
            "seeds": str(len(group)),
            "mean": f"{spread.mean:.4f}",
            "deviation": "-" if spread.deviation is None else f"{spread.deviation:.4f}",
            "least to most": f"{spread.low:.4f} to {spread.high:.4f}",
        }
        for (name, group), spread in zip(groups.items(), _spreads(text, groups), strict=True)
    ]
    columns = list(rows[0])
    console.print(fit_table(console, columns, rows, figures=columns[1:], left_out_first=()).table)
    for line in _method_lines(compare_methods(text, [*groups.values()]), groups):
        console.print(line, soft_wrap=True)


def _spreads(text: ComparedText, groups: Mapping[str, list[int]]) -> list[SeedSpread]:
    from seqgen.inspection.comparison import SeedSpread

    return [SeedSpread.of([text.bits_per_byte[run] for run in group]) for group in groups.values()]


def _method_lines(differences: Sequence[MethodDifference], groups: Mapping[str, list[int]]) -> Iterator[str]:
    names, sizes = list(groups), [len(group) for group in groups.values()]
    for one in differences:
        seeds = f"{sizes[one.first]} and {sizes[one.second]} seeds"
        yield printable(
            f"{names[one.second]} compared with {names[one.first]}, means of {seeds}: {one.bits_per_byte:+.4f}, "
            f"p {_p(one.p)} by a permutation test, which with so few is at least {_p(one.least_p)}"
        )
    if not differences:
        yield "A claim about two methods needs two seeds of each at least."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _as_record(
    summaries: Sequence[Summary], compared: Sequence[ComparedText], groups: Mapping[str, list[int]]
) -> dict[str, Any]:
    """Return everything as --json prints it."""
    from seqgen.evaluation.bootstrap import CONFIDENCE, REPLICATES

    names = [one.run for one in summaries]
    return {
        "runs": [one.model_dump(include={"run", "cell", "shape", "parameters", "seconds"}) for one in summaries],
        "confidence": CONFIDENCE,
        "resamples": REPLICATES,
        "texts": [_text_record(text, names, groups) for text in compared],
    }


def _text_record(text: ComparedText, names: Sequence[str], groups: Mapping[str, list[int]]) -> dict[str, Any]:
    from seqgen.inspection.comparison import compare_methods

    groups_of, spreads = list(groups), _spreads(text, groups)
    return {
        "text": text.name,
        "dynamic": text.dynamic,
        "bytes": text.bytes,
        "block_bytes": text.block_bytes,
        "blocks": text.blocks,
        "runs": [
            {
                "run": name,
                "bits_per_byte": one.bits_per_byte,
                "interval": one.interval,
                "tokens": one.tokens,
                "tokens_per_second": one.tokens_per_second,
            }
            for name, one in zip(names, text.runs, strict=True)
        ],
        "differences": [
            {
                "runs": [names[one.first], names[one.second]],
                "bits_per_byte": one.bits_per_byte,
                "interval": [one.low, one.high],
                "p": one.p,
            }
            for one in text.differences
        ],
        "seeds": [
            {
                "group": name,
                "runs": [names[run] for run in groups[name]],
                "mean": spread.mean,
                "deviation": spread.deviation,
                "least": spread.low,
                "most": spread.high,
            }
            for name, spread in zip(groups_of, spreads, strict=True)
        ],
        "methods": [
            {
                "groups": [groups_of[one.first], groups_of[one.second]],
                "bits_per_byte": one.bits_per_byte,
                "p": one.p,
                "least_p": one.least_p,
            }
            for one in compare_methods(text, [*groups.values()])
        ],
    }


def _write_csv(summaries: Sequence[Summary], compared: Sequence[ComparedText], groups: Mapping[str, list[int]]) -> None:
    """Print a line for each run and text."""
    group_of = {run: name for name, group in groups.items() for run in group}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(
        ["run", "group", "text", "dynamic", "bits_per_byte", "low", "high", "block_bytes", "blocks", "parameters",
         "training_seconds", "tokens", "tokens_per_second"]
    )  # fmt: skip
    for text in compared:
        for number, (run, one) in enumerate(zip(summaries, text.runs, strict=True)):
            writer.writerow(
                [run.run, group_of.get(number, ""), text.name, text.dynamic, one.bits_per_byte,
                 *(one.interval or ("", "")), text.block_bytes, text.blocks, run.parameters, run.seconds, one.tokens,
                 one.tokens_per_second]
            )  # fmt: skip

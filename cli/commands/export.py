"""`seqgen export`: write a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from seqgen.cli.options import QuietOption, RunOption
from seqgen.cli.output import notice, printable
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, RunError
from seqgen.utils.text import plural


def export(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    run: RunOption = None,
    to: Annotated[
        Literal["arpa"], typer.Option(help="Format: arpa for n-gram models (KenLM, SRILM, speech recognizers).")
    ] = "arpa",
    quiet: QuietOption = False,
) -> None:
    """Write a model in a format that other programs read."""
    if out.exists():
        raise RunError(f"{out} exists; choose another name")
    with exit_on_signal():
        from seqgen.export.arpa import arpa_lines
        from seqgen.models.ngram.model import NgramModel
        from seqgen.runs.load import load
    from seqgen.utils.files import write_atomically

    loaded = load(run, device="cpu")
    if not isinstance(loaded.model, NgramModel):
        raise ConfigError(
            f"to: {to} files hold n-gram models, and {loaded.path} is a run of {loaded.config.model.cell}; train one "
            "with --cell ngram, or name the n-gram member of a mixture: --run RUN/members/ngram"
        )
    tables = loaded.model.tables
    write_atomically(out, (line.encode() for line in arpa_lines(tables, loaded.tokenizer)))
    notice(f"{printable(str(out))}: {plural(sum(tables.sizes), 'n-gram')} of order {tables.order}", quiet=quiet)

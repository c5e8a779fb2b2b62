"""`seqgen export`: write a model for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from seqgen.cli.options import QuietOption, RunOption
from seqgen.cli.output import check_new, notice, printable
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.models.ngram.model import NgramModel


def export(
    out: Annotated[str, typer.Argument(metavar="FILE", help="The new file to write.")],
    run: RunOption = None,
    to: Annotated[
        Literal["arpa"], typer.Option(help="Format: arpa for n-gram models (KenLM, SRILM, speech recognizers).")
    ] = "arpa",
    quiet: QuietOption = False,
) -> None:
    """Write a model in a format that other programs read."""
    path = check_new(out)
    with exit_on_signal():
        from seqgen.export.arpa import arpa_lines
        from seqgen.runs.load import load
    from seqgen.models.registry import FAMILIES
    from seqgen.utils.files import write_atomically

    loaded = load(run, device="cpu")
    cell = loaded.config.model.cell
    if to not in FAMILIES[cell].exports:
        able = ", ".join(name for name, family in FAMILIES.items() if to in family.exports)
        raise ConfigError(
            f"to: {to} files hold models of {able}, and {loaded.path} is a run of {cell}; train one with --cell "
            "ngram, or name the n-gram member of a mixture: --run RUN/members/ngram"
        )
    tables = cast("NgramModel", loaded.model).tables
    write_atomically(path, (line.encode() for line in arpa_lines(tables, loaded.tokenizer)))
    notice(f"{printable(out)}: {plural(sum(tables.sizes), 'n-gram')} of order {tables.order}", quiet=quiet)

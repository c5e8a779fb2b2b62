"""The options that the commands about vectors share, and what they stand for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from seqgen.cli.output import notice, stdout
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqgen.embeddings.neighbors import Neighbor, Neighbors
    from seqgen.embeddings.vectors import WordVectors

EmbeddingOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="Directory of a run: of word vectors, or of any model with an embedding.",
        show_default="the newest of word vectors, else the newest",
    ),
]
VectorsOption = Annotated[
    str | None,
    typer.Option("--vectors", metavar="FILE", help="Use a file in word2vec's text format instead of a run."),
]
MemberOption = Annotated[
    str | None,
    typer.Option("--member", metavar="NAME", help="Member of a mixture.", show_default="the only one with vectors"),
]
TopOption = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Number of words.")]


def load_source(
    run: str | None, vectors: str | None, member: str | None, *, quiet: bool = False
) -> tuple[WordVectors, str]:
    """Return the vectors of a run or a file, and its name.

    Raises:
        ConfigError: both are named.
    """
    if run is not None and vectors is not None:
        raise ConfigError("vectors: a run is named too; leave out --run or --vectors")
    from seqgen.runs.embeddings.source import newest_source, read_vectors

    if vectors is not None and Path(vectors).is_dir():
        raise ConfigError(f"vectors: {vectors} is a directory; if it is a run, name it with --run")
    if run is not None and not Path(run).is_dir():
        raise RunError(f"{run} is not the directory of a run; name one, or name a file with --vectors")
    named = run if vectors is None else vectors
    source = newest_source() if named is None else named
    with exit_on_signal():
        return read_vectors(source, member, partial(notice, quiet=quiet)), str(source)


def load_neighbors(run: str | None, vectors: str | None, member: str | None, *, quiet: bool = False) -> Neighbors:
    """Return the vectors of a run or a file, ready to find neighbors; errors as of `load_source`."""
    from seqgen.embeddings.neighbors import Neighbors

    return Neighbors(*load_source(run, vectors, member, quiet=quiet))


def print_neighbors(found: Sequence[Neighbor]) -> None:
    """Print words with their similarities."""
    from rich.table import Table
    from rich.text import Text

    from seqgen.pages.visible import show_invisible

    table = Table(box=None, pad_edge=False)
    table.add_column("word")
    table.add_column("cosine", justify="right")
    for one in found:
        table.add_row(Text(show_invisible(one.word)), f"{one.similarity:.3f}")
    stdout().print(table)

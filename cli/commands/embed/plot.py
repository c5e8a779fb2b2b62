"""`seqgen embed plot`: words as points in two dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from seqgen.cli.commands.embed.arguments import EmbeddingOption, MemberOption, VectorsOption, load_neighbors
from seqgen.cli.options import JsonOption, as_text
from seqgen.cli.output import check_out, printable, stdout, write_json

from seqgen.pages.chart_file import CHART_SUFFIXES, PAGE_SUFFIX
from seqgen.utils.files import write_atomically

if TYPE_CHECKING:
    from seqgen.embeddings.projection import Projection


def plot(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Words to show with their neighbors.", show_default="the first words"),
    ] = None,
    run: EmbeddingOption = None,
    vectors: VectorsOption = None,
    count: Annotated[
        int, typer.Option("--words", metavar="N", min=2, help="How many words to show if none is named.")
    ] = 60,
    neighbors: Annotated[int, typer.Option(metavar="N", min=0, help="Neighbors to show of each named word.")] = 6,
    member: MemberOption = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page, OUT.html, or a picture, .png or .svg.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show words as points: their vectors, scaled to length 1, along the first two principal components.

    Two dimensions show only a part of the differences: words at near points may still differ.
    Without WORD, the first words of the vocabulary are shown; in a run of word vectors,
    these are the most frequent.
    """
    path = check_out(out, CHART_SUFFIXES)
    source = load_neighbors(run, vectors, member)
    from seqgen.embeddings.projection import project

    projection = project(source, [as_text(word, "the word") for word in words or []], count, neighbors)
    if path is not None:
        _write(projection, f"Words of {Path(source.name).name}", path)
    if json:
        points = zip(projection.words, projection.points.tolist(), strict=True)
        write_json(
            {"source": source.name, "explained": projection.explained, "named": projection.named,
             "words": [{"word": word, "x": x, "y": y} for word, (x, y) in points]}
        )  # fmt: skip
    elif path is None:
        _print(projection, source.name)


def _write(projection: Projection, title: str, path: Path) -> None:
    if path.suffix.lower() == PAGE_SUFFIX:
        from seqgen.pages.embeddings.page import embedding_page

        write_atomically(path, embedding_page(projection, title).encode())
        return
    from seqgen.pages.embeddings.picture import write_embedding_picture

    write_embedding_picture(projection, title, path)


def _print(projection: Projection, name: str) -> None:
    from seqgen.cli.commands.embed.word_map import print_map

    from seqgen.pages.embeddings.page import describe_axes

    console = stdout()
    console.print(printable(f"{name}: {describe_axes(projection)}"), soft_wrap=True)
    print_map(console, projection)

"""`seqgen embed similarity`: how similar the vectors of two words are."""

from __future__ import annotations

from typing import Annotated

import typer
from seqgen.cli.commands.embed.arguments import EmbeddingOption, MemberOption, VectorsOption, load_neighbors
from seqgen.cli.options import JsonOption, as_text
from seqgen.cli.output import write_json, write_text


def similarity(
    first: Annotated[str, typer.Argument(metavar="A", help="A word.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another word.")],
    run: EmbeddingOption = None,
    vectors: VectorsOption = None,
    member: MemberOption = None,
    json: JsonOption = False,
) -> None:
    """Print the cosine of the angle between the vectors of two words: 1 for the same direction, 0 for a right angle."""
    neighbors = load_neighbors(run, vectors, member)
    found = neighbors.similarity(as_text(first, "the first word"), as_text(second, "the second word"))
    if json:
        write_json({"source": neighbors.name, "words": [first, second], "similarity": found})
    else:
        write_text(f"{found:.3f}\n")

"""`seqgen embed analogy`: king - man + woman."""

from __future__ import annotations

from typing import Annotated

import typer
from seqgen.cli.commands.embed.arguments import (
    EmbeddingOption,
    MemberOption,
    TopOption,
    VectorsOption,
    load_neighbors,
    print_neighbors,
)
from seqgen.cli.options import JsonOption, as_text
from seqgen.cli.output import write_json


def analogy(
    words: Annotated[
        list[str], typer.Argument(metavar="EXPRESSION", help="Words with + or - between them: king - man + woman.")
    ],
    run: EmbeddingOption = None,
    vectors: VectorsOption = None,
    top: TopOption = 5,
    member: MemberOption = None,
    json: JsonOption = False,
) -> None:
    """List the words whose vectors are most similar to a sum of vectors: king - man + woman.

    Each vector has length 1 in the sum (3CosAdd, Mikolov et al. 2013).
    The words of the expression are left out, in every case: king, King and KING.
    """
    from seqgen.embeddings.neighbors import parse_analogy

    expression = parse_analogy([as_text(word, "the expression") for word in words])
    neighbors = load_neighbors(run, vectors, member)
    found = neighbors.solve(expression, top)
    if json:
        record = {"source": neighbors.name, **expression._asdict(), "neighbors": [one._asdict() for one in found]}
        write_json(record)
    else:
        print_neighbors(found)

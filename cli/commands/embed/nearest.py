"""`seqgen embed nearest`: the words with the most similar vectors."""

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


def nearest(
    word: Annotated[str, typer.Argument(metavar="WORD", help="A word; of a char model, a letter.")],
    run: EmbeddingOption = None,
    vectors: VectorsOption = None,
    top: TopOption = 10,
    member: MemberOption = None,
    json: JsonOption = False,
) -> None:
    """List the words whose vectors are most similar to that of a word, by cosine."""
    neighbors = load_neighbors(run, vectors, member)
    found = neighbors.nearest(as_text(word, "the word"), top)
    if json:
        write_json({"source": neighbors.name, "word": word, "neighbors": [one._asdict() for one in found]})
    else:
        print_neighbors(found)

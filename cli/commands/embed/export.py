"""`seqgen embed export`: write vectors in word2vec's text format."""

from __future__ import annotations

from typing import Annotated

import typer
from seqgen.cli.commands.embed.arguments import EmbeddingOption, MemberOption, load_source
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import check_new, notice, write_json

from seqgen.utils.text import plural


def export(
    out: Annotated[str, typer.Argument(metavar="OUT.txt", help="The new file to write.")],
    run: EmbeddingOption = None,
    member: MemberOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the vectors of a run in word2vec's text format, which gensim, spaCy and others read.

    Of a run that is not of word vectors, the words are the pieces of its tokenizer.
    U+2581 is the space before a word; pieces that are white space alone are left out.
    """
    from seqgen.embeddings.vectors import write_text

    path = check_new(out)
    found, source = load_source(run, None, member)
    write_text(path, found)
    if json:
        write_json({"source": source, "out": out, "words": len(found), "size": found.size})
    else:
        sizes = f"{plural(len(found), 'word')} of {source} with {plural(found.size, 'number')} each"
        notice(f"{sizes}: {out}", quiet=quiet)

"""An n-gram model as an ARPA file, which KenLM, SRILM and speech recognizers read.

A word of the file is a piece of the tokenizer, percent-encoded where ARPA could not hold it: white space, control
characters, bytes that are not UTF-8, and the reserved words. `<s>` is the boundary before a document, `</s>` the one
after it, `<unk>` the tokenizer's unknown piece. Both are names of id 0: a word never has its other name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

import numpy as np

from seqgen.models.ngram.tables import Counts, Floats, Integers, NgramTables, discount
from seqgen.tokenizers.base import BOUNDARY, Tokenizer

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""The log10 of a probability of 0, by custom."""
_NUMBER = re.compile("%#[0-9]+$")
"""What distinguishes pieces of the same bytes."""


def words_of(tokenizer: Tokenizer) -> list[str]:
    """Return the word of each id, all different; of id 0 that of the end of a document."""
    words, seen = [], set[str]()
    for token, piece in enumerate(tokenizer.id_to_bytes):
        word = {BOUNDARY: END, tokenizer.unknown_id: UNKNOWN}.get(token) or _encode(piece)
        word = f"{word}%#{token}" if word in seen else word
        seen.add(word)
        words.append(word)
    return words


def bytes_of(word: str) -> bytes:
    """Return the bytes of the piece that a word names."""
    return unquote_to_bytes(_NUMBER.sub("", word))


def _encode(piece: bytes) -> str:
    """Return a piece as a word, which may not be empty."""
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return quote(piece, safe="")
    word = "".join(quote(char, safe="") if _is_special(char) else char for char in text)
    return f"%3C{word[1:]}" if word in {BEGIN, END, UNKNOWN} else word


def _is_special(char: str) -> bool:
    return char == "%" or char.isspace() or unicodedata.category(char)[0] in "CZ"


def arpa_lines(tables: NgramTables, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield the lines of the file, each with its line end; probabilities are log10, interpolated."""
    words = np.array(words_of(tokenizer), dtype=object)
    levels = list(_probabilities(tables))
    sizes = [len(tables.counts[0]) + 1, *map(len, tables.counts[1:])]
    yield "\\data\\\n"
    yield from (f"ngram {k}={size}\n" for k, size in enumerate(sizes, 1))
    texts = before = words
    for k, (parents, probabilities) in enumerate(levels, 1):
        yield f"\n\\{k}-grams:\n"
        if k > 1:
            texts = before[parents] + " " + words[tables.tokens[k - 1]]
        before = texts.copy()
        if k == 1:
            before[BOUNDARY] = BEGIN
        weights = np.log10(tables.backoffs[k - 1]) if k < tables.order else None
        logs = np.where(probabilities > 0, np.log10(np.maximum(probabilities, 1e-99)), NEVER)
        if k == 1:
            yield _line(NEVER, BEGIN, None if weights is None else float(weights[BOUNDARY]))
        # Only a context has a weight; the end of a document is none, though it shares id 0 with its beginning.
        for rank, (log, text) in enumerate(zip(logs.tolist(), texts.tolist(), strict=True)):
            yield _line(log, text, None if weights is None or (k == 1 and rank == BOUNDARY) else weights.item(rank))
    yield "\n\\end\\\n"


def _line(log: float, text: str, weight: float | None) -> str:
    return f"{log:.9g}\t{text}\n" if weight is None else f"{log:.9g}\t{text}\t{weight:.9g}\n"


def _probabilities(tables: NgramTables) -> Iterator[tuple[Integers, Floats]]:
    """Yield for each order the ranks of the n-grams without their last token, and the probability of that token."""
    probabilities = tables.unigrams
    suffixes: Integers = np.arange(tables.vocab_size)
    yield np.zeros(tables.vocab_size, np.int64), probabilities
    for k in range(1, tables.order):
        tokens: Counts = tables.tokens[k]
        parents = np.repeat(np.arange(len(tables.children[k - 1]) - 1), np.diff(tables.children[k - 1]))
        # The n-gram without its first token: of two tokens it is the last one.
        suffixes = tokens.astype(np.int64) if k == 1 else tables.find(k - 1, suffixes[parents], tokens)
        shares = (tables.counts[k] - discount(tables.counts[k], tables.discounts[k])) / tables.totals[k - 1][parents]
        probabilities = shares + tables.backoffs[k - 1][parents] * probabilities[suffixes]
        yield parents, probabilities

"""Lines against a plain loop over the tokens, and odd lines that are planted in a log."""

from __future__ import annotations

import math

import numpy as np
import pytest

import seqgen
from seqgen.data.documents import Documents
from seqgen.evaluation.scoring import Scores
from seqgen.evaluation.surprisal import costs as module
from seqgen.evaluation.surprisal.costs import Costs, LineCosts, count_lines, split_lines
from seqgen.evaluation.token_scores import TokenScores
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.subword import BpeTokenizer
from seqgen.tokenizers.word import WordTokenizer

from .log_text import make_log

TEXT = "one two\n\n  three 왕\r\nfour e\u0301\n\n\n한글\rfive"
TOKENIZERS = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer(sorted(set("one two\nthrfu"))),
    "char/nfc": CharTokenizer(sorted(set("one two\nthrfu\u00e9")), "nfc"),
    "word": WordTokenizer(["one", "two", " ", "three", "\n"]),
    "bpe": BpeTokenizer.train([TEXT * 3], TokenizerConfig(kind="bpe")),
}


def loop_over_tokens(text: str, tokenizer) -> tuple[list[int], list[float]]:
    """Return how many tokens begin before each line, and the spelling of the unknown ones in the line."""
    scores = TokenScores.of(text, tokenizer, np.zeros(len(tokenizer.encode(text))))
    first, spelling, start = [], [], 0
    for line in split_lines(scores.text):
        begins = scores.spans[:, 0]
        first.append(int((begins < start).sum()))
        inside = (begins >= start) & (begins < start + len(line))
        spelling.append(float(scores.unk_cost[inside].sum()))
        start += len(line)
    return first, spelling


def costs_of(nats, bytes_, **columns) -> Costs:
    count = len(nats)
    given = {"document": np.zeros(count, int), "line": np.arange(1, count + 1), "spans": np.zeros((count, 2), int)}
    return Costs(**{**given, **columns}, tokens=np.ones(count, int), bytes=np.array(bytes_), nats=np.array(nats, float))


@pytest.mark.parametrize("batch", [1, 1 << 20])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_count_lines_finds_the_tokens_that_begin_in_each_line(name, batch, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch)
    tokenizer = TOKENIZERS[name]

    lines = count_lines(TEXT, tokenizer)

    first, spelling = loop_over_tokens(TEXT, tokenizer)
    assert lines.first.tolist() == first
    assert lines.spelling == pytest.approx(spelling)
    assert [TEXT[start:stop] for start, stop in lines.spans] == list(split_lines(TEXT))
    assert lines.bytes.tolist() == [len(line.encode()) for line in split_lines(TEXT)]


def test_split_lines_ends_them_at_lf_crlf_and_cr_only():
    assert list(split_lines("a\r\nb\rc\n\nd\x0be\u2028f")) == ["a\r\n", "b\r", "c\n", "\n", "d\x0be\u2028f"]
    assert list(split_lines("a\n")) == ["a\n"]


@pytest.mark.parametrize("ends", [True, False])
def test_line_costs_add_up_lines_and_documents_in_any_order_of_blocks(ends):
    documents = LoadedDocuments.of(["ab\nc\n", "\n", "cab"], [1, 0, 2], [ends] * 3)
    tokenizer = CharTokenizer("\nab")
    ids = Documents.of([tokenizer.encode(text) for text in documents], ends=ends)
    document = np.repeat(np.arange(3), ids.lengths)
    position = np.concatenate([np.arange(length) for length in ids.lengths])
    nats = np.arange(1.0, len(document) + 1, dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(document))

    adding = LineCosts(documents, ids, tokenizer)
    for part in np.array_split(order, 3):
        adding.add(Scores(document[part], position[part], nats[part]))
    lines, sums = adding.lines(), adding.documents()

    unknown = tokenizer.unk_cost("c")
    by_line = [[1, 2, 3], [4, 5, 6], [7, 8], [9, 10, 11, 12]] if ends else [[1, 2, 3], [4, 5], [6], [7, 8, 9]]
    assert lines.document.tolist() == [0, 0, 1, 2]
    assert lines.line.tolist() == [1, 2, 1, 1]
    assert lines.nats == pytest.approx(
        [sum(one) + cost for one, cost in zip(by_line, [0, unknown, 0, unknown], strict=True)]
    )
    assert lines.tokens.tolist() == [len(one) for one in by_line]
    assert lines.bytes.tolist() == [3, 3, 1, 5]
    assert lines.first.tolist() == [0, *np.cumsum([len(one) for one in by_line])[:-1]]
    assert sums.nats == pytest.approx([lines.nats[0] + lines.nats[1], lines.nats[2], lines.nats[3]])
    assert sums.tokens.tolist() == ids.lengths.tolist()
    assert sums.bytes.tolist() == [6, 1, 5]
    assert sums.spans.tolist() == [[0, 5], [0, 1], [0, 3]]


def test_line_without_tokens_costs_nothing():
    """A run of white space is one token of a word tokenizer, and belongs to the line in which it begins."""
    tokenizer = TOKENIZERS["word"]
    documents = LoadedDocuments.of(["one\n\n\ntwo", "one\n\n"], ends=[False, False])
    ids = Documents.of([tokenizer.encode(text) for text in documents])
    adding = LineCosts(documents, ids, tokenizer)

    adding.add(Scores(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]), np.ones(5, np.float32)))

    assert adding.lines().tokens.tolist() == [2, 0, 0, 1, 2, 0]


def test_strangeness_ranks_by_nats_over_the_root_of_bytes():
    costs = costs_of([8.0, 9.0, 2.0, 9.0], [4, 9, 1, 9])

    assert costs.bits_per_byte == pytest.approx([2 / math.log(2), 1 / math.log(2), 2 / math.log(2), 1 / math.log(2)])
    assert costs.strangeness.tolist() == [4, 3, 2, 3]
    assert costs.strangest().tolist() == [0, 1, 3, 2]
    assert costs.strangest(2).tolist() == [0, 1]
    assert len(costs) == 4


@pytest.mark.slow
def test_strangest_lines_of_a_log_are_the_odd_ones(tmp_path):
    """Ten odd lines in 20,000; the n-grams are of another part of the log, since they would remember their own text."""
    (text, odd), (other, other_odd) = make_log(20_000), make_log(20_000, seed=1)
    clean = [line for number, line in enumerate(split_lines(other), 1) if number not in other_odd]
    path = tmp_path / "server.log"
    path.write_text("".join(clean), encoding="utf-8", newline="")
    seqgen.train(path, out=tmp_path / "run", cell="ngram", tokenizer="char").run()
    run = seqgen.load(tmp_path / "run")

    lines = run.surprisal(LoadedDocuments.of([text]), tokens=False).lines

    assert len(lines) == 20_000
    assert len(set(odd) & set(lines.line[lines.strangest(20)].tolist())) >= 9

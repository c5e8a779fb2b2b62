"""Records as JSON lines and as tab-separated values."""

from __future__ import annotations

import csv
import json

import pytest

from seqgen.data.documents import Documents
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.surprisal.measure import measure_surprisal
from seqgen.evaluation.surprisal.records import as_json_lines, as_tsv, records
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.char import CharTokenizer

from ...conftest import build_model

TEXTS = ("ab\tc\n", 'd"e\\\nf\n\ng')
PLACES = ("a.txt", "the document on line 3 of b.txt")


@pytest.fixture
def surprisal():
    tokenizer = CharTokenizer("\t\nabcdeg\\")
    documents = LoadedDocuments.of(TEXTS, [0, 1], [True, True], PLACES)
    ids = Documents.of(map(tokenizer.encode, TEXTS), ends=True)
    return measure_surprisal(build_model("gru"), tokenizer, documents, ids, EvaluationConfig())


def test_token_records_are_all_tokens_in_the_order_of_the_text(surprisal):
    found = list(records(surprisal, "token"))

    assert [record["document"] for record in found] == [1] * 6 + [2] * 10
    assert [record["place"] for record in found][5:7] == list(PLACES)
    assert [record["line"] for record in found] == [1] * 6 + [1] * 5 + [2] * 2 + [3] + [4] * 2
    assert "".join(record["text"] for record in found) == "".join(TEXTS)
    assert (found[5]["token"], found[5]["text"]) == ("<end>", "")
    assert (found[7]["token"], found[7]["text"], found[7]["start"], found[7]["stop"]) == ("<unk>", '"', 1, 2)
    assert found[7]["spelling_nats"] == pytest.approx(surprisal.tokens[1].scores.unk_cost[1])
    for record, tokens in zip(found[:6], [surprisal.tokens[0]] * 6, strict=True):
        position = found.index(record)
        assert record["nats"] == tokens.scores.nats[position]
        assert record["rank"] == tokens.rank[position]
        probabilities = [one["probability"] for one in record["alternatives"]]
        assert probabilities == pytest.approx(tokens.top_probabilities[position].tolist())
        if position and record["rank"] <= 5:  # at the first position all tokens are equal
            assert record["alternatives"][record["rank"] - 1]["token"] == record["token"]


def test_token_records_with_a_count_are_the_hardest(surprisal):
    found = sorted(records(surprisal, "token"), key=lambda record: -record["nats"] - record["spelling_nats"])

    assert list(records(surprisal, "token", 4)) == found[:4]


def test_line_and_document_records_come_the_strangest_first(surprisal):
    lines, documents = list(records(surprisal, "line")), list(records(surprisal, "document"))

    strangeness = [record["strangeness"] for record in lines]
    assert strangeness == sorted(strangeness, reverse=True)
    assert {(record["document"], record["line"]): record["text"] for record in lines} == {
        (1, 1): "ab\tc", (2, 1): 'd"e\\', (2, 2): "f", (2, 3): "", (2, 4): "g"
    }  # fmt: skip
    assert list(records(surprisal, "line", 2)) == lines[:2]
    assert sum(record["nats"] for record in lines) == pytest.approx(sum(record["nats"] for record in documents))
    assert {record["document"]: (record["tokens"], record["bytes"]) for record in documents} == {1: (6, 5), 2: (10, 10)}
    assert all("line" not in record for record in documents)


def test_long_lines_are_cut_in_their_records(surprisal, monkeypatch):
    monkeypatch.setattr("seqgen.evaluation.surprisal.records.LONGEST_CONTENT", 2)

    assert {record["text"] for record in records(surprisal, "line")} == {"ab", 'd"', "f", "", "g"}


def test_json_lines_hold_the_records(surprisal):
    found = list(records(surprisal, "token"))

    assert [json.loads(line) for line in as_json_lines(found)] == found


def test_tsv_has_a_row_for_each_record_with_escapes_in_place_of_tabs_and_line_ends(surprisal):
    found = list(records(surprisal, "token"))

    lines = b"".join(as_tsv(found)).decode().splitlines()

    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == len(found)
    assert [row["token"] for row in rows[:5]] == ["a", "b", "\\t", "c", "\\n"]
    assert [row["text"] for row in rows[6:10]] == ["d", '"', "e", "\\\\"]
    for row, record in zip(rows, found, strict=True):
        assert float(row["nats"]) == pytest.approx(record["nats"], rel=1e-5)
        assert int(row["rank"]) == record["rank"]
        assert float(row["probability_5"]) == pytest.approx(record["alternatives"][4]["probability"], rel=1e-5)
    assert len({line.count("\t") for line in lines}) == 1
    assert len(b"".join(as_tsv(records(surprisal, "line"))).splitlines()) == 6


def test_token_records_of_sums_alone_are_refused(surprisal):
    tokenizer = CharTokenizer("ab")
    documents, ids = LoadedDocuments.of(["ab"]), Documents.of([tokenizer.encode("ab")])
    sums = measure_surprisal(
        build_model("gru", vocab_size=4), tokenizer, documents, ids, EvaluationConfig(), tokens=False
    )

    with pytest.raises(ValueError, match="tokens"):
        next(records(sums, "token"))

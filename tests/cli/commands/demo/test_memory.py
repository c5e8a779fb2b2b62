"""`seqgen demo --task memory`: three runs, a table, a chart, and what was seen."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from seqgen.cli.commands import train
from seqgen.cli.commands.demo import memory
from seqgen.cli.commands.demo.memory import describe

from seqgen.inspection.recall import Recall

pytestmark = pytest.mark.slow

RECORDS = [
    f"{first}b{third}{'.' * (distance - 1)}|{first}b{third}\n"
    for first, third in itertools.product("abcdefgh", repeat=2)
    for distance in (1, 5)
]


@pytest.fixture
def _small(monkeypatch, in_tmp):
    (in_tmp / "records.txt").write_text("".join(RECORDS * 5), "utf-8")
    monkeypatch.setattr(memory, "CORPUS", "records.txt")
    monkeypatch.setattr(memory, "TEST", "records.txt")
    monkeypatch.setattr(memory, "SETTINGS", {"tokenizer": "char", "hidden_size": 8, "bptt": 16})
    monkeypatch.setattr(train, "run_training", partial(train.run_training, max_steps=2, precision="fp32"))
    monkeypatch.setattr("seqgen.training.time_budget.BENCHMARK_SECONDS", 0.0)


@pytest.mark.usefixtures("_small")
def test_memory_trains_each_cell_and_shows_accuracy_by_distance(invoke, in_tmp):
    result = invoke("demo", "--task", "memory", "--out", "chart.html")

    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()[:4]]
    assert rows[0][-2:] == ["1", "5"]
    assert [row[0] for row in rows[1:]] == ["rnn", "gru", "lstm"]
    assert all(row[1].endswith("%") for row in rows[1:])
    assert "characters in between" in (in_tmp / "chart.html").read_text("utf-8")
    *_, command = result.stdout.splitlines()
    assert "seqgen inspect gradients runs/records-rnn runs/records-gru runs/records-lstm" in command
    for words in ("1. Train: seqgen train records.txt --cell rnn", "3. Train", "4. Measure"):
        assert words in result.stderr


def recall(*accuracy):
    return Recall(np.array([1, 10, 100]), np.array(accuracy), np.zeros(3))


@pytest.mark.parametrize(
    ("rnn", "gru", "lstm", "words"),
    [
        ((1, 0.2, 0.1), (1, 1, 0.5), (1, 1, 0.2), ("rnn 1,", "gru 100 (the longest)", "lstm 10.", "A gate")),
        ((1, 0.2, 0.1), (1, 1, 0.1), (0.1, 0.1, 0.1), ("lstm none", "gru only")),
        ((1, 1, 1), (1, 1, 1), (1, 1, 0.4), ("rnn 100 (the longest)", "not helped")),
    ],
)  # fmt: skip
def test_describe_says_what_was_seen(rnn, gru, lstm, words):
    said = describe({"rnn": recall(*rnn), "gru": recall(*gru), "lstm": recall(*lstm)})

    for one in words:
        assert one in said

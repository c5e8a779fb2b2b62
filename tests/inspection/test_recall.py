"""Recall by distance, of a model whose memory is known: an n-gram model of order 8 sees 7 characters."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

import seqgen
from seqgen.errors import ConfigError
from seqgen.inspection.recall import Recall, measure_recall

RECORDS = [
    f"{first}{second}{third}{'.' * (distance - 1)}|{first}{second}{third}\n"
    for first, second, third in itertools.product("abc", repeat=3)
    for distance in (1, 2, 20)
]


@pytest.fixture(scope="module")
def ngram(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recall")
    records = RECORDS * 10
    random.Random(0).shuffle(records)
    (folder / "records.txt").write_text("".join(records), "utf-8")
    settings = {"cell": "ngram", "order": 8, "tokenizer": "char"}
    seqgen.train(folder / "records.txt", out=folder / "run", **settings).run()
    return seqgen.load(folder / "run")


def test_letters_are_recalled_as_far_as_the_model_sees(ngram):
    found = measure_recall(ngram, RECORDS)

    assert found.distances.tolist() == [1, 2, 20]
    assert found.accuracy[:2].tolist() == [1.0, 1.0]
    assert 0.2 < found.accuracy[2] < 0.8  # the first of three letters is guessed, the others follow from few
    assert (found.bits[:2] < 0.5).all()
    assert found.bits[2] > 0.7
    assert found.reach(0.9) == 2


def test_figures_are_those_of_the_copied_letters(ngram):
    records = ["abc|abc\n", "cab.|cab\n"]
    ids = ngram.tokenizer.encode("".join(records))
    tokens = torch.tensor([[0, *ids.tolist()]])
    log_probs, _ = ngram.model.log_probs(tokens, ngram.model.initial_state(1, 99), tokens == 0)

    found = measure_recall(ngram, records)

    for record, places, number in ((records[0], range(4, 7), 0), (records[1], range(13, 16), 1)):
        expected = [log_probs[0, place, ids[place]].item() for place in places]
        right = [int(log_probs[0, place].argmax()) == ids[place] for place in places]
        assert record[-4:-1] == "".join(records)[places.start : places.stop]
        assert found.bits[number] == pytest.approx(-np.mean(expected) / np.log(2), rel=1e-4)
        assert found.accuracy[number] == pytest.approx(np.mean(right))


def test_reach_ends_at_the_first_distance_below_the_accuracy():
    def reach(*accuracy):
        return Recall(np.array([1, 5, 10]), np.array(accuracy), np.zeros(3)).reach(0.9)

    assert reach(1.0, 0.9, 0.5) == 5
    assert reach(1.0, 0.5, 1.0) == 1
    assert reach(0.95, 0.95, 0.95) == 10
    assert reach(0.5, 1.0, 1.0) is None


def test_run_with_other_tokens_than_characters_is_refused(tmp_path):
    text = tmp_path / "records.txt"
    text.write_text("".join(RECORDS * 10), "utf-8")
    seqgen.train(text, out=tmp_path / "run", cell="ngram", tokenizer="word").run()

    with pytest.raises(ConfigError, match="--tokenizer char"):
        measure_recall(seqgen.load(tmp_path / "run"), RECORDS)

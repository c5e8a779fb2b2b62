"""Small runs that are trained once in each module of tests."""

from __future__ import annotations

import pytest

import seqgen

SMALL = {"hidden_size": 16, "max_steps": 5, "eval_every": 5, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Return a function that trains a small run of a cell, once for all tests, and loads it."""
    workshop = tmp_path_factory.mktemp("inspected")
    trained = {}

    def make(corpus, cell, **settings):
        key = (cell, *sorted(settings.items()))
        if key not in trained:
            trained[key] = workshop / str(len(trained))
            shared = {} if cell == "ngram" else SMALL
            seqgen.train(corpus, out=trained[key], cell=cell, **{**shared, **settings}).run()
        return seqgen.load(trained[key])

    return make

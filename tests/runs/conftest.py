"""A small run that is trained once in each module of tests."""

from __future__ import annotations

import pytest

import seqgen

SMALL = {"hidden_size": 16, "max_steps": 5, "eval_every": 5, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def run(corpus, _workshop):
    """A run of a small gru, trained once and loaded for each test."""
    if not (_workshop / "run").exists():
        (_workshop / "corpus.txt").write_bytes(corpus.read_bytes())
        seqgen.train(_workshop / "corpus.txt", out=_workshop / "run", cell="gru", **SMALL).run()
    return seqgen.load(_workshop / "run")

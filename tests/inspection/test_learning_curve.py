from __future__ import annotations

import json

import pytest

from seqgen.errors import RunError
from seqgen.inspection.learning_curve import learning_curves
from seqgen.runs.directory import RunDirectory

from ..small_runs import run_config


def _events(run) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_learning_curves_has_a_point_for_each_evaluation(make_run, corpus):
    run = make_run(corpus, "gru")

    (curve,) = learning_curves(RunDirectory(run.path), run.config).values()

    expected = [one for one in _events(run) if one["event"] == "evaluated"]
    assert curve.steps.tolist() == [one["step"] for one in expected]
    assert curve.seconds.tolist() == [one["seconds"] for one in expected]
    assert curve.bits_per_byte.tolist() == [one["bits_per_byte"] for one in expected]


@pytest.mark.slow
def test_learning_curves_of_a_mixture_has_those_of_its_members(make_run, corpus):
    run = make_run(corpus, "gru+ngram")

    found = learning_curves(RunDirectory(run.path), run.config)

    assert {name: len(curve) for name, curve in found.items()} == {"": 1, "gru": 1, "ngram": 1}
    (mixed,) = [one for one in _events(run) if one["event"] == "mixed"]
    assert found[""].bits_per_byte.tolist() == [mixed["bits_per_byte"]]


def test_learning_curves_leaves_out_evaluations_without_bits(tmp_path):
    rows = [{"event": "evaluated", "step": 1, "seconds": 1.0, "bits_per_byte": None}, {"event": "saved", "step": 1}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")

    assert len(learning_curves(RunDirectory(tmp_path), run_config())[""]) == 0
    assert len(learning_curves(RunDirectory(tmp_path / "new"), run_config())[""]) == 0


DAMAGED = [
    '{"event": "evaluated", "step": 1}',
    '{"event": "mixed", "step": 1, "seconds": "x", "bits_per_byte": 1}',
    "x",
]


@pytest.mark.parametrize("line", DAMAGED)
def test_learning_curves_names_a_damaged_file(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n", "utf-8")

    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        learning_curves(RunDirectory(tmp_path), run_config())

"""The history of a run, from metrics.jsonl."""

from __future__ import annotations

import json

import numpy as np
import pytest

import seqgen
from seqgen.errors import RunError
from seqgen.runs.directory import RunDirectory
from seqgen.runs.history import MEMBER_OF_ALL, read_histories, read_history, thin

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


def test_history_has_the_figures_of_the_events(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **SMALL)
    events = list(run)

    history = read_history(RunDirectory(run.path))

    steps = [event for event in events if isinstance(event, seqgen.Step)]
    norms = [event for event in events if isinstance(event, seqgen.Norms)]
    evaluated = [event for event in events if isinstance(event, seqgen.Evaluated)]
    assert history.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert history.training_nats.tolist() == [event.nats_per_token for event in steps]
    assert history.learning_rates.tolist() == [event.lr for event in steps]
    assert history.grad_norms.tolist() == [event.grad_norm for event in steps]
    assert [event["text"] for event in history.samples] == [
        event.text for event in events if isinstance(event, seqgen.Sampled)
    ]
    assert history.best["nats_per_token"] == min(event.nats_per_token for event in evaluated)
    assert history.groups == ["embedding", "layers.0.input-hidden", "layers.0.hidden-hidden", "head"]
    at, found = history.norms_of("update", "head")
    assert (at.tolist(), found.tolist()) == ([3, 6], [event.update["head"] for event in norms])
    assert history.warnings == []
    curve = [(event.step, event.seconds, event.bits_per_byte) for event in evaluated]
    assert [tuple(row) for row in np.stack(history.validation_curve, axis=1)] == curve
    last = read_history(RunDirectory(run.path), every_step=False)
    assert last.steps.tolist() == [3, 6]
    assert last.evaluations == history.evaluations


@pytest.mark.slow
def test_histories_of_a_mixture_are_those_of_its_members_and_its_own(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **{**SMALL, "cell": "gru+ngram"})
    (mixed,) = [event for event in run if isinstance(event, seqgen.Mixed)]

    histories = read_histories(RunDirectory(run.path), run.config)

    assert list(histories) == ["gru", "ngram", MEMBER_OF_ALL]
    assert len(histories["gru"].steps) == 6
    assert len(histories["ngram"].steps) == 0
    assert histories[MEMBER_OF_ALL].best["bits_per_byte"] == mixed.bits_per_byte
    assert [len(history.validation_curve[2]) for history in histories.values()] == [2, 1, 1]


def test_history_of_a_run_without_metrics_is_empty(tmp_path):
    history = read_history(RunDirectory(tmp_path))

    assert (len(history.steps), history.best, history.groups) == (0, None, [])


def test_best_evaluation_is_one_with_a_finite_loss(tmp_path):
    figures = {"event": "evaluated", "seconds": 1.0, "bits_per_byte": None}
    events = [{**figures, "step": step, "nats_per_token": nats} for step, nats in enumerate((None, 0.5, None), 1)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events), "utf-8")

    assert read_history(RunDirectory(tmp_path)).best["step"] == 2


def test_validation_curve_leaves_out_evaluations_without_bits(tmp_path):
    event = {"event": "evaluated", "step": 1, "seconds": 1.0, "nats_per_token": 0.5, "bits_per_byte": None}
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(event)}\n", "utf-8")

    assert [len(part) for part in read_history(RunDirectory(tmp_path)).validation_curve] == [0, 0, 0]


DAMAGED = [
    '{"event": "step", "step": 1}',
    '{"event": "norms", "step": 1, "gradient": {}}',
    '{"event": "mixed", "step": 1, "seconds": "x", "nats_per_token": 1, "bits_per_byte": 1}',
]


@pytest.mark.parametrize("line", DAMAGED)
def test_history_refuses_or_leaves_out_events_without_their_fields(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n", "utf-8")

    with pytest.raises(RunError, match=r"metrics\.jsonl: line 1 "):
        read_history(RunDirectory(tmp_path))

    notes: list[str] = []
    assert read_history(RunDirectory(tmp_path), note=notes.append).best is None
    assert len(notes) == 1


def test_thin_averages_parts_and_keeps_their_extremes():
    x, y = np.arange(1.0, 7.0), np.array([3.0, 1.0, 5.0, 2.0, 2.0, 8.0])

    ends, means, least, greatest = thin(x, y, 3)

    assert ends.tolist() == [2, 4, 6]
    assert means.tolist() == [2.0, 3.5, 5.0]
    assert (least.tolist(), greatest.tolist()) == ([1.0, 2.0, 2.0], [3.0, 5.0, 8.0])
    assert [one.tolist() for one in thin(x, y, 100)] == [x.tolist(), *[y.tolist()] * 3]
    assert [len(one) for one in thin(x[:0], y[:0], 3)] == [0] * 4

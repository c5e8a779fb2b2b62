from __future__ import annotations

import dataclasses
import json
import math

import pytest

from seqgen.errors import RunError
from seqgen.training.events import Evaluated, Sampled, Saved, Step
from seqgen.training.metrics import MAX_LINE_BYTES, MetricsLog, kept_length, read_metrics


def test_events_are_written_as_json_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        log.write(Saved(3, "checkpoints/step-000003"))
        log.write(Sampled(3, "한글\n\x1b[31m"))
        log.sync()
        assert log.length == path.stat().st_size  # nothing is buffered

    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [
        {"event": "saved", "step": 3, "path": "checkpoints/step-000003"},
        {"event": "sampled", "step": 3, "text": "한글\n\x1b[31m"},
    ]


def test_resumed_log_is_cut_to_its_length(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
        log.sync()
        length = log.length
        log.write(Saved(2, "b"))

    with MetricsLog(path, length) as log:
        log.write(Saved(3, "c"))

    assert [event["step"] for event in read_metrics(path)] == [1, 3]


def test_log_syncs_its_folder(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("seqgen.training.metrics.sync_directory", synced.append)

    for _ in range(2):
        with MetricsLog(tmp_path / "metrics.jsonl"):
            pass

    assert synced == [tmp_path] * 2


def test_written_line_is_in_the_file_at_once(tmp_path):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        for step in (1, 2):
            log.write(Saved(step, "a"))
            assert [event["step"] for event in read_metrics(path)] == list(range(1, step + 1))


@pytest.mark.parametrize(
    ("content", "length", "kept"),
    [
        (b"one\ntwo\n", 8, 8),
        (b"one\ntwo\n", 4, 4),
        (b"one\ntwo\n", 6, 4),
        (b"one\ntw", 8, 4),
        (b"one", 8, 0),
        (b"one\n", 0, 0),
        (None, 8, 0),
        (b"x" * (MAX_LINE_BYTES - 1) + b"\ntwo\n", MAX_LINE_BYTES + 2, MAX_LINE_BYTES),
    ],
    ids=lambda value: str(value)[:20],
)
def test_kept_length_is_that_of_complete_lines(tmp_path, content, length, kept):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_bytes(content)

    assert kept_length(path, length) == kept
    if content is not None:
        with MetricsLog(path, length) as log:
            assert log.length == kept
        assert path.read_bytes() == content[:kept]


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan])
def test_nan_and_infinity_become_null(tmp_path, figure):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        log.write(Evaluated(1, 800.0, figure, 1154.0, 1154.0, is_best=True, seconds=1.0))

    (event,) = read_metrics(path)
    assert (event["nats_per_token"], event["perplexity"]) == (800.0, None)


def test_read_metrics_leaves_out_an_incomplete_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
    path.write_bytes(path.read_bytes() + b'{"event": "sav')

    assert [event["step"] for event in read_metrics(path)] == [1]
    assert list(read_metrics(tmp_path / "nowhere")) == []


def test_read_metrics_can_return_only_the_last_of_consecutive_steps(tmp_path):
    path = tmp_path / "metrics.jsonl"
    step = Step(
        step=1, total_steps=3, epoch=0.1, nats_per_token=2.0, bits_per_character=2.9, lr=0.1, grad_norm=1.0, tokens=4,
        tokens_per_second=1.0, seconds=1.0,
    )  # fmt: skip
    with MetricsLog(path) as log:
        for number in (1, 2):
            log.write(dataclasses.replace(step, step=number))
        log.write(Saved(2, "a"))
        log.write(dataclasses.replace(step, step=3))

    found = [(event["event"], event["step"]) for event in read_metrics(path, every_step=False)]

    assert found == [("step", 2), ("saved", 2), ("step", 3)]
    assert len(list(read_metrics(path))) == 4


DAMAGED = [
    b"", b"not json", b"[]", b"\xff", b'{"step": 1}', b'{"event": "step"}', b'{"event": "step", "step": 1}',
    b'{"event": "saved", "step": "one"}', b'{"event": "saved", "step": 1, "seconds": "x"}',
    b'{"event": "norms", "step": 1, "gradient": {}}', b"x" * (MAX_LINE_BYTES + 7),
]  # fmt: skip


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: str(line[:40]))
def test_read_metrics_names_a_damaged_line_or_leaves_it_out(tmp_path, line):
    path, notes = tmp_path / "metrics.jsonl", []
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
        log.write(Saved(2, "b"))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)

    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2 "):
        list(read_metrics(path))
    assert [event["step"] for event in read_metrics(path, note=notes.append)] == [1, 2]
    assert len(notes) == 1
    assert f"{path}: line 2 " in notes[0]


def test_read_metrics_counts_the_damaged_lines(tmp_path):
    path, notes = tmp_path / "metrics.jsonl", []
    path.write_bytes(b'{"event": "x", "step": 4}\n' + b"damaged\n" * 3)

    assert [event["step"] for event in read_metrics(path, every_step=False, note=notes.append)] == [4]
    assert len(notes) == 1
    assert "line 2 and 2 others" in notes[0]

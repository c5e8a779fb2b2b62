from __future__ import annotations

import json

from seqgen.training.events import Sampled, Saved
from seqgen.training.metrics import MetricsLog, read_metrics


def test_an_event_is_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        log.write(Saved(3, "checkpoints/step-000003"))
        log.write(Sampled(3, "한글\n\x1b[31m"))
        assert log.length == path.stat().st_size

    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [
        {"event": "saved", "step": 3, "path": "checkpoints/step-000003"},
        {"event": "sampled", "step": 3, "text": "한글\n\x1b[31m"},
    ]


def test_a_resumed_log_is_cut_to_the_length_it_had(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
        length = log.length
        log.write(Saved(2, "b"))

    with MetricsLog(path, length) as log:
        log.write(Saved(3, "c"))

    assert [event["step"] for event in read_metrics(path)] == [1, 3]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
    path.write_bytes(path.read_bytes() + b'{"event": "sav')

    assert [event["step"] for event in read_metrics(path)] == [1]
    assert read_metrics(tmp_path / "nowhere") == []

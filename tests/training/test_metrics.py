from __future__ import annotations

import dataclasses
import json
import math

import pytest

from seqgen.errors import RunError
from seqgen.training.events import Evaluated, Sampled, Saved, Step
from seqgen.training.metrics import MetricsLog, read_metrics


def test_an_event_is_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        log.write(Saved(3, "checkpoints/step-000003"))
        log.write(Sampled(3, "한글\n\x1b[31m"))
        log.sync()
        assert log.length == path.stat().st_size  # nothing waits in a buffer

    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [
        {"event": "saved", "step": 3, "path": "checkpoints/step-000003"},
        {"event": "sampled", "step": 3, "text": "한글\n\x1b[31m"},
    ]


def test_a_resumed_log_is_cut_to_the_length_it_had(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
        log.sync()
        length = log.length
        log.write(Saved(2, "b"))

    with MetricsLog(path, length) as log:
        log.write(Saved(3, "c"))

    assert [event["step"] for event in read_metrics(path)] == [1, 3]


def test_the_name_of_a_log_is_on_the_disk_whoever_made_it(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("seqgen.training.metrics.sync_directory", synced.append)

    for _ in range(2):
        with MetricsLog(tmp_path / "metrics.jsonl"):
            pass

    assert synced == [tmp_path] * 2


def test_a_line_is_in_the_file_once_it_is_written(tmp_path):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        for step in (1, 2):
            log.write(Saved(step, "a"))
            assert [event["step"] for event in read_metrics(path)] == list(range(1, step + 1))


def test_a_log_shorter_than_its_checkpoint_knew_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(RunError, match=r"metrics\.jsonl has 0 bytes, and its checkpoint knew 1; restore it"):
        MetricsLog(path, 1)
    assert not path.exists()

    path.write_bytes(b"{}\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl has 3 bytes, and its checkpoint knew 4; restore it"):
        MetricsLog(path, 4)
    assert path.read_bytes() == b"{}\n"


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan])
def test_json_has_no_infinity(tmp_path, figure):
    path = tmp_path / "metrics.jsonl"

    with MetricsLog(path) as log:
        log.write(Evaluated(1, 800.0, figure, 1154.0, 1154.0, is_best=True, seconds=1.0))

    (event,) = read_metrics(path)
    assert (event["nats_per_token"], event["perplexity"]) == (800.0, None)


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
    path.write_bytes(path.read_bytes() + b'{"event": "sav')

    assert [event["step"] for event in read_metrics(path)] == [1]
    assert list(read_metrics(tmp_path / "nowhere")) == []


def test_of_steps_in_a_row_only_the_last_may_be_read(tmp_path):
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

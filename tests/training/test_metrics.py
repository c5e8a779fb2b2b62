from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import pytest

from seqgen.training.events import Evaluated, Sampled, Saved, Step
from seqgen.training.metrics import MetricsLog, is_as_known, read_metrics


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


@pytest.mark.parametrize(
    ("content", "length", "known"),
    [
        (b"one\ntwo\n", 4, True),
        (b"one\n", 4, True),
        (b"one", 4, False),
        (b"two\n", 4, False),
        (None, 4, False),
        (None, 0, True),
        (b"left over", 0, True),
    ],
)
def test_a_log_is_known_by_what_it_began_with(tmp_path, content, length, known):
    path = tmp_path / "metrics.jsonl"
    if content is not None:
        path.write_bytes(content)

    assert is_as_known(path, length, hashlib.sha256(b"one\n"[:length]).hexdigest()) is known
    assert not is_as_known(tmp_path, length, hashlib.sha256(b"one\n"[:length]).hexdigest())  # a directory


def test_a_log_goes_on_with_the_hash_that_it_had(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(Saved(1, "a"))
        length = log.length
        log.write(Saved(2, "b"))

    with MetricsLog(path, length) as log:
        log.write(Saved(3, "c"))
        assert log.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


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

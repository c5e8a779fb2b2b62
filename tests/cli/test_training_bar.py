"""The live figures of the training screen."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from rich.console import Console
from seqgen.cli.training_bar import TrainingBar, sparkline

import seqgen

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


def lines_of(figures):
    """Return the lines that the figures draw on 80 columns."""
    console = Console(file=StringIO(), width=80)
    console.print(figures)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("values", "shown"), [([1.0, 2.0, 3.0], "▁▅█"), ([3.0, 1.0], "█▁"), ([2.0, 2.0], "▁▁"), ([5.0], "▁")]
)
def test_sparkline(values, shown):
    assert sparkline(values) == shown


def test_figures_are_three_lines_of_80_columns(corpus, tmp_path):
    figures = TrainingBar()
    training = seqgen.train(corpus, out=tmp_path / "run", **{**SMALL, "max_steps": 60, "eval_every": 30})
    figures.start(training)
    for event in training:
        if isinstance(event, seqgen.Step):
            figures.step(event)
        elif isinstance(event, seqgen.Evaluated):
            figures.best = event.bits_per_character

    bar, numbers, curve = lines_of(figures)
    assert "60/60" in bar
    assert re.fullmatch(r"loss .* bits/char  .* tokens/s  lr .*  gradient .*  epoch \d+\.\d\d *", numbers)
    assert re.fullmatch(r"[▁▂▃▄▅▆▇█]{40}  [\d.]+ → [\d.]+  best validation \d\.\d{3} *", curve)


def test_figures_of_labels_are_nats_per_label_and_those_of_earlier_steps_too(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("aab\ta\nabb\tb\n" * 30, encoding="utf-8")
    settings = {**SMALL, "task": "classify", "cell": "rnn"}
    polls = iter([False] * 4 + [True])
    events = list(seqgen.train(path, out=tmp_path / "run", stop=lambda: next(polls), **settings))
    best = next(event.nats_per_token for event in events if isinstance(event, seqgen.Evaluated))
    training = seqgen.train(out=tmp_path / "run", resume=True)
    figures = TrainingBar()

    figures.start(training)
    figures.step(next(iter(training)))

    _, numbers, curve = lines_of(figures)
    assert re.fullmatch(r"loss .* nats/label  .* labels/s  lr .*", numbers)
    assert curve.rstrip().endswith(f"best validation {best:.3f}")


def left_of(run, *events):
    """Return the time left that the bar shows after these events, and the total steps."""
    figures = TrainingBar()
    figures.start(run)
    for event in events:
        figures.step(event)
    total, left = re.search(r"/(\d+) +(\S+ left)", lines_of(figures)[0]).groups()
    return left, int(total)


def step_event(step, seconds, total=100, tokens_per_second=50.0):
    return seqgen.Step(step, total, 0.1, 2.0, 2.9, 0.1, 1.0, step * 10, tokens_per_second, seconds)


def test_time_left_is_estimated_from_first_step(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **SMALL)

    assert left_of(run, step_event(1, 7.0)) == ("0:20 left", 100)  # 0.2 s a step, whatever came before
    assert left_of(run, step_event(1, 7.0), step_event(11, 9.5))[0] == "0:22 left"
    assert left_of(run, step_event(1, 7.0), step_event(11, 9.5, total=51)) == ("0:10 left", 51)  # planned anew


def test_time_left_is_at_most_the_time_limit(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", max_time=15.0, threads=1, **{**SMALL, "max_steps": 100})

    assert left_of(run, step_event(1, 7.0))[0] == "0:08 left"
    assert left_of(run, step_event(1, 7.0), step_event(11, 16.0))[0] == "0:00 left"


def test_curve_of_resumed_run_equals_uninterrupted_one(corpus, tmp_path):
    polls = iter([False] * 30 + [True])
    settings = {**SMALL, "max_steps": 45, "eval_every": 15}
    straight, resumed = TrainingBar(), TrainingBar()
    for name, stop in (("straight", lambda: False), ("resumed", lambda: next(polls))):
        training = seqgen.train(corpus, out=tmp_path / name, stop=stop, **settings)
        for event in training:
            if name == "straight" and isinstance(event, seqgen.Step):
                straight.step(event)

    training = seqgen.train(out=tmp_path / "resumed", resume=True)
    resumed.start(training)
    best = resumed.best
    for event in training:
        if isinstance(event, seqgen.Step):
            resumed.step(event)

    records = map(json.loads, (tmp_path / "resumed" / "metrics.jsonl").read_text("utf-8").splitlines())
    evaluated = [record["bits_per_character"] for record in records if record["event"] == "evaluated"]
    assert best == min(evaluated[:2])
    straight.best = resumed.best
    assert resumed.loss == straight.loss
    assert lines_of(resumed)[2] == lines_of(straight)[2]


@pytest.mark.parametrize("value", ['"a"', "null", "1e999", "{}"])
def test_damaged_metrics_are_not_drawn(corpus, tmp_path, value):
    polls = iter([False] * 4 + [True])
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **SMALL))
    training = seqgen.train(out=tmp_path / "run", resume=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    changed = re.sub(r'("bits_per_character": )[^,}]*', rf"\g<1>{value}", metrics.read_text("utf-8"))
    metrics.write_text(changed, "utf-8")

    figures = TrainingBar()
    figures.start(training)
    figures.step(step_event(5, 1.0, total=6))

    assert re.fullmatch(r"▁  2.90 → 2.90 *", lines_of(figures)[2])

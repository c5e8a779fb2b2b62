"""What training looks like, from the events of real runs."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from seqgen.cli import cpu_contention, screen
from seqgen.cli.cpu_contention import CpuContention
from seqgen.cli.figures import Figures, sparkline
from seqgen.cli.lines import evaluation_line, finished_line, sample_text
from seqgen.cli.output import clock
from seqgen.cli.screen import TrainingScreen

import seqgen

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns in a string."""
    console = Console(file=StringIO(), force_terminal=True, width=60, height=20, markup=False, emoji=False)
    monkeypatch.setattr(screen, "stderr", lambda: console)
    return console.file


def evaluated(**changes):
    fields = {
        "step": 1200, "nats_per_token": 1.5, "perplexity": 4.48, "bits_per_character": 2.164, "bits_per_byte": 2.1,
        "is_best": True, "seconds": 65.2,
    }  # fmt: skip
    return seqgen.Evaluated(**{**fields, **changes})


def words_of(terminal):
    """What a terminal shows, without colors, broken nowhere."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).split())


def draw(training, shown):
    with shown:
        shown.prepare("loading [/x] \x1b")
        shown.begin(training)
        for event in training:
            shown.show(event)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (65, "1:05"), (3599.9, "1:00:00"),
                           (3665, "1:01:05"), (360000, "100:00:00")],
)  # fmt: skip
def test_clock(seconds, shown):
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("values", "shown"), [([1.0, 2.0, 3.0], "▁▅█"), ([3.0, 1.0], "█▁"), ([2.0, 2.0], "▁▁"), ([5.0], "▁")]
)
def test_sparkline(values, shown):
    assert sparkline(values) == shown


def test_evaluation_is_one_line(corpus, tmp_path):
    figures = Figures()
    training = seqgen.train(corpus, out=tmp_path / "run", **SMALL)
    figures.start(training)
    figures.step(next(iter(training)))

    line = evaluation_line(evaluated(step=3), figures)

    assert re.fullmatch(r"step 3/6 +loss [\d.]+ +validation 2\.164 bits/char +2\.100 bits/byte +1:05", line.plain)
    assert cell_len(evaluation_line(evaluated(step=12_000, seconds=599), figures).plain) < 80
    assert "step 1,200/1,200" in evaluation_line(evaluated(), Figures()).plain


def test_sample_text_is_cut_to_width():
    long = "한국어 문장이 " * 30
    text = f"\n  \n{long}\n[/x] [bold]\x1b[31m\n\nthird\nfourth\nfifth"

    lines = sample_text(seqgen.Sampled(1, text), 40).plain.split("\n")

    assert [line.strip("│ ")[:6] for line in lines[1:]] == ["[/x] [", "third", "fourth"]
    assert lines[0].startswith("  │ 한국어")
    assert lines[0].endswith("…")
    assert "[bold]\\x1b[31m" in lines[1]
    assert max(map(cell_len, lines)) <= 40


def test_sample_text_splits_at_line_ends_only():
    lines = sample_text(seqgen.Sampled(1, "one\r\ntwo\rthree\u2028still three\n"), 40).plain.split("\n")

    assert [line.strip("│ ") for line in lines] == ["one", "two", "three\u2028still three"]


def test_sample_text_expands_tabs():
    console = Console(file=StringIO(), width=40)

    console.print(sample_text(seqgen.Sampled(1, "a\tb\tc\td\te\tf\tg\th\ti\tj\tk"), 40))

    assert console.file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "line", ["글자\t글자\t끝", "한국어 " * 20, "👩‍👩‍👧" * 30, "\u1112\u1161\u11ab" * 40, "e\u0301" * 60]
)
@pytest.mark.parametrize("width", [39, 40])
def test_sample_text_measures_cells(line, width):
    (shown,) = sample_text(seqgen.Sampled(1, line), width).plain.split("\n")

    assert cell_len(shown) <= width
    if "\t" in line:
        assert shown == "  │ 글자    글자    끝"  # two cells a syllable, so four to the next stop
    else:
        assert shown.endswith("…")
        assert cell_len(shown) >= width - 2


@pytest.mark.parametrize("text", ["", "\n\n", "   "])
def test_sample_text_of_empty_sample_is_empty(text):
    assert sample_text(seqgen.Sampled(1, text), 40).plain == ""


def test_finished_line_names_the_reason():
    fields = {"step": 1200, "total_steps": 5000, "best_step": 1000, "best_bits_per_byte": 2.1, "seconds": 65.0}
    best = {"best_bits_per_character": 2.1, "skipped": 0}

    done = finished_line(seqgen.Finished(reason="complete", **fields, **best))
    patience = finished_line(seqgen.Finished(reason="patience", **fields, **best))
    stopped = finished_line(
        seqgen.Finished(reason="stopped", **{**fields, "best_step": None, "best_bits_per_byte": None},
                        best_bits_per_character=None, skipped=2)
    )  # fmt: skip

    assert done == "done: 1,200 steps in 1:05; best at step 1,000: 2.100 bits/byte"
    one = {**fields, "step": 1, "total_steps": 1, "best_step": 1}
    assert finished_line(seqgen.Finished(reason="complete", **one, **best)).startswith("done: 1 step in")
    assert patience.startswith("stopped early, without improvement: 1,200 of 5,000 steps; best")
    assert stopped == "stopped after 1,200 of 5,000 steps, and saved, 2 of them skipped"


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_shows_failed_saves_but_not_skipped_steps(terminal, quiet):
    shown = TrainingScreen(quiet=quiet)

    shown.show(seqgen.SaveFailed(7, "no room on [/x]"))
    shown.show(seqgen.Skipped(8, 9, float("nan"), float("inf"), 1, 1.0))

    drawn = words_of(terminal)
    assert "note: step 7: no room on [/x]; " in drawn
    assert ("note: step 8 is skipped: its loss is nan, its gradient norm inf" in drawn) is not quiet


def test_overfitting_note_has_figures_and_advice(terminal):
    TrainingScreen(quiet=False).show(seqgen.Overfitting(70, 2.256, 1.807, 40, 2.224, 2.136))

    drawn = words_of(terminal)
    assert re.search(r"best at step 40 .*1\.4% .*15\.4%", drawn)
    assert "--dropout" in drawn


def test_notes_wrap_between_words(terminal, corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **SMALL)
    training.notices = ["the parameters are 1,234,567 and more " * 3, "한국어 문장 " * 20, "a" * 70]
    draw(training, TrainingScreen(quiet=False))

    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).splitlines()]
    notes = " ".join(lines)
    assert all(cell_len(line) <= 60 for line in lines if not line.startswith("step"))
    assert notes.count("1,234,567") == 3
    assert notes.count("한국어") == notes.count("문장") == 20


def test_terminal_shows_whole_run_and_restores_cursor(terminal, corpus, tmp_path):
    draw(seqgen.train(corpus, out=tmp_path / "run", **SMALL), TrainingScreen(quiet=False))

    drawn = terminal.getvalue()
    for words in ("loading [/x] \\x1b ...", "tokens/s", "bits/char", "best", "6/6", "done: 6 steps"):
        assert words in drawn
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")  # the cursor is back


def test_figures_are_three_lines_of_80_columns(corpus, tmp_path):
    figures = Figures()
    training = seqgen.train(corpus, out=tmp_path / "run", **{**SMALL, "max_steps": 60})
    figures.start(training)
    for event in training:
        if isinstance(event, seqgen.Step):
            figures.step(event)
        elif isinstance(event, seqgen.Evaluated):
            figures.best = event.bits_per_character
    console = Console(file=StringIO(), width=80)

    console.print(figures)

    bar, numbers, curve = console.file.getvalue().splitlines()
    assert "60/60" in bar
    assert re.fullmatch(r"loss .* bits/char  .* tokens/s  lr .*  gradient .*  epoch \d+\.\d\d *", numbers)
    assert re.fullmatch(r"[▁▂▃▄▅▆▇█]{40}  [\d.]+ → [\d.]+  best validation \d\.\d{3} *", curve)


def left_of(run, *events):
    """The time left that the bar shows after these events."""
    figures = Figures()
    figures.start(run)
    for event in events:
        figures.step(event)
    (task,) = figures._bar.tasks
    return task.fields["left"], task.total


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


@pytest.mark.parametrize(("used", "said"), [(0.5, True), (1.9, False)])
@pytest.mark.parametrize(("threads", "ever"), [(2, True), (1, False)])
def test_waiting_threads_are_noted_once(monkeypatch, used, said, threads, ever):
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(cpu_contention.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(cpu_contention.time, "process_time", lambda: now["cpu"])
    waiting, messages = CpuContention(threads, Path("runs/a")), []
    for step in range(1, 100):
        messages.append(waiting.after_step(step))
        now["wall"] += 0.2
        now["cpu"] += 0.2 * used

    found = [message for message in messages if message is not None]
    assert len(found) == (said and ever)
    assert all("--out runs/a --threads 1" in message and "25%" in message for message in found)


def test_pauses_and_evaluations_do_not_count_as_waiting(monkeypatch):
    now = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(cpu_contention.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(cpu_contention.time, "process_time", lambda: now["cpu"])
    waiting = CpuContention(2, Path("runs/a"))
    for step in range(1, 100):
        assert waiting.after_step(step) is None
        if step % 10 == 0:
            waiting.interrupt()  # an evaluation that waits for the disk
            now["wall"] += 5.0
        if step == 25:
            now["wall"] += 60.0  # Ctrl-Z
        now["wall"] += 0.2
        now["cpu"] += 0.38


def test_terminal_shows_resumed_run(terminal, corpus, tmp_path):
    polls = iter([False] * 4 + [True])
    for _ in seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **SMALL):
        pass

    draw(seqgen.train(out=tmp_path / "run", resume=True), TrainingScreen(quiet=False))

    assert "6/6" in terminal.getvalue()


def test_curve_of_resumed_run_equals_uninterrupted_one(corpus, tmp_path):
    polls = iter([False] * 40 + [True])
    settings = {**SMALL, "max_steps": 60, "eval_every": 20}
    straight, resumed = Figures(), Figures()
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
    assert (resumed.loss, resumed._curve) == (straight.loss, straight._curve)


@pytest.mark.parametrize("value", ['"a"', "null", "1e999", "{}"])
def test_damaged_metrics_are_not_drawn(corpus, tmp_path, value):
    polls = iter([False] * 4 + [True])
    list(seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **SMALL))
    training = seqgen.train(out=tmp_path / "run", resume=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    changed = re.sub(r'("bits_per_character": )[^,}]*', rf"\g<1>{value}", metrics.read_text("utf-8"))
    metrics.write_text(changed, "utf-8")

    figures = Figures()
    figures.start(training)

    assert (figures.best, figures._curve) == (None, [])


def test_error_restores_terminal(terminal, corpus, tmp_path):
    shown = TrainingScreen(quiet=False)
    training = seqgen.train(corpus, out=tmp_path / "run", **SMALL)

    def fail():
        with shown:
            shown.begin(training)
            shown.show(next(iter(training)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    drawn = terminal.getvalue()
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1


def test_quiet_screen_draws_nothing(terminal, corpus, tmp_path):
    draw(seqgen.train(corpus, out=tmp_path / "run", **SMALL), TrainingScreen(quiet=True))

    assert terminal.getvalue() == ""

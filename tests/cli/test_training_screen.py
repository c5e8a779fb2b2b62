"""The training screen, from the events of real runs."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from seqgen.cli import training_screen
from seqgen.cli.training_screen import TrainingScreen

import seqgen

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns in a string."""
    console = Console(file=StringIO(), force_terminal=True, width=60, height=20, markup=False, emoji=False)
    monkeypatch.setattr(training_screen, "stderr", lambda: console)
    return console.file


def words_of(terminal):
    """Return what the terminal shows, without colors and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).split())


def draw(training, shown):
    with shown:
        shown.prepare("loading [/x] \x1b")
        shown.begin(training)
        for event in training:
            shown.show(event)


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


def test_notes_on_gradients_have_figures_and_advice(terminal):
    shown = TrainingScreen(quiet=False)
    shown.show(seqgen.VanishingGradient(1200, "layers.0", 2e-5, 0.5))
    shown.show(seqgen.ExplodingGradient(1300, "layers.1.hidden-hidden", 6e4, 7e4, 418.7, 4.6))

    drawn = words_of(terminal)
    assert re.search(r"vanishing gradient: at step 1,200 .*layers\.0 is 1/25,000 of that of the head.*--lr", drawn)
    assert re.search(
        r"exploding gradient: at step 1,300 .*70,000 .*layers\.1\.hidden-hidden.*418\.7 .*4\.6.*--lr", drawn
    )


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


def test_terminal_shows_resumed_run(terminal, corpus, tmp_path):
    polls = iter([False] * 4 + [True])
    for _ in seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **SMALL):
        pass

    draw(seqgen.train(out=tmp_path / "run", resume=True), TrainingScreen(quiet=False))

    assert "6/6" in terminal.getvalue()


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


def test_terminal_shows_members_one_after_another_and_restores_cursor(terminal, corpus, tmp_path):
    settings = {**SMALL, "cell": "gru+ngram+lstm", "order": 3}
    draw(seqgen.train(corpus, out=tmp_path / "run", **settings), TrainingScreen(quiet=False))

    drawn, words = terminal.getvalue(), words_of(terminal)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")
    assert words.count("done: 6 steps") == 2
    assert re.search(
        r"n-grams of order 1 to 3.*weight nats/token bits/byte gru 0\.\d+ .*ngram .*lstm .*mixed .*done in", words
    )
    assert "nan" not in words


def test_mixture_without_weights_names_the_members_that_lack_them(terminal):
    shown = TrainingScreen(quiet=False)

    shown.show(seqgen.NotMixed(1, ("gru", "lstm")))
    shown.show(seqgen.Finished(1, 9, "stopped", None, None, None, 0, 65.0))

    assert re.search(r"gru, lstm .*stopped after 1:05", words_of(terminal))

"""The lines of the training screen that stay."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from seqgen.cli.training_bar import TrainingBar
from seqgen.cli.training_lines import evaluation_line, finished_line, render_sample

import seqgen

SMALL = {"cell": "gru", "hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}


def evaluated(**changes):
    fields = {
        "step": 1200, "nats_per_token": 1.5, "perplexity": 4.48, "bits_per_character": 2.164, "bits_per_byte": 2.1,
        "is_best": True, "seconds": 65.2,
    }  # fmt: skip
    return seqgen.Evaluated(**{**fields, **changes})


def test_evaluation_is_one_line(corpus, tmp_path):
    figures = TrainingBar()
    training = seqgen.train(corpus, out=tmp_path / "run", **SMALL)
    figures.start(training)
    figures.step(next(iter(training)))

    line = evaluation_line(evaluated(step=3), figures)

    assert re.fullmatch(r"step 3/6 +loss [\d.]+ +validation 2\.164 bits/char +2\.100 bits/byte +1:05", line.plain)
    assert cell_len(evaluation_line(evaluated(step=12_000, seconds=599), figures).plain) < 80
    assert "step 1,200/1,200" in evaluation_line(evaluated(), TrainingBar()).plain


def test_evaluation_of_labels_has_nats_and_accuracy_and_no_bits():
    bits = {"bits_per_character": None, "bits_per_byte": None}

    line = evaluation_line(evaluated(nats_per_token=0.3104, accuracy=0.8917, **bits), TrainingBar()).plain

    assert "0.310 nats/label" in line
    assert "accuracy 89.2%" in line
    assert "bits" not in line


def test_render_sample_is_cut_to_width():
    long = "한국어 문장이 " * 30
    text = f"\n  \n{long}\n[/x] [bold]\x1b[31m\n\nthird\nfourth\nfifth"

    lines = render_sample(seqgen.Sampled(1, text), 40).plain.split("\n")

    assert [line.strip("│ ")[:6] for line in lines[1:]] == ["[/x] [", "third", "fourth"]
    assert lines[0].startswith("  │ 한국어")
    assert lines[0].endswith("…")
    assert "[bold]\\x1b[31m" in lines[1]
    assert max(map(cell_len, lines)) <= 40


def test_render_sample_splits_at_line_ends_only():
    lines = render_sample(seqgen.Sampled(1, "one\r\ntwo\rthree\u2028still three\n"), 40).plain.split("\n")

    assert [line.strip("│ ") for line in lines] == ["one", "two", "three\u2028still three"]


def test_render_sample_expands_tabs():
    console = Console(file=StringIO(), width=40)

    console.print(render_sample(seqgen.Sampled(1, "a\tb\tc\td\te\tf\tg\th\ti\tj\tk"), 40))

    assert console.file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "line", ["글자\t글자\t끝", "한국어 " * 20, "👩‍👩‍👧" * 30, "\u1112\u1161\u11ab" * 40, "e\u0301" * 60]
)
@pytest.mark.parametrize("width", [39, 40])
def test_render_sample_measures_cells(line, width):
    (shown,) = render_sample(seqgen.Sampled(1, line), width).plain.split("\n")

    assert cell_len(shown) <= width
    if "\t" in line:
        assert shown == "  │ 글자    글자    끝"  # two cells a syllable, so four to the next stop
    else:
        assert shown.endswith("…")
        assert cell_len(shown) >= width - 2


@pytest.mark.parametrize("text", ["", "\n\n", "   "])
def test_render_sample_of_empty_sample_is_empty(text):
    assert render_sample(seqgen.Sampled(1, text), 40).plain == ""


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


def test_finished_line_of_labels_has_the_accuracy():
    event = seqgen.Finished(1200, 5000, "complete", 1000, None, None, 0, 65.0, best_accuracy=0.8917)

    assert finished_line(event) == "done: 1,200 steps in 1:05; best at step 1,000: accuracy 89.2%"

"""`seqgen eval` of classifiers and taggers."""

from __future__ import annotations

import json

from seqgen.cli.bars import WorkBar
from seqgen.cli.commands.pairs.label_report import confusion_table, print_report

import seqgen
from seqgen.evaluation.tasks.tags import report_tags


def test_the_validation_part_is_measured_by_default(invoke, label_runs):
    output = invoke("eval", "--run", label_runs / "classifier").stdout

    for figure in ("accuracy", "always 'few'", "macro-F1", "nats per label", "calibration error", "true / predicted"):
        assert figure in output


def test_json_has_the_figures_of_a_file(invoke, label_runs, tmp_path):
    path = tmp_path / "other.tsv"
    path.write_text("aaaax\tmany\nbx\tfew\nx\tmany\n", encoding="utf-8")

    found = json.loads(invoke("eval", path, "--run", label_runs / "classifier", "--json").stdout)

    assert (found["text"], found["documents"], found["accuracy"]) == (str(path), 3, 2 / 3)
    assert found["confusion"] == [[1, 0], [1, 1]]
    assert found.keys() >= {"macro_f1", "majority", "majority_share", "calibration_error", "uncalibrated_error"}


def test_a_terminal_shows_a_bar_of_tokens_while_a_file_is_labeled(invoke, label_runs, tmp_path, monkeypatch):
    monkeypatch.setattr(WorkBar, "SHORT_SECONDS", 0.0)
    path = tmp_path / "other.tsv"
    path.write_text("aaaax\tmany\n" * 9, encoding="utf-8")

    shown = invoke("eval", path, "--run", label_runs / "classifier", terminal=200).stderr

    assert "labeling" in shown
    assert "45 of 45 tokens" in shown


def test_tags_that_do_not_mark_spans_are_reported_by_tag(invoke, label_runs):
    output = invoke("eval", "--run", label_runs / "tagger").stdout

    assert "accuracy of tags" in output
    assert "macro-F1" in output
    assert "F1 of spans" not in output


def test_tags_that_mark_spans_are_reported_by_span(label_runs, capsys):
    """One of two spans is found, and nothing else: precision 1, recall 1/2, F1 2/3."""
    report = report_tags([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "O", "O"]])

    print_report(report, seqgen.load(label_runs / "tagger"), "some.conll")

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[-1] for row in rows if row[:-1] in (["F1", "of", "spans"], ["precision"], ["recall"])] == [
        "0.6667",
        "1.0000",
        "0.5000",
    ]
    assert rows[-3:] == [
        ["span", "true", "predicted", "precision", "recall", "F1"],
        ["LOC", "1", "0", "0.000", "0.000", "0.000"],
        ["PER", "1", "1", "1.000", "1.000", "1.000"],
    ]


def test_a_file_with_an_unknown_label_is_refused_or_skipped(invoke, refuses, label_runs, tmp_path):
    path = tmp_path / "other.tsv"
    path.write_text("aaaax\tmany\nbx\tnone\n", encoding="utf-8")

    refuses(1, "eval", path, "--run", label_runs / "classifier", words=("line 2", "none"))
    result = invoke("eval", path, "--run", label_runs / "classifier", "--on-bad-line", "skip", "--json")

    assert json.loads(result.stdout)["documents"] == 1
    assert "1 text" in result.stderr


def test_settings_of_texts_are_refused(refuses, label_runs):
    refuses(2, "eval", "--run", label_runs / "classifier", "--stride", 4, words=("stride",))
    refuses(2, "eval", "--run", label_runs / "classifier", "--beam", 4, words=("beam",))


def test_confusion_has_true_labels_in_rows():
    table = confusion_table(["a", "b"], [[3, 1], [0, 2]])

    assert [list(column.cells) for column in table.columns] == [["a", "b"], ["3", "0"], ["1", "2"]]

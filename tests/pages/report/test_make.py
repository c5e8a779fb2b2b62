"""The report of a run: its figures are those of the library, for every kind of run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest

import seqgen
from seqgen.errors import TextError
from seqgen.evaluation.report import xz_bits_per_byte
from seqgen.inspection.context import measure_context
from seqgen.inspection.gradients import measure_gradients
from seqgen.inspection.units import color_scale, find_units, trace_units
from seqgen.pages.chart import chart_data
from seqgen.pages.charts.context import context_charts
from seqgen.pages.charts.gradients import gradients_chart
from seqgen.pages.report.inside import labels_section, surprisal_section
from seqgen.pages.report.make import DISTANCE, LONGEST, POSITIONS, TARGETS, Report, make_report, report_page
from seqgen.pages.report.training import curves_section, history_charts
from seqgen.pages.visible import show_invisible
from seqgen.runs.directory import RunDirectory
from seqgen.runs.history import read_history
from seqgen.runs.summary import summarize
from seqgen.sources.source import LoadedDocuments

from ...small_runs import PAIRS, labeled_texts, tagged_sentences

SMALL = {"hidden_size": 16, "max_steps": 6, "eval_every": 3, "batch_size": 8, "precision": "fp32"}
HOSTILE = "The </script><script>alert(1)</script> sailor \u2028 saw مرحبا 👩‍👧 and &amp; left.\n"


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """Return a function that trains a small run once for all tests, and returns its directory."""
    workshop, trained = tmp_path_factory.mktemp("reported"), {}

    def make(text, cell, **settings):
        key = (cell, *sorted(settings.items()))
        if key not in trained:
            path = workshop / str(len(trained))
            path.mkdir()
            (path / "text.tsv" if "task" in settings else path / "text.txt").write_text(text, "utf-8")
            (source,) = path.iterdir()
            for _ in seqgen.train(source, out=path / "run", cell=cell, **{**SMALL, **settings}):
                pass
            trained[key] = RunDirectory(path / "run")
        return trained[key]

    return make


@pytest.fixture(scope="module")
def mixture(make_run):
    """The directory of a gru and n-grams on a text with every kind of character that could break a page."""
    lines = (f"The {number}th sailor left the river, and the moon was quiet.\n" for number in range(60))
    return make_run(HOSTILE.join(lines), "gru+ngram")


@pytest.fixture(scope="module")
def reported(mixture):
    """The report of the mixture."""
    return make_report(mixture)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def section(report, title):
    return next(one for one in report.sections if one.title == title)


def figures(report, title="Result"):
    (block, *_) = section(report, title).blocks
    return {one["name"]: one["value"] for one in block["figures"]}


def tables(report, title):
    return [block for block in section(report, title).blocks if block["kind"] == "table"]


def test_report_of_a_mixture_has_the_figures_of_the_library(mixture, reported):
    report = reported

    config = mixture.read_config()
    summary, record, run = summarize(mixture, config), mixture.read_mixture(), seqgen.load(mixture.path)
    found = figures(report)
    assert [one.title for one in report.sections] == [
        "Result", "Settings", "Curves", "Samples through time", "Surprisal", "Calibration", "Context",
        "Units", "Gradient horizon",
    ]  # fmt: skip
    assert report.left_out == {}
    assert found["bits per byte"] == record.bits_per_byte == summary.best_bits_per_byte
    assert found["perplexity"] == math.exp(record.nats_per_token)
    assert found["parameters"] == summary.parameters
    assert found["xz -9, bits per byte"] == xz_bits_per_byte(run.validation_texts().in_file)
    (weights,) = tables(report, "Result")
    assert [row[1] for row in weights["rows"]] == [f"{one.weight:.3f}" for one in record.members.values()]
    names = {row[0]: row[1:] for row in tables(report, "Settings")[0]["rows"]}
    assert names["gru.hidden_size"] == ["16", "256"]
    assert names["max_steps"] == ["6", "–"]
    history = read_history(mixture.member("gru"))
    (charts,) = (block["charts"] for block in section(report, "Curves").blocks)
    assert charts == [chart_data(chart) for chart in history_charts(history, "nats per token", "gru: ")]
    (texts,) = (block["texts"] for block in section(report, "Samples through time").blocks)
    assert [one["title"] for one in texts] == ["gru, step 3", "gru, step 6", "ngram, step 1", "mixture, step 7"]


def test_history_charts_hold_losses_and_norms_of_each_group(mixture):
    history = read_history(mixture.member("gru"))

    loss, rate, gradient, update = history_charts(history, "nats per token")

    training, validation = loss.curves
    assert training.y.tolist() == history.training_nats.tolist()
    assert validation.y.tolist() == [event["nats_per_token"] for event in history.evaluations]
    assert rate.curves[0].y.tolist() == history.learning_rates.tolist()
    for chart, kind in ((gradient, "gradient"), (update, "update")):
        assert [curve.color for curve in chart.curves] == [0, 1, 1, 2]  # one color for both parts of a layer
        assert {curve.name: list(curve.y) for curve in chart.curves} == {
            group: [event[kind][group] for event in history.norms] for group in history.groups
        }


def test_warnings_are_below_the_curves_with_their_figures(mixture):
    events = [
        {"event": "vanishing_gradient", "step": 150, "group": "layers.0", "gradient": 2e-5, "head_gradient": 0.5},
        {"event": "exploding_gradient", "step": 1200, "group": "layers.1", "grad_norm": 6100.0},
        {"event": "overfitting", "step": 70, "nats_per_token": 2.256, "best_nats_per_token": 2.224, "best_step": 40},
        {"event": "save_failed", "step": 80, "reason": "no room"},
        {"event": "skipped", "step": 90},
    ]
    history = dataclasses.replace(read_history(mixture.member("gru")), warnings=events)

    (_, table) = curves_section({"": history}, mixture.read_config()).blocks

    steps, texts = zip(*table["rows"], strict=True)
    assert steps == ("150", "1,200", "70", "80", "90")
    for text, figures in zip(
        texts, [("layers.0", "2e-05", "0.5"), ("layers.1", "6,100"), ("2.256", "2.224", "40"), ("no room",), ("NaN",)],
        strict=True,
    ):  # fmt: skip
        assert all(figure in text for figure in figures)


def test_surprisal_of_the_report_is_that_of_the_library(mixture, reported):
    run = seqgen.load(mixture.path)
    found = run.surprisal(run.validation_texts())

    table, colored = section(reported, "Surprisal").blocks
    (scores,) = (document.scores for document in found.tokens)
    assert "".join(colored["tokens"]) == scores.text[: sum(map(len, colored["tokens"]))]
    nats = found.tokens[0].nats / math.log(2)
    np.testing.assert_allclose(colored["bits"], nats[: len(colored["bits"])], atol=1e-3)
    first = found.tokens[0]
    assert colored["expected"][0].startswith(show_invisible(found.tokens.name(first.top[0, 0])))
    assert [row[0] for row in table["rows"]] == [f"{found.lines.line[one]:,}" for one in found.lines.strangest(20)]
    strangest = found.lines.strangest(1)[0]
    assert table["rows"][0][1:] == [
        found.text_of(found.lines, strangest).rstrip("\n"),
        f"{found.lines.strangeness[strangest]:.2f}",
        f"{found.lines.bits_per_byte[strangest]:.2f}",
        f"{found.lines.nats[strangest] / math.log(2):.1f}",
    ]


def test_surprisal_section_names_what_was_left_out(mixture):
    run = seqgen.load(mixture.path)
    text = LoadedDocuments.of(["The moon\nwas quiet.", "A river\nwas low."])

    cut = text.first(25)

    shown = surprisal_section(run.surprisal(cut), 5000)
    assert "first 25 of its 5,000 characters" in shown.about
    assert {row[0] for row in shown.blocks[0]["rows"]} == {"1: 1", "1: 2", "2: 1"}
    assert "all of it" in surprisal_section(run.surprisal(cut), 25).about


def test_calibration_of_the_report_is_that_of_the_library(mixture, reported):
    run = seqgen.load(mixture.path)
    found = run.surprisal(run.validation_texts(), tokens=False, calibration=True).calibration

    assert figures(reported, "Calibration") == {
        "calibration error": pytest.approx(found.error),
        "mean confidence": pytest.approx(found.confidence),
        "accuracy": found.accuracy,
    }
    (drawn,) = section(reported, "Calibration").blocks[1]["charts"]
    assert len(drawn["curves"]) == 2


def test_context_of_the_report_is_that_of_the_library(mixture, reported):
    run = seqgen.load(mixture.path)
    (found,) = measure_context([run], run.validation_texts(), targets=TARGETS, longest=LONGEST)

    shown, charts = section(reported, "Context").blocks
    values = [one["value"] for one in shown["figures"]]
    assert values == [found.horizon, found.order_horizon, found.replacement_horizon]
    assert charts["charts"] == [chart_data(chart) for chart in context_charts([found], "nats per token")]


def test_units_of_the_report_are_those_of_the_library(mixture, reported):
    run = seqgen.load(mixture.path)
    trace = trace_units(run.members["gru"], run.validation_texts())
    found = find_units(trace)

    table, colored = section(reported, "Units").blocks

    best = {one.probe: one for one in found.best()}
    assert {row[0]: row[1:] for row in table["rows"]} == {
        probe: [one.unit, f"{one.fitted:+.2f}", f"{one.held_out:+.2f}"] for probe, one in best.items()
    }
    first = max(best.values(), key=lambda one: abs(one.fitted))
    assert first.unit in colored["title"]
    np.testing.assert_allclose(colored["values"], trace.unit(first.unit)[: len(colored["values"])], atol=1e-4)
    assert colored["tokens"] == trace.tokens[: len(colored["values"])]
    assert colored["strong"] == pytest.approx(color_scale(trace.unit(first.unit)), abs=1e-4)


def test_gradient_horizon_of_the_report_is_that_of_the_library(mixture, reported):
    run = seqgen.load(mixture.path)
    texts = run.validation_texts()

    charts, table = section(reported, "Gradient horizon").blocks
    found = measure_gradients(run.members["gru"], texts, distance=DISTANCE, positions=POSITIONS)
    assert charts["charts"] == [chart_data(gradients_chart([("gru", found)]))]
    (norms,) = found.norms
    horizon = f"more than {DISTANCE}" if norms.horizon is None else str(norms.horizon)
    assert table["rows"] == [["h", horizon, f"{norms.decay:.3g}"]]


def test_report_of_a_stopped_run_names_what_is_missing(corpus, tmp_path):
    polls = iter([False] * 2 + [True])
    run = seqgen.train(corpus, out=tmp_path / "run", cell="gru", stop=lambda: next(polls), **SMALL)
    for _ in run:
        pass
    (run.path / "model.safetensors").unlink()

    report = make_report(RunDirectory(run.path))

    assert [one.title for one in report.sections] == ["Result", "Settings", "Curves"]
    assert report.left_out.keys() == {"Samples", "The validation part"}
    assert "--resume" in report.left_out["The validation part"]
    assert figures(report)["steps"] == 2


def test_report_of_a_changed_text_names_the_text(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", cell="ngram", order=2)
    for _ in run:
        pass
    corpus.write_text("Another text.\n" * 99, "utf-8")

    report = make_report(RunDirectory(run.path))

    assert "corpus.txt" in report.left_out["The validation part"]
    assert "one pass" in report.left_out["Curves"]
    assert figures(report).keys() >= {"bits per byte", "perplexity"}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "text"), [("classify", labeled_texts()), ("tag", tagged_sentences())])
def test_report_of_a_labeler_has_its_accuracy_and_confusion(make_run, task, text):
    directory = make_run(text, "gru", task=task)

    report = make_report(directory)

    found = seqgen.load(directory.path).evaluate_pairs()
    assert figures(report, "Labels of the validation part")["accuracy"] == found.accuracy
    assert section(report, "Labels of the validation part") == labels_section(found)
    assert "xz -9, bits per byte" not in figures(report)
    if task == "classify":
        confusion = tables(report, "Labels of the validation part")[-1]
        assert [[int(cell) for cell in row[1:]] for row in confusion["rows"]] == [list(row) for row in found.confusion]


@pytest.mark.slow
def test_report_looks_into_the_member_with_the_largest_weight(make_run):
    directory = make_run("The sailor left the river, and the moon was quiet.\n" * 60, "gru+rnn")
    weights = {name: one.weight for name, one in directory.read_mixture().members.items()}

    report = make_report(directory)

    name = max(weights, key=weights.__getitem__)
    assert f"units of {name}" in section(report, "Units").about
    assert f"what {name} held" in section(report, "Gradient horizon").about


@pytest.mark.slow
def test_report_of_a_translator_has_curves_and_translations(make_run):
    report = make_report(make_run(PAIRS, "gru", task="translate"))

    assert [one.title for one in report.sections] == ["Result", "Settings", "Curves", "Samples through time"]
    assert list(report.left_out) == ["Surprisal, calibration, context, units, gradient horizon"]
    assert " -> " in section(report, "Samples through time").blocks[0]["texts"][0]["text"]


def test_report_of_a_model_with_limited_positions_has_its_units_and_gradients(make_run):
    settings = {"positions": "sinusoidal", "block_size": 32, "heads": 2}
    text = "The sailor left the river, and the moon was quiet.\n" * 60

    report = make_report(make_run(text, "transformer", **settings))

    assert report.left_out == {}
    assert "32 tokens" in section(report, "Units").about
    (gradients,) = section(report, "Gradient horizon").blocks[0]["charts"]
    assert gradients["curves"][0]["x"][-1] == 32 - 2


def test_report_names_a_section_that_cannot_be_made():
    def fail():
        raise TextError("the text is too long")

    report = Report("A report")
    report.add("Units", fail)

    assert (report.sections, report.left_out) == ([], {"Units": "the text is too long"})


def test_report_page_holds_the_report(reported):
    report = reported

    page = report_page(report)

    data = data_of(page)
    assert data["title"] == report.title
    assert [one["title"] for one in data["sections"]] == [one.title for one in report.sections]
    assert data["sections"][0]["blocks"] == section(report, "Result").blocks
    assert len(page.encode()) < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_report_page_fits_the_window_without_overlaps(open_page, reported, width, color_scheme):
    report = dataclasses.replace(reported, left_out={"Gradient horizon": "an n-gram model has no gradients " * 9})

    page = open_page(report_page(report), width, color_scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    for selector in ("section", "section > *", ".texts article", ".figures div"):
        boxes = page.evaluate(
            """(selector) => [...document.querySelectorAll(selector)].map((one) => one.getBoundingClientRect())
            .filter((box) => box.width).map((box) => [box.left, box.right, box.top, box.bottom])""",
            selector,
        )
        assert boxes
        assert min(left for left, *_ in boxes) >= 0
        assert max(right for _, right, *_ in boxes) <= width
        for one, other in itertools.combinations(boxes, 2):
            apart = one[3] <= other[2] or other[3] <= one[2] or one[1] <= other[0] or other[1] <= one[0]
            assert apart, selector


@pytest.mark.slow
def test_report_page_describes_the_token_that_is_chosen_by_keyboard_and_pointer(open_page, reported):
    page = open_page(report_page(reported), 400)

    _, colored = section(reported, "Surprisal").blocks
    _, unit = section(reported, "Units").blocks
    frames, readings = page.locator(".colored"), page.locator("section > div > .reading")

    def expect(index: int) -> None:
        text = readings.nth(0).inner_text()
        assert f"{colored['bits'][index]:.2f} bits; expected: {colored['expected'][index]}" in text

    assert page.locator(".colored [title], .colored [tabindex]").count() == 0
    assert frames.evaluate_all("(all) => all.every((one) => getComputedStyle(one).maxHeight !== 'none')")
    expect(0)
    frames.nth(0).focus()
    page.keyboard.press("ArrowRight")
    expect(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(1)
    page.keyboard.press("End")
    expect(len(colored["tokens"]) - 1)
    frames.nth(0).locator("span.selected").click()
    expect(len(colored["tokens"]) - 1)
    page.keyboard.press("Home")
    frames.nth(0).locator("span").nth(5).click()
    expect(5)
    frames.nth(1).locator("span").nth(3).click()
    assert f"{unit['values'][3]:.3f}" in readings.nth(1).inner_text()


@pytest.mark.slow
def test_report_page_draws_every_section_and_its_figures(open_page, reported):
    report = dataclasses.replace(reported, left_out={"Units": "none"})

    page = open_page(report_page(report))

    assert page.locator("section h2").all_inner_texts() == [*(one.title for one in report.sections), "Left out"]
    shown = page.locator(".figures dd").all_inner_texts()
    titles = ("Result", "Calibration", "Context")
    assert shown == [one["shown"] for title in titles for one in section(report, title).blocks[0]["figures"]]
    assert page.locator(".chart").count() == 8
    (samples,) = (block["texts"] for block in section(report, "Samples through time").blocks)
    assert [one.strip() for one in page.locator("pre").all_inner_texts()] == [one["text"].strip() for one in samples]
    page.locator("#contents a", has_text="Surprisal").click()
    assert page.evaluate("window.scrollY") > 500
    assert page.locator("#left-out dd").inner_text() == "none"

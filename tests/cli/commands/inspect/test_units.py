"""`seqgen inspect units`: units that track probes, a text in colors, similar places."""

from __future__ import annotations

import json

import pytest

import seqgen
from seqgen.inspection.units import find_similar, find_units, trace_units

CODE = "The child (my old king) paints the river.\n  A child\n" * 8


@pytest.fixture
def code(run):
    """A text in code.txt, next to the run."""
    (run.parents[1] / "code.txt").write_text(CODE, "utf-8")
    return "code.txt"


def test_units_prints_the_units_that_the_library_finds(answers, run, code):
    found = find_units(trace_units(seqgen.load(run), [CODE]), ["ch.ld"], top=2)

    lines = answers("inspect", "units", run, code, "--probe", "ch.ld", "--top", 2, "--excerpt", 0).splitlines()

    rows = [line.split() for line in lines[2 : 2 + len(found.found)]]
    assert [row[-3:] for row in rows] == [
        [one.unit, f"{one.fitted:+.2f}", f"{one.held_out:+.2f}"] for one in found.found
    ]
    assert rows[-2][0] == "/ch.ld/"
    assert "16 units" in lines[0]
    assert all(name in lines[-1] for name in ("quotes", "comments", "digits"))


def test_many_unknown_tokens_are_noted(invoke, run):
    (run.parents[1] / "much.txt").write_text("왕국 a king " * 12, "utf-8")

    assert "much.txt: 20% of its 120 tokens are <unk>" in invoke("inspect", "units", run, "much.txt").stderr
    assert invoke("inspect", "units", run, "much.txt", "--quiet").stderr == ""


def test_units_shows_the_second_half_in_colors(answers, run, code):
    colored = answers("inspect", "units", run, code, "--unit", "layers.0.hidden:3", "--excerpt", 60, terminal=100)
    safe = answers(
        "inspect", "units", run, code, "--unit", "layers.0.hidden:3", "--excerpt", 60, "--colors", "safe", terminal=100
    )
    plain = answers("inspect", "units", run, code, "--unit", "layers.0.hidden:3", "--excerpt", 60)

    first, line, signs, *_ = plain.splitlines()[1:]
    assert "layers.0.hidden:3" in first
    assert line in CODE
    assert set(signs) <= set("+- ")
    assert line.rstrip() in "".join(part.partition("m")[2] for part in colored.split("\x1b["))
    assert colored.count("\x1b[") > 10
    assert safe != colored


def test_units_shows_a_short_text_from_its_start(answers, run, in_tmp):
    (in_tmp / "a.txt").write_text(CODE[:50], "utf-8")

    plain = answers("inspect", "units", run, "a.txt", "--unit", "layers.0.hidden:3")

    assert plain.splitlines()[2] == CODE.splitlines()[0]


def test_units_prints_all_as_json(answers, run, code):
    trace = trace_units(seqgen.load(run), [CODE])
    found = find_units(trace)

    content = json.loads(
        answers("inspect", "units", run, code, "--json", "--unit", "layers.0.hidden:3", "--find", "child (my")
    )

    assert (content["run"], content["text"], content["tokens"]) == (str(run), code, 416)
    assert (content["tried"], content["fitting_tokens"], content["held_out_tokens"]) == (16, 208, 208)
    assert content["units"][0] == {
        "probe": "indentation",
        "unit": found.found[0].unit,
        "fitted": found.found[0].fitted,
        "held_out": found.found[0].held_out,
    }
    assert content["token_texts"] == list(CODE)
    assert content["values"]["layers.0.hidden:3"] == pytest.approx(trace.unit("layers.0.hidden:3").tolist(), abs=1e-6)
    similar = find_similar(trace, 4, 13)
    assert content["similar"]["units"] == similar.units
    assert [tuple(one.values()) for one in content["similar"]["places"]] == [
        (one.start, one.stop, one.matched) for one in similar.places
    ]


def test_find_takes_characters_or_a_part_of_the_text(answers, run, code):
    found = answers("inspect", "units", run, code, "--find", "(")

    assert found == answers("inspect", "units", run, code, "--find", "10:11")
    assert "The child [(]my old king" in found
    assert found.count("[(]") > 3
    assert "62:63" in found


def test_units_without_a_text_reads_the_validation_part(answers, run):
    text = answers("inspect", "units", "--excerpt", 50)

    assert str(run) in text
    assert "layers.0.hidden:" in text


def test_out_writes_a_page(answers, run, code, in_tmp):
    assert answers("inspect", "units", run, code, "--out", "page.html", "--unit", "layers.0.hidden:3") == ""

    page = (in_tmp / "page.html").read_text("utf-8")
    assert "<title>Units of runs/corpus-gru on code.txt</title>" in page
    assert '"units":[{"name":"layers.0.hidden:3"' in page


def test_a_long_text_is_cut_with_a_note(invoke, run, code):
    result = invoke("inspect", "units", run, code, "--tokens", 110, "--json")

    assert "110 tokens" in result.stderr
    assert "306 characters" in result.stderr
    assert json.loads(result.stdout)["fitting_tokens"] == 55
    assert invoke("inspect", "units", run, code, "--tokens", 110, "--json", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "a.png"], ("a.png", ".html")),
        (["--unit", "layers.0.cell:1"], ("layers.0.cell:1", "layers.0.hidden:0 to layers.0.hidden:15")),
        (["--probe", "("], ("probe", "(")),
        (["--find", "zebra"], ("find", "zebra")),
        (["--find", "5:2"], ("5:2", "416")),
        (["--member", "lstm"], ("lstm",)),
    ],
)
def test_units_refuses_impossible_options(refuses, run, code, options, words):
    refuses(2, "inspect", "units", run, code, *options, "--quiet", words=words)


def test_units_refuses_an_out_in_a_missing_folder(refuses, run, code):
    refuses(4, "inspect", "units", run, code, "--out", "missing/a.html", words=("missing",))


@pytest.mark.parametrize(
    ("content", "words"), [(b"", ("a.txt", "empty")), (b"a\xff", ("a.txt", "UTF-8")), (b"short", ("5 tokens",))]
)
def test_units_refuses_texts_without_enough_to_read(refuses, run, in_tmp, content, words):
    (in_tmp / "a.txt").write_bytes(content)

    refuses(1, "inspect", "units", run, "a.txt", words=words)
    refuses(1, "inspect", "units", run, "missing.txt", words=("missing.txt",))


@pytest.mark.slow
def test_units_of_a_model_with_limited_positions_reads_the_text_in_parts(invoke, corpus, code):
    settings = {"cell": "transformer", "positions": "sinusoidal", "block_size": 26, "max_steps": 1, "hidden_size": 16}
    seqgen.train(corpus, out="runs/limited", **settings).run()

    result = invoke("inspect", "units", "runs/limited", code, "--json")

    assert json.loads(result.stdout)["tokens"] == len(CODE)
    assert "26 tokens" in result.stderr
    assert f"{-(-len(CODE) // 25)} parts" in result.stderr


def test_units_refuses_a_run_without_hidden_states(refuses, corpus, in_tmp):
    seqgen.train(corpus, out="runs/ngram", cell="ngram").run()

    refuses(2, "inspect", "units", "runs/ngram", words=("ngram",))


@pytest.mark.slow
def test_units_refuses_a_run_of_another_task(refuses, label_runs):
    refuses(2, "inspect", "units", label_runs / "classifier", words=("classify",))


def test_reading_options_need_a_text(refuses, run):
    refuses(2, "inspect", "units", run, "--errors", "replace", words=("errors",))

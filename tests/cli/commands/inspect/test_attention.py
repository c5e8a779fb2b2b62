"""`seqgen inspect attention`: heads of transformers, alignments of encoder-decoders, and errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import seqgen
from seqgen.inspection.attention import measure_attention
from seqgen.runs.pairs.translator import TranslatorRun


def test_heads_are_listed_with_their_figures(answers, transformer):
    found = measure_attention(seqgen.load(transformer), "The sailor")

    lines = answers("inspect", "attention", transformer, "The sailor").splitlines()

    titles, *rows = [re.split(r"\s{2,}", line.strip()) for line in lines[1:6]]
    assert titles == ["layer", "head", *found.heads[0].figures]
    for row, one in zip(rows, found.ranked, strict=True):
        assert row[:7] == [str(one.layer), str(one.head), *(f"{figure:.2f}" for figure in one.figures.values())]


def test_single_argument_is_the_text_of_the_newest_run(answers, transformer):
    assert answers("inspect", "attention", "The") == answers("inspect", "attention", transformer, "The")


def test_json_has_all_weights_and_figures(answers, transformer):
    found = measure_attention(seqgen.load(transformer), "The é")

    record = json.loads(answers("inspect", "attention", transformer, "The é", "--json"))

    assert (record["run"], record["text"], record["tokens"]) == (str(transformer), "The é", 5)
    assert record["token_texts"] == list("The é")
    assert record["unknown"] == [4]
    assert [one["weights"] for one in record["heads"]] == found.weights.reshape(4, 5, 6).tolist()
    assert [one["induction"] for one in record["heads"]] == [one.induction for one in found.heads]


def test_unknown_characters_are_named(invoke, transformer):
    assert "'é'" in invoke("inspect", "attention", transformer, "The é").stderr


def test_map_of_a_layer_or_a_head_is_drawn(answers, transformer):
    lines = answers("inspect", "attention", transformer, "The", "--layer", 1).splitlines()
    of_head = answers("inspect", "attention", transformer, "The", "--layer", 1, "--head", 0).splitlines()

    for drawn in (lines, of_head):
        assert [line[0] for line in drawn if line[:1] in tuple("The")][-3:] == ["T", "h", "e"]
    assert "█" not in "".join(lines[:-1])


@pytest.mark.parametrize("arguments", [(), ("corpus.txt",)], ids=["validation part", "file"])
def test_text_is_the_beginning_of_the_validation_part_or_of_a_file(invoke, transformer, arguments):
    result = invoke("inspect", "attention", transformer, *arguments, "--json")

    text = Path(*arguments).read_text("utf-8") if arguments else seqgen.load(transformer).validation_texts()[0]
    assert "".join(json.loads(result.stdout)["token_texts"]) == text[:128]
    assert ("128 tokens" in result.stderr) is (len(text) > 128)


def test_page_has_a_map_for_each_head(answers, transformer):
    assert answers("inspect", "attention", transformer, "The sailor", "--out", "out.html") == ""

    data = json.loads(re.search(r'id="data">(.*?)</script>', Path("out.html").read_text("utf-8"), re.DOTALL)[1])
    assert [len(one["maps"]) for one in data["examples"]] == [3, 3]
    assert len(data["heads"]) == 4
    answers("inspect", "attention", transformer, "The sailor", "--layer", 1, "--out", "out.html")
    assert '"shown":[1,0]' in Path("out.html").read_text("utf-8")


@pytest.mark.slow  # matplotlib takes a second to import
@pytest.mark.parametrize("options", [(), ("--layer", 0)])
def test_picture_is_drawn(answers, transformer, options):
    pytest.importorskip("matplotlib")

    answers("inspect", "attention", transformer, "The", *options, "--out", "out.png")

    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_encoder_decoder_shows_what_translate_draws(answers, translator, monkeypatch):
    run = seqgen.load(translator())
    Path("sources.txt").write_text("123\n\n45\n", "utf-8")
    drawn = answers("translate", "123", "--attention", "-")

    assert drawn.endswith(answers("inspect", "attention", run.path, "123"))
    answers("inspect", "attention", run.path, "sources.txt", "--out", "here.html")
    answers("translate", "sources.txt", "--attention", "there.html")
    assert Path("here.html").read_bytes() == Path("there.html").read_bytes()
    record = json.loads(answers("inspect", "attention", run.path, "123", "--json"))
    assert (record["run"], record["text"], record["tokens"]) == (str(run.path), "123", 3)
    assert record["examples"][0]["weights"] == run.attention("123").weights.tolist()


@pytest.mark.slow
def test_encoder_decoder_without_attention_and_options_of_heads_are_refused(refuses, translator):
    refuses(2, "inspect", "attention", translator("rnn-translate"), "1", words=("--attention none",))
    refuses(2, "inspect", "attention", translator(), "1", "--layer", 0, words=("--layer",))
    refuses(2, "inspect", "attention", "runs/lstm-translate", "1", "--documents", "line", words=("--documents",))
    Path("empty.txt").write_text("\n", "utf-8")
    refuses(1, "inspect", "attention", "runs/lstm-translate", "empty.txt", words=("empty.txt",))


@pytest.mark.slow
def test_runs_of_other_tasks_are_refused(refuses, label_runs):
    refuses(2, "inspect", "attention", label_runs / "classifier", "abc", words=("classify",))


def test_impossible_arguments_are_refused(refuses, run, transformer):
    def refused(code, *arguments, words):
        refuses(code, "inspect", "attention", *arguments, words=words)

    refused(2, run, "abc", words=("gru", "attention"))
    refused(2, transformer, "abc", "--layer", 2, words=("--layer", "2 layers"))
    refused(2, transformer, "abc", "--layer", 0, "--head", 5, words=("--head", "2 heads"))
    refused(2, transformer, "abc", "--head", 0, words=("--head", "--layer"))
    refused(2, transformer, "abc", "--member", "lstm", words=("lstm",))
    refused(1, transformer, "", words=("empty",))


@pytest.mark.parametrize(("code", "place"), [(2, "out.pdf"), (4, "missing/out.html")])
def test_out_that_could_not_be_written_is_refused_before_loading(refuses, transformer, monkeypatch, code, place):
    monkeypatch.setattr("seqgen.runs.load.load", None)

    refuses(code, "inspect", "attention", transformer, "abc", "--out", place, words=(place,))


def test_alignment_is_not_computed_for_a_missing_folder(refuses, translator, monkeypatch):
    monkeypatch.setattr(TranslatorRun, "attention", None)

    refuses(4, "inspect", "attention", translator(), "1", "--out", "missing/a.html", words=("missing",))

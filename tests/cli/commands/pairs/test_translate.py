"""`seqgen translate`: a text, a file and stdin; output, attention, and errors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from seqgen.cli.bars import WorkBar

import seqgen
from seqgen.runs.directory import RunDirectory

from ....small_runs import TRANSLATE_RUNS


@pytest.fixture
def run(translator):
    return seqgen.load(translator())


def test_text_is_translated(answers, run):
    assert answers("translate", "123") == f"{run.translate('123')}\n"
    assert (
        answers("translate", "123", "--run", run.path, "--max-length", 2) == f"{run.translate('123', max_length=2)}\n"
    )
    assert answers("translate", "123", "--beam", 3) == f"{run.translate('123', beam=3)}\n"


def test_each_line_of_a_file_or_stdin_gives_a_line(answers, run):
    content = "123\r\n\n4\n56"
    Path("sources.txt").write_bytes(content.encode())
    expected = "".join(f"{run.translate(source)}\n" for source in ("123", "", "4", "56"))

    assert answers("translate", "sources.txt") == expected
    assert answers("translate", "-", stdin=content) == expected
    assert answers("translate", "-", stdin="") == ""


def test_each_line_of_a_text_is_a_source(answers, run):
    expected = "".join(f"{run.translate(source)}\n" for source in ("123", "", "4"))

    assert answers("translate", "123\n\r\n4") == expected
    assert answers("translate", "4\n") == f"{run.translate('4')}\n"
    assert answers("translate", "123\n4", "--json").count('"source"') == 2


def test_text_is_one_source_if_sources_of_the_training_may_have_several_lines(answers, in_tmp):
    records = [{"source": f"{number}\n{number}", "target": str(number)} for number in range(40)]
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records), "utf-8")
    run = seqgen.train("pairs.jsonl", **TRANSLATE_RUNS["rnn-translate"], out="runs/lines").run()

    found = json.loads(answers("translate", "1\n1", "--json"))

    assert (found["source"], found["targets"][0]["text"]) == ("1\n1", run.translate("1\n1"))


def test_encoding_applies_to_stdin_and_files(refuses, run):
    refuses(2, "translate", "123", "--encoding", "cp949", words=("--encoding",))


def test_json_has_a_source_and_its_targets(answers, run):
    Path("sources.txt").write_text("123\n\n", "utf-8")

    lines = answers("translate", "sources.txt", "--json", "--beam", 2, "--n-best", 2).splitlines()

    first, second = map(json.loads, lines)
    assert first["source"] == "123"
    assert [one["text"] for one in first["targets"]] == [
        one.text for one in next(run.translations(["123"], beam=2, n_best=2))
    ]
    assert first["targets"][0].keys() == {"text", "tokens", "nats", "score", "finish_reason", "source_cut"}
    assert (second["source"], [one["text"] for one in second["targets"]]) == ("", [""])
    assert second["targets"][0]["tokens"] == 0


def test_tokens_in_json_include_the_end_however_a_target_is_found(answers, run):
    counts = [
        json.loads(answers("translate", "123", "--json", *options))["targets"][0]["tokens"]
        for options in ((), ("--beam", 2), ("--temperature", 0))
    ]

    assert counts == [len(run.translate("123")) + 1] * 3


def test_targets_that_reach_the_length_limit_are_counted(invoke, endless):
    Path("sources.txt").write_text("123\n\n45\n", "utf-8")

    for options in ((), ("--beam", 2), ("--temperature", 0), ("--json",)):
        shown = invoke("translate", "sources.txt", "--max-length", 3, *options).stderr
        assert "2 of 3 targets" in shown
        assert "--max-length" in shown
    assert "1 of 1 target " in invoke("translate", "123", "--max-length", 3).stderr
    assert invoke("translate", "123", "--max-length", 3, "--quiet").stderr == ""


def test_targets_that_end_are_not_noted(invoke, run):
    for options in ((), ("--beam", 2), ("--temperature", 0)):
        assert invoke("translate", "123", *options).stderr == ""


@pytest.mark.parametrize("options", [(), ("--beam", 2), ("--temperature", 0)])
def test_unknown_characters_of_sources_are_noted(invoke, run, options):
    Path("sources.txt").write_text("1é3\n왕\n", "utf-8")

    for source, names in (("1é3", "'é'"), ("sources.txt", "'é', '왕'")):
        result = invoke("translate", source, *options)
        assert result.exit_code == 0
        assert f"model: {names}" in result.stderr
        assert "<unk>" in result.stderr
    assert "<unk>" not in invoke("translate", "sources.txt", "--quiet", *options).stderr


@pytest.mark.parametrize(("text", "is_noted"), [("no/test.tvs", True), ("test.txt", True), ("21.11.26", False)])
def test_text_that_looks_like_a_missing_file_is_noted(invoke, run, text, is_noted):
    result = invoke("translate", text, "--max-length", 3)

    assert result.exit_code == 0
    assert (f"no file {text}" in result.stderr) is is_noted


def test_the_name_of_a_folder_is_noted(invoke, run):
    assert "runs is a folder" in invoke("translate", "runs", "--max-length", 3).stderr


@pytest.mark.parametrize("option", [("--top-k", 3), ("--seed", 4)])
def test_settings_of_drawing_need_a_temperature(refuses, run, option):
    refuses(2, "translate", "123", *option, words=(option[0], "--temperature"))


def test_bar_counts_sources_while_they_are_written_to_a_pipe(monkeypatch, invoke, run):
    """The bar is on stderr, a terminal here, while stdout is not."""
    monkeypatch.setattr(WorkBar, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr("seqgen.cli.bars.stderr", lambda: Console(stderr=True, force_terminal=True, width=100))
    Path("sources.txt").write_text("123\n45\n", "utf-8")

    shown = invoke("translate", "sources.txt")

    assert shown.stdout.count("\n") == 2
    assert "2 sources" in shown.stderr


def test_n_best_gives_number_score_and_text(answers, run):
    Path("sources.txt").write_text("123\n4\n", "utf-8")

    lines = answers("translate", "sources.txt", "--beam", 2, "--n-best", 2).splitlines()

    assert [line.split("\t")[0] for line in lines] == ["1", "1", "2", "2"]
    expected = next(run.translations(["123"], beam=2, n_best=2))
    assert [line.split("\t")[2] for line in lines[:2]] == [one.text for one in expected]
    assert [float(line.split("\t")[1]) for line in lines[:2]] == pytest.approx(
        [one.score for one in expected], abs=1e-3
    )


def test_drawn_targets_depend_on_the_seed(answers, run):
    drawn = ("translate", "123", "--temperature", 2.0, "--seed")

    assert answers(*drawn, 1) == answers(*drawn, 1)
    assert len({answers(*drawn, seed) for seed in range(4)}) > 1


def test_drawn_targets_of_a_file_have_a_line_for_each_line(answers, run):
    Path("sources.txt").write_text("123\n\n4\n", "utf-8")
    drawn = ("translate", "sources.txt", "--temperature", 0.5)

    texts = answers(*drawn).split("\n")
    records = [json.loads(line) for line in answers(*drawn, "--json").splitlines()]

    assert (len(texts), texts[1], texts[-1]) == (4, "", "")
    assert [one["source"] for one in records] == ["123", "", "4"]
    assert [one["targets"][0]["text"] for one in records] == texts[:3]


@pytest.mark.parametrize("option", [("--beam", 2), ("--replace-unknown",), ("--attention", "-")])
def test_search_and_drawing_exclude_each_other(refuses, run, option):
    refuses(2, "translate", "123", "--temperature", 0.5, *option, words=(option[0], "temperature"))


def test_text_longer_than_a_file_name_is_a_text(answers, run):
    long = "123 " * 100

    assert answers("translate", long, "--max-length", 3) == f"{run.translate(long, max_length=3)}\n"


@pytest.mark.parametrize("options", [(), ("--temperature", 0.5)])
def test_cut_sources_are_noticed(translator, invoke, options):
    path = translator("gru-translate", max_source_length=4)
    long, short = "123456789", "123"
    Path("sources.txt").write_text(f"{long}\n{short}\n", "utf-8")

    for source in (long, "sources.txt"):
        result = invoke("translate", source, "--run", path, "--max-length", 3, *options)
        assert result.exit_code == 0
        assert "1 source (line 1): more than 4 tokens" in result.stderr
    assert "more than" not in invoke("translate", short, "--run", path, "--max-length", 3, *options).stderr
    assert invoke("translate", long, "--run", path, "--max-length", 3, "--quiet", *options).stderr == ""


@pytest.mark.parametrize("options", [(), ("--beam", 2), ("--temperature", 0.5)])
def test_sources_longer_than_in_training_are_noticed_by_their_lines(run, invoke, options):
    longest = run.config.text.longest_source
    Path("sources.txt").write_text(f"{'1' * longest}\n{'1' * (longest + 1)}\n1\n{'1' * (longest + 9)}\n", "utf-8")

    result = invoke("translate", "sources.txt", "--max-length", 3, *options)

    assert f"2 sources (lines 2, 4): longer than any source in training ({longest} tokens)" in result.stderr


# --- attention


def test_attention_is_drawn_on_a_page(answers, run):
    Path("sources.txt").write_text("123\n\n45\n", "utf-8")

    answers("translate", "sources.txt", "--attention", "out.html")

    data = re.search(r'id="data">(.*?)</script>', Path("out.html").read_text("utf-8"), re.DOTALL)
    examples = json.loads(data[1])["examples"]
    assert ["".join(one["source"]) for one in examples] == ["123", "45"]
    assert examples[0]["target"] == [*run.translate("123"), "<end>"]


def test_attention_is_drawn_in_the_terminal(answers, run):
    shown = answers("translate", "123", "--attention", "-")

    first, *rest = shown.splitlines()
    assert first == run.translate("123")
    assert any("<end>" in line for line in rest)


@pytest.mark.slow  # matplotlib takes a second to import
def test_attention_is_drawn_as_a_picture(answers, run):
    pytest.importorskip("matplotlib")

    answers("translate", "123", "--attention", "out.png")

    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_picture_without_matplotlib_is_refused_before_translating(refuses, run, monkeypatch):
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)

    refuses(2, "translate", "123", "--attention", "out.png", words=("seqgen[plot]",))


@pytest.mark.parametrize(("code", "place"), [(2, "out.pdf"), (4, "missing/out.html")])
def test_attention_that_could_not_be_written_is_refused_before_translating(refuses, run, monkeypatch, code, place):
    monkeypatch.setattr(seqgen.TranslatorRun, "stream", None)
    monkeypatch.setattr(seqgen.TranslatorRun, "translations", None)

    refuses(code, "translate", "123", "--attention", place, words=(place,))


def test_attention_of_an_unknown_character_shows_it_with_a_mark(answers, run):
    first, second, *rest = answers("translate", "1é", "--quiet", "--attention", "-").splitlines()[1:]

    assert [first.split(), second.split()] == [["é"], ["1", "*"]]
    assert "<unk>" in rest[-1]


@pytest.mark.parametrize("place", ["out.html", "out.png", "-"])
def test_attention_without_a_source_is_refused(invoke, run, place):
    result = invoke("translate", "-", "--attention", place, stdin="\n\n")

    assert result.exit_code == 1
    assert "attention" in result.stderr
    assert not Path(place).exists()


def test_attention_of_a_model_without_any_is_refused(invoke, translator):
    translator("rnn-translate")

    result = invoke("translate", "123", "--attention", "out.html")

    assert result.exit_code == 2
    assert "--attention none" in result.stderr
    assert not Path("out.html").exists()


# --- errors


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("",), "source"), (("123", "--n-best", 2), "add --beam 2"), (("123", "--beam", 0), "beam"),
     (("123", "--replace-unknown"), "replace"), (("123", "--max-length", 0), "max"),
     (("-", "--beam", 100_000), "--beam"), (("-", "--min-length", 10**9), "--min-length"),
     (("-", "--temperature", -1.0), "--temperature")],
)  # fmt: skip
def test_impossible_request_is_refused(invoke, run, arguments, word):
    result = invoke("translate", *arguments)

    assert result.exit_code in {1, 2}
    assert word in result.stderr.replace("-", "_") or word in result.stderr


def test_missing_source_is_a_usage_error(invoke, run):
    assert invoke("translate").exit_code == 2


def test_file_that_is_not_text_is_refused(invoke, run):
    Path("sources.txt").write_bytes(b"\xff\xfe\x00")

    result = invoke("translate", "sources.txt")

    assert result.exit_code == 1
    assert "sources.txt" in result.stderr


def test_run_that_does_not_translate_is_refused(refuses, corpus, in_tmp):
    seqgen.train("corpus.txt", cell="gru", hidden_size=4, max_steps=1, precision="fp32").run()

    refuses(2, "translate", "123", words=("corpus-gru", "--task translate"))


@pytest.mark.parametrize("command", [("sample",), ("compress", "pairs.tsv"), ("eval", "pairs.tsv", "--dynamic", "all")])
def test_commands_for_texts_refuse_a_run_that_translates(invoke, run, pairs, command):
    result = invoke(*command, "--run", run.path)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert str(run.path) in result.stderr


def test_runs_and_info_show_a_run_that_translates(answers, run):
    assert "lstm" in answers("runs")
    assert "translate" in answers("info", run.path)
    assert RunDirectory(run.path).read_config().data.task == "translate"

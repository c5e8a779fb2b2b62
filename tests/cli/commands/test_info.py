"""`seqgen info`: one run, in full."""

from __future__ import annotations

import json


def test_the_newest_run_in_full(answers, run):
    text = answers("info")

    config = json.loads((run / "config.json").read_text("utf-8"))
    assert text.startswith(f"{run}\n")
    for value in (
        config["tokenizer"]["fingerprint"], config["text"]["sha256"], config["data"]["text"][0], config["created"],
        "complete", "gru", "hidden_size", "warmup_steps",
    ):  # fmt: skip
        assert value in text
    assert answers("info", run) == text


def test_json_is_summary_and_config(answers, run):
    content = json.loads(answers("info", run, "--json"))

    assert content.keys() == {"summary", "config"}
    assert content["config"] == json.loads((run / "config.json").read_text("utf-8"))
    assert content["summary"] == json.loads(answers("runs", "--json"))[0]


def test_a_run_whose_metrics_are_gone_still_has_its_settings(answers, run):
    (run / "metrics.jsonl").unlink()

    assert "hidden_size" in answers("info", run)


def test_what_is_no_run_is_one_sentence(refuses, run, corpus):
    refuses(1, "info", "nowhere", words=("nowhere", "no such run"))
    refuses(1, "info", corpus, words=("corpus.txt",))
    (run / "model.safetensors").write_bytes(b"half")
    refuses(1, "info", run, words=("model.safetensors",))
    (run / "config.json").write_text("{}", "utf-8")
    refuses(1, "info", run, words=("config.json", "model"))


def test_without_runs_it_says_how_to_get_one(refuses):
    refuses(1, "info", words=("seqgen train FILE",))


def test_markup_is_shown_as_it_is(answers, invoke, run):
    run.rename("[bold]")

    assert answers("info", "[bold]").startswith("[bold]\n")
    assert "[bold]" in answers("info", "[bold]", terminal=100)
    assert "[/x]: no such run" in invoke("info", "[/x]").stderr

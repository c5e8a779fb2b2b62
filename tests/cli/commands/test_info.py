"""`seqgen info`: one run, in full."""

from __future__ import annotations

import json


def test_info_shows_newest_run(answers, run):
    text = answers("info")

    config = json.loads((run / "config.json").read_text("utf-8"))
    assert text.startswith(f"{run}\n")
    for value in (
        config["tokenizer"]["fingerprint"], config["text"]["sha256"], config["data"]["text"][0], config["created"],
        "complete", "gru", "hidden_size", "warmup_steps",
    ):  # fmt: skip
        assert value in text
    assert answers("info", run) == text


def test_json_has_summary_and_config(answers, run):
    content = json.loads(answers("info", run, "--json"))

    assert content.keys() == {"summary", "config"}
    assert content["config"] == json.loads((run / "config.json").read_text("utf-8"))
    assert content["summary"] == json.loads(answers("runs", "--json"))[0]


def test_run_without_metrics_shows_settings(answers, run):
    (run / "metrics.jsonl").unlink()

    assert "hidden_size" in answers("info", run)


def test_path_that_is_not_a_run_is_refused(refuses, run, corpus):
    refuses(1, "info", "nowhere", words=("nowhere",))
    refuses(1, "info", corpus, words=("corpus.txt",))
    (run / "model.safetensors").write_bytes(b"half")
    refuses(1, "info", run, words=("model.safetensors",))
    (run / "config.json").write_text("{}", "utf-8")
    refuses(1, "info", run, words=("config.json", "model"))


def test_without_runs_error_names_train(refuses):
    refuses(1, "info", words=("seqgen train FILE",))


def test_markup_is_printed_literally(answers, invoke, run):
    run.rename("[bold]")

    assert answers("info", "[bold]").startswith("[bold]\n")
    assert "[bold]" in answers("info", "[bold]", terminal=100)
    assert "[/x]: " in invoke("info", "[/x]").stderr

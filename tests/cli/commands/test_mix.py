"""`seqgen mix`, and the commands that show a mixture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import seqgen

from ..conftest import SMALL


@pytest.fixture
def runs(run, corpus):
    """Two runs on one text: a gru and an n-gram model."""
    ngram = seqgen.train("corpus.txt", cell="ngram", order=3)
    list(ngram)
    return [run, ngram.path]


def test_mix_prints_weights_and_figures_of_each_and_of_the_mixture(invoke, runs):
    result = invoke("mix", *runs, "--out", "mixture")

    assert (result.exit_code, result.stdout) == (0, "")
    record = json.loads(Path("mixture/mixture.json").read_text("utf-8"))
    for name, member in record["members"].items():
        (line,) = [line for line in result.stderr.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[1:] == [
            f"{member['weight']:.3f}", f"{member['nats_per_token']:.4f}", f"{member['bits_per_byte']:.3f}",
        ]  # fmt: skip
    assert f"{record['nats_per_token']:.4f}  " in result.stderr
    assert "seqgen sample --run mixture" in result.stderr


def test_mix_json_has_the_record(answers, runs):
    content = json.loads(answers("mix", *runs, "--out", "mixture", "--json"))

    assert content["run"] == "mixture"
    assert content["members"].keys() == {"gru", "ngram"}
    assert sum(member["weight"] for member in content["members"].values()) == pytest.approx(1.0)


def test_mix_notices_a_validation_text_that_occurs_in_part_in_the_training_text(invoke, runs, in_tmp):
    copied = Path("corpus.txt").read_text("utf-8")[100:700]
    other = "".join(f"Line {number} says that {number * number} birds flew over a wall.\n" for number in range(25))
    Path("valid.txt").write_text(copied + other, "utf-8")

    result = invoke("mix", *runs, "--valid", "valid.txt", "--out", "mixture")

    assert result.exit_code == 0, result.output
    assert "also occurs in the training text" in result.stderr


def test_mix_quiet_is_silent(invoke, runs):
    result = invoke("mix", *runs, "--quiet")

    assert (result.exit_code, result.output) == (0, "")


def test_mix_refuses_in_one_sentence_and_makes_nothing(refuses, runs, in_tmp):
    whole = seqgen.train("corpus.txt", out="whole", cell="ngram", order=3, valid_split="none")
    list(whole)

    refuses(2, "mix", runs[0], "--out", "mixture", words=("two runs",))
    refuses(2, "mix", runs[0], "whole", "--out", "mixture", words=("--valid", "whole", "--valid-split none"))
    refuses(2, "mix", *runs, "--valid", "corpus.txt", "--out", "mixture", words=("--valid", "corpus.txt"))
    refuses(1, "mix", *runs, "--out", runs[0], words=(str(runs[0]),))
    refuses(1, "mix", runs[0], "nowhere", words=("nowhere",))
    assert not (in_tmp / "mixture").exists()


def test_commands_show_a_mixture(answers, runs):
    answers("mix", *runs)
    path = "runs/corpus-gru+ngram"
    for original in runs:
        shutil.rmtree(original)

    (row,) = json.loads(answers("runs", "--json"))
    assert (row["run"], row["cell"], row["shape"]) == (path, "gru+ngram", "1x16, order 3")
    assert "gru+ngram" in answers("runs")
    content = json.loads(answers("info", "--json"))
    assert content["mixture"]["members"].keys() == content["config"]["model"]["members"].keys() == {"gru", "ngram"}
    shown = answers("info", terminal=100)
    for words in ("gru.weight", "ngram.order", "gru.hidden_size", "ngram.nats_per_token"):
        assert words in shown
    assert f"{path}: gru+ngram, char; " in answers("eval")
    assert len(answers("sample", "--max-new-tokens", 30, "--prompt", "The ")) >= 30
    assert answers("sample", "--memorization", "--max-new-tokens", 30)


def test_train_shows_each_member_and_the_mixture(invoke, corpus):
    arguments = [
        part for name, value in SMALL.items() if name != "cell" for part in (f"--{name}".replace("_", "-"), value)
    ]
    result = invoke("train", "corpus.txt", "--cell", "gru+ngram", "--order", 3, *arguments)

    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines[0].startswith("runs/corpus-gru+ngram: gru+ngram 1x16, order 3")
    assert lines.index("ngram") < lines.index("gru")
    assert "nan" not in result.stderr
    assert any(line.startswith("done: 5 steps") for line in lines)
    assert lines[-2].startswith("done in ")
    assert invoke("train", "--resume", "--out", "runs/corpus-gru+ngram").exit_code == 1


def test_train_of_an_unknown_member_is_refused(refuses, corpus, in_tmp):
    refuses(2, "train", "corpus.txt", "--cell", "lstm+foo", words=("--cell", "foo", "lstm"))
    refuses(2, "train", "corpus.txt", "--cell", "lstm+ngram", "--heads", 2, words=("--heads", "transformer"))
    assert not (in_tmp / "runs").exists()


def test_mix_names_no_option_that_it_lacks(refuses, runs):
    assert "--runs" not in refuses(2, "mix", runs[0], words=("two runs",))


def test_info_of_a_mixture_refuses_a_damaged_member(invoke, refuses, runs):
    invoke("mix", *runs, "--out", "mixture")
    next(Path("mixture/members").glob("*/config.json")).write_text("{}", "utf-8")

    refuses(1, "info", "mixture", words=("members",))

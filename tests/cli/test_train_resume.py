"""`seqgen train --resume` and `--init-from`."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from seqgen.cli.training_screen import TrainingScreen

import seqgen

from ..comparing import config_of, contents_of, figures_of

SMALL = ("--cell", "gru", "--hidden-size", 16, "--batch-size", 8, "--precision", "fp32", "--max-steps", 3)


@pytest.fixture(autouse=True)
def _corpus(corpus):
    """Every test has corpus.txt in its folder."""


def test_resumed_run_equals_uninterrupted_run(answers, finished, stopped):
    assert json.loads(Path(stopped, "metrics.jsonl").read_text("utf-8").splitlines()[-1])["reason"] == "stopped"

    answers("train", "--resume")

    assert figures_of(stopped) == figures_of(finished)
    assert Path(stopped, "model.safetensors").read_bytes() == Path(finished, "model.safetensors").read_bytes()
    assert config_of(stopped)["training"] == config_of(finished)["training"]


def test_run_is_resumed_from_another_folder(answers, finished, stopped, monkeypatch, tmp_path):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")

    answers("train", "--resume", "--out", tmp_path / stopped)

    assert figures_of(tmp_path / stopped) == figures_of(finished)


def test_complete_run_can_only_be_extended(invoke, refuses, run):
    refuses(1, "train", "--resume", words=("5 steps", "--max-steps"))
    refuses(1, "train", "--resume", "--max-steps", 5, words=("5 steps",))
    refuses(2, "train", "--resume", "--max-steps", 4, words=("--max-steps: ", "5"))

    result = invoke("train", "--resume", "--max-steps", 8)

    assert result.exit_code == 0
    assert config_of(run)["training"]["max_steps"] == 8
    assert [line["step"] for line in figures_of(run) if line["event"] == "step"] == list(range(1, 9))


def test_resume_refuses_changed_text(refuses, stopped, monkeypatch):
    Path("corpus.txt").write_text(Path("corpus.txt").read_text("utf-8").replace("sailor", "tailor"), "utf-8")
    before = contents_of(stopped)

    refuses(1, "train", "--resume", words=("corpus.txt",))
    refuses(1, "train", "--resume", "--max-steps", 9, words=("corpus.txt",))
    Path("corpus.txt").unlink()
    monkeypatch.setenv("SEQGEN_CACHE", "empty")
    refuses(1, "train", "--resume", "--max-steps", 9, words=("corpus.txt",))

    assert contents_of(stopped) == before


def test_resume_refuses_other_settings(refuses, stopped):
    before = contents_of(stopped)

    refuses(2, "train", "--resume", "--lr", 0.1, "--hidden-size", 8, words=("--hidden-size is 16, not 8", "lr is"))
    refuses(2, "train", "--resume", "--init-from", stopped, words=("--resume", "--init-from"))
    refuses(2, "train", "--resume", "--valid", "corpus.txt", words=("--resume", "valid is None"))

    assert contents_of(stopped) == before


def test_run_given_as_text_to_resume_is_explained(refuses, stopped):
    refuses(2, "train", "--resume", stopped, words=(f"{stopped} is a run", f"seqgen train --resume --out {stopped}\n"))
    spaced = stopped.rename("a run")
    refuses(2, "train", "--resume", spaced, words=("seqgen train --resume --out 'a run'\n",))
    refuses(2, "train", "--resume", "another.txt", "--out", spaced, words=("another.txt", "--out"))
    refuses(2, "train", "--resume", "x" * 300, "--out", spaced, words=("not", "xxx"))


def test_empty_names_are_refused(refuses, stopped):
    refuses(2, "train", "corpus.txt", *SMALL, "--out", "", words=("--out: ",))
    refuses(1, "train", "--resume", "--out", "", words=("empty",))
    refuses(1, "info", "", words=("empty",))
    refuses(1, "train", "", *SMALL, words=("empty",))
    refuses(2, "tokenizer", "build", "corpus.txt", "--out", "", words=("--out: ",))


def test_resume_refuses_missing_run_or_checkpoint(refuses, run):
    refuses(1, "train", "--resume", "--out", "nowhere", words=("nowhere",))
    for path in run.rglob("state.json"):
        path.unlink()
    refuses(1, "train", "--resume", words=("checkpoint",))


def test_resume_in_other_precision_is_noted(invoke, stopped):
    result = invoke("train", "--resume", "--device", "cpu", "--precision", "bf16")

    assert result.exit_code == 0
    assert re.search("note: precision.*bf16.*fp32", result.stderr)
    assert config_of(stopped)["training"]["precision"] == "bf16"


def test_newest_run_without_weights_is_resumed(answers, refuses):
    answers("train", "corpus.txt", *SMALL, "--out", "runs/older")
    begun = seqgen.train("corpus.txt", stop=lambda: True, cell="gru", hidden_size=16, max_steps=2, precision="fp32")
    list(begun)
    assert not (begun.path / "model.safetensors").exists()
    refuses(1, "sample", "--run", begun.path, words=("model.safetensors",))

    answers("train", "--resume")

    assert [line["step"] for line in figures_of(begun.path) if line["event"] == "step"] == [1, 2]
    assert answers("sample", "--run", begun.path, "--max-new-tokens", 5)


@pytest.mark.parametrize(("number", "last"), [(signal.SIGINT, seqgen.Step), (signal.SIGTERM, seqgen.Finished)])
def test_signal_after_last_step_is_ignored(invoke, monkeypatch, number, last):
    show = TrainingScreen.show

    def show_and_interrupt(screen, event):
        show(screen, event)
        if isinstance(event, last) and event.step == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingScreen, "show", show_and_interrupt)
    result = invoke("train", "corpus.txt", *SMALL)

    assert result.exit_code == 0
    assert "done: 3 steps" in result.stderr
    assert result.stderr.splitlines()[-1].endswith("seqgen sample --run runs/corpus-gru")


def test_damaged_checkpoint_is_refused(refuses, stopped):
    for weights in Path(stopped, "checkpoints").glob("*/weights.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])

    refuses(1, "train", "--resume", words=("step-000003/weights.safetensors",))


def test_init_from_starts_with_weights_of_other_run(answers, refuses, run):
    Path("other.txt").write_text("The old king paints the seventh door.\n" * 200, "utf-8")

    answers("train", "other.txt", "--init-from", run, "--max-steps", 1, "--lr", 1e-12, "--precision", "fp32")

    child = config_of("runs/other-gru")
    assert child["init_from"] == str(run.resolve())
    assert child["model"] == config_of(run)["model"]
    assert child["tokenizer"]["fingerprint"] == config_of(run)["tokenizer"]["fingerprint"]
    before, after = load_file(run / "model.safetensors"), load_file("runs/other-gru/model.safetensors")
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)

    more = ("--init-from", run, "--max-steps", 1)
    refuses(2, "train", "other.txt", *more, "--hidden-size", 32, words=("--hidden-size",))
    refuses(2, "train", "other.txt", *more, "--tokenizer", "byte", words=("tokenizer",))
    refuses(1, "train", "other.txt", "--init-from", "nowhere", words=("nowhere",))


def test_init_from_counts_unknown_pieces(invoke, run):
    Path("other.txt").write_text("Zwölf Boxkämpfer jagen Viktor quer über den Deich.\n" * 200, "utf-8")

    result = invoke("train", "other.txt", "--init-from", run, "--max-steps", 1)

    assert result.exit_code == 0
    text = Path("other.txt").read_text("utf-8")
    unknown = len([character for character in text if character not in Path("corpus.txt").read_text("utf-8")])
    counts = re.findall(r"note: the (?:training|validation) part has ([\d,]+) tokens", result.stderr)
    assert sum(int(count.replace(",", "")) for count in counts) == unknown
    assert "<unk>" in result.stderr


@pytest.mark.slow
def test_same_command_gives_same_run(answers):
    answers("train", "corpus.txt", *SMALL)
    answers("train", "corpus.txt", *SMALL)
    answers("train", "corpus.txt", *SMALL, "--seed", 1)

    weights = [Path("runs", name, "model.safetensors").read_bytes() for name in ("corpus-gru", "corpus-gru-2")]
    assert weights[0] == weights[1]
    assert figures_of(Path("runs/corpus-gru")) == figures_of(Path("runs/corpus-gru-2"))
    assert figures_of(Path("runs/corpus-gru")) != figures_of(Path("runs/corpus-gru-3"))


def test_config_with_unknown_key_is_refused(refuses, run):
    config = config_of(run)
    config["model"]["wings"] = 2
    (run / "config.json").write_text(json.dumps(config), "utf-8")

    refuses(1, "sample", "--run", run, words=("config.json", "model: wings"))
    with pytest.raises(seqgen.RunError, match="wings"):
        seqgen.load(run)

"""Nothing in the files of a run is executed."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import pytest
import torch
from seqgen.cli.main import app
from typer.testing import CliRunner

import seqgen
from seqgen import tokenizers

from .damage import (
    read_run,
    set_field,
    use_run,
)


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


WELL_KNOWN = [
    "pytorch_model.bin", "model.pt", "optimizer.pt", "training_args.bin", ".metadata", "data.pkl", "model.bin",
    "model.safetensors.index.json", "tokenizer/tokenizer.pkl", "tokenizer/vocab.pkl",
    "checkpoints/latest", "checkpoints/step-000009/state.json", "checkpoints/step-000009/data.pkl",
]  # fmt: skip


@pytest.fixture(params=["pickle", "torch"])
def canary(request, tmp_path):
    """A pickle, plain or by `torch.save`, and the file that it creates when it is loaded."""
    flown = tmp_path / "flown"
    path = tmp_path / "canary"
    if request.param == "pickle":
        path.write_bytes(pickle.dumps(Canary(flown)))
    else:
        torch.save(Canary(flown), path)
    return path.read_bytes(), flown


def test_canary_detects_unpickling(canary, tmp_path):
    content, flown = canary
    (tmp_path / "content").write_bytes(content)

    for load in (lambda: pickle.loads(content), lambda: torch.load(tmp_path / "content", weights_only=False)):
        with contextlib.suppress(pickle.UnpicklingError, RuntimeError):  # one of them cannot read it
            load()

    assert flown.exists()


def test_pickle_in_a_run_is_never_loaded(specimen, attempt, canary, monkeypatch):
    content, flown = canary
    monkeypatch.chdir(specimen.root.parent)
    here = specimen.run.relative_to(specimen.root.parent)
    commands = [["runs"], ["info", here], ["sample", "--run", here, "--max-new-tokens", 3], ["eval", "--run", here],
                ["tokenizer", "encode", "the", "--run", here]]  # fmt: skip

    def drive(*paths, forge=False, commands=()):
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        if forge:
            specimen.sign()
        attempt(
            *read_run(specimen),
            lambda: seqgen.load(specimen.run).validation_texts(),
            lambda: tokenizers.load(specimen.run / "tokenizer"),
            use_run(specimen, steps=1)[1],
        )
        for path in paths:  # a resume may have restored the file
            path.write_bytes(content)
        for command in commands:
            code = CliRunner().invoke(app, [str(word) for word in command]).exit_code
            assert code in {0, 1, 2}, (paths, command)
        assert not flown.exists(), paths
        specimen.heal()

    for path in specimen.files():
        drive(path, commands=commands if path.name in {"config.json", "model.safetensors"} else ())
    for path in specimen.checkpoint.glob("*.*s*"):
        drive(path, forge=path.name != "state.json")
    drive(*(specimen.run / name for name in WELL_KNOWN), commands=commands)


@pytest.mark.parametrize("field", ["auto_map", "__class__", "model.auto_map", "model.__reduce__", "training.__class__",
                                   "tokenizer.tokenizer_class", "data.!!python/object/apply"])  # fmt: skip
def test_config_with_code_is_refused_by_name(specimen, damaged, field):
    path = specimen.run / "config.json"
    content = set_field(specimen.whole[path], field, {"AutoModel": "os.system"})

    refusals = damaged(path, content, *read_run(specimen), *use_run(specimen))

    assert len(refusals) == 4
    assert all(f"{field.rpartition('.')[2]}: " in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.cell", "os.system"),
        ("tokenizer.kind", "pickle"),
        ("tokenizer.kind", "seqgen.tokenizers.char:CharTokenizer"),
        ("training.schedule", "!!python/object/apply:os.system [true]"),
    ],
)
def test_config_with_code_as_a_choice_is_refused(specimen, damaged, field, value):
    path = specimen.run / "config.json"

    refusals = damaged(path, set_field(specimen.whole[path], field, value), *use_run(specimen))

    assert [field.split(".")[0] in refusal for refusal in refusals] == [True, True]

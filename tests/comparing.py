"""What makes two runs the same run: all that neither the clock nor the place decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seqgen.training.metrics import read_metrics

CLOCK = {"seconds", "tokens_per_second"}
"""The fields of an event that vary from run to run."""


def figures_of(run: Path) -> list[dict[str, object]]:
    """The lines of steps, evaluations, warnings and samples, less the clock's fields."""
    kept = {"step", "skipped", "evaluated", "memorising", "sampled", "replanned"}
    return [
        {name: value for name, value in line.items() if name not in CLOCK}
        for line in read_metrics(run / "metrics.jsonl")
        if line["event"] in kept
    ]


def checkpoint_of(run: Path) -> dict[str, object]:
    """The last checkpoint: each file's bytes, and of the JSON what neither the clock nor the place decides."""
    *_, newest = sorted((run / "checkpoints").iterdir())
    content: dict[str, object] = {file.name: file.read_bytes() for file in newest.iterdir()}
    config, state = (json.loads((newest / name).read_text("utf-8")) for name in ("config.json", "state.json"))
    for name in ("seconds", "pace", "metrics_bytes", "metrics_sha256"):
        del state["progress"][name]
    del config["created"], config["data"]["text"], state["files"]["config.json"]
    for name in ("save_every", "on_save_error"):  # they decide when to save, and nothing that is saved
        del config["training"][name]
    return {"step": newest.name, **content, "config.json": config, "state.json": state}


def assert_same_run(run: Path, other: Path) -> None:
    """Assert that two runs are one, bit for bit: their figures, the weights that are used, the last checkpoint."""
    assert figures_of(run) == figures_of(other), "metrics.jsonl differs"
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes(), "the weights differ"
    one, two = checkpoint_of(run), checkpoint_of(other)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def files_of(folder: Path | str) -> list[str]:
    """The files below a folder, by their paths in it."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def contents_of(folder: Path | str) -> dict[Path, bytes]:
    """Every file below a folder, and what is in it."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def config_of(run: Path | str) -> dict[str, Any]:
    """A run's config.json."""
    config: dict[str, Any] = json.loads(Path(run, "config.json").read_text("utf-8"))
    return config

"""Compare runs: everything that depends on neither the clock nor the path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seqgen.training.metrics import read_metrics

CLOCK = {"seconds", "tokens_per_second"}
"""Fields of an event that vary from run to run."""


def figures_of(run: Path) -> list[dict[str, object]]:
    """Return the lines of steps, norms, evaluations, warnings and samples, without the clock's fields."""
    kept = {
        "step", "skipped", "norms", "vanishing_gradient", "exploding_gradient", "evaluated", "overfitting", "sampled",
        "replanned",
    }  # fmt: skip
    return [
        {name: value for name, value in line.items() if name not in CLOCK}
        for line in read_metrics(run / "metrics.jsonl")
        if line["event"] in kept
    ]


def checkpoint_of(run: Path) -> dict[str, object]:
    """Return the last checkpoint: the bytes of each file, and the JSON without times and paths."""
    *_, newest = sorted((run / "checkpoints").iterdir())
    content: dict[str, object] = {file.name: file.read_bytes() for file in newest.iterdir()}
    config, state = (json.loads((newest / name).read_text("utf-8")) for name in ("config.json", "state.json"))
    for name in ("seconds", "timings", "metrics_bytes"):
        del state["progress"][name]
    del config["created"], config["data"]["text"], state["files"]["config.json"]
    for name in ("save_every", "on_save_error"):  # they determine when to save, not what
        del config["training"][name]
    return {"step": newest.name, **content, "config.json": config, "state.json": state}


def assert_same_run(run: Path, other: Path) -> None:
    """Assert that two runs are bit-identical: figures, best weights, last checkpoint."""
    assert figures_of(run) == figures_of(other), "metrics.jsonl differs"
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes(), "the weights differ"
    one, two = checkpoint_of(run), checkpoint_of(other)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def files_of(folder: Path | str) -> list[str]:
    """Return the relative paths of the files in a folder."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def contents_of(folder: Path | str) -> dict[Path, bytes]:
    """Return the content of every file in a folder."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def config_of(run: Path | str) -> dict[str, Any]:
    """Return a run's config.json."""
    config: dict[str, Any] = json.loads(Path(run, "config.json").read_text("utf-8"))
    return config

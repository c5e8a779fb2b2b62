"""Small runs of every model, and ways to interrupt them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from seqgen.runs.train import TrainingRun

from ..small_runs import NEURAL, TRANSLATE_RUNS, with_length

SMALL: dict[str, Any] = {
    "hidden_size": 16, "layers": 2, "dropout": 0.2, "batch_size": 16, "grad_accum": 2, "max_steps": 8, "eval_every": 3,
    "warmup_steps": 2, "precision": "fp32",
}  # fmt: skip
"""1,024 tokens per step: `TEXT` has 4,697 training characters, so the second epoch begins within step 5."""

WINDOWS = {**SMALL, **with_length("transformer", 32), "heads": 2}

MODELS: dict[str, dict[str, Any]] = {
    **{cell: {**SMALL, **with_length(cell, 32)} for cell in NEURAL if cell != "transformer"},
    "gru-before": {**SMALL, **with_length("gru", 32), "gru_reset": "before"},
    "rope": {**WINDOWS, "positions": "rope"},
    "sinusoidal": {**WINDOWS, "positions": "sinusoidal"},
}
TRANSLATORS: dict[str, dict[str, Any]] = {
    name: {**SMALL, **{key: value for key, value in settings.items() if key not in SMALL}}
    for name, settings in TRANSLATE_RUNS.items()
}
"""16 x 2 of 106 pairs a step: the second epoch begins within step 4."""
TOKENIZERS: dict[str, dict[str, Any]] = {
    "char": {},
    "byte": {"tokenizer": "byte"},
    "word": {"tokenizer": "word"},
    "unigram": {"tokenizer": "unigram", "vocab_size": 320},
    "bpe": {"tokenizer": "bpe", "vocab_size": 320},
}
INTERRUPTIONS = {
    "before the first step": "stop 0",
    "in an epoch, between evaluations": "stop 4",
    "at the end of an epoch": "stop 5",
    "at an evaluation": "stop 6",
    "in the last step but one": "stop 7",
    "killed before the first save": "kill 2",
    "killed between evaluations": "kill 5",
    "killed at the last step": "kill 8",
    "eight times": "stop 0, kill 1, stop 1, stop 3, kill 5, stop 4, kill 7, kill 8",
}


def interrupt(train: Callable[..., TrainingRun], how: str, at: int) -> TrainingRun:
    """Train until the run is stopped before step `at`, or is killed within it; `train(stop=...)` makes the run."""
    run = train(stop=lambda: how == "stop" and next(polls) == at)
    polls = itertools.count(run.first_step)
    if how == "stop":
        assert list(run)[-1].reason == "stopped"
        return run
    events = iter(run)
    while getattr(next(events), "step", None) != at:
        pass
    events.close()
    with (run.path / "metrics.jsonl").open("ab") as file:  # a crash may cut a line in two
        file.write(b'{"event": "step", "st')
    return run

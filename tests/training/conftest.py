"""Build a learner of any family on a few lines of text, as `seqgen.train` does; a clock that tests advance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seqgen.data.pipeline import read_texts
from seqgen.runs.config import resolve_settings
from seqgen.runs.setup import EncodedCorpus, build_learner, encode_corpus
from seqgen.training.learner import Learner
from seqgen.training.trainer import TrainingSetup

from ..small_runs import (
    LABEL_RUNS,
    NEURAL,
    PAIRS,
    TRANSLATE_RUNS,
    labeled_texts,
    tagged_sentences,
    with_length,
)

RUN = {"max_steps", "eval_every", "batch_size", "warmup_steps", "precision"}
"""Settings that `make_learner` sets itself."""
MakeLearner = Callable[..., tuple[Learner, EncodedCorpus]]

SMALL: dict[str, dict[str, Any]] = {
    **{cell: {**with_length(cell, 16), "hidden_size": 24} for cell in NEURAL},
    "lstm": {**with_length("lstm", 16), "hidden_size": 24, "layers": 2},
    "gru-before": {**with_length("gru", 16), "hidden_size": 24, "gru_reset": "before"},
    "transformer": {**with_length("transformer", 16), "hidden_size": 32, "layers": 1, "heads": 2},
}
"""Settings of a small model of every family that continues a text, and of its forms."""
TRANSLATORS: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in settings.items() if key not in RUN} for name, settings in TRANSLATE_RUNS.items()
}
"""Settings of a small encoder-decoder of every family."""
LABELERS: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in settings.items() if key not in RUN} for name, settings in LABEL_RUNS.items()
}
"""Settings of a small classifier and a small tagger of every family."""
TEXTS = {
    **dict.fromkeys(TRANSLATORS, PAIRS),
    **{name: labeled_texts() if name.endswith("-classify") else tagged_sentences() for name in LABELERS},
}
"""What the families that learn from pairs are trained on."""


@pytest.fixture
def make_learner(corpus: Path) -> MakeLearner:
    """Make a learner of the family called `name`, over `corpus` or the text given, in fp32."""

    def make(name: str, text: str | None = None, **settings: Any) -> tuple[Learner, EncodedCorpus]:
        if text is None:
            text = TEXTS.get(name)
        if text is not None:
            corpus.write_text(text, encoding="utf-8", newline="")
        fixed = {
            "max_steps": 10,
            "eval_every": 5,
            "precision": "fp32",
            "batch_size": 4,
            "warmup_steps": 2,
            "weight_decay": 0.01,
        }
        resolved = resolve_settings(
            {"text": str(corpus), **fixed, **(SMALL | TRANSLATORS | LABELERS)[name], **settings}
        )
        encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)
        labels = {"labels": encoded.labels} if encoded.labels else {}
        return build_learner(resolved.model.model_copy(update=labels), resolved.training, encoded), encoded

    return make


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., TrainingSetup]:
    """Make the setup of a run in `tmp_path`."""

    def make(encoded: EncodedCorpus) -> TrainingSetup:
        return TrainingSetup(
            validation=encoded.validation,
            characters_per_token=None if encoded.labels else encoded.characters_per_token,
            write_sample=encoded.write_sample,
            config=b"{}\n",
            identity="a run",
            weights=tmp_path / "model.safetensors",
            checkpoints=tmp_path / "checkpoints",
        )

    return make


class FakeClock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    """A clock at 100 seconds."""
    return FakeClock()


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Callable[[dict[int, float]], None]:
    """Make a step on n threads take `seconds[n]`."""

    def set_speed(seconds: dict[int, float]) -> None:
        def step(self: Learner, index: int) -> None:
            clock.now += seconds[torch.get_num_threads()]

        monkeypatch.setattr(Learner, "step", step)

    return set_speed


@pytest.fixture
def four_threads() -> Iterator[None]:
    """Let torch use four threads."""
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)

"""A learner of any family on a few lines of text, as `seqgen.train` would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqgen.data.pipeline import read_texts
from seqgen.runs.config import compose
from seqgen.runs.setup import Corpus, build_learner, encode_corpus
from seqgen.training.learner import Learner
from seqgen.training.trainer import TrainingSetup

MakeLearner = Callable[..., tuple[Learner, Corpus]]

SMALL: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn", "hidden_size": 24},
    "lstm": {"cell": "lstm", "hidden_size": 24, "layers": 2},
    "gru": {"cell": "gru", "hidden_size": 24},
    "gru-before": {"cell": "gru", "hidden_size": 24, "gru_reset": "before"},
    "transformer": {"cell": "transformer", "hidden_size": 32, "layers": 1, "heads": 2, "block_size": 16},
}
"""Config of a small model of each family."""


@pytest.fixture
def make_learner(corpus: Path) -> MakeLearner:
    """Make a learner of the family called `name`, over `corpus` or the text given, in fp32."""

    def make(name: str, text: str | None = None, **settings: Any) -> tuple[Learner, Corpus]:
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
        if name != "transformer":
            fixed["bptt"] = 16
        request = compose({"text": str(corpus), **fixed, **SMALL[name], **settings})
        prepared = encode_corpus(read_texts(request.data), request.tokenizer)
        return build_learner(request.model, request.training, prepared), prepared

    return make


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., TrainingSetup]:
    """What the loop works on, for a run in `tmp_path`."""

    def make(prepared: Corpus) -> TrainingSetup:
        return TrainingSetup(
            tokenizer=prepared.tokenizer,
            validation=prepared.validation,
            characters_per_token=prepared.characters_per_token,
            line_end="",
            config=b"{}\n",
            identity="a run",
            weights=tmp_path / "model.safetensors",
            checkpoints=tmp_path / "checkpoints",
        )

    return make

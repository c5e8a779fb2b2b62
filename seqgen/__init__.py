"""Train small language models on your own text, sample from them, and measure them, on a laptop.

    import seqgen
    for event in seqgen.train("corpus.txt", cell="gru", max_time="60s"): ...
    run = seqgen.load("runs/corpus-gru")
    run.generate("ROMEO:", max_new_tokens=200, temperature=0.8, seed=1)
    run.evaluate("held-out.txt").bits_per_byte

`load` and `run()` return a `Run`: a `TextRun`, for the task translate a `TranslatorRun`, for classify and tag a
`LabelerRun`. Editors and type checkers take it for a `TextRun`; `run.expect(seqgen.TranslatorRun)` gives them another
class, and refuses a run that is not of it.

The names below are the public interface. Each is loaded at its first use, so that importing seqgen is fast. Their types
for editors, with every setting of `train`, are in `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seqgen._version import __version__

if TYPE_CHECKING:
    from seqgen.errors import (
        ConfigError,
        RunError,
        SaveError,
        SeqgenError,
        TextError,
        TokenizerError,
        TrainingError,
    )
    from seqgen.evaluation.report import Evaluation
    from seqgen.evaluation.tasks.labels import LabelReport
    from seqgen.evaluation.tasks.tags import TagReport
    from seqgen.evaluation.token_scores import TokenScores
    from seqgen.generation.translate import Alignment, Translation
    from seqgen.runs.load import load
    from seqgen.runs.mixtures.mix import mix
    from seqgen.runs.pairs.labeler import LabelerRun, LabelPrediction, TagPrediction
    from seqgen.runs.pairs.translator import TranslationEvaluation, TranslatorRun
    from seqgen.runs.run import Run
    from seqgen.runs.text import TextRun
    from seqgen.runs.train import train
    from seqgen.runs.training_run import TrainingRun
    from seqgen.training.events import (
        Evaluated,
        Event,
        ExplodingGradient,
        Finished,
        Fitted,
        MemberStarted,
        Mixed,
        Norms,
        NotMixed,
        Overfitting,
        Replanned,
        Sampled,
        Saved,
        SaveFailed,
        Skipped,
        Step,
        VanishingGradient,
    )

_HOMES = {
    "train": "seqgen.runs.train",
    "mix": "seqgen.runs.mixtures.mix",
    "TrainingRun": "seqgen.runs.training_run",
    "load": "seqgen.runs.load",
    "Run": "seqgen.runs.run",
    "TextRun": "seqgen.runs.text",
    "Evaluation": "seqgen.evaluation.report",
    "TokenScores": "seqgen.evaluation.token_scores",
    "TranslatorRun": "seqgen.runs.pairs.translator",
    "Translation": "seqgen.generation.translate",
    "Alignment": "seqgen.generation.translate",
    "TranslationEvaluation": "seqgen.runs.pairs.translator",
    "LabelerRun": "seqgen.runs.pairs.labeler",
    "LabelPrediction": "seqgen.runs.pairs.labeler",
    "TagPrediction": "seqgen.runs.pairs.labeler",
    "LabelReport": "seqgen.evaluation.tasks.labels",
    "TagReport": "seqgen.evaluation.tasks.tags",
    **dict.fromkeys(
        [
            "Event",
            "Step",
            "Skipped",
            "Evaluated",
            "Norms",
            "VanishingGradient",
            "ExplodingGradient",
            "Overfitting",
            "Replanned",
            "Sampled",
            "Saved",
            "SaveFailed",
            "Finished",
            "Fitted",
            "MemberStarted",
            "Mixed",
            "NotMixed",
        ],
        "seqgen.training.events",
    ),
    **dict.fromkeys(
        ["SeqgenError", "ConfigError", "TextError", "TokenizerError", "RunError", "TrainingError", "SaveError"],
        "seqgen.errors",
    ),
}

__all__ = [
    "Alignment",
    "ConfigError",
    "Evaluated",
    "Evaluation",
    "Event",
    "ExplodingGradient",
    "Finished",
    "Fitted",
    "LabelPrediction",
    "LabelReport",
    "LabelerRun",
    "MemberStarted",
    "Mixed",
    "Norms",
    "NotMixed",
    "Overfitting",
    "Replanned",
    "Run",
    "RunError",
    "Sampled",
    "SaveError",
    "SaveFailed",
    "Saved",
    "SeqgenError",
    "Skipped",
    "Step",
    "TagPrediction",
    "TagReport",
    "TextError",
    "TextRun",
    "TokenScores",
    "TokenizerError",
    "TrainingError",
    "TrainingRun",
    "Translation",
    "TranslationEvaluation",
    "TranslatorRun",
    "VanishingGradient",
    "__version__",
    "load",
    "mix",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seqgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__

# The public names for editors and type checkers, written by `python docs/generate.py` from the settings of the configs.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from seqgen._version import __version__ as __version__
from seqgen.errors import ConfigError as ConfigError
from seqgen.errors import RunError as RunError
from seqgen.errors import SaveError as SaveError
from seqgen.errors import SeqgenError as SeqgenError
from seqgen.errors import TextError as TextError
from seqgen.errors import TokenizerError as TokenizerError
from seqgen.errors import TrainingError as TrainingError
from seqgen.evaluation.report import Evaluation as Evaluation
from seqgen.evaluation.tasks.labels import LabelReport as LabelReport
from seqgen.evaluation.tasks.tags import TagReport as TagReport
from seqgen.evaluation.token_scores import TokenScores as TokenScores
from seqgen.generation.translate import Alignment as Alignment
from seqgen.generation.translate import Translation as Translation
from seqgen.runs.load import load as load
from seqgen.runs.mixtures.mix import mix as mix
from seqgen.runs.pairs.labeler import LabelerRun as LabelerRun
from seqgen.runs.pairs.labeler import LabelPrediction as LabelPrediction
from seqgen.runs.pairs.labeler import TagPrediction as TagPrediction
from seqgen.runs.pairs.translator import TranslationEvaluation as TranslationEvaluation
from seqgen.runs.pairs.translator import TranslatorRun as TranslatorRun
from seqgen.runs.run import Run as Run
from seqgen.runs.text import TextRun as TextRun
from seqgen.runs.training_run import TrainingRun as TrainingRun
from seqgen.training.events import Evaluated as Evaluated
from seqgen.training.events import Event as Event
from seqgen.training.events import ExplodingGradient as ExplodingGradient
from seqgen.training.events import Finished as Finished
from seqgen.training.events import Fitted as Fitted
from seqgen.training.events import MemberStarted as MemberStarted
from seqgen.training.events import Mixed as Mixed
from seqgen.training.events import Norms as Norms
from seqgen.training.events import NotMixed as NotMixed
from seqgen.training.events import Overfitting as Overfitting
from seqgen.training.events import Replanned as Replanned
from seqgen.training.events import Sampled as Sampled
from seqgen.training.events import Saved as Saved
from seqgen.training.events import SaveFailed as SaveFailed
from seqgen.training.events import Skipped as Skipped
from seqgen.training.events import Step as Step
from seqgen.training.events import VanishingGradient as VanishingGradient
from seqgen.training.time_budget import Clock
from seqgen.utils.progress import Report

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

def train(
    text: str | Path | Sequence[str | Path] | None = ...,
    *,
    started: float | None = ...,
    clock: Clock = ...,
    stop: Callable[[], bool] = ...,
    report: Report = ...,
    cell: Literal["rnn", "lstm", "gru", "transformer", "ngram", "window"] | str = ...,
    hidden_size: int = ...,
    layers: int = ...,
    dropout: float = ...,
    tie_weights: bool = ...,
    embedding_size: int | None = ...,
    activation: Literal["tanh", "sigmoid", "relu"] = ...,
    gru_reset: Literal["after", "before"] = ...,
    block_size: int = ...,
    heads: int = ...,
    positions: Literal["rope", "sinusoidal"] = ...,
    feed_forward_size: int | None = ...,
    order: int | None = ...,
    min_count: int = ...,
    context_size: int = ...,
    two_way: bool = ...,
    max_source_length: int = ...,
    attention: Literal["dot", "none"] = ...,
    input_feeding: bool = ...,
    pool: Literal["last", "mean", "attention"] = ...,
    tokenizer: Literal["auto"] | Literal["char", "byte", "word", "unigram", "bpe"] | str | Path = ...,
    vocab_size: int | Literal["auto"] | None = ...,
    character_coverage: float = ...,
    normalization: Literal["none", "nfc", "nfd"] = ...,
    encoding: str = ...,
    errors: Literal["strict", "replace", "ignore"] = ...,
    glob: str | Sequence[str] = ...,
    exclude: str | Sequence[str] = ...,
    field: str | None = ...,
    on_bad_line: Literal["refuse", "skip"] = ...,
    documents: Literal["file", "line", "paragraph"] = ...,
    task: Literal["generate", "translate", "classify", "tag"] = ...,
    source_field: str = ...,
    target_field: str = ...,
    valid: str | Path | None = ...,
    valid_split: Literal["auto", "blocks", "tail", "document", "file", "none"] = ...,
    valid_share: float | None = ...,
    cache_dir: str | Path | None = ...,
    allow_unknown: bool = ...,
    max_time: float | str | None = ...,
    seed: int = ...,
    device: str = ...,
    threads: int | None = ...,
    max_steps: int | None = ...,
    max_epochs: float | None = ...,
    batch_size: int = ...,
    bptt: int = ...,
    grad_accum: int = ...,
    optimizer: Literal["adamw", "muon"] = ...,
    lr: float = ...,
    schedule: Literal["linear", "cosine", "constant"] = ...,
    warmup_steps: int | None = ...,
    weight_decay: float = ...,
    average: float = ...,
    label_smoothing: float = ...,
    clip_grad_norm: float = ...,
    eval_every: int | None = ...,
    patience: int = ...,
    precision: Literal["auto", "fp32", "bf16"] = ...,
    save_every: float | str = ...,
    on_save_error: Literal["retry", "stop"] = ...,
    out: str | Path | None = ...,
    resume: bool = ...,
    init_from: str | Path | None = ...,
    init_embeddings: str | Path | None = ...,
    plan_from: str | Path | None = ...,
    memory: int | str | None = ...,
) -> TrainingRun: ...

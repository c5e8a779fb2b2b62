"""The training loop: a generator of events.

    step, step, ..., evaluate, keep the best, sample, save, step, ..., finished

It draws nothing and decides nothing about the screen: whoever iterates does. Between two events nothing of the loop's
is open, and its random state is its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqgen.decoding.config import SamplingConfig
from seqgen.decoding.generate import generate
from seqgen.errors import TrainingError
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import score, stream_lanes, window_lanes
from seqgen.models.language_model import LanguageModel
from seqgen.models.weights import save_weights
from seqgen.runtime import Precision, autocast
from seqgen.tokenizers.base import Ids, Tokenizer
from seqgen.training.checkpoint import Progress, save_checkpoint
from seqgen.training.events import Evaluated, Event, Finished, Sampled, Saved, Step
from seqgen.training.learner import Learner
from seqgen.training.metrics import MetricsLog
from seqgen.training.schedule import learning_rate

SAMPLE_TOKENS = 160


@dataclass(frozen=True)
class Validation:
    """The withheld part: documents of ids, and what their text weighs."""

    documents: tuple[Ids, ...]
    size: TextSize

    def evaluate(self, model: LanguageModel, precision: Precision) -> Evaluation:
        """Score the part, whole."""
        lengths = [len(ids) for ids in self.documents]
        if model.max_positions is None:
            lanes = stream_lanes(lengths, model.burn_in)
        else:
            lanes = window_lanes(lengths, model.max_positions, model.max_positions)
        nats = score(model, self.documents, lanes, precision)
        return Evaluation(sum(lengths), self.size, nats, "validation")


@dataclass(frozen=True)
class Plan:
    """What the loop works on beside the learner."""

    tokenizer: Tokenizer
    validation: Validation | None
    characters_per_token: float
    """Of the training text: what turns nats per token into bits per character."""
    eval_every: int
    weights: Path
    """Where the best weights go."""
    checkpoints: Path


def sample_text(model: LanguageModel, tokenizer: Tokenizer, seed: int) -> str:
    """A short text by the weights as they are."""
    tokens = SAMPLE_TOKENS if model.max_positions is None else min(SAMPLE_TOKENS, model.max_positions)
    config = SamplingConfig(max_new_tokens=tokens, seed=seed)
    with autocast(model.device, "fp32"):
        return "".join(piece for (piece,) in generate(model, model.decoder(), tokenizer, "", config))


def train(
    learner: Learner, plan: Plan, progress: Progress, log: MetricsLog, stop: Callable[[], bool]
) -> Iterator[Event]:
    """Take the steps that are left, from where `progress` stands.

    Args:
        learner: in the state that belongs to `progress`.
        plan: what to evaluate, when, and where to save.
        progress: `step` steps have been taken.
        log: gets every event before the caller does.
        stop: polled between steps; once true, the run saves and ends, to be resumed.

    Raises:
        TrainingError: the loss is no longer a number.
        SaveError: a checkpoint could not be written.
    """
    keeper = _Keeper(learner, plan, progress, log)
    reason: Literal["complete", "patience", "stopped"] = "complete"
    while keeper.progress.step < learner.total_steps:
        if stop():
            reason = "stopped"
            break
        yield keeper.step()
        if keeper.progress.step % plan.eval_every and keeper.progress.step < learner.total_steps:
            continue
        if plan.validation is not None:
            yield keeper.evaluate(plan.validation)
        yield keeper.sample()
        yield keeper.save()
        if learner.config.patience and keeper.progress.evaluations_since_best >= learner.config.patience:
            reason = "patience"
            break
    if reason == "stopped":
        yield keeper.save()
    yield keeper.finish(reason)


class _Keeper:
    """Does what the loop says, and keeps the books: progress, clock, metrics."""

    def __init__(self, learner: Learner, plan: Plan, progress: Progress, log: MetricsLog) -> None:
        self.learner, self.plan, self.progress, self.log = learner, plan, progress, log
        self._began = time.perf_counter() - progress.seconds

    def step(self) -> Step:
        learner, index = self.learner, self.progress.step
        began = time.perf_counter()
        loss, norm = learner.step(index)
        self._advance(step=index + 1)
        tokens = (index + 1) * learner.tokens_per_step
        event = Step(
            step=index + 1,
            total_steps=learner.total_steps,
            epoch=round((index + 1) * learner.config.accumulate / learner.stream.batches_per_epoch, 4),
            nats_per_token=loss,
            bits_per_character=loss / math.log(2) / self.plan.characters_per_token,
            lr=learning_rate(index, learner.total_steps, learner.config),
            grad_norm=norm,
            tokens=tokens,
            tokens_per_second=round(learner.tokens_per_step / (time.perf_counter() - began), 1),
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def evaluate(self, validation: Validation) -> Evaluated:
        report = validation.evaluate(self.learner.model, self.learner.precision)
        if not math.isfinite(report.nats_per_token):
            raise TrainingError(
                f"the validation loss is {report.nats_per_token} at step {self.progress.step}: training has diverged; "
                f"try a smaller --lr than {self.learner.config.lr:g}"
            )
        best = self.progress.best_nats_per_token
        is_best = best is None or report.nats_per_token < best
        if is_best:
            save_weights(self.learner.model, self.plan.weights)
            self._advance(
                best_step=self.progress.step,
                best_nats_per_token=report.nats_per_token,
                best_bits_per_byte=report.bits_per_byte,
                best_bits_per_character=report.bits_per_character,
                evaluations_since_best=0,
            )
        else:
            self._advance(evaluations_since_best=self.progress.evaluations_since_best + 1)
        event = Evaluated(
            step=self.progress.step,
            nats_per_token=report.nats_per_token,
            perplexity=report.perplexity,
            bits_per_character=report.bits_per_character,
            bits_per_byte=report.bits_per_byte,
            is_best=is_best,
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def sample(self) -> Sampled:
        learner = self.learner
        event = Sampled(self.progress.step, sample_text(learner.model, self.plan.tokenizer, learner.config.seed))
        self.log.write(event)
        return event

    def save(self) -> Saved:
        """A checkpoint; where nothing is validated, or not yet, the weights as they are count as the best."""
        self._check_weights()
        if self.progress.best_step is None and self.progress.step:
            save_weights(self.learner.model, self.plan.weights)
        self._advance(seconds=self._seconds, metrics_bytes=self.log.sync())
        path = save_checkpoint(self.plan.checkpoints, self.learner, self.progress)
        event = Saved(self.progress.step, f"{path.parent.name}/{path.name}")
        self.log.write(event)
        return event

    def finish(self, reason: Literal["complete", "patience", "stopped"]) -> Finished:
        progress = self.progress
        event = Finished(
            step=progress.step,
            total_steps=self.learner.total_steps,
            reason=reason,
            best_step=progress.best_step,
            best_bits_per_byte=progress.best_bits_per_byte,
            best_bits_per_character=progress.best_bits_per_character,
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def _check_weights(self) -> None:
        for name, parameter in self.learner.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise TrainingError(
                    f"{name} is no longer a number at step {self.progress.step}: training has diverged, and nothing "
                    f"is saved; try a smaller --lr than {self.learner.config.lr:g}"
                )

    def _advance(self, **changes: float | None) -> None:
        self.progress = self.progress.model_copy(update=changes)

    @property
    def _seconds(self) -> float:
        return round(time.perf_counter() - self._began, 3)

"""The training loop, a generator of events.

    step, step, ..., norms, evaluate, sample, (replan,) save, step, ..., finished

It prints nothing: the caller iterates and shows what it likes. Between two events no autocast, gradient mode or random
state of the loop is active.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seqgen.data.documents import Documents
from seqgen.data.pairs import Pairs
from seqgen.device import Precision, torch_threads
from seqgen.errors import SaveError, TrainingError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.labels import LabelEvaluation, evaluate_labels
from seqgen.evaluation.pairs import evaluate_pairs
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import evaluate
from seqgen.models.base import LanguageModel
from seqgen.models.weights import to_bytes
from seqgen.training.checkpoint import Checkpoint, TrainingProgress, publish_best, save_checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.events import (
    Evaluated,
    Event,
    ExplodingGradient,
    Finished,
    Norms,
    Overfitting,
    Reason,
    Replanned,
    Sampled,
    Saved,
    SaveFailed,
    Skipped,
    Step,
    VanishingGradient,
)
from seqgen.training.learner import Learner
from seqgen.training.metrics import MetricsLog
from seqgen.training.norms import MEASURED_EVERY, GradientWatch, NormMeter
from seqgen.training.overfitting import OverfittingDetector
from seqgen.training.plan import Plan
from seqgen.training.schedule import learning_rate
from seqgen.training.time_budget import Clock, RunTimer, Timings, replan

MAX_SKIPPED_IN_A_ROW = 5
"""Skipped steps in a row (loss or gradient NaN or infinite) at which a run stops: one is an accident, five are not."""


class Figures(Protocol):
    """What a validation part costs; of labels, which are not text, without bits."""

    @property
    def nats_per_token(self) -> float: ...
    @property
    def perplexity(self) -> float: ...
    @property
    def bits_per_character(self) -> float | None: ...
    @property
    def bits_per_byte(self) -> float | None: ...
    @property
    def accuracy(self) -> float | None:
        """The share of labels that are right; None where the targets are text."""

    def calibrate(self, model: LanguageModel) -> None:
        """Store in the model what was fitted to its logits, and belongs to its weights."""


class Validation(Protocol):
    """The validation part of a corpus."""

    @property
    def size(self) -> TextSize:
        """The size of the text that is predicted."""

    def evaluate(self, model: LanguageModel, precision: Precision) -> Figures:
        """Score the whole part."""


@dataclass(frozen=True)
class DocumentValidation:
    """A validation part of documents."""

    documents: Documents
    size: TextSize

    def evaluate(self, model: LanguageModel, precision: Precision) -> Evaluation:
        """Score the whole part."""
        return evaluate(model, self.documents, self.size, EvaluationConfig(precision=precision))


@dataclass(frozen=True)
class PairValidation:
    """A validation part of pairs."""

    pairs: Pairs
    size: TextSize

    def evaluate(self, model: LanguageModel, precision: Precision) -> Evaluation:
        """Score the targets of the whole part."""
        return evaluate_pairs(model, self.pairs, self.size, precision)


@dataclass(frozen=True)
class LabelValidation:
    """A validation part of texts with labels, or of sentences with tags."""

    pairs: Pairs
    size: TextSize

    def evaluate(self, model: LanguageModel, precision: Precision) -> LabelEvaluation:
        """Score the labels of the whole part."""
        return evaluate_labels(model, self.pairs, precision)


@dataclass(frozen=True)
class TrainingSetup:
    """What training needs besides the learner."""

    validation: Validation | None
    characters_per_token: float | None
    """Of the training text; turns nats per token into bits per character. None where targets are labels."""
    write_sample: Callable[[LanguageModel, int], str]
    """Makes a short sample with the present weights, from a seed."""
    config: bytes
    """The content of config.json; each checkpoint has a copy."""
    identity: str
    """The run's identity, written into its weights."""
    weights: Path
    """The file of the best weights."""
    checkpoints: Path


def end_reason(progress: TrainingProgress, plan: Plan, config: TrainingConfig) -> Reason | None:
    """Return why a run with this progress has ended, or None if it has not."""
    if progress.step >= plan.total_steps:
        return "complete"
    return "patience" if 0 < config.patience <= progress.evaluations_since_best else None


class Trainer:
    """Trains a learner from a checkpoint on, keeps the run's progress and time, and writes its metrics.

    Args:
        learner: in the state of `checkpoint`.
        setup: what to evaluate, and where to save.
        checkpoint: the last one; of step 0 for a new run.
        log: receives every event before the caller does.
        clock: measures the time of the run.
    """

    def __init__(
        self,
        learner: Learner,
        setup: TrainingSetup,
        checkpoint: Checkpoint,
        log: MetricsLog,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.learner, self.setup, self.log, self._clock = learner, setup, log, clock
        self.saved, self.progress = checkpoint, checkpoint.progress
        self._best = None if self.progress.best_step is None else checkpoint.read_best()
        self._published = True
        self._timer = RunTimer(self.progress.seconds, clock)
        self._saved_at = self._timer.seconds

    def train(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Take the steps that are left.

        Args:
            stop: polled between steps; once it is true, the run saves and ends, and can be resumed.

        Raises:
            TrainingError: loss, gradient or weights are NaN or infinite.
            SaveError: the last checkpoint could not be written, or any with `on_save_error="stop"`.
        """
        learner, validation = self.learner, self.setup.validation
        reason: Reason | None
        while (reason := end_reason(self.progress, learner.plan, learner.config)) is None:
            if stop():
                reason = "stopped"
                break
            yield (taken := self.step())
            self.raise_if_diverged()
            if isinstance(taken, Step):
                yield from self.report_norms(taken.nats_per_token)
            evaluate = learner.plan.evaluates_after(self.progress.step, learner.config.eval_every)
            if evaluate and validation is not None:
                yield self.evaluate(validation)
                yield from self.warn_if_overfitting()
            if evaluate:
                yield self.sample()
            if evaluate or self.progress.followed_plan is not None:
                yield from self.replan()
            if evaluate or self.save_is_due:
                yield self.save()
        if self.has_unsaved_progress:
            yield self.save(last=True)
        yield self.finish(reason)

    def step(self) -> Step | Skipped:
        """Take one optimizer step; skip it if its loss or gradient is NaN or infinite."""
        learner, index = self.learner, self.progress.step
        learner.meter = NormMeter(learner.model) if self._is_measured(index + 1) else None
        started = self._clock()
        with torch_threads(learner.plan.current.threads):
            loss, norm, taken = learner.step(index)
        seconds = self._clock() - started
        timings = self.progress.timings.after_step(self._timer.record("step"))
        if not taken:
            return self._skip(index + 1, loss, norm, timings)
        overfitting = self.progress.overfitting.after_step(loss)
        self._advance(step=index + 1, skipped_in_a_row=0, timings=timings, overfitting=overfitting)
        characters = self.setup.characters_per_token
        event = Step(
            step=index + 1,
            total_steps=learner.total_steps,
            epoch=round(self._epoch, 4),
            nats_per_token=loss,
            bits_per_character=None if characters is None else loss / math.log(2) / characters,
            lr=learning_rate(index, learner.plan.current, learner.config),
            grad_norm=norm,
            tokens=(index + 1) * learner.tokens_per_step,
            tokens_per_second=round(learner.tokens_per_step / max(seconds, 1e-9), 1),
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def _skip(self, step: int, loss: float, norm: float, timings: Timings) -> Skipped:
        in_a_row = self.progress.skipped_in_a_row + 1
        self._advance(step=step, skipped=self.progress.skipped + 1, skipped_in_a_row=in_a_row, timings=timings)
        event = Skipped(step, self.learner.total_steps, loss, norm, in_a_row, self._seconds)
        self.log.write(event)
        return event

    def raise_if_diverged(self) -> None:
        """Raise a TrainingError if `MAX_SKIPPED_IN_A_ROW` steps in a row were skipped."""
        in_a_row = self.progress.skipped_in_a_row
        if in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise self._diverged(f"loss or gradient was NaN or infinite {in_a_row} times in a row")

    def _is_measured(self, step: int) -> bool:
        """Whether the norms of step number `step` (from 1) are measured: by the step and the plan alone."""
        learner = self.learner
        return step % MEASURED_EVERY == 0 or learner.plan.evaluates_after(step, learner.config.eval_every)

    def report_norms(self, nats_per_token: float) -> Iterator[Norms | VanishingGradient | ExplodingGradient]:
        """Report the norms of a step with this loss if they were measured, and once a run a gradient gone wrong."""
        learner = self.learner
        norms = None if learner.meter is None else learner.meter.event(self.progress.step)
        if norms is None:
            return
        choices = learner.model.head.out_features
        watch, problem = self.progress.gradients.after_norms(norms, nats_per_token, choices)
        self._advance(gradients=watch)
        for event in (norms, problem) if problem is not None else (norms,):
            self.log.write(event)
            yield event

    def evaluate(self, validation: Validation) -> Evaluated:
        """Score the validation part with the averaged weights, and keep them if they are the best so far."""
        learner = self.learner
        with torch_threads(learner.plan.current.threads), learner.averaged():
            report = validation.evaluate(learner.model, learner.precision)
        if not math.isfinite(report.nats_per_token):
            raise self._diverged(f"the validation loss is {report.nats_per_token}")
        best = self.progress.best_nats_per_token
        is_best = best is None or report.nats_per_token < best
        if is_best:
            report.calibrate(learner.model)
            with learner.averaged():
                self._best = to_bytes(learner.model.stored_tensors(), self.setup.identity)
            self._advance(
                best_step=self.progress.step,
                best_nats_per_token=report.nats_per_token,
                best_bits_per_byte=report.bits_per_byte,
                best_bits_per_character=report.bits_per_character,
                best_accuracy=report.accuracy,
                evaluations_since_best=0,
            )
        else:
            self._advance(evaluations_since_best=self.progress.evaluations_since_best + 1)
        self._advance(
            overfitting=self.progress.overfitting.after_evaluation(self.progress.step, report.nats_per_token),
            timings=self.progress.timings.replace(evaluation_seconds=self._timer.record("evaluation")),
        )
        event = Evaluated(
            step=self.progress.step,
            nats_per_token=report.nats_per_token,
            perplexity=report.perplexity,
            bits_per_character=report.bits_per_character,
            bits_per_byte=report.bits_per_byte,
            accuracy=report.accuracy,
            is_best=is_best,
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def warn_if_overfitting(self) -> Iterator[Overfitting]:
        """Report, once a run, that the model has begun to overfit."""
        event = self.progress.overfitting.detect(self._epoch)
        if event is not None:
            self._advance(overfitting=self.progress.overfitting.model_copy(update={"reported": True}))
            self.log.write(event)
            yield event

    def sample(self) -> Sampled:
        """Generate a short text with the averaged weights."""
        learner, setup = self.learner, self.setup
        with torch_threads(learner.plan.current.threads), learner.averaged():
            text = setup.write_sample(learner.model, learner.config.seed)
        timings = self.progress.timings
        evaluation = timings.evaluation_seconds if setup.validation is not None else 0.0
        self._advance(timings=timings.replace(evaluation_seconds=evaluation + self._timer.record("sample")))
        event = Sampled(self.progress.step, text)
        self.log.write(event)
        return event

    def replan(self) -> Iterator[Replanned]:
        """Change the plan if the run is faster or slower than planned, or as the plan that it follows does."""
        progress, learner, followed = self.progress, self.learner, self.progress.followed_plan
        if followed is not None:
            stages = [stage for stage in followed.stages if stage.first_step == progress.step > 0]
            plan = Plan(stages=(*learner.plan.stages, *stages)) if stages else None
        else:
            plan = replan(learner, progress.step, self._timer.seconds, progress.timings, self._clock)
        self._timer.record()  # the benchmark of a replan takes time that is not a step's
        if plan is None:
            return
        learner.plan = plan
        self._advance(timings=progress.timings.without_steps())
        stage = plan.current
        event = Replanned(progress.step, plan.total_steps, stage.eval_every, stage.threads, self._seconds)
        self.log.write(event)
        yield event

    @property
    def save_is_due(self) -> bool:
        """Whether the last save is `save_every` seconds ago."""
        return self._timer.seconds - self._saved_at >= self.learner.config.save_every

    @property
    def has_unsaved_progress(self) -> bool:
        """Whether there are steps after the last checkpoint, or best weights that could not be published."""
        return self.progress.step != self.saved.progress.step or not self._published

    def save(self, *, last: bool = False) -> Saved | SaveFailed:
        """Write a checkpoint, then copy the best weights from it to model.safetensors."""
        self._check_weights()
        self._timer.record()
        self._saved_at = self._timer.seconds
        event: Saved | SaveFailed
        try:
            self.log.sync()
            self._advance(seconds=self._seconds, metrics_bytes=self.log.length)
            setup = self.setup
            if self.progress.step != self.saved.progress.step:
                self._published = False
                self.saved = save_checkpoint(
                    setup.checkpoints,
                    self.learner,
                    self.progress,
                    setup.config,
                    setup.identity,
                    self._best,
                    before=self.saved.path,
                )
            publish_best(self.saved, setup.weights)
            self._published = True
            event = Saved(self.progress.step, f"{self.saved.path.parent.name}/{self.saved.path.name}")
        except SaveError as error:
            if last or self.learner.config.on_save_error == "stop":
                raise SaveError(
                    f"{error}; the last checkpoint is {self.saved.path}; continue from it with --resume"
                ) from error
            event = SaveFailed(self.progress.step, str(error))
        self._advance(timings=self.progress.timings.replace(save_seconds=self._timer.record("save")))
        self.log.write(event)
        return event

    def finish(self, reason: Reason) -> Finished:
        """Report how the run ended."""
        progress = self.progress
        event = Finished(
            step=progress.step,
            total_steps=self.learner.total_steps,
            reason=reason,
            best_step=progress.best_step,
            best_bits_per_byte=progress.best_bits_per_byte,
            best_bits_per_character=progress.best_bits_per_character,
            best_accuracy=progress.best_accuracy,
            skipped=progress.skipped,
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def _check_weights(self) -> None:
        for name, parameter in self.learner.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise self._diverged(f"{name} contains NaN or infinity; not saved")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} at step {self.progress.step}: training has diverged; start a new run with a smaller --lr than "
            f"{self.learner.config.lr:g}. The last good checkpoint is {self.saved.path}"
        )

    def _advance(self, **changes: float | OverfittingDetector | GradientWatch | Timings | None) -> None:
        self.progress = self.progress.model_copy(update=changes)

    @property
    def _epoch(self) -> float:
        """How many times the text has been read."""
        learner = self.learner
        return self.progress.step * learner.config.grad_accum / learner.stream.batches_per_epoch

    @property
    def _seconds(self) -> float:
        return round(self._timer.seconds, 3)

"""The training loop: a generator of events.

    step, step, ..., evaluate, sample, (replan,) save, step, ..., finished

It draws nothing and decides nothing about the screen: whoever iterates does. Between two events nothing of the loop's
is open, and its random state is its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seqgen.data.documents import Documents
from seqgen.device import Precision, autocast, torch_threads
from seqgen.errors import SaveError, TrainingError
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import score, stream_segments, window_segments
from seqgen.generation.config import SamplingConfig
from seqgen.generation.generate import generate
from seqgen.models.base import LanguageModel
from seqgen.models.weights import to_bytes, weights_of
from seqgen.tokenizers.base import Tokenizer
from seqgen.training.checkpoint import Checkpoint, Progress, publish_best, save_checkpoint
from seqgen.training.config import TrainingConfig
from seqgen.training.events import (
    Evaluated,
    Event,
    Finished,
    Overfitting,
    Reason,
    Replanned,
    Sampled,
    Saved,
    SaveFailed,
    Skipped,
    Step,
)
from seqgen.training.learner import Learner
from seqgen.training.metrics import MetricsLog
from seqgen.training.overfitting import Watch
from seqgen.training.plan import Plan
from seqgen.training.schedule import learning_rate
from seqgen.training.time_budget import Clock, Pace, Stopwatch, replan

SAMPLE_TOKENS = 160
SKIPPED_IN_A_ROW = 5
"""Steps whose numbers went wrong, one after the other, at which a run stops: one is an accident, five are not."""


@dataclass(frozen=True)
class Validation:
    """The withheld part: documents of ids, and what their text weighs."""

    documents: Documents
    size: TextSize

    def evaluate(self, model: LanguageModel, precision: Precision) -> Evaluation:
        """Score the part, whole."""
        lengths = [len(ids) for ids in self.documents]
        if model.max_positions is None:
            segments = stream_segments(lengths, model.burn_in)
        else:
            segments = window_segments(lengths, model.max_positions, model.max_positions)
        nats = score(model, self.documents, segments, precision)
        return Evaluation(sum(lengths), self.size, nats, "validation")


@dataclass(frozen=True)
class TrainingSetup:
    """What the loop works on besides the learner."""

    tokenizer: Tokenizer
    validation: Validation | None
    characters_per_token: float
    """Of the training text: what turns nats per token into bits per character."""
    line_end: str
    """What is read before a sample, so that it begins a line."""
    config: bytes
    """The content of config.json, of which each checkpoint has a copy."""
    identity: str
    """Of the run, which its weights carry."""
    weights: Path
    """Where the best weights go."""
    checkpoints: Path


def sample_text(model: LanguageModel, tokenizer: Tokenizer, seed: int, line_end: str = "") -> str:
    """A short text by the weights as they are, read after `line_end`."""
    limit = SAMPLE_TOKENS if model.max_positions is None else model.max_positions - len(tokenizer.encode(line_end))
    config = SamplingConfig(max_new_tokens=max(1, min(SAMPLE_TOKENS, limit)), seed=seed)
    with autocast(model.device, "fp32"):
        pieces = generate(model, model.stepper(), tokenizer, "", config, line_end=line_end)
        return "".join(piece for (piece,) in pieces)


def train(
    learner: Learner,
    setup: TrainingSetup,
    checkpoint: Checkpoint,
    log: MetricsLog,
    stop: Callable[[], bool],
    clock: Clock = time.perf_counter,
) -> Iterator[Event]:
    """Take the steps that are left, from where `checkpoint` stands.

    Args:
        learner: in the state of `checkpoint`.
        setup: what to evaluate, and where to save.
        checkpoint: the last one, of step 0 for a new run.
        log: gets every event before the caller does.
        stop: polled between steps; once true, the run saves and ends, to be resumed.
        clock: what measures the time of the run.

    Raises:
        TrainingError: loss, gradient or weights are no longer numbers.
        SaveError: the last checkpoint could not be written, or another one where `on_save_error` says to stop then.
    """
    keeper = Trainer(learner, setup, checkpoint, log, clock)
    while (reason := ended(keeper.progress, learner.plan, learner.config)) is None:
        if stop():
            reason = "stopped"
            break
        yield keeper.step()
        keeper.raise_if_diverged()
        pause = learner.plan.evaluates_after(keeper.progress.step, learner.config.eval_every)
        if pause and setup.validation is not None:
            yield keeper.evaluate(setup.validation)
            yield from keeper.warn()
        if pause:
            yield keeper.sample()
        if pause or keeper.progress.given_plan is not None:
            yield from keeper.replan()
        if pause or keeper.save_is_due:
            yield keeper.save()
    if keeper.has_unsaved_progress:
        yield keeper.save(last=True)
    yield keeper.finish(reason)


def ended(progress: Progress, plan: Plan, config: TrainingConfig) -> Reason | None:
    """Why a run that is so far has ended; None if it has not."""
    if progress.step >= plan.total_steps:
        return "complete"
    return "patience" if 0 < config.patience <= progress.evaluations_since_best else None


class Trainer:
    """Does what the loop says, and keeps the books: progress, clock, metrics."""

    def __init__(
        self, learner: Learner, setup: TrainingSetup, checkpoint: Checkpoint, log: MetricsLog, clock: Clock
    ) -> None:
        self.learner, self.setup, self.log, self._clock = learner, setup, log, clock
        self.saved, self.progress = checkpoint, checkpoint.progress
        self._best = None if self.progress.best_step is None else checkpoint.read_best()
        self._published = True
        self._watch = Stopwatch(self.progress.seconds, clock)
        self._saved_at = self._watch.seconds

    def step(self) -> Step | Skipped:
        learner, index = self.learner, self.progress.step
        began = self._clock()
        with torch_threads(learner.plan.now.threads):
            loss, norm, taken = learner.step(index)
        took = self._clock() - began
        pace = self.progress.pace.after_step(self._watch.lap("step"))
        if not taken:
            return self._skip(index + 1, loss, norm, pace)
        self._advance(step=index + 1, skipped_in_a_row=0, pace=pace, watch=self.progress.watch.after_step(loss))
        tokens = (index + 1) * learner.tokens_per_step
        event = Step(
            step=index + 1,
            total_steps=learner.total_steps,
            epoch=round(self._epoch, 4),
            nats_per_token=loss,
            bits_per_character=loss / math.log(2) / self.setup.characters_per_token,
            lr=learning_rate(index, learner.plan.now, learner.config),
            grad_norm=norm,
            tokens=tokens,
            tokens_per_second=round(learner.tokens_per_step / max(took, 1e-9), 1),
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def _skip(self, step: int, loss: float, norm: float, pace: Pace) -> Skipped:
        in_a_row = self.progress.skipped_in_a_row + 1
        self._advance(step=step, skipped=self.progress.skipped + 1, skipped_in_a_row=in_a_row, pace=pace)
        event = Skipped(step, self.learner.total_steps, loss, norm, in_a_row, self._seconds)
        self.log.write(event)
        return event

    def raise_if_diverged(self) -> None:
        in_a_row = self.progress.skipped_in_a_row
        if in_a_row >= SKIPPED_IN_A_ROW:
            raise self._diverged(f"loss or gradient were no finite numbers {in_a_row} times in a row")

    def evaluate(self, validation: Validation) -> Evaluated:
        with torch_threads(self.learner.plan.now.threads):
            report = validation.evaluate(self.learner.model, self.learner.precision)
        if not math.isfinite(report.nats_per_token):
            raise self._diverged(f"the validation loss is {report.nats_per_token}")
        best = self.progress.best_nats_per_token
        is_best = best is None or report.nats_per_token < best
        if is_best:
            self._best = to_bytes(weights_of(self.learner.model), self.setup.identity)
            self._advance(
                best_step=self.progress.step,
                best_nats_per_token=report.nats_per_token,
                best_bits_per_byte=report.bits_per_byte,
                best_bits_per_character=report.bits_per_character,
                evaluations_since_best=0,
            )
        else:
            self._advance(evaluations_since_best=self.progress.evaluations_since_best + 1)
        self._advance(watch=self.progress.watch.after_evaluation(self.progress.step, report.nats_per_token))
        self._advance(pace=self.progress.pace.model_copy(update={"evaluation_seconds": self._watch.lap("evaluation")}))
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

    def warn(self) -> Iterator[Overfitting]:
        """Say, once, that the model begins to learn its text by heart."""
        event = self.progress.watch.parting(self._epoch)
        if event is not None:
            self._advance(watch=self.progress.watch.model_copy(update={"told": True}))
            self.log.write(event)
            yield event

    def sample(self) -> Sampled:
        learner = self.learner
        setup = self.setup
        with torch_threads(learner.plan.now.threads):
            text = sample_text(learner.model, setup.tokenizer, learner.config.seed, setup.line_end)
        pace = self.progress.pace
        so_far = pace.evaluation_seconds if setup.validation is not None else 0.0
        self._advance(pace=pace.model_copy(update={"evaluation_seconds": so_far + self._watch.lap("sample")}))
        event = Sampled(self.progress.step, text)
        self.log.write(event)
        return event

    def replan(self) -> Iterator[Replanned]:
        """Make another plan, where the run turned out faster or slower than it was planned, or follow the given one."""
        progress, learner, given = self.progress, self.learner, self.progress.given_plan
        if given is not None:
            following = [one for one in given.stretches if one.first_step == progress.step and one.first_step > 0]
            plan = Plan(stretches=(*learner.plan.stretches, *following)) if following else None
        else:
            plan = replan(learner, progress.step, self._watch.seconds, progress.pace, self._clock)
        self._watch.lap()  # a race takes its time, and is no step
        if plan is None:
            return
        learner.plan = plan
        self._advance(pace=progress.pace.anew())
        event = Replanned(progress.step, plan.total_steps, plan.now.eval_every, plan.now.threads, self._seconds)
        self.log.write(event)
        yield event

    @property
    def save_is_due(self) -> bool:
        return self._watch.seconds - self._saved_at >= self.learner.config.save_every

    @property
    def has_unsaved_progress(self) -> bool:
        """Whether there is something to be saved."""
        return self.progress.step != self.saved.progress.step or not self._published

    def save(self, *, last: bool = False) -> Saved | SaveFailed:
        """A checkpoint, and from it, once it is there, the best weights for sample and eval."""
        self._check_weights()
        self._watch.lap()
        self._saved_at = self._watch.seconds
        event: Saved | SaveFailed
        try:
            self.log.sync()
            self._advance(seconds=self._seconds, metrics_bytes=self.log.length, metrics_sha256=self.log.sha256)
            setup, path = self.setup, self.saved.path
            if self.progress.step != self.saved.progress.step:
                self._published = False
                self.saved = save_checkpoint(
                    setup.checkpoints,
                    self.learner,
                    self.progress,
                    setup.config,
                    setup.identity,
                    self._best,
                    before=path,
                )
            publish_best(self.saved, setup.weights)
            self._published = True
            event = Saved(self.progress.step, f"{self.saved.path.parent.name}/{self.saved.path.name}")
        except SaveError as error:
            if last or self.learner.config.on_save_error == "stop":
                raise SaveError(
                    f"{error}; the last checkpoint is {self.saved.path}, from which the run goes on by --resume"
                ) from error
            event = SaveFailed(self.progress.step, str(error))
        self._advance(pace=self.progress.pace.model_copy(update={"save_seconds": self._watch.lap("save")}))
        self.log.write(event)
        return event

    def finish(self, reason: Reason) -> Finished:
        progress = self.progress
        event = Finished(
            step=progress.step,
            total_steps=self.learner.total_steps,
            reason=reason,
            best_step=progress.best_step,
            best_bits_per_byte=progress.best_bits_per_byte,
            best_bits_per_character=progress.best_bits_per_character,
            skipped=progress.skipped,
            seconds=self._seconds,
        )
        self.log.write(event)
        return event

    def _check_weights(self) -> None:
        for name, parameter in self.learner.model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise self._diverged(f"the weights {name} are no finite numbers, which are not saved")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} at step {self.progress.step}: training has diverged; try a smaller --lr than "
            f"{self.learner.config.lr:g} in a new run. The last good checkpoint is {self.saved.path}"
        )

    def _advance(self, **changes: float | str | Watch | Pace | None) -> None:
        self.progress = self.progress.model_copy(update=changes)

    @property
    def _epoch(self) -> float:
        """How many times the text has been read."""
        learner = self.learner
        return self.progress.step * learner.config.grad_accum / learner.stream.batches_per_epoch

    @property
    def _seconds(self) -> float:
        return round(self._watch.seconds, 3)

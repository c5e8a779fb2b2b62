"""The learner: model, optimizer, carried state and random state, with one method that takes one step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from seqgen.data.batches import Batch, BatchStream
from seqgen.device import Precision, RandomState, autocast, keep_freed_memory
from seqgen.models.base import IGNORED, NeuralModel
from seqgen.models.state import State
from seqgen.training.config import TrainingConfig
from seqgen.training.loss import cross_entropy
from seqgen.training.norms import NormMeter
from seqgen.training.optimizers.average import WeightAverage
from seqgen.training.optimizers.build import build_optimizer
from seqgen.training.plan import Plan
from seqgen.training.schedule import learning_rate


class StepResult(NamedTuple):
    """The result of one step."""

    nats_per_token: float
    """Mean loss of the step's tokens."""
    grad_norm: float
    """Norm of the gradient before clipping."""
    taken: bool
    """Whether both are finite; if not, the step was skipped: weights, optimizer and carried state are unchanged."""


class Learner:
    """Everything that a step changes. Between steps no autocast, gradient mode or training mode is active."""

    def __init__(self, model: NeuralModel, stream: BatchStream, config: TrainingConfig, precision: Precision) -> None:
        self.model = model
        self.stream = stream
        self.config = config
        self.plan = Plan.first(config.max_steps or 1, warmup_steps=config.warmup_steps)
        """Determines the learning rate; the run replaces it by its own."""
        self.precision = precision
        self.optimizer = build_optimizer(model, config, precision)
        self.average = WeightAverage(model.parameters(), config.average) if config.average else None
        self.meter: NormMeter | None = None
        """Measures the next step, if it is set."""
        self.random = RandomState(config.seed, model.device)
        keep_freed_memory()
        self.carried: State | None = None
        if stream.carries_state:
            self.carried = model.initial_state(stream.batch_size, stream.length)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.plan.total_steps

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.stream.batch_size * self.stream.length * self.config.grad_accum

    def step(self, step: int) -> StepResult:
        """Take optimizer step number `step` (from 0); skip it if its loss or gradient is NaN or infinite."""
        self.optimizer.set_lr(learning_rate(step, self.plan.current, self.config))
        grad_accum = self.config.grad_accum
        batches = [self.stream.batch_at(step * grad_accum + part) for part in range(grad_accum)]
        tokens = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        self.optimizer.zero_grad()
        carried = self.carried
        with self.random, torch.enable_grad():  # the caller may have disabled gradients
            self.model.train()
            try:
                losses = [self._backward(batch, tokens) for batch in batches]
            finally:
                self.model.eval()
        if self.meter is not None:
            self.meter.before_update()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_grad_norm))
        loss = float(sum(losses))
        taken = math.isfinite(loss) and math.isfinite(norm)
        if taken:
            with autocast(self.model.device, "fp32"):
                self.optimizer.step()
                if self.average is not None:
                    next_lr = learning_rate(step + 1, self.plan.current, self.config)
                    self.average.update(step, next_lr / self.config.lr)
            if self.meter is not None:
                self.meter.after_update()
        else:
            self.carried = carried
        return StepResult(loss, norm, taken)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the weights that are evaluated and published into the model: their average, if the run keeps one."""
        if self.average is None:
            yield
        else:
            with self.average.in_model():
                yield

    def _backward(self, batch: Batch, tokens: int) -> Tensor:
        """Add the gradients of one batch of a step of `tokens`, and carry its state to the next."""
        device = self.model.device
        batch = batch.to(device)
        with autocast(device, self.precision):
            logits, state = self.model(batch.inputs, batch.state(self.model, self.carried), batch.starts)
        with autocast(device, "fp32"):  # or the caller's autocast would apply to the backward pass and to Muon
            loss = cross_entropy(logits, batch.targets, self.config.label_smoothing) / tokens
            loss.backward()  # type: ignore[no-untyped-call]
        if self.stream.carries_state:
            self.carried = state.detach()
        return loss.detach()

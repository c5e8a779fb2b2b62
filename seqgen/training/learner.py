"""What learns: a model, its optimizer, the state carried through the text, the random state. One method, one step."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqgen.data.batches import IGNORED, Batch, BatchStream
from seqgen.device import Precision, RandomState, autocast, keep_freed_memory
from seqgen.models.base import LanguageModel, State, detach
from seqgen.training.config import TrainingConfig
from seqgen.training.loss import cross_entropy
from seqgen.training.optimizers import build_optimizer
from seqgen.training.plan import Plan
from seqgen.training.schedule import learning_rate


class StepResult(NamedTuple):
    """What came of a step: the mean loss of its tokens in nats, the gradient's norm before clipping, and whether both
    were finite numbers. If not, the step was skipped: weights, optimizer and carried state are as before.
    """

    nats_per_token: float
    grad_norm: float
    taken: bool


class Learner:
    """Everything that a step changes. Between steps no autocast, gradient mode or training mode is left open."""

    def __init__(self, model: LanguageModel, stream: BatchStream, config: TrainingConfig, precision: Precision) -> None:
        self.model = model
        self.stream = stream
        self.config = config
        self.plan = Plan.first(config.max_steps or 1, warmup=config.warmup_steps)
        """Of which the learning rate is a function; the run puts its own here."""
        self.precision = precision
        self.optimizer = build_optimizer(model, config, precision)
        self.random = RandomState(config.seed, model.device)
        keep_freed_memory()
        self.carried: State | None = None
        if stream.carries_state:
            self.carried = model.initial_state(stream.batch_size, stream.length)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, by the plan."""
        return self.plan.total_steps

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one optimizer step learns from."""
        return self.stream.batch_size * self.stream.length * self.config.grad_accum

    def step(self, step: int) -> StepResult:
        """Take optimizer step number `step` (from 0), or skip it where its numbers go wrong."""
        lr = learning_rate(step, self.plan.now, self.config)
        self.optimizer.set_lr(lr)
        grad_accum = self.config.grad_accum
        batches = [self.stream.batch_at(step * grad_accum + part) for part in range(grad_accum)]
        tokens = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        self.optimizer.zero_grad()
        carried = self.carried
        with self.random, torch.enable_grad():  # whatever the caller has switched off
            self.model.train()
            try:
                losses = [self._backward(batch, tokens) for batch in batches]
            finally:
                self.model.eval()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_grad_norm))
        loss = float(sum(losses))
        taken = math.isfinite(loss) and math.isfinite(norm)
        if taken:
            with autocast(self.model.device, "fp32"):
                self.optimizer.step()
        else:
            self.carried = carried
        return StepResult(loss, norm, taken)

    def _backward(self, batch: Batch, tokens: int) -> Tensor:
        """Add the gradients of one batch, a part of a step of `tokens`, and carry its state on."""
        device = self.model.device
        with autocast(device, self.precision):
            logits, state = self.model(batch.inputs.to(device), self.carried)
        with autocast(device, "fp32"):  # or a caller's would act on the products of the backward pass, and of Muon
            loss = cross_entropy(logits, batch.targets.to(device)) / tokens
            loss.backward()  # type: ignore[no-untyped-call]
        if self.stream.carries_state:
            self.carried = detach(state)
        return loss.detach()

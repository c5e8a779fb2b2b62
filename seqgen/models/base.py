"""The contract of all model families: tokens and a state in, logits and the next state out.

    state = model.initial_state(batch_size, capacity)
    hidden, state = model.features(tokens, state, starts)    # int64 [B, T] -> [B, T, H]
    logits = model.head(hidden)                              # [B, T, V]
    logits, state = model(tokens, state, starts)             # both in one call
    stepper = model.stepper()                                # a snapshot of the weights, for one token at a time
    state = stepper.select(state, index)                     # copies of rows, in the form that the stepper prefers
    logits, state = stepper.step(token, state)               # int64 [B] -> fp32 [B, V]
    trace = model.trace(tokens)                              # every gate, state and attention map by name

Id 0 begins a document: tokens before it do not affect outputs after it. `starts` says where, bool [B, T], equal to
`tokens == 0`; None means that no token is 0. Nothing is read back from the tokens, which may be on another device.

Laws, tested for every family: `model(ab)` equals `model(a)` then `model(b, state)`; the stepper and the trace agree
with the forward; rows of selected and concatenated states behave as alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.errors import ConfigError
from seqgen.models.config import FamilyConfig
from seqgen.models.registry import FAMILIES
from seqgen.models.state import State

Engine = Literal["torch", "numba"]
IGNORED = -100
"""The target of a position that is not scored (torch's default)."""


class Stepper(ABC):
    """A snapshot of a model's weights that takes one token at a time."""

    @abstractmethod
    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        """Take one step: `token` int64 [B], `starts` bool [B] -> logits fp32 [B, V] and the next state."""

    def select(self, state: State, index: Tensor) -> State:
        """Copy rows of a state, for this stepper's own `step`: `index` int64 [N].

        The state may come from the model or from this stepper. The copy may have another dtype, such as a bf16 cache.
        """
        return state.select(index)


class Layer(nn.Module):
    """A module that may have a fast path, and records what a trace shows."""

    plain = False
    """Whether to use plain operations of torch only; set by `plain_path`."""
    gates = 1
    """How many matrices are stacked in each of its own weights: one for each gate of a recurrent layer."""
    _trace: dict[str, Tensor] | None = None
    _name = ""

    @property
    def traces(self) -> bool:
        """Whether `record` keeps anything."""
        return self._trace is not None

    def prepare_steps(self) -> None:
        """Compute what depends on the weights alone; called once, on a stepper's copy before it is packed."""

    def record(self, **tensors: Tensor) -> None:
        """Keep tensors [B, T, ...] for the trace, under the name of this layer."""
        if self._trace is not None:
            prefix = f"{self._name}." if self._name else ""
            self._trace |= {prefix + name: tensor for name, tensor in tensors.items()}


class LanguageModel(Layer, ABC):
    """A distribution over the next token given all tokens before it in the document."""

    config: FamilyConfig
    vocab_size: int
    max_positions: int | None = None
    """The most tokens that a document may have, where there is a limit."""
    burn_in: int = 256
    """Tokens after which a fresh state is as good as one carried from far away (for evaluation's segments)."""

    @abstractmethod
    def initial_state(self, batch_size: int, capacity: int) -> State:
        """Return the state before the first token, with caches for at most `capacity` tokens."""

    @abstractmethod
    def forward(self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None) -> tuple[Tensor, State]:
        """Compute logits of the token after each of `tokens`.

        Args:
            tokens: int64 [B, T].
            state: what an earlier call returned. It is never written while gradients are on; without them, its memory
                may be reused. None starts fresh, and the returned state then cannot be continued (it is for windows).
            starts: where documents start, bool [B, T]: `tokens == 0`. None means that no token is 0.

        Returns:
            Logits [B, T, V] in the precision of the autocast, up to a constant per position, and the next state, whose
            floating-point members have the dtype of the weights and at least fp32.
        """

    def log_probs(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Compute ln p of every token after each of `tokens`: fp32 or wider [B, T, V], and the next state."""
        logits, state = self(tokens, state, starts)
        return _wide(logits).log_softmax(dim=-1), state

    def nats(
        self, tokens: Tensor, targets: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Compute -ln p of each target: fp32 or wider [B, T], 0 where the target is `IGNORED`, and the next state."""
        logits, state = self(tokens, state, starts)
        flat = F.cross_entropy(_wide(logits).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
        return flat.view(targets.shape), state

    def last_logits(self, tokens: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        """Compute the logits after the last of `tokens` alone: [B, V], and the next state."""
        logits, state = self(tokens, state, starts)
        return logits[:, -1], state

    def stepper(self, precision: StepperPrecision = "fp32", engine: Engine = "torch") -> Stepper:
        """Take a snapshot of the present weights for generating one token at a time.

        Raises:
            ConfigError: the engine is not available for this model; the model has forward hooks, which only the stepper
                of a model on its plain path calls; or the model is on that path, which has one precision and engine.
        """
        if self.plain and (precision, engine) != ("fp32", "torch"):
            raise ConfigError(
                f"stepper: on the plain path there is no {precision} {engine} stepper; leave plain_path, or leave "
                "precision and engine out"
            )
        if not self.plain and any(module._forward_hooks or module._forward_pre_hooks for module in self.modules()):
            raise ConfigError(
                "stepper: it would skip this model's forward hooks; remove them, or make it within plain_path(model)"
            )
        if engine == "torch":
            return self._stepper(precision)
        compiled = FAMILIES[self.config.cell].compiled
        if compiled is None:
            raise ConfigError(f"engine: {engine} has no kernel for {self.config.cell}; use --engine torch")
        module, _, name = compiled.rpartition(".")
        made: Stepper = getattr(import_module(module), name)(self, precision)
        return made

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        """Make the stepper of torch; a family overrides it where another is measurably faster."""
        from seqgen.models.stepper import DefaultStepper

        return DefaultStepper(self, precision)

    def stored_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of model.safetensors by name, without a tied head: safetensors refuses shared memory."""
        tied = {"head.weight"} if self.get_submodule("head").weight is self.get_submodule("embedding").weight else set()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in tied}

    def allocate(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Make the stored tensors whose shapes the config does not determine: a file has `shapes`."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device


class NeuralModel(LanguageModel):
    """A model with a hidden vector for each token, from which the head makes logits."""

    head: nn.Linear
    """[B, T, H] -> logits [B, T, V]."""

    @abstractmethod
    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Compute the hidden vectors [B, T, H], and the next state; arguments as of `forward`."""

    def forward(self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None) -> tuple[Tensor, State]:
        hidden, state = self.features(tokens, state, starts)
        return self.head(hidden), state

    def last_logits(self, tokens: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        hidden, state = self.features(tokens, state, starts)
        return self.head(hidden[:, -1]), state

    def trace(self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None) -> dict[str, Tensor]:
        """Run the forward on the plain path, and return all that it computes by name, [B, T, ...] each.

        Names begin with the layer (`layers.0.forget`); `hidden` and `logits` are those of the forward. Gradients flow
        through all of them. The state is not changed. In training mode dropout draws new masks. A hook on the model
        itself is not called, those on its layers are.
        """
        trace: dict[str, Tensor] = {}
        layers = {name: module for name, module in self.named_modules() if isinstance(module, Layer)}
        with plain_path(self):
            for name, layer in layers.items():
                layer._trace, layer._name = trace, name
            try:
                hidden, _ = self.features(tokens, state, starts)
                self.record(hidden=hidden, logits=self.head(hidden))
            finally:
                for layer in layers.values():
                    layer._trace = None
        return trace


@torch.no_grad()
def initialize_embedding_and_head(embedding: nn.Embedding, head: nn.Linear) -> None:
    """Draw the embedding and the head, which may be tied; for models whose hidden layers saturate.

    A large embedding (0.5) makes gates and tanh layers react from the first step; tied to the head, it would start from
    logits of that size, so there it is scaled to logits of about 1.
    """
    tied, std = head.weight is embedding.weight, head.in_features**-0.5
    nn.init.normal_(embedding.weight, std=std if tied else 0.5)
    if not tied:
        nn.init.normal_(head.weight, std=std)
    nn.init.zeros_(head.bias)


@contextmanager
def plain_path(model: nn.Module) -> Iterator[None]:
    """Run a model by plain operations of torch: no autograd functions of our own, no fused recurrence or attention.

    Within it, second derivatives, `torch.func` and `torch.export` work. It applies to this model only.
    """
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    before = [layer.plain for layer in layers]
    for layer in layers:
        layer.plain = True
    try:
        yield
    finally:
        for layer, plain in zip(layers, before, strict=True):
            layer.plain = plain


def parameter_count(model: nn.Module) -> int:
    """Count the trainable numbers; a tied head counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))

"""Recurrent language models: embedding, a stack of RNN, LSTM or GRU layers, head.

From the second layer on, a layer adds its output to its input (residual). Dropout is applied before the first layer and
to each layer's output. The recurrences over time are torch's own where it has fast ones (on CUDA, and LSTM), else those
of `cpu/recurrence.py`. `cells.py` has the equations, which the stepper uses and the tests compare all of them with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models import cells
from seqgen.models.base import LanguageModel, State, Stepper
from seqgen.models.cpu import recurrence
from seqgen.models.cpu.packed import StepperLinear
from seqgen.models.registry import GruConfig, RecurrentConfig
from seqgen.tokenizers.base import BOUNDARY

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of a layer's weights, each [H, E] or [H, H]: one for each gate and candidate."""


class RecurrentModel(LanguageModel):
    """RNN, LSTM and GRU. The state is the hidden states [B, layers, H], for LSTM followed by the cell states."""

    def __init__(self, config: RecurrentConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.gates_per_weight = GATES[config.cell]
        self.reset_before = isinstance(config, GruConfig) and config.gru_reset == "before"
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        self.layers = nn.ModuleList(
            _layer(config, config.input_size if depth == 0 else config.hidden_size) for depth in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, vocab_size)
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        # A large embedding (0.5) makes the gates react from the first step; tied to the head, it would start from
        # logits of that size, so there it is scaled to logits of about 1.
        hidden_size = self.config.hidden_size
        nn.init.normal_(self.embedding.weight, std=hidden_size**-0.5 if self.config.tie_weights else 0.5)
        if not self.config.tie_weights:
            nn.init.normal_(self.head.weight, std=hidden_size**-0.5)
        nn.init.zeros_(self.head.bias)
        for layer in self.layers:
            weights = layer_weights(layer)
            nn.init.xavier_uniform_(weights.w_ih)
            for block in torch.split(weights.w_hh, hidden_size):
                nn.init.orthogonal_(block)
            nn.init.zeros_(weights.b_ih)
            nn.init.zeros_(weights.b_hh)
            if self.config.cell == "lstm":  # forget bias 1: remember by default (Jozefowicz et al. 2015)
                weights.b_ih[hidden_size : 2 * hidden_size] = 1.0

    def initial_state(self, batch_size: int, capacity: int) -> State:
        del capacity  # the size of a recurrent state is fixed
        members = 2 if self.config.cell == "lstm" else 1
        shape = (batch_size, self.config.layers, self.config.hidden_size)
        return tuple(torch.zeros(shape, device=self.device) for _ in range(members))

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None:
            state = self.initial_state(tokens.shape[0], tokens.shape[1])
        # Documents begin in few columns of a batch: cut the text there and clear the state of those rows.
        begins = tokens == BOUNDARY
        columns = begins.any(dim=0).nonzero().squeeze(1).tolist()
        outputs = []
        for start, stop in zip([0, *columns], [*columns, tokens.shape[1]], strict=True):
            if start == stop:
                continue
            fresh = begins[:, start, None, None]
            state = tuple(member.masked_fill(fresh, 0.0) for member in state) if start in columns else state
            hidden, state = self._stack(self.dropout(self.embedding(tokens[:, start:stop])), state)
            outputs.append(hidden)
        return self.head(torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]), state

    def _stack(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the layers over columns without document starts: x [B, T, E] -> [B, T, H]."""
        ends: list[tuple[Tensor, ...]] = []
        for depth, layer in enumerate(self.layers):
            y, end = _over_time(layer, x, tuple(member[:, depth] for member in state))
            ends.append(end)
            x = x + self.dropout(y) if depth else self.dropout(y)
        return x, tuple(torch.stack(member, dim=1).float() for member in zip(*ends, strict=True))

    def stepper(self, precision: StepperPrecision = "fp32") -> Stepper:
        return RecurrentStepper(self, precision)


def _layer(config: RecurrentConfig, input_size: int) -> nn.Module:
    if isinstance(config, GruConfig) and config.gru_reset == "before":
        return ResetBeforeGru(input_size, config.hidden_size)
    kinds: dict[str, Callable[..., nn.Module]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    return kinds[config.cell](input_size, config.hidden_size, batch_first=True)


class LayerWeights(NamedTuple):
    """A layer's weights: inputs [gates x H, E], states [gates x H, H], and a bias [gates x H] for each."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor
    b_hh: Tensor


def layer_weights(layer: nn.Module) -> LayerWeights:
    """Return the weights of a layer of any cell, by torch's names."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return LayerWeights(*(layer.get_parameter(name) for name in names))


def _over_time(layer: nn.Module, x: Tensor, begin: State) -> tuple[Tensor, State]:
    """Run a layer over x [B, T, E] from the states [B, H] before it: outputs [B, T, H] and the states after it."""
    if x.device.type == "cpu" and not isinstance(layer, nn.LSTM):
        if isinstance(layer, nn.RNN):
            y, end = recurrence.rnn(x, begin[0], layer_weights(layer))
        else:
            before = isinstance(layer, ResetBeforeGru)
            y, end = recurrence.gru(x, begin[0], layer_weights(layer), reset_before=before)
        return y, (end,)
    states = tuple(member.unsqueeze(0).contiguous() for member in begin)  # torch's [1, B, H]
    y, ends = layer(x, states if len(states) > 1 else states[0])
    return y, tuple(member[0] for member in (ends if isinstance(ends, tuple) else (ends,)))


class ResetBeforeGru(nn.Module):
    """A GRU layer with the reset gate before the recurrent product; weights named and shaped as `nn.GRU`'s.

    `bias_hh_l0` only adds to `bias_ih_l0`; it is kept so that both forms share one layout on disk.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * hidden_size))

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, E], hidden [1, B, H] -> outputs [B, T, H], hidden [1, B, H], as `nn.GRU`."""
        x_sums = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)  # all time steps at once
        h = hidden[0]
        outputs = []
        for x_sum in x_sums.unbind(dim=1):
            h = cells.gru_step_before(x_sum, h, self.weight_hh_l0)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h.unsqueeze(0)


class RecurrentStepper(Stepper):
    """One token at a time on packed weights, with the first layer's input product in a table by token.

    The state and everything but the products is fp32. The plain twin is the model's forward.
    """

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: StepperPrecision) -> None:
        self._cell = model.config.cell
        self._reset_before = model.reset_before
        layers = [layer_weights(layer) for layer in model.layers]
        if self._cell == "lstm":
            layers = [LayerWeights(*map(_double_candidate, weights)) for weights in layers]
        self._table = F.linear(model.embedding.weight, layers[0].w_ih, layers[0].b_ih)  # [V, gates x H]
        self._layers = [self._pack(weights, precision, first=depth == 0) for depth, weights in enumerate(layers)]
        self._head = StepperLinear(model.head.weight, model.head.bias, precision)

    def _pack(self, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> _Products:
        w_ih, w_hh, b_ih, b_hh = weights
        if self._reset_before:  # its product with the state has two parts, and the second depends on the first
            w_hh = w_hh.detach().to(torch.float32 if precision == "fp32" else torch.bfloat16).float().clone()
            return _Products(None if first else StepperLinear(w_ih, b_ih, precision), (w_hh, b_hh.detach().clone()))
        if first:
            return _Products(None, StepperLinear(w_hh, b_hh, precision))
        if self._cell == "gru":  # its candidate needs the two sums apart
            return _Products(StepperLinear(w_ih, b_ih, precision), StepperLinear(w_hh, b_hh, precision))
        return _Products(None, StepperLinear(torch.cat([w_ih, w_hh], dim=1), b_ih + b_hh, precision))

    @torch.no_grad()
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        x = self._table.index_select(0, token)
        begins = zip(*(member.unbind(1) for member in state), strict=True)
        ends = []
        for depth, (layer, begin) in enumerate(zip(self._layers, begins, strict=True)):
            end = self._step_layer(layer, x, begin, first=depth == 0)
            x = x + end[0] if depth else end[0]
            ends.append(end)
        return self._head(x), tuple(torch.stack(member, 1) for member in zip(*ends, strict=True))

    def _step_layer(self, layer: _Products, x: Tensor, state: State, *, first: bool) -> State:
        """Return a layer's state after the step; for the first layer `x` already is W x + b."""
        hidden = state[0]
        x_sums = x if layer.x is None else layer.x(x)
        if isinstance(layer.h, tuple):
            w_hh, b_hh = layer.h
            return (cells.gru_step_before(x_sums + b_hh, hidden, w_hh),)
        if self._cell == "gru":
            return (cells.gru_step_after(x_sums, layer.h(hidden), hidden),)
        sums = layer.h(hidden).add_(x) if first else layer.h(torch.cat([x, hidden], dim=1))
        return _lstm_step(sums, state[1]) if self._cell == "lstm" else (cells.rnn_step(sums),)


def _double_candidate(weight: Tensor) -> Tensor:
    """Double the candidate's rows of an LSTM: one sigmoid then serves all, as tanh(g) = 2 sigmoid(2 g) - 1."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, 2 * g, o])


def _lstm_step(sums: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `cells.lstm_step` for the sums of doubled weights, which it overwrites."""
    i, f, half_g, o = sums.sigmoid_().chunk(4, dim=-1)
    cell = (f * cell).addcmul_(i, half_g, value=2).sub_(i)
    return o * cell.tanh(), cell


class _Products(NamedTuple):
    """A layer's products: with its input where that is separate, and with its state or both concatenated."""

    x: StepperLinear | None
    h: StepperLinear | tuple[Tensor, Tensor]
    """The weight and the bias themselves where the reset gate is applied before the product."""

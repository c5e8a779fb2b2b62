"""Recurrent language models: embedding, a stack of RNN, LSTM or GRU layers, head.

From the second layer on, a layer adds its output to its input (residual). Dropout is applied before the first layer and
to each layer's output. The recurrences over time are torch's own where it has fast ones (on CUDA, and LSTM), else those
of `cpu/recurrence.py`. `cells.py` has the equations, which the stepper uses and the tests compare all of them with.
`CELLS` has all that differs between cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models import cells
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.cpu import recurrence
from seqgen.models.cpu.packed import StepperLinear
from seqgen.models.registry import RecurrentConfig
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY


@dataclass(frozen=True)
class HiddenState(State):
    """The hidden states of all layers, [B, layers, H]."""

    hidden: Tensor


@dataclass(frozen=True)
class LstmState(HiddenState):
    """Hidden and cell states of all layers, [B, layers, H] each."""

    cell: Tensor


Members = tuple[Tensor, ...]
"""A layer's part of a state: its hidden state [B, H], for LSTM followed by its cell state."""
Step = Callable[..., Tensor | Members]
"""The equations of a step, as in `cells.py`, to the next state; the layer's class says which arguments it gets."""


class RecurrentModel(LanguageModel):
    """RNN, LSTM and GRU."""

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.cell = CELLS[config.form]
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        self.layers = nn.ModuleList(
            self.cell.layer(config.hidden_size if depth else config.input_size, config.hidden_size)
            for depth in range(config.layers)
        )
        self.gates_per_weight = len(layer_weights(self.layers[0]).w_hh) // config.hidden_size
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
            if self.cell.forget_gate is not None:  # bias 1: remember by default (Jozefowicz et al. 2015)
                torch.split(weights.b_ih, hidden_size)[self.cell.forget_gate].fill_(1.0)

    def initial_state(self, batch_size: int, capacity: int) -> State:
        del capacity  # the size of a recurrent state is fixed
        shape = (batch_size, self.config.layers, self.config.hidden_size)
        return self.cell.state(*(torch.zeros(shape, device=self.device) for _ in range(self.cell.members)))

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
            if start in columns:
                state = state.map(partial(Tensor.masked_fill, mask=fresh, value=0.0))
            hidden, state = self._stack(self.dropout(self.embedding(tokens[:, start:stop])), state)
            outputs.append(hidden)
        return self.head(torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]), state

    def _stack(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the layers over columns without document starts: x [B, T, E] -> [B, T, H]."""
        ends: list[Members] = []
        for depth, layer in enumerate(self.layers):
            y, end = _over_time(self.cell, layer, x, tuple(member[:, depth] for member in state.tensors().values()))
            ends.append(end)
            x = x + self.dropout(y) if depth else self.dropout(y)
        return x, self.cell.state(*(torch.stack(member, dim=1).float() for member in zip(*ends, strict=True)))

    def stepper(self, precision: StepperPrecision = "fp32") -> Stepper:
        return RecurrentStepper(self, precision)


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


def _over_time(cell: Cell, layer: nn.Module, x: Tensor, begin: Members) -> tuple[Tensor, Members]:
    """Run a layer over x [B, T, E] from the states [B, H] before it: outputs [B, T, H] and the states after it."""
    if cell.on_cpu is not None and x.device.type == "cpu":
        y, end = cell.on_cpu(x, begin[0], layer_weights(layer))
        return y, (end,)
    states = tuple(member.unsqueeze(0).contiguous() for member in begin)  # torch's [1, B, H]
    y, ends = layer(x, states if len(states) > 1 else states[0])
    return y, tuple(member[0] for member in _as_members(ends))


def _as_members(members: Tensor | Members) -> Members:
    return members if isinstance(members, tuple) else (members,)


class SteppedLayer(nn.Module):
    """A layer of a cell that torch does not have, with one hidden state; weights named and shaped as `nn.GRU`'s.

    `step(x_sums, hidden, weight_h)` returns the next hidden state [B, H], for x_sums = W x + b [B, gates x H], hidden
    [B, H] and weight_h [gates x H, H]. `bias_hh_l0` only adds to `bias_ih_l0`; it is kept so that all cells share one
    layout on disk.
    """

    def __init__(self, input_size: int, hidden_size: int, gates: int, step: Callable[..., Tensor]) -> None:
        super().__init__()
        self._step = step
        self.weight_ih_l0 = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(gates * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(gates * hidden_size))

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, E], hidden [1, B, H] -> outputs [B, T, H], hidden [1, B, H], as `nn.GRU`."""
        x_sums = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)  # all time steps at once
        h = hidden[0]
        outputs = []
        for x_sum in x_sums.unbind(dim=1):
            h = self._step(x_sum, h, self.weight_hh_l0)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h.unsqueeze(0)


class RecurrentStepper(Stepper):
    """One token at a time on packed weights, with the first layer's input product in a table by token.

    The state and everything but the products is fp32. The plain twin is the model's forward.
    """

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: StepperPrecision) -> None:
        self._cell = cell = model.cell
        layers = [layer_weights(layer) for layer in model.layers]
        if cell.prepare is not None:
            layers = [LayerWeights(*map(cell.prepare, weights)) for weights in layers]
        self._table = F.linear(model.embedding.weight, layers[0].w_ih, layers[0].b_ih)  # [V, gates x H]
        self._layers = [
            cell.products(cell.step, weights, precision, first=depth == 0) for depth, weights in enumerate(layers)
        ]
        self._head = StepperLinear(model.head.weight, model.head.bias, precision)

    @torch.no_grad()
    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        x = self._table.index_select(0, token)
        begins = zip(*(member.unbind(1) for member in state.tensors().values()), strict=True)
        ends = []
        for depth, (layer, begin) in enumerate(zip(self._layers, begins, strict=True)):
            end = _as_members(layer(x, begin))
            x = x + end[0] if depth else end[0]
            ends.append(end)
        return self._head(x), self._cell.state(*(torch.stack(member, 1) for member in zip(*ends, strict=True)))


class _OneProduct:
    """A stepper's layer that multiplies input and state at once: `step(sums, *other states)`."""

    def __init__(self, step: Step, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> None:
        w_ih, w_hh, b_ih, b_hh = weights
        self._step, self._first = step, first
        w, b = (w_hh, b_hh) if first else (torch.cat([w_ih, w_hh], dim=1), b_ih + b_hh)
        self._linear = StepperLinear(w, b, precision)

    def __call__(self, x: Tensor, state: Members) -> Tensor | Members:
        """Return the state [B, H] after the step; in the first layer, `x` already is W x + b."""
        hidden, *others = state
        sums = self._linear(hidden).add_(x) if self._first else self._linear(torch.cat([x, hidden], dim=1))
        return self._step(sums, *others)


class _TwoProducts:
    """A stepper's layer that keeps the sums of input and state apart: `step(x_sums, h_sums, hidden)`."""

    def __init__(self, step: Step, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> None:
        w_ih, w_hh, b_ih, b_hh = weights
        self._step = step
        self._x = None if first else StepperLinear(w_ih, b_ih, precision)
        self._h = StepperLinear(w_hh, b_hh, precision)

    def __call__(self, x: Tensor, state: Members) -> Tensor | Members:
        """Do what `_OneProduct` does."""
        return self._step(x if self._x is None else self._x(x), self._h(state[0]), state[0])


class _ProductInStep:
    """A stepper's layer whose step multiplies with the state itself: `step(x_sums, hidden, weight_h)`."""

    def __init__(self, step: Step, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> None:
        w_ih, w_hh, b_ih, b_hh = weights
        self._step = step
        self._x = None if first else StepperLinear(w_ih, b_ih, precision)
        self._w_hh = w_hh.detach().to(torch.float32 if precision == "fp32" else torch.bfloat16).float().clone()
        self._b_hh = b_hh.detach().clone()

    def __call__(self, x: Tensor, state: Members) -> Tensor | Members:
        """Do what `_OneProduct` does."""
        return self._step((x if self._x is None else self._x(x)) + self._b_hh, state[0], self._w_hh)


def _double_candidate(weight: Tensor) -> Tensor:
    """Double the candidate's rows of an LSTM: one sigmoid then serves all, as tanh(g) = 2 sigmoid(2 g) - 1."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, 2 * g, o])


def _lstm_step(sums: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `cells.lstm_step` for the sums of doubled weights, which it overwrites."""
    i, f, half_g, o = sums.sigmoid_().chunk(4, dim=-1)
    cell = (f * cell).addcmul_(i, half_g, value=2).sub_(i)
    return o * cell.tanh(), cell


class Cell(NamedTuple):
    """All that differs between recurrent cells."""

    layer: Callable[[int, int], nn.Module]
    """Makes a layer from its input size and hidden size."""
    products: type[_OneProduct | _TwoProducts | _ProductInStep]
    step: Step
    """What the stepper computes from these products."""
    state: Callable[..., HiddenState] = HiddenState
    """Makes the state of all layers from its members."""
    members: int = 1
    """Tensors of a layer's state [B, H]; the first is its output."""
    on_cpu: Callable[[Tensor, Tensor, LayerWeights], tuple[Tensor, Tensor]] | None = None
    """A faster form of the layer on a CPU, from `cpu/recurrence.py`."""
    forget_gate: int | None = None
    """The gate whose bias is 1 at first."""
    prepare: Callable[[Tensor], Tensor] | None = None
    """What the stepper does to weights and biases before it packs them."""


def stepped_cell(gates: int, step: Callable[..., Tensor], **others: Any) -> Cell:
    """Return the row of a cell from its equations alone, `step(x_sums, hidden, weight_h)` as in `SteppedLayer`."""
    return Cell(partial(SteppedLayer, gates=gates, step=step), _ProductInStep, step, **others)


CELLS: dict[str, Cell] = {
    "rnn": Cell(partial(nn.RNN, batch_first=True), _OneProduct, cells.rnn_step, on_cpu=recurrence.rnn),
    "lstm": Cell(
        partial(nn.LSTM, batch_first=True),
        _OneProduct,
        _lstm_step,
        state=LstmState,
        members=2,
        forget_gate=1,
        prepare=_double_candidate,
    ),
    "gru": Cell(partial(nn.GRU, batch_first=True), _TwoProducts, cells.gru_step_after, on_cpu=recurrence.gru_after),
    "gru-before": stepped_cell(3, cells.gru_step_before, on_cpu=recurrence.gru_before),
}
"""By the `form` of the config."""

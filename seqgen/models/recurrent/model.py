"""Recurrent language models: embedding, a stack of RNN, LSTM or GRU layers, head.

From the second layer on, a layer adds its output to its input (residual). Dropout is applied before the first layer and
to each layer's output. At the start of a document (id 0) the states become zero, and a learned vector is the hidden
vector from which the head predicts the first token.

`CELLS` has all that differs between cells: their equations (`cells.py`), and the faster forms of them over time, which
are torch's own where it has fast ones (on CUDA, and LSTM), else those of `cpu/recurrence.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqgen.device import StepperPrecision, multiplies_bf16
from seqgen.models.base import NeuralModel, Stepper, initialize_embedding_and_head
from seqgen.models.config import RecurrentConfig
from seqgen.models.cpu import recurrence
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.recurrent import cells
from seqgen.models.recurrent.stepper import (
    GRU_STEP,
    LSTM_STEP,
    RNN_RELU_STEP,
    RNN_SIGMOID_STEP,
    RNN_STEP,
    FastStep,
    RecurrentStepper,
)
from seqgen.models.state import State
from seqgen.models.stepper import Matrices, ProductLayer

CLOSED = -1e4
"""A sum at which a sigmoid is 0, in any precision and whatever is added to it."""


@dataclass(frozen=True)
class HiddenState(State):
    """The hidden states of all layers, [B, layers, H]."""

    hidden: Tensor


@dataclass(frozen=True)
class LstmState(HiddenState):
    """Hidden and cell states of all layers, [B, layers, H] each."""

    cell: Tensor


for _state in (HiddenState, LstmState):
    torch.export.register_dataclass(_state)

Members = tuple[Tensor, ...]
"""A layer's part of a state: its hidden state [B, H], for LSTM followed by its cell state."""


class RecurrentModel(NeuralModel):
    """RNN, LSTM and GRU."""

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.cell = CELLS[config.form]
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        self.layers = nn.ModuleList(
            RecurrentLayer(self.cell, config.hidden_size if depth else config.input_size, config.hidden_size)
            for depth in range(config.layers)
        )
        self.dropout = Dropout(config.dropout)
        self.start = nn.Parameter(torch.zeros(config.hidden_size))
        """The hidden vector at the start of a document."""
        self.head = nn.Linear(config.hidden_size, vocab_size)
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        initialize_embedding_and_head(self.embedding, self.head)
        for layer in self.recurrent_layers:
            initialize_recurrent_layer(layer)

    @property
    def recurrent_layers(self) -> list[RecurrentLayer]:
        """The layers with their own type."""
        return cast("list[RecurrentLayer]", list(self.layers))

    def initial_state(self, batch_size: int, capacity: int) -> HiddenState:
        del capacity  # the size of a recurrent state is fixed
        weight = self.embedding.weight
        shape = (batch_size, self.config.layers, self.config.hidden_size)
        dtype = torch.promote_types(weight.dtype, torch.float32)
        members = (torch.zeros(shape, dtype=dtype, device=weight.device) for _ in range(self.cell.members))
        return self.cell.state(*members)

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, HiddenState]:
        begin = self.initial_state(tokens.shape[0], 0) if state is None else state
        x = self.dropout(self.embedding(tokens))
        self.record(embedded=x)
        ends: list[Members] = []
        for depth, layer in enumerate(self.layers):
            members = tuple(member[:, depth] for member in begin.tensors().values())
            y, end = layer(x, members, starts)
            ends.append(end)
            x = x + self.dropout(y) if depth else self.dropout(y)
            self.record(**{f"stream.{depth}": x})
        if starts is not None:
            x = torch.where(starts.unsqueeze(2), self.start.to(x.dtype), x)
        dtype = torch.promote_types(self.start.dtype, torch.float32)
        return x, self.cell.state(*(torch.stack(member, dim=1).to(dtype) for member in zip(*ends, strict=True)))

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        return super()._stepper(precision) if self.plain else RecurrentStepper(self, precision)


class LayerWeights(NamedTuple):
    """A layer's weights: inputs [gates x H, E], states [gates x H, H], and a bias [gates x H] for each."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor
    b_hh: Tensor


class RecurrentLayer(ProductLayer):
    """A layer of a cell over time; its weights have the names and shapes of `nn.LSTM`'s, for every cell."""

    def __init__(self, cell: Cell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell, self.gates = cell, cell.gates
        rows = cell.gates * hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():  # as torch's layers
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    @property
    def weights(self) -> LayerWeights:
        """The weights and biases."""
        return LayerWeights(self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)

    def matrices(self) -> Matrices:
        """Return the matrices of the cell."""
        return self.cell.matrices(self.weights)

    def forward(self, x: Tensor, members: Members, starts: Tensor | None) -> tuple[Tensor, Members]:
        """Run the layer over time.

        Args:
            x: inputs [B, T, E].
            members: the states before them, [B, H] each.
            starts: bool [B, T], where the states become zero, and the output with them.

        Returns:
            Outputs [B, T, H], and the states after them.
        """
        cell = self.cell
        if self.plain:
            return self.step_by_step(x, members, starts)
        if cell.on_cpu is not None and x.device.type == "cpu":
            y, hidden = cell.on_cpu(x, members[0], self.weights, starts)
            return y, (hidden,)
        if cell.fused is not None and (starts is None or cell.closed_at_start):
            return self._run_fused(cell.fused, x, members, starts)
        return self.step_by_step(x, members, starts)

    def step_by_step(self, x: Tensor, members: Members, starts: Tensor | None) -> tuple[Tensor, Members]:
        """Do what `forward` does by the equations of the cell: the plain twin of its fast forms."""
        x_sums = self.product("input")(x.flatten(0, 1)).view(*x.shape[:2], -1)
        products = [self.product(name) for name in self.cell.parts]
        steps: list[Any] = []
        for column, x_sum in enumerate(x_sums.unbind(1)):
            step = self.cell.step(x_sum, *members, *products)
            members = tuple(step[: self.cell.members])
            if starts is not None:
                fresh = starts[:, column, None]
                members = tuple(member.masked_fill(fresh, 0.0) for member in members)
                step = type(step)(*members, *step[self.cell.members :])
            steps.append(step)
        if self.traces:
            self.record(**{name: torch.stack([getattr(step, name) for step in steps], 1) for name in steps[0]._fields})
        return torch.stack([step.hidden for step in steps], 1), members

    def _run_fused(
        self, fused: Callable[..., Any], x: Tensor, members: Members, starts: Tensor | None
    ) -> tuple[Tensor, Members]:
        """Run torch's kernel. An input column that is 1 at a start closes the gates of an LSTM there.

        With input, forget and output gates at 0, both states become exactly 0, and no gradient passes.
        """
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not multiplies_bf16(x.device):
            with torch.autocast("cpu", enabled=False):  # oneDNN has no bf16 LSTM for such a processor
                return self._run_fused(fused, x.to(self.weight_ih_l0.dtype), members, starts)
        w_ih, *others = self.weights
        if starts is not None:
            size = w_ih.shape[0] // self.cell.gates
            column = torch.cat(
                [w_ih.new_full((size,), CLOSED if closed else 0.0) for closed in self.cell.closed_at_start]
            )
            w_ih = torch.cat([w_ih, column.unsqueeze(1)], 1)
            x = torch.cat([x, starts.unsqueeze(2).to(x.dtype)], 2)
        weights = [w_ih, *others]
        if x.device.type == "cuda":  # cuDNN wants them in one piece
            flat = torch.cat([weight.flatten() for weight in weights])
            sizes = [weight.numel() for weight in weights]
            weights = [part.view_as(weight) for part, weight in zip(torch.split(flat, sizes), weights, strict=True)]
        states = tuple(member.unsqueeze(0).contiguous() for member in members)  # torch's [1, B, H]
        hx = states if len(states) > 1 else states[0]
        y, *ends = fused(x, hx, weights, True, 1, 0.0, self.training, False, True)
        return y, tuple(end[0] for end in ends)


@torch.no_grad()
def initialize_recurrent_layer(layer: RecurrentLayer) -> None:
    """Draw the weights of a layer: orthogonal ones for the state, for each gate apart.

    Also for an rnn of ReLUs: on 300 kB, after 150 steps, it needed 2.60 bits per byte; 2.65 from orthogonal matrices
    times sqrt(2), and 2.71 from the identity (Le et al. 2015).
    """
    weights = layer.weights
    nn.init.xavier_uniform_(weights.w_ih)
    for block in torch.split(weights.w_hh, weights.w_hh.shape[1]):
        nn.init.orthogonal_(block)
    nn.init.zeros_(weights.b_ih)
    nn.init.zeros_(weights.b_hh)
    if layer.cell.forget_gate is not None:  # bias 1: remember by default (Jozefowicz et al. 2015)
        torch.split(weights.b_ih, weights.w_hh.shape[1])[layer.cell.forget_gate].fill_(1.0)


class Cell(NamedTuple):
    """All that differs between recurrent cells."""

    step: Callable[..., Any]
    """The equations: sums of the input, states, and products with the state -> a named tuple that begins with the next
    states."""
    parts: dict[str, int]
    """The products with the state that `step` takes, by name, and the gates of each."""
    state: type[HiddenState] = HiddenState
    """The state of all layers."""
    on_cpu: Callable[..., tuple[Tensor, Tensor]] | None = None
    """A faster form of the layer on a CPU, from `cpu/recurrence.py`."""
    fused: Callable[..., Any] | None = None
    """A faster form of the layer: torch's kernel."""
    closed_at_start: tuple[bool, ...] = ()
    """The gates which clear the states if they are closed at the start of a document, where the cell has such gates."""
    forget_gate: int | None = None
    """The gate whose bias is 1 at first."""
    sigmoid_gates: tuple[str, ...] = ()
    """The results of `step` that are shares from 0 to 1."""
    retention: str | None = None
    """The one of them that is the share of the old state which is kept."""
    fast_step: FastStep | None = None
    """How a stepper computes the step faster than by the equations."""
    kernel: str | None = None
    """The function in `numba/kernels.py` that steps the cell; None without one."""
    keeps_sums_apart: bool = False
    """Whether its kernel takes the sums of input and state apart, each with its bias."""

    @property
    def gates(self) -> int:
        """Gates and candidates."""
        return sum(self.parts.values())

    def matrices(self, weights: LayerWeights) -> Matrices:
        """Return the matrix and bias of the input, and those of each product with the state, by name."""
        w_ih, w_hh, b_ih, b_hh = weights
        rows = [gates * w_hh.shape[1] for gates in self.parts.values()]
        parts = zip(self.parts, torch.split(w_hh, rows), torch.split(b_hh, rows), strict=True)
        return {"input": (w_ih, b_ih), **{name: (weight, bias) for name, weight, bias in parts}}

    @property
    def members(self) -> int:
        """Tensors of a layer's state [B, H]; the first is its output."""
        return len(self.state.__dataclass_fields__)


CELLS: dict[str, Cell] = {
    "rnn": Cell(
        cells.rnn_step,
        {"recurrent": 1},
        on_cpu=recurrence.rnn,
        fused=torch.rnn_tanh,
        fast_step=RNN_STEP,
        kernel="step_rnn",
    ),
    "rnn-sigmoid": Cell(
        partial(cells.rnn_step, activation=torch.sigmoid),
        {"recurrent": 1},
        on_cpu=recurrence.rnn_sigmoid,
        fast_step=RNN_SIGMOID_STEP,
        kernel="step_rnn_sigmoid",
    ),
    "rnn-relu": Cell(
        partial(cells.rnn_step, activation=torch.relu),
        {"recurrent": 1},
        on_cpu=recurrence.rnn_relu,
        fused=torch.rnn_relu,
        fast_step=RNN_RELU_STEP,
        kernel="step_rnn_relu",
    ),
    "lstm": Cell(
        cells.lstm_step,
        {"recurrent": 4},
        LstmState,
        fused=torch.lstm,
        closed_at_start=(True, True, False, True),
        forget_gate=1,
        sigmoid_gates=("input", "forget", "output"),
        retention="forget",
        fast_step=LSTM_STEP,
        kernel="step_lstm",
    ),
    "gru": Cell(
        cells.gru_step_after,
        {"recurrent": 3},
        on_cpu=recurrence.gru_after,
        fused=torch.gru,
        sigmoid_gates=("reset", "update"),
        retention="update",
        fast_step=GRU_STEP,
        kernel="step_gru_after",
        keeps_sums_apart=True,
    ),
    "gru-before": Cell(
        cells.gru_step_before,
        {"gates": 2, "candidate": 1},
        on_cpu=recurrence.gru_before,
        sigmoid_gates=("reset", "update"),
        retention="update",
        kernel="step_gru_before",
    ),
}
"""By the `form` of the config."""

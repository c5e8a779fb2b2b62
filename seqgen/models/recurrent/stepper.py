"""The recurrent stepper, one token at a time on packed weights.

It takes 0.5 to 0.6 of the default stepper's time. The plain twin is `DefaultStepper`. A cell needs nothing here but may
have a `FastStep`, which multiplies or computes in fewer operations than the equations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models.base import Stepper
from seqgen.models.cpu.packed import StepperLinear
from seqgen.models.state import State

if TYPE_CHECKING:
    from seqgen.models.recurrent.model import Cell, LayerWeights, Members, RecurrentModel


class RecurrentStepper(Stepper):
    """One token at a time on packed weights, with the first layer's input product in a table by token.

    The state and everything but the products is fp32. The plain twin is `DefaultStepper`.
    """

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: StepperPrecision) -> None:
        cell = model.cell
        fast = cell.fast_step or FastStep(partial(_PartProducts, cell=cell), cell.step)
        self._state = cell.state
        layers = [layer.weights for layer in model.recurrent_layers]
        if fast.prepare is not None:
            layers = [type(weights)(*map(fast.prepare, weights)) for weights in layers]
        self._table = F.linear(model.embedding.weight, layers[0].w_ih, layers[0].b_ih)  # [V, gates x H]
        self._layers = [
            fast.products(fast.step, weights, precision, first=depth == 0) for depth, weights in enumerate(layers)
        ]
        self._start = model.start.detach().float().clone()
        self._head = StepperLinear(model.head.weight, model.head.bias, precision)

    @torch.no_grad()
    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        x = self._table.index_select(0, token)
        begins = zip(*(member.unbind(1) for member in state.tensors().values()), strict=True)
        ends = []
        for depth, (layer, begin) in enumerate(zip(self._layers, begins, strict=True)):
            end = layer(x, begin)
            x = x + end[0] if depth else end[0]
            ends.append(end)
        after = self._state(*(torch.stack(member, 1) for member in zip(*ends, strict=True)))
        if starts is not None:
            x = torch.where(starts[:, None], self._start, x)
            after = after.map(lambda member: member.masked_fill(starts[:, None, None], 0.0))
        return self._head(x), after


class _OneProduct:
    """A stepper's layer that multiplies input and state at once: `step(sums, *other states)`."""

    def __init__(
        self, step: Callable[..., Members], weights: LayerWeights, precision: StepperPrecision, *, first: bool
    ) -> None:
        w_ih, w_hh, b_ih, b_hh = weights
        self._step, self._first = step, first
        w, b = (w_hh, b_hh) if first else (torch.cat([w_ih, w_hh], dim=1), b_ih + b_hh)
        self._linear = StepperLinear(w, b, precision)

    def __call__(self, x: Tensor, state: Members) -> Members:
        """Return the state [B, H] after the step; in the first layer, `x` already is W x + b."""
        hidden, *others = state
        sums = self._linear(hidden).add_(x) if self._first else self._linear(torch.cat([x, hidden], dim=1))
        return self._step(sums, *others)


class _TwoProducts:
    """A stepper's layer that keeps the sums of input and state apart: `step(x_sums, h_sums, hidden)`."""

    def __init__(
        self, step: Callable[..., Members], weights: LayerWeights, precision: StepperPrecision, *, first: bool
    ) -> None:
        w_ih, w_hh, b_ih, b_hh = weights
        self._step = step
        self._x = None if first else StepperLinear(w_ih, b_ih, precision)
        self._h = StepperLinear(w_hh, b_hh, precision)

    def __call__(self, x: Tensor, state: Members) -> Members:
        """Do what `_OneProduct` does."""
        return self._step(x if self._x is None else self._x(x), self._h(state[0]), state[0])


class _PartProducts:
    """A stepper's layer of the equations alone: `cell.step(x_sums, *states, *products)`."""

    def __init__(
        self, step: Callable[..., Any], weights: LayerWeights, precision: StepperPrecision, *, first: bool, cell: Cell
    ) -> None:
        matrices = cell.matrices(weights)
        products = {name: StepperLinear(weight, bias, precision) for name, (weight, bias) in matrices.items()}
        x = products.pop("input")
        self._x = None if first else x
        self._step, self._products, self._members = step, products.values(), cell.members

    def __call__(self, x: Tensor, state: Members) -> Members:
        """Do what `_OneProduct` does."""
        step = self._step(x if self._x is None else self._x(x), *state, *self._products)
        return tuple(step[: self._members])


def _double_candidate(weight: Tensor) -> Tensor:
    """Double the candidate's rows of an LSTM: one sigmoid then serves all, as tanh(g) = 2 sigmoid(2 g) - 1."""
    i, f, g, o = weight.chunk(4)
    return torch.cat([i, f, 2 * g, o])


def _rnn_step(sums: Tensor) -> Members:
    return (sums.tanh_(),)


def _rnn_sigmoid_step(sums: Tensor) -> Members:
    return (sums.sigmoid_(),)


def _rnn_relu_step(sums: Tensor) -> Members:
    return (sums.relu_(),)


def _lstm_step(sums: Tensor, cell: Tensor) -> Members:
    """Compute `cells.lstm_step` for the sums of doubled weights, which it overwrites."""
    i, f, half_g, o = sums.sigmoid_().chunk(4, dim=-1)
    cell = (f * cell).addcmul_(i, half_g, value=2).sub_(i)
    return o * cell.tanh(), cell


def _gru_step(x_sums: Tensor, h_sums: Tensor, hidden: Tensor) -> Members:
    """Compute `cells.gru_step_after`."""
    x_r, x_z, x_n = x_sums.chunk(3, dim=-1)
    h_r, h_z, h_n = h_sums.chunk(3, dim=-1)
    candidate = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    z = torch.sigmoid(x_z + h_z)
    return (z * hidden + (1 - z) * candidate,)


class FastStep(NamedTuple):
    """A step of a cell for `RecurrentStepper`."""

    products: Callable[..., Callable[[Tensor, Members], Members]]
    """Makes a layer from the step, its weights, the precision, and whether it is the first."""
    step: Callable[..., Any]
    """What is computed from these products."""
    prepare: Callable[[Tensor], Tensor] | None = None
    """What is done to weights and biases before they are packed."""


RNN_STEP = FastStep(_OneProduct, _rnn_step)
RNN_SIGMOID_STEP = FastStep(_OneProduct, _rnn_sigmoid_step)
RNN_RELU_STEP = FastStep(_OneProduct, _rnn_relu_step)
LSTM_STEP = FastStep(_OneProduct, _lstm_step, _double_candidate)
GRU_STEP = FastStep(_TwoProducts, _gru_step)

"""Each cell against its equations in plain numbers, and at gate values with a known result."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from seqgen.models.recurrent import cells
from seqgen.models.recurrent.model import CELLS, RecurrentLayer

OPEN, SHUT = 60.0, -60.0  # sums at which a sigmoid is 1 and 0


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def zero(state: torch.Tensor) -> torch.Tensor:
    """The product of a state with a matrix of zeros: one gate, which broadcasts to all."""
    return torch.zeros(len(state), 1)


def times(*weights: float):
    """The product of a state of one number with a column."""
    return lambda state: state * torch.tensor(weights)


@pytest.mark.parametrize(
    ("form", "negative", "positive"),
    [
        ("rnn", math.tanh(-2.7), math.tanh(3.3)),
        ("rnn-sigmoid", sigmoid(-2.7), sigmoid(3.3)),
        ("rnn-relu", 0.0, 3.3),
    ],
)
def test_rnn_step_is_the_activation_of_the_sum(form, negative, positive):
    step, x, hidden = CELLS[form].step, torch.tensor([[0.3]]), torch.tensor([[2.0]])

    assert step(x, hidden, times(-1.5)).hidden.item() == pytest.approx(negative)
    assert step(x, hidden, times(1.5)).hidden.item() == pytest.approx(positive)


@pytest.mark.parametrize(
    ("form", "slope"),
    [("rnn", 1 - math.tanh(3.3) ** 2), ("rnn-sigmoid", sigmoid(3.3) * sigmoid(-3.3)), ("rnn-relu", 1.0)],
)
def test_rnn_step_passes_the_gradient_by_the_slope_of_its_activation(form, slope):
    hidden = torch.tensor([[2.0]], requires_grad=True)

    CELLS[form].step(torch.tensor([[0.3]]), hidden, times(1.5)).hidden.sum().backward()

    assert hidden.grad.item() == pytest.approx(1.5 * slope, rel=1e-4)


def test_lstm_step_equals_its_equations():
    i, f, g, o, c = 0.2, -0.4, 1.1, 0.7, -0.9

    step = cells.lstm_step(torch.tensor([[i, f, g, o]]), torch.zeros(1, 1), torch.tensor([[c]]), zero)

    expected = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    assert step.cell.item() == pytest.approx(expected)
    assert step.hidden.item() == pytest.approx(sigmoid(o) * math.tanh(expected))
    gates = torch.cat([step.input, step.forget, step.candidate, step.output])
    assert gates.flatten().tolist() == pytest.approx([sigmoid(i), sigmoid(f), math.tanh(g), sigmoid(o)])


def test_lstm_step_with_f_1_and_i_0_keeps_the_cell():
    cell = torch.randn(4, 3)
    sums = torch.cat([torch.full((4, 3), value) for value in (-200.0, OPEN, 5.0, 0.0)], dim=1)

    kept = cells.lstm_step(sums, torch.zeros_like(cell), cell, zero).cell

    assert torch.equal(kept, cell)


def test_lstm_step_with_f_1_passes_the_gradient_unchanged():
    cell = torch.randn(2, 3, requires_grad=True)
    sums = torch.cat([torch.full((2, 3), value) for value in (-200.0, OPEN, 5.0, 0.0)], dim=1)
    kept = cells.lstm_step(sums, torch.zeros_like(cell), cell, zero).cell

    kept.sum().backward()

    assert torch.equal(cell.grad, torch.ones(2, 3))


def test_gru_step_after_equals_its_equations():
    x, u, hidden = (0.5, -0.3, 0.8), (1.5, -0.7, 2.0), 0.4

    step = cells.gru_step_after(torch.tensor([x]), torch.tensor([[hidden]]), times(*u))

    r, z = sigmoid(x[0] + u[0] * hidden), sigmoid(x[1] + u[1] * hidden)
    assert step.hidden.item() == pytest.approx(z * hidden + (1 - z) * math.tanh(x[2] + r * u[2] * hidden))
    assert (step.reset.item(), step.update.item()) == pytest.approx((r, z))


def test_gru_step_before_equals_its_equations():
    x, hidden = (0.5, -0.3, 0.8), 0.4
    u_r, u_z, u_n = 1.5, -0.7, 2.0

    step = cells.gru_step_before(torch.tensor([x]), torch.tensor([[hidden]]), times(u_r, u_z), times(u_n))

    r, z = sigmoid(x[0] + u_r * hidden), sigmoid(x[1] + u_z * hidden)
    assert step.hidden.item() == pytest.approx(z * hidden + (1 - z) * math.tanh(x[2] + u_n * (r * hidden)))
    assert (step.reset.item(), step.update.item()) == pytest.approx((r, z))


@pytest.mark.parametrize("form", ["after", "before"])
def test_gru_step_with_z_1_keeps_the_state(form):
    hidden, x = torch.randn(4, 3), torch.randn(4, 9)
    x[:, 3:6] = OPEN

    assert torch.equal(_gru(form, x, hidden), hidden)


@pytest.mark.parametrize("form", ["after", "before"])
def test_gru_step_with_r_0_ignores_the_state_in_the_candidate(form):
    x = torch.randn(4, 9)
    x[:, 0:3], x[:, 3:6] = -200.0, -200.0  # r = 0 and z = 0

    assert torch.equal(_gru(form, x, torch.randn(4, 3)), torch.tanh(x[:, 6:9]))


def _gru(form: str, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Step a GRU whose gates do not depend on the state, and return its next state."""
    u_n = torch.randn(3, 3)
    if form == "before":
        return cells.gru_step_before(x, hidden, lambda state: torch.zeros(len(state), 6), lambda h: h @ u_n).hidden
    return cells.gru_step_after(x, hidden, lambda h: torch.cat([torch.zeros(len(h), 6), h @ u_n], 1)).hidden


def test_gru_forms_differ_where_the_reset_gate_matters():
    x, hidden, u = torch.randn(4, 9), torch.randn(4, 3), torch.randn(3, 9)

    after = cells.gru_step_after(x, hidden, lambda h: h @ u).hidden
    before = cells.gru_step_before(x, hidden, lambda h: h @ u[:, :6], lambda h: h @ u[:, 6:]).hidden

    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize(
    ("form", "kind"),
    [("rnn", nn.RNN), ("rnn-relu", partial(nn.RNN, nonlinearity="relu")), ("lstm", nn.LSTM), ("gru", nn.GRU)],
)
def test_cells_agree_with_torchs_layers(form, kind):
    """Over time, with torch's weights under torch's names."""
    stock = kind(5, 3, batch_first=True)
    layer = RecurrentLayer(CELLS[form], 5, 3)
    layer.load_state_dict(stock.state_dict())
    x = torch.randn(2, 7, 5)
    members = tuple(torch.randn(2, 3) for _ in range(layer.cell.members))

    y, ends = layer.step_by_step(x, members, None)

    expected, last = stock(x, tuple(m[None] for m in members) if len(members) > 1 else members[0][None])
    torch.testing.assert_close(y, expected)
    for end, wanted in zip(ends, last if isinstance(last, tuple) else (last,), strict=True):
        torch.testing.assert_close(end, wanted[0])


@pytest.mark.parametrize("form", CELLS)
def test_layer_over_time_is_its_step_from_a_zero_state_at_each_start(form):
    layer = RecurrentLayer(CELLS[form], 5, 3)
    x, members = torch.randn(1, 4, 5), tuple(torch.randn(1, 3) for _ in range(layer.cell.members))
    starts = torch.tensor([[False, True, False, False]])

    y, ends = layer(x, members, starts)

    zeros = tuple(map(torch.zeros_like, members))
    expected, last = layer(x[:, 2:], zeros, None)
    assert not y[0, 1].any()
    torch.testing.assert_close(y[:, 2:], expected)
    for end, wanted in zip(ends, last, strict=True):
        torch.testing.assert_close(end, wanted)

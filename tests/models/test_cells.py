"""Each cell against its equations in plain numbers, and at gate values with a known result."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seqgen.models import cells
from seqgen.models.recurrent import SteppedLayer

OPEN, SHUT = 60.0, -60.0  # sums at which a sigmoid is 1 and 0


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_rnn_step_is_tanh_of_the_sum():
    assert cells.rnn_step(torch.tensor([[0.3, -2.0]])).tolist()[0] == pytest.approx([math.tanh(0.3), math.tanh(-2.0)])


def test_lstm_step_equals_its_equations():
    i, f, g, o, c = 0.2, -0.4, 1.1, 0.7, -0.9

    hidden, cell = cells.lstm_step(torch.tensor([[i, f, g, o]]), torch.tensor([[c]]))

    expected = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    assert cell.item() == pytest.approx(expected)
    assert hidden.item() == pytest.approx(sigmoid(o) * math.tanh(expected))


def test_lstm_step_with_f_1_and_i_0_keeps_the_cell():
    cell = torch.randn(4, 3)
    sums = torch.cat([torch.full((4, 3), value) for value in (-200.0, OPEN, 5.0, 0.0)], dim=1)

    _, kept = cells.lstm_step(sums, cell)

    assert torch.equal(kept, cell)


def test_lstm_step_with_f_1_passes_the_gradient_unchanged():
    cell = torch.randn(2, 3, requires_grad=True)
    sums = torch.cat([torch.full((2, 3), value) for value in (-200.0, OPEN, 5.0, 0.0)], dim=1)
    _, kept = cells.lstm_step(sums, cell)

    kept.sum().backward()

    assert torch.equal(cell.grad, torch.ones(2, 3))


def test_gru_step_after_equals_its_equations():
    x, h, hidden = (0.5, -0.3, 0.8), (0.1, 0.6, -1.2), 0.4

    (found,) = cells.gru_step_after(torch.tensor([x]), torch.tensor([h]), torch.tensor([[hidden]]))

    r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
    assert found.item() == pytest.approx(z * hidden + (1 - z) * math.tanh(x[2] + r * h[2]))


def test_gru_step_before_equals_its_equations():
    x, hidden = (0.5, -0.3, 0.8), 0.4
    u_r, u_z, u_n = 1.5, -0.7, 2.0

    (found,) = cells.gru_step_before(torch.tensor([x]), torch.tensor([[hidden]]), torch.tensor([[u_r], [u_z], [u_n]]))

    r, z = sigmoid(x[0] + u_r * hidden), sigmoid(x[1] + u_z * hidden)
    assert found.item() == pytest.approx(z * hidden + (1 - z) * math.tanh(x[2] + u_n * (r * hidden)))


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
    if form == "before":
        return cells.gru_step_before(x, hidden, torch.randn(9, 3))
    h_sums = torch.randn(4, 9)
    h_sums[:, :6] = 0.0
    return cells.gru_step_after(x, h_sums, hidden)


def test_gru_forms_differ_where_the_reset_gate_matters():
    x, hidden, weight = torch.randn(4, 9), torch.randn(4, 3), torch.randn(9, 3)

    after = cells.gru_step_after(x, hidden @ weight.T, hidden)

    assert not torch.allclose(after, cells.gru_step_before(x, hidden, weight), atol=1e-3)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_cells_agree_with_torchs_layers(kind):
    layer = kind(5, 3, batch_first=True)
    x, hidden, cell = torch.randn(2, 1, 5), torch.randn(2, 3), torch.randn(2, 3)
    x_sums = x[:, 0] @ layer.weight_ih_l0.T + layer.bias_ih_l0
    h_sums = hidden @ layer.weight_hh_l0.T + layer.bias_hh_l0

    if kind is nn.LSTM:
        _, (expected, expected_cell) = layer(x, (hidden[None], cell[None]))
        found, found_cell = cells.lstm_step(x_sums + h_sums, cell)
        torch.testing.assert_close(found_cell, expected_cell[0])
    else:
        _, expected = layer(x, hidden[None])
        found = cells.rnn_step(x_sums + h_sums) if kind is nn.RNN else cells.gru_step_after(x_sums, h_sums, hidden)
    torch.testing.assert_close(found, expected[0])


def test_stepped_layer_is_its_step_over_time():
    layer = SteppedLayer(5, 3, gates=3, step=cells.gru_step_before)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x, hidden = torch.randn(2, 7, 5), torch.randn(2, 3)

    outputs, end = layer(x, hidden[None])

    for column in range(7):
        x_sums = x[:, column] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + layer.bias_hh_l0
        hidden = cells.gru_step_before(x_sums, hidden, layer.weight_hh_l0)
        torch.testing.assert_close(outputs[:, column], hidden)
    torch.testing.assert_close(end[0], hidden)

from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.models.config import GruConfig, LstmConfig, RecurrentConfig, RnnConfig
from seqgen.models.recurrent.model import CELLS
from seqgen.models.registry import FAMILIES

from ...conftest import ACTIVATIONS, CONFIGS
from ...small_runs import NEURAL

RECURRENT = [cell for cell in NEURAL if issubclass(FAMILIES[cell].config, RecurrentConfig)]


def test_every_form_has_a_row_in_cells():
    forms = {config.form for config in (CONFIGS | ACTIVATIONS).values() if config.cell in RECURRENT}

    assert forms == CELLS.keys(), "compare CELLS in seqgen/models/recurrent/model.py with CONFIGS in tests/conftest.py"


@pytest.mark.parametrize("cell", RECURRENT)
def test_recurrent_weights_are_initialized_orthogonal(cell):
    model = models.build(FAMILIES[cell].config(hidden_size=12, layers=2), 7)

    for layer in model.layers:
        for block in layer.weight_hh_l0.detach().split(12):
            torch.testing.assert_close(block @ block.T, torch.eye(12), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_gates_of_a_layer_are_the_number_of_gates_and_candidates(cell, gates):
    model = models.build(FAMILIES[cell].config(hidden_size=12), 7)

    assert [layer.gates for layer in model.recurrent_layers] == [gates]


@pytest.mark.parametrize(("cell", "members"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_initial_state_is_zero_for_every_row_and_layer(cell, members):
    model = models.build(FAMILIES[cell].config(hidden_size=12, layers=3), 7)

    state = model.initial_state(5, 100)

    assert [member.shape for member in state.tensors().values()] == [(5, 3, 12)] * members
    assert not any(member.any() for member in state.tensors().values())


def test_burn_in_of_a_recurrent_model_is_256_tokens():
    assert models.build(GruConfig(hidden_size=4), 7).burn_in == 256


def test_lstm_forget_bias_is_initialized_to_1():
    model = models.build(LstmConfig(hidden_size=3, layers=1), 7)
    (layer,) = model.layers

    assert (layer.bias_ih_l0 + layer.bias_hh_l0).tolist() == [0.0] * 3 + [1.0] * 3 + [0.0] * 6


@pytest.mark.parametrize("cell", RECURRENT)
def test_later_layers_are_residual(cell):
    """A second layer whose output is zero changes nothing."""
    deep = models.build(FAMILIES[cell].config(hidden_size=8, layers=2, dropout=0.0), 7)
    shallow = models.build(FAMILIES[cell].config(hidden_size=8, layers=1, dropout=0.0), 7)
    shallow.load_state_dict({name: value for name, value in deep.state_dict().items() if "layers.1" not in name})
    with torch.no_grad():
        for parameter in deep.layers[1].parameters():
            parameter.zero_()  # RNN and GRU stay at h = 0; the LSTM's candidate is tanh 0 = 0
    tokens = torch.randint(1, 7, (2, 9))

    torch.testing.assert_close(deep(tokens)[0], shallow(tokens)[0])


def test_dropout_acts_only_in_training():
    model = models.build(GruConfig(hidden_size=16, layers=2, dropout=0.5), 7)
    tokens = torch.randint(1, 7, (2, 9))

    assert torch.equal(model.eval()(tokens)[0], model(tokens)[0])
    assert not torch.equal(model.train()(tokens)[0], model(tokens)[0])


def test_weights_have_the_sizes_of_the_config():
    model = models.build(LstmConfig(hidden_size=8, layers=2, embedding_size=5), 7)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    assert shapes["embedding.weight"] == (7, 5)
    assert shapes["layers.0.weight_ih_l0"] == (32, 5)
    assert shapes["layers.1.weight_ih_l0"] == (32, 8)
    assert shapes["head.weight"] == (7, 8)


def test_tied_head_is_the_embedding():
    model = models.build(RnnConfig(hidden_size=8, tie_weights=True), 7)

    assert model.head.weight is model.embedding.weight


@pytest.mark.parametrize("config", [LstmConfig(hidden_size=8), GruConfig(hidden_size=8, gru_reset="before")])
def test_boundary_cuts_the_gradient_to_the_state(config):
    model = models.build(config, 7).eval()
    state = model.initial_state(1, 4).map(torch.Tensor.requires_grad_)

    logits, _ = model(torch.tensor([[0, 3]]), state, torch.tensor([[True, False]]))
    logits.sum().backward()

    assert all(member.grad is None or not member.grad.any() for member in state.tensors().values())
    assert model.start.grad.any()


@pytest.mark.parametrize(
    ("cell", "gates"),
    [
        ("rnn", set()),
        ("gru", {"reset", "update", "candidate"}),
        ("lstm", {"cell", "input", "forget", "candidate", "output"}),
    ],
)
def test_trace_names_states_and_gates_of_every_layer(cell, gates):
    model = models.build(FAMILIES[cell].config(hidden_size=8, layers=2), 7).eval()

    trace = model.trace(torch.ones(2, 3, dtype=torch.int64))

    of_layers = {f"layers.{layer}.{name}" for layer in range(2) for name in {"hidden", *gates}}
    assert trace.keys() == {"embedded", "stream.0", "stream.1", "hidden", "logits"} | of_layers


def test_lstm_computes_in_fp32_on_a_processor_without_bf16(monkeypatch):
    """Where bf16 is emulated, oneDNN has no LSTM for it."""
    monkeypatch.setattr("seqgen.models.recurrent.model.multiplies_bf16", lambda device: False)
    model = models.build(LstmConfig(hidden_size=8, layers=2), 11).eval()
    tokens = torch.arange(10).view(2, 5)

    in_fp32, _ = model.features(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_bf16, _ = model.features(tokens)

    torch.testing.assert_close(in_bf16, in_fp32)

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from seqgen import models
from seqgen.errors import RunError
from seqgen.models.config import LstmConfig
from seqgen.models.weights import load_weights, to_bytes

RUN = "the identity of a run"


def test_weights_round_trip_bit_for_bit(model, tmp_path):
    path = tmp_path / "model.safetensors"
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path.write_bytes(to_bytes(model.stored_tensors(), RUN))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()

    load_weights(model, path, RUN)

    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_stored_tensors_have_a_tied_head_once(tmp_path):
    model = models.build(LstmConfig(hidden_size=8, tie_weights=True), 7)

    assert "head.weight" not in model.stored_tensors()
    assert "head.bias" in model.stored_tensors()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("head.bias"), ": .* head.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), ": .* extra"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(8)}), r"head.bias .* \[8\]"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(7).long()}), "head.bias .* I64, expected F32"),
    ],
)
def test_load_weights_refuses_another_model_and_loads_nothing(tmp_path, change, message):
    model = models.build(LstmConfig(hidden_size=8), 7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = {name: torch.ones_like(tensor) for name, tensor in model.stored_tensors().items()}
    change(tensors)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(tensors, path)

    with pytest.raises(RunError, match=message):
        load_weights(model, path, RUN)

    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_load_weights_refuses_a_file_truncated_anywhere(tmp_path):
    model = models.build(LstmConfig(hidden_size=2), 3)
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model.stored_tensors(), RUN))
    content = path.read_bytes()

    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(RunError, match="not a whole safetensors file"):
            load_weights(model, path, RUN)


def test_load_weights_names_a_missing_file(tmp_path):
    with pytest.raises(RunError, match=r"model\.safetensors is missing"):
        load_weights(models.build(LstmConfig(hidden_size=2), 3), tmp_path / "model.safetensors", RUN)

"""The lower bound on a step's memory, against what torch really keeps for the backward pass."""

from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.device import autocast, multiplies_bf16
from seqgen.models.config import GruConfig, LstmConfig, RnnConfig, TransformerConfig
from seqgen.models.memory import activation_bytes
from seqgen.models.registry import FAMILIES
from seqgen.models.skeleton import skeleton
from seqgen.training.loss import cross_entropy

from ..small_runs import NEURAL

ROWS, LENGTH, VOCAB_SIZE = 8, 64, 100
CONFIGS = {
    "rnn": RnnConfig(hidden_size=64, layers=2),
    "lstm": LstmConfig(hidden_size=64, layers=2, dropout=0.0),
    "gru-before": GruConfig(hidden_size=64, layers=2, dropout=0.0, gru_reset="before"),
    "gru-tied": GruConfig(hidden_size=64, layers=1, dropout=0.0, tie_weights=True),
    "transformer": TransformerConfig(hidden_size=64, layers=2, block_size=LENGTH),
    "transformer-wide": TransformerConfig(hidden_size=64, layers=1, block_size=LENGTH, feed_forward_size=512),
}


def kept_by_bound(config, precision):
    """Return the bytes that the forward pass keeps for the backward pass, without the weights, over their bound."""
    model = models.build(config, VOCAB_SIZE).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    tokens = torch.randint(1, VOCAB_SIZE, (ROWS, LENGTH))
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = tensor, storage.nbytes()  # the tensor too, so that its address is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(torch.device("cpu"), precision):
            logits, _ = model(tokens)
        cross_entropy(logits, tokens)
    kept = sum(size for address, (_, size) in storages.items() if address not in weights)
    gradient_of_logits = ROWS * LENGTH * VOCAB_SIZE * (2 if precision == "bf16" else 4)
    bound = activation_bytes(skeleton(config, VOCAB_SIZE), ROWS * LENGTH, precision)
    return kept / (bound - gradient_of_logits)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cell", [*NEURAL, *(cell for cell, family in FAMILIES.items() if family.task == "translate")])
def test_activation_bytes_is_a_lower_bound_for_every_family(cell, precision):
    """Of encoder-decoders also with the shortest source, of one token."""
    assert kept_by_bound(FAMILIES[cell].config(hidden_size=64, layers=2, dropout=0.0), precision) > 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_activation_bytes_is_a_lower_bound_within_a_factor_of_6(config, precision):
    """A layer that keeps the intermediate results of each step, as on the plain path, needs more."""
    # Such an LSTM computes in fp32, and its numbers have twice the bytes.
    in_fp32 = precision == "bf16" and config.cell == "lstm" and not multiplies_bf16(torch.device("cpu"))

    assert 1 < kept_by_bound(config, precision) < (12 if in_fp32 else 6)


def test_activation_bytes_by_hand():
    """A GRU layer keeps 3 x 8 numbers, the head 5 logits, and their gradient is 5 more."""
    model = skeleton(GruConfig(hidden_size=8), 5)

    assert activation_bytes(model, 100, "fp32") == 100 * 4 * (24 + 5 + 5)
    assert activation_bytes(model, 100, "bf16") == 100 * 2 * (24 + 5 + 5)

"""The bound on a step's memory: never more than what torch keeps, and not far below."""

from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.device import autocast
from seqgen.models.memory import activation_bytes, attention_bytes
from seqgen.models.registry import GruConfig, LstmConfig, RnnConfig, TransformerConfig
from seqgen.tokenizers.base import BOUNDARY
from seqgen.training.loss import cross_entropy

ROWS, LENGTH, VOCAB_SIZE = 8, 128, 100
CPU = torch.device("cpu")
CONFIGS = [
    RnnConfig(hidden_size=64, layers=2),
    LstmConfig(hidden_size=64, layers=2, dropout=0.0),
    GruConfig(hidden_size=64, layers=2, gru_reset="before"),
    GruConfig(hidden_size=64, layers=2, dropout=0.0),
    TransformerConfig(hidden_size=64, block_size=LENGTH),
    TransformerConfig(hidden_size=64, block_size=LENGTH, layers=1, feed_forward_size=512, positions="sinusoidal"),
]


def kept(config, precision, *, plain):
    """Bytes of all that the forward pass keeps for the backward pass, the weights left out."""
    model = models.build(config, VOCAB_SIZE).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    tokens = torch.randint(1, VOCAB_SIZE, (ROWS, LENGTH))
    if not plain:
        tokens[:, LENGTH // 2] = BOUNDARY
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = tensor, storage.nbytes()  # the tensor too, or its place is another's soon
        return tensor

    state = None if isinstance(config, TransformerConfig) else model.initial_state(ROWS, LENGTH)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with autocast(CPU, precision):
            logits, _ = model(tokens, state)
        cross_entropy(logits, tokens)
    return sum(size for place, (_, size) in storages.items() if place not in weights)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.cell)
def test_the_bound_is_below_what_is_kept_and_not_far(config, precision, plain):
    found = kept(config, precision, plain=plain)

    gradient = ROWS * LENGTH * VOCAB_SIZE * (2 if precision == "bf16" else 4)
    bound = activation_bytes(config, VOCAB_SIZE, ROWS, LENGTH, precision) - gradient
    if isinstance(config, TransformerConfig):
        bound += attention_bytes(config, ROWS, LENGTH, precision, CPU, plain=plain)
    assert found / 5 < bound <= found


def test_scores_beyond_the_limit_are_not_kept():
    config = TransformerConfig(block_size=8_192)

    assert attention_bytes(config, 64, 8_192, "bf16", CPU, plain=True) == 0
    assert attention_bytes(config, 64, 8_192, "fp32", CPU, plain=True) == 0
    assert attention_bytes(config, 64, 8_192, "bf16", CPU, plain=False) > 30 << 30
    assert attention_bytes(config, 64, 8_192, "bf16", torch.device("cuda"), plain=False) == 0

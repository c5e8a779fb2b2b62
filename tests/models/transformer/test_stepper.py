"""The transformer's stepper; `test_base.py` has its laws."""

from __future__ import annotations

import torch

from seqgen import models
from seqgen.models.config import TransformerConfig
from seqgen.models.transformer import stepper as transformer_stepper

CONFIG = TransformerConfig(hidden_size=16, layers=1, heads=2, block_size=4)


def test_stepper_within_the_first_document_agrees_with_the_forward():
    """Without a second document the stepper needs no mask, before and after the ring has wrapped."""
    model = models.build(CONFIG.model_copy(update={"block_size": 6}), 7).eval()
    tokens, stepper = torch.randint(1, 7, (2, 9)), model.stepper()
    with torch.no_grad():
        expected, _ = model(tokens, model.initial_state(2, 9))
    state = stepper.select(model.initial_state(2, 9), torch.arange(2))

    for column in range(9):
        logits, state = stepper.step(tokens[:, column], state)
        torch.testing.assert_close(logits, expected[:, column], rtol=1e-4, atol=1e-5)


def test_stepper_attends_in_large_batches_as_in_small_ones(monkeypatch):
    model = models.build(CONFIG, 7).eval()
    _, state = model(torch.randint(1, 7, (3, 6)), model.initial_state(3, 20))
    stepper = model.stepper()
    logits = []
    for many in (10**9, 0):
        monkeypatch.setattr(transformer_stepper, "BATCHED_FROM", many)
        place = state.select(torch.arange(3))
        for token in (torch.tensor([1, 2, 3]), torch.tensor([6, 5, 4])):
            one, place = stepper.step(token, place)
            logits.append(one)

    torch.testing.assert_close(logits[:2], logits[2:], rtol=1e-5, atol=1e-6)

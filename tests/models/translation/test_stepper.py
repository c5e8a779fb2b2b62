"""The stepper of transformers that translate, next to the default stepper; `test_base.py` has its laws."""

from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.models.config import TransformerTranslateConfig
from seqgen.models.state import State
from seqgen.models.stepper import DefaultStepper

from .pairs import batch

STEPS = 4


@pytest.mark.parametrize("positions", ["sinusoidal", "rope"])
def test_rows_at_different_positions_have_the_logits_and_the_attention_of_the_default_stepper(positions):
    config = TransformerTranslateConfig(hidden_size=16, layers=2, heads=2, positions=positions)
    model = models.build(config, 10).eval()
    pairs = batch()
    tokens = torch.randint(1, 10, (STEPS + 2, 6))
    results = []

    for stepper in (DefaultStepper(model, "fp32"), model.stepper()):
        with torch.no_grad():
            new = model.encode(pairs.source, pairs.lengths, 9)
        read = stepper.select(new, torch.arange(3))
        for token in tokens[STEPS:]:
            _, read = stepper.step(token[:3], read)
        state = stepper.select(
            State.concat([read, stepper.select(new, torch.arange(3))]), torch.tensor([5, 0, 2, 3, 0])
        )
        for token in tokens[:STEPS]:
            logits, state = stepper.step(token[:5], state)
            results.append((logits, state.attention))

    assert state.position.tolist() == [STEPS, STEPS + 2, STEPS + 2, STEPS, STEPS + 2]
    torch.testing.assert_close(results[STEPS:], results[:STEPS], rtol=1e-4, atol=1e-5)
    # The sources have 7, 5, 7, 5 and 5 tokens.
    assert (state.attention[[1, 3, 4], 5:] == 0).all()
    torch.testing.assert_close(state.attention.sum(1), torch.ones(5))

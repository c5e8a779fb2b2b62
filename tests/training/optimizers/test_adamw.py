from __future__ import annotations

import torch
from torch.nn import Parameter

from seqgen.training.optimizers.adamw import AdamW


def test_adamw_step_equals_torchs():
    weights = [torch.randn(12, 8), torch.randn(5), torch.randn(3, 2)]
    ours, theirs = ([Parameter(weight.clone()) for weight in weights] for _ in range(2))
    mine = AdamW(ours, 0.02, 0.1, (0.8, 0.95), 1e-3)
    reference = torch.optim.AdamW(theirs, lr=0.02, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-3, fused=True)

    for step in range(4):
        for parameters in (ours, theirs):
            torch.manual_seed(step)
            for parameter in parameters[: 2 + step % 2]:  # one has a gradient in some steps only
                parameter.grad = torch.randn_like(parameter)
        mine.step()
        reference.step()
        for parameter in (*ours, *theirs):
            parameter.grad = None

    for parameter, expected in zip(ours, theirs, strict=True):
        assert torch.equal(parameter, expected)


def test_adamw_without_gradients_changes_nothing():
    weight = Parameter(torch.randn(4))
    before = weight.clone()

    AdamW([weight], 0.1, weight_decay=0.5).step()

    assert torch.equal(weight, before)

from __future__ import annotations

import math

import pytest
import torch

from seqgen.models.transformer.positions import frequencies, rotary, rotate, rotation_of, sinusoids

BASE = 10_000.0


def test_rotate_turns_each_pair_by_its_position():
    cos, sin = rotary(torch.tensor([[0, 3]]), frequencies(4, BASE))

    fast, slow = 3.0, 3.0 * 10_000**-0.5
    assert cos.shape == sin.shape == (1, 1, 2, 2)
    assert cos[0, 0, 0].tolist() == [1.0, 1.0]
    assert cos[0, 0, 1].tolist() == pytest.approx([math.cos(fast), math.cos(slow)])
    assert sin[0, 0, 1].tolist() == pytest.approx([math.sin(fast), math.sin(slow)])
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).expand(1, 1, 2, 4)
    unturned, turned = rotate(x, rotation_of(cos, sin))[0, 0]
    assert unturned.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert turned.tolist() == pytest.approx(
        [
            1.0 * math.cos(fast) - 3.0 * math.sin(fast),
            2.0 * math.cos(slow) - 4.0 * math.sin(slow),
            3.0 * math.cos(fast) + 1.0 * math.sin(fast),
            4.0 * math.cos(slow) + 2.0 * math.sin(slow),
        ]
    )


def test_rotary_scores_depend_only_on_distance():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(query_at: int, key_at: int) -> float:
        turn = [rotation_of(*rotary(torch.tensor([[at]]), frequencies(8, BASE))) for at in (query_at, key_at)]
        return float((rotate(q, turn[0]) * rotate(k, turn[1])).sum())

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
    assert score(5, 2) != pytest.approx(score(5, 3), abs=1e-4)


def test_sinusoids_are_sines_then_cosines():
    (row,) = sinusoids(torch.tensor([[2]]), frequencies(4, BASE))[0]

    scale = 10_000**-0.5
    assert row.tolist() == pytest.approx([math.sin(2), math.sin(2 * scale), math.cos(2), math.cos(2 * scale)])


def test_neighboring_positions_differ_far_into_a_text():
    far = 2**25
    for angles in (
        rotary(torch.tensor([[far, far + 1]]), frequencies(8, BASE))[1][0, 0, :, 0],
        sinusoids(torch.tensor([[far, far + 1]]), frequencies(8, BASE))[0, :, 0],
    ):
        assert angles.tolist() == pytest.approx([math.sin(far), math.sin(far + 1)], abs=1e-6)

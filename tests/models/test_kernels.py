"""What the compiled decoders are made of, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from seqgen.models import kernels


def test_the_exponential_is_one_to_its_last_bits():
    points = np.linspace(-87, 88, 20_001).astype(np.float32)

    found = np.array([kernels.exponential(x) for x in points])

    np.testing.assert_allclose(found, np.exp(points.astype(np.float64)), rtol=3e-7)


def test_what_is_far_out_is_held_there_and_what_is_no_number_stays_none():
    assert kernels.exponential(np.float32(-1e30)) == pytest.approx(np.exp(-87.0), rel=1e-6)
    assert kernels.exponential(np.float32(np.inf)) == pytest.approx(np.exp(88.0), rel=1e-6)
    assert np.isnan(kernels.exponential(np.float32(np.nan)))
    assert np.isnan(kernels.tanh(np.float32(np.nan)))


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16])
@pytest.mark.parametrize(("columns", "size"), [(4, 1), (5, 17), (6, 64), (31, 33)])
@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
def test_a_product_is_added_to_what_is_there(rows, columns, size, kind):
    weight = torch.randn(-(-columns // 4) * 4, size)
    weight[columns:] = 0
    scale, x, before = (torch.randn(shape) for shape in (len(weight), (rows, size), (rows, columns)))
    if kind == "int8":
        weight = (weight * 40).round().clamp(-127, 127).to(torch.int8)
    array = weight.numpy() if kind != "bf16" else weight.bfloat16().view(torch.int16).numpy().view(np.uint16)
    rounded = weight.bfloat16() if kind == "bf16" else weight
    out = before.clone().numpy()

    kernels.multiply(x.numpy(), array, scale.numpy(), out)

    expected = before.double() + (x.double() @ rounded.double().T * scale.double())[:, :columns]
    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", [0, 3, 6, 7, 12])
@pytest.mark.parametrize("begin", [0, 2])
def test_attention_is_over_the_ring_from_the_beginning_of_the_document(position, begin):
    ring, heads, size = 7, 2, 6
    keys, values = torch.randn(1, heads, ring, size), torch.randn(1, heads, ring, size)
    products = torch.randn(1, 3, heads, size)
    begin = min(begin, position)
    empty = np.empty((1, 0), np.float32)
    expected_keys, expected_values = keys.clone(), values.clone()
    expected_keys[:, :, position % ring], expected_values[:, :, position % ring] = products[:, 1], products[:, 2]
    slots = [p % ring for p in range(max(begin, position - ring + 1), position + 1)]
    expected = torch.nn.functional.scaled_dot_product_attention(
        products[:, 0, :, None], expected_keys[:, :, slots], expected_values[:, :, slots]
    ).flatten(1)

    out = kernels.attend(
        products.numpy(), keys.numpy(), values.numpy(), np.array([position]), np.array([begin]), empty, empty
    )

    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(keys, expected_keys)
    torch.testing.assert_close(values, expected_values)

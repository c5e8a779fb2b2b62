"""The kernels of the compiled steppers, against numpy and torch."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

import numba

from seqgen.models.numba import kernels
from seqgen.models.numba.products import as_array, as_tensor

pytestmark = pytest.mark.xdist_group("numba")  # one worker compiles for all


def test_exponential_is_exact_to_its_last_bits():
    points = np.linspace(-87, 88, 20_001).astype(np.float32)

    found = np.array([kernels.exponential(x) for x in points])

    np.testing.assert_allclose(found, np.exp(points.astype(np.float64)), rtol=3e-7)


def test_exponential_clamps_its_argument_and_keeps_nan():
    assert kernels.exponential(np.float32(-1e30)) == pytest.approx(np.exp(-87.0), rel=1e-6)
    assert kernels.exponential(np.float32(np.inf)) == pytest.approx(np.exp(88.0), rel=1e-6)
    assert np.isnan(kernels.exponential(np.float32(np.nan)))
    assert np.isnan(kernels.tanh(np.float32(np.nan)))


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="the instruction has another name there")
def test_exponential_vectorizes():
    @numba.njit(fastmath=kernels.FAST, error_model="numpy")
    def squash(x):
        for i in range(len(x)):
            x[i] = kernels.sigmoid(x[i])

    squash(np.zeros(8, np.float32))

    (code,) = squash.inspect_asm().values()
    assert "divps" in code  # packed division; scalar division is divss


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16])
@pytest.mark.parametrize(("columns", "size"), [(4, 1), (5, 17), (6, 64), (31, 33), (65, 8)])
@pytest.mark.parametrize(
    "kind", ["fp32", pytest.param("bf16", marks=pytest.mark.slow), pytest.param("int8", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("panels", [False, True], ids=["rows", "panels"])
def test_product_agrees_with_torch(rows, columns, size, kind, panels):
    width = kernels.PANEL if panels else kernels.TILE
    weight = torch.randn(-(-columns // width) * width, size)
    weight[columns:] = 0
    scale, x = torch.randn(columns), torch.randn(rows, size)
    if kind == "int8":
        weight = (weight * 40).round().clamp(-127, 127).to(torch.int8)
    elif kind == "bf16":
        weight = weight.bfloat16()
    layout = weight.unflatten(0, (-1, width)).transpose(1, 2).contiguous() if panels else weight

    out = kernels.product(x.numpy(), as_array(layout), scale.numpy())

    expected = (x.double() @ weight[:columns].double().T) * scale
    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_store_rounds_to_bf16_like_torch():
    numbers = torch.cat([torch.randn(1000), torch.tensor([1.00390625, 1.01171875, -0.0, 3e38, torch.inf, torch.nan])])
    odd = torch.tensor([0x7FFFFFFF, -1, 0x7F800001], dtype=torch.int32).view(torch.float32)  # other bits of NaN
    numbers = torch.cat([numbers, odd])
    kept = np.empty(len(numbers), np.uint16)

    kernels.store(numbers.numpy(), kept)

    torch.testing.assert_close(as_tensor(kept), numbers.bfloat16(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("position", [0, 3, 6, 7, 12])
@pytest.mark.parametrize("begin", [0, 2])
@pytest.mark.parametrize("kept", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)])
def test_attend_covers_the_ring_from_the_start_of_the_document(position, begin, kept):
    ring, heads, size = 7, 2, 6
    keys, values = (torch.randn(1, heads, ring, size).to(kept) for _ in range(2))
    products = torch.randn(1, 3, heads, size)
    begin = min(begin, position)
    empty = np.empty((1, 0), np.float32)
    expected_keys, expected_values = keys.clone(), values.clone()
    expected_keys[:, :, position % ring] = products[:, 1].to(kept)
    expected_values[:, :, position % ring] = products[:, 2].to(kept)
    slots = [p % ring for p in range(max(begin, position - ring + 1), position + 1)]
    expected = torch.nn.functional.scaled_dot_product_attention(
        products[:, 0, :, None], expected_keys[:, :, slots].float(), expected_values[:, :, slots].float()
    ).flatten(1)
    out = np.empty((1, heads * size), np.float32)

    kernels.attend(
        products.numpy(), (as_array(keys), as_array(values), np.array([position]), np.array([begin]), empty, empty), out
    )

    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(keys, expected_keys)
    torch.testing.assert_close(values, expected_values)

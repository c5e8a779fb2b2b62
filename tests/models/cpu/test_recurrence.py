"""The recurrences over time against torch's modules and the equations of `cells.py`, both with autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqgen.device import Precision, autocast
from seqgen.models.cpu import recurrence
from seqgen.models.recurrent.model import CELLS, RecurrentLayer

from ...conftest import ACTIVATIONS, some_by_default

CPU = torch.device("cpu")
EVERY_FORM = [form for form, cell in CELLS.items() if cell.on_cpu is not None]
FORMS = some_by_default(EVERY_FORM, set(EVERY_FORM) - ACTIVATIONS.keys())


def make_layer(form: str, input_size: int, hidden_size: int) -> RecurrentLayer:
    layer = RecurrentLayer(CELLS[form], input_size, hidden_size)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=hidden_size**-0.5)
    return layer


def ours(layer: RecurrentLayer, x: Tensor, hidden: Tensor, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return layer.cell.on_cpu(x, hidden, layer.weights, starts)


def oracle(layer: RecurrentLayer, x: Tensor, hidden: Tensor, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    y, (end,) = layer.step_by_step(x, (hidden,), starts)
    return y, end


def differentiate(run, layer, x, hidden, precision: Precision = "fp32", starts: Tensor | None = None) -> list[Tensor]:
    """Return outputs, last state and the gradients of x, initial state and weights, from fixed output gradients."""
    x, hidden = x.clone().requires_grad_(), hidden.clone().requires_grad_()
    with autocast(CPU, precision):
        results = run(layer, x, hidden, starts)
    generator = torch.Generator().manual_seed(1)
    seeds = [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype) for y in results]
    return [*results, *torch.autograd.grad(results, (x, hidden, *layer.weights), seeds)]


@pytest.fixture(params=[2**30, 40], ids=["one-block", "blocks"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(recurrence, "BLOCK_NUMBERS", request.param)


@pytest.fixture(params=[9, 40], ids=["plain", "packed"])
def steps(request):
    """Fewer and more than `recurrence.PACK_FROM`."""
    return request.param


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("form", EVERY_FORM)
@pytest.mark.parametrize(("rows", "steps"), [(3, 11), (1, 5), (4, 1), (1, 1)])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_outputs_and_gradients_agree_with_the_equations(form, rows, steps, share):
    layer = make_layer(form, 5, 4).double()
    x, hidden = torch.randn(rows, steps, 5).double(), torch.randn(rows, 4).double()
    starts = torch.rand(rows, steps) < share if share else None

    found = differentiate(ours, layer, x, hidden, starts=starts)
    expected = differentiate(oracle, layer, x, hidden, starts=starts)

    for tensor, true in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, true, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("precision", "ratio"), [("fp32", 2.0), ("bf16", 1.25)])
def test_rounding_errors_are_close_to_torchs(form, precision, ratio):
    """The relative error of every result and gradient, from fp64, is at most `ratio` times that of torch's operations.

    It is the root of the mean square over 16 draws: of one draw the ratio is between 0.8 and 2 by chance.
    """
    squares = torch.zeros(2, 8, dtype=torch.float64)
    for seed in range(16):
        torch.manual_seed(seed)
        layer = make_layer(form, 48, 64)
        x, hidden = torch.randn(16, 40, 48), torch.randn(16, 64)
        both = [differentiate(run, layer, x, hidden, precision) for run in (ours, oracle)]
        truth = differentiate(oracle, layer.double(), x.double(), hidden.double())
        squares += torch.tensor(
            [
                [float((result.detach().double() - true.detach()).norm() / true.detach().norm()) ** 2
                 for result, true in zip(found, truth, strict=True)]
                for found in both
            ],
            dtype=torch.float64,
        )  # fmt: skip

    own, torchs = squares.sqrt()
    assert (own > 0).all()
    assert (own < ratio * torchs).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_grad_gives_the_same_numbers_and_keeps_nothing(form, precision, steps):
    layer = make_layer(form, 24, 32)
    x, hidden = torch.randn(4, steps, 24), torch.randn(4, 32)
    with autocast(CPU, precision):
        expected = ours(layer, x, hidden)
        with torch.no_grad():
            found = ours(layer, x, hidden)

    assert all(torch.equal(tensor, other) for tensor, other in zip(found, expected, strict=True))
    assert expected[0].grad_fn is not None
    assert found[0].grad_fn is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_results_are_deterministic_whatever_ran_before(form, precision, steps):
    layer = make_layer(form, 24, 32)
    x, hidden = torch.randn(4, steps, 24), torch.randn(4, 32)

    first = differentiate(ours, layer, x, hidden, precision)
    differentiate(ours, layer, torch.full((7, 13, 24), 1e4), torch.full((7, 32), -1e4), precision)
    second = differentiate(ours, layer, x, hidden, precision)

    assert all(torch.equal(tensor, other) for tensor, other in zip(first, second, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_arguments_and_incoming_gradients_are_not_changed(form):
    layer = make_layer(form, 6, 5)
    x, hidden = torch.randn(1, 1, 6), torch.randn(1, 5)  # sizes at which a view and a copy have the same strides
    x_before, hidden_before = x.clone(), hidden.clone()
    y, end = ours(layer, x, hidden)
    seeds = torch.randn_like(y), torch.randn_like(end)
    seeds_before = [seed.clone() for seed in seeds]
    outputs_before = y.clone(), end.clone()

    torch.autograd.backward((y, end), seeds)

    assert torch.equal(x, x_before)
    assert torch.equal(hidden, hidden_before)
    assert all(torch.equal(seed, before) for seed, before in zip(seeds, seeds_before, strict=True))
    assert all(torch.equal(tensor, before) for tensor, before in zip((y, end), outputs_before, strict=True))


@pytest.mark.skipif(not recurrence.can_pack(torch.empty(1)), reason="needs oneDNN")
@pytest.mark.parametrize(("steps", "used"), [(15, False), (16, True)])
def test_weights_are_packed_for_long_sequences(steps, used, monkeypatch):
    made, plain = [], recurrence.PackedWeight
    monkeypatch.setattr(recurrence, "PackedWeight", lambda *arguments: made.append(1) or plain(*arguments))

    ours(make_layer("gru", 6, 5), torch.randn(2, steps, 6), torch.zeros(2, 5))

    assert bool(made) == used


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("frozen", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_frozen_weight_gets_no_gradient(form, frozen):
    layer = make_layer(form, 6, 5)
    x, hidden = torch.randn(3, 4, 6), torch.randn(3, 5)
    ours(layer, x, hidden)[0].sum().backward()
    expected = {name: parameter.grad for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    layer.get_parameter(frozen).requires_grad_(False)

    ours(layer, x, hidden)[0].sum().backward()

    for name, parameter in layer.named_parameters():
        assert (parameter.grad is None) if name == frozen else torch.equal(parameter.grad, expected[name])


@pytest.mark.parametrize("form", FORMS)
def test_products_follow_the_autocast_and_the_state_is_fp32(form, steps):
    layer = make_layer(form, 24, 32)
    x, hidden = torch.randn(4, steps, 24), torch.randn(4, 32)

    with autocast(CPU, "bf16"):
        y, end = ours(layer, x, hidden)
    with autocast(CPU, "fp32"):
        full, _ = ours(layer, x, hidden)

    assert (y.dtype, end.dtype, full.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    torch.testing.assert_close(y[:, -1].float(), end, rtol=2**-8, atol=0)
    assert 0 < float((y - full).detach().abs().max()) < 0.05


@pytest.mark.parametrize("form", ["gru", "gru-before"])
def test_carried_state_is_not_rounded_to_bf16_at_each_step(form):
    """With an update gate of 0.999 over 300 steps, a state in bf16 would never change."""
    layer = make_layer(form, 1, 8)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0[8:16] = 6.9067548  # the sigmoid of it is 0.999
    with autocast(CPU, "bf16"):
        _, end = ours(layer, torch.zeros(2, 300, 1), torch.ones(2, 8))

    torch.testing.assert_close(end, torch.full((2, 8), 0.999**300), rtol=0.02, atol=0)

"""RNN and GRU layers over time on a CPU, where torch has no fused kernel for them: one autograd node per layer.

On a CPU, `nn.GRU` and `nn.RNN` run about ten small operations per step, each with its own backward node. Here, work
that does not depend on the previous step is done for many steps at once: the product with the input, the factors of
the backward pass, the gradients of the weights. A few operations per step remain, in reused memory that stays in cache.

The plain twin is `RecurrentLayer.step_by_step`; the equations are in `cells.py`.

Inside this module time is the first axis. Products are in the dtype of the autocast where one is on; elementwise work
and the state that a GRU carries are in `wide`, at least fp32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqgen.device import product_dtype
from seqgen.models.cpu.packed import PackedWeight, can_pack

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""W [gates x H, E], U [gates x H, H], and a bias [gates x H] for each, as in torch's recurrent modules."""
Gradients = tuple[Tensor | None, ...]
Masks = Sequence[Tensor | None]

BLOCK_NUMBERS = 2**17
"""Numbers of a [steps, B, H] array that are processed at once: several such arrays fit in a CPU's cache."""

PACK_FROM = 16
"""Steps from which packing a weight (about 0.3 ms) pays off (about 10 to 30 us per step)."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, s, grad_input=): d * s * (1 - s)
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (d, t, grad_input=): d * (1 - t^2)


class _Activation(NamedTuple):
    """An activation function of an RNN and its derivative, which follows from the result."""

    apply: Callable[..., Tensor]
    """(sums, out=)."""
    backward: Callable[..., Tensor]
    """(d, result, grad_input=)."""


_TANH = _Activation(torch.tanh, _tanh_backward)
_SIGMOID = _Activation(torch.sigmoid, _sigmoid_backward)
_RELU = _Activation(partial(torch.clamp_min, min=0), partial(torch.ops.aten.threshold_backward.grad_input, threshold=0))


def rnn(x: Tensor, hidden: Tensor, weights: Weights, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a layer of `nn.RNN` whose state becomes zero at the start of a document.

    Args:
        x: [B, T, E].
        hidden: the state before it, [B, H].
        weights: of the layer.
        starts: bool [B, T], where documents start; None for nowhere.

    Returns:
        The hidden states after each step [B, T, H], and the last one [B, H].
    """
    return _apply(_Rnn, x, hidden, weights, starts, _TANH)


def rnn_sigmoid(x: Tensor, hidden: Tensor, weights: Weights, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a layer of `rnn` with a sigmoid in place of the tanh."""
    return _apply(_Rnn, x, hidden, weights, starts, _SIGMOID)


def rnn_relu(x: Tensor, hidden: Tensor, weights: Weights, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a layer of `rnn` with a ReLU in place of the tanh."""
    return _apply(_Rnn, x, hidden, weights, starts, _RELU)


def gru_after(x: Tensor, hidden: Tensor, weights: Weights, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a layer of `nn.GRU`; arguments and results are those of `rnn`."""
    return _apply(_GruAfter, x, hidden, weights, starts)


def gru_before(x: Tensor, hidden: Tensor, weights: Weights, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a layer of a GRU with the reset gate before the product; arguments and results are those of `rnn`."""
    return _apply(_GruBefore, x, hidden, weights, starts)


def _apply(
    function: type[torch.autograd.Function],
    x: Tensor,
    hidden: Tensor,
    weights: Weights,
    starts: Tensor | None,
    *choices: object,
) -> tuple[Tensor, Tensor]:
    dtype = product_dtype(x)
    wide = torch.promote_types(dtype, torch.float32)
    saves = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, hidden, *weights))
    steps = x.transpose(0, 1).to(dtype, memory_format=torch.contiguous_format).contiguous()
    apply: Callable[..., tuple[Tensor, Tensor]] = function.apply
    live = None if starts is None else starts.logical_not().t().unsqueeze(2).to(wide)  # [T, B, 1]
    outputs, end = apply(saves, live, steps, hidden.to(wide), *(weight.to(dtype) for weight in weights), *choices)
    return outputs.transpose(0, 1), end  # time is first in memory, as in torch's modules


class _Product:
    """y -> y @ weight.T (+ bias) (+ plus), for y [rows, in] of `steps` steps and one weight [out, in].

    The weight is packed once for all steps; `torch.mm` packs it in every call.
    """

    def __init__(self, weight: Tensor, rows: int, steps: int, bias: Tensor | None = None) -> None:
        self._packed = PackedWeight(weight, rows) if steps >= PACK_FROM and can_pack(weight) else None
        self._transposed = weight.t()
        self._bias = bias

    def __call__(self, y: Tensor, plus: Tensor | None = None) -> Tensor:
        if self._packed is not None:
            return self._packed(y, self._bias, plus)
        product = torch.mm(y, self._transposed)
        for summand in (self._bias, plus):
            product = product if summand is None else product.add_(summand)
        return product


def _blocks(steps: int, numbers: int) -> list[tuple[int, int]]:
    """Return (begin, end) of every block of steps, with `numbers` numbers per step; the first has the full length."""
    length = max(1, BLOCK_NUMBERS // numbers)
    return [(start, min(start + length, steps)) for start in range(0, steps, length)]


def _unbind(live: Tensor | None, steps: int) -> Masks:
    """Return the mask of each step, [B, 1]: 0 at the start of a document, else 1."""
    return [None] * steps if live is None else live.unbind()


def _tanh_(x: Tensor, minus_one: Tensor) -> Tensor:
    """Compute tanh in place as 2 sigmoid(2 x) - 1, for x at least fp32: less than half the time of torch's."""
    return torch.add(minus_one, x.mul_(2).sigmoid_(), alpha=2, out=x)


def _wide(x: Tensor, like: Tensor) -> Tensor:
    """Copy `x` in the dtype of `like`."""
    return x.to(like.dtype, copy=True, memory_format=torch.contiguous_format)


def _weight_gradient(d_sums: Tensor, inputs: Tensor) -> Tensor:
    """Compute the gradient of weights from d_sums [N, gates x H] and their inputs [T, B, in] in one product."""
    return torch.mm(d_sums.t(), inputs.flatten(0, 1))


class _Rnn(torch.autograd.Function):
    """`cells.rnn_step` over time, x [T, B, E]: a product and an activation per step, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        saves: bool,
        live: Tensor | None,
        x: Tensor,
        hidden: Tensor,
        w: Tensor,
        u: Tensor,
        b: Tensor,
        b_h: Tensor,
        activation: _Activation,
    ) -> tuple[Tensor, Tensor]:
        steps, rows, _ = x.shape
        states = x.new_empty(steps + 1, rows, u.shape[1])
        states[0] = hidden
        times_w, times_u = _Product(w, rows, steps, b + b_h), _Product(u, rows, steps)
        x_sums = times_w(x.flatten(0, 1)).view(steps, rows, -1)
        turns = zip(x_sums.unbind(), itertools.pairwise(states.unbind()), _unbind(live, steps), strict=True)
        for x_sum, (now, then), mask in turns:
            activation.apply(times_u(now, x_sum), out=then)
            if mask is not None:
                then.mul_(mask)
        if saves:
            ctx.activation = activation
            ctx.save_for_backward(live, x, states, w, u)
        return states[1:], states[-1].to(hidden.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_end: Tensor) -> Gradients:
        live, x, states, w, u = ctx.saved_tensors
        (steps, rows, _), size = x.shape, u.shape[1]
        d_hiddens = d_outputs.clone(memory_format=torch.contiguous_format)
        d_hiddens[-1] += d_end
        d_sums = torch.empty_like(d_hiddens)
        times_u = _Product(u.t(), rows, steps)
        d_hidden = d_hiddens[-1]
        befores = [None, *d_hiddens[:-1].unbind()]
        turns = zip(d_sums.unbind(), states[1:].unbind(), befores, _unbind(live, steps), strict=True)
        for d_sum, h, d_hidden_before, mask in reversed(list(turns)):
            ctx.activation.backward(d_hidden, h, grad_input=d_sum)
            if mask is not None:
                d_sum.mul_(mask)
            d_hidden = times_u(d_sum, d_hidden_before)
        flat = d_sums.view(steps * rows, size)
        _, _, needs_x, _, needs_w, needs_u, *_ = ctx.needs_input_grad
        d_b = flat.sum(0)
        return (
            None,
            None,
            torch.mm(flat, w).view_as(x) if needs_x else None,
            d_hidden.to(d_end.dtype),
            _weight_gradient(flat, x) if needs_w else None,
            _weight_gradient(flat, states[:-1]) if needs_u else None,
            d_b,
            d_b,
            None,
        )


class _GruAfter(torch.autograd.Function):
    """`cells.gru_step_after` over time, x [T, B, E].

    A row of `gates` [T, B, 4 x H] holds the candidate (before the tanh: its input part), reset, update, and the state's
    part of the candidate. W makes the first three and U the last three, so torch's order is rolled by one gate.
    """

    @staticmethod
    def forward(
        ctx: Any,
        saves: bool,
        live: Tensor | None,
        x: Tensor,
        hidden: Tensor,
        w: Tensor,
        u: Tensor,
        b: Tensor,
        b_h: Tensor,
    ) -> tuple[Tensor, Tensor]:
        (steps, rows, _), size = x.shape, u.shape[1]
        blocks = _blocks(steps, rows * size)
        gates = x.new_empty(steps if saves else 0, rows, 4 * size)
        states = x.new_empty(steps + 1, rows, size)
        states[0] = hidden
        turns = list(zip(itertools.pairwise(states.unbind()), _unbind(live, steps), strict=True))
        h = hidden.clone()
        b_r_z, b_n = b_h.tensor_split([2 * size])
        bias = torch.cat([b[2 * size :], b[: 2 * size] + b_r_z])
        times_w, times_u = _Product(w.roll(size, 0), rows, steps, bias), _Product(u, rows, steps)
        minus_one = h.new_tensor(-1.0)
        work = h.new_empty(min(steps, blocks[0][1]), rows, 4 * size)
        views = (work[..., size:], work[..., size : 3 * size], *work.chunk(4, -1))
        slots = list(zip(*(view.unbind() for view in views), strict=True))
        for start, stop in blocks:
            block = work[: stop - start]
            block[..., : 3 * size] = times_w(x[start:stop].flatten(0, 1)).view(stop - start, rows, -1)
            block[..., 3 * size :] = b_n
            for ((now, then), mask), (h_sums, r_z, n, r, z, h_n) in zip(turns[start:stop], slots, strict=False):
                h_sums.add_(times_u(now))
                r_z.sigmoid_()
                _tanh_(n.addcmul_(r, h_n), minus_one)
                torch.lerp(n, h, z, out=h)
                if mask is not None:
                    h.mul_(mask)
                then.copy_(h)
            if saves:
                gates[start:stop] = block
        if saves:
            ctx.save_for_backward(live, x, states, gates, w, u)
        return states[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_end: Tensor) -> Gradients:
        live, x, states, gates, w, u = ctx.saved_tensors
        (steps, rows, _), size = x.shape, u.shape[1]
        d_gates = torch.empty_like(gates)
        d_rows = list(zip(d_gates.view(steps, rows, 4, size).unbind(), d_gates[..., size:].unbind(), strict=True))
        d_carried, wide, masks = d_end, d_end.dtype, _unbind(live, steps)
        times_u = _Product(u.t(), rows, steps)
        for start, stop in reversed(_blocks(steps, rows * size)):
            block = slice(start, stop)
            factors, keep = _GruAfter._factors(_wide(gates[block], d_end), _wide(states[block], d_end))
            d_hiddens = _wide(d_outputs[block], d_end)
            turns = zip(d_rows[block], d_hiddens.unbind(), factors.unbind(), keep.unbind(), masks[block], strict=True)
            for (d_row, d_h_sums), d_hidden, factor, z, mask in reversed(list(turns)):
                d_hidden.add_(d_carried)
                if mask is not None:
                    d_hidden.mul_(mask)
                torch.mul(d_hidden.unsqueeze(1), factor, out=d_row)
                d_carried = times_u(d_h_sums).to(wide).addcmul_(d_hidden, z)
        flat = d_gates.view(steps * rows, -1)
        d_x_sums, d_h_sums = flat[:, : 3 * size], flat[:, size:]
        d_b = flat.sum(0)
        _, _, needs_x, _, needs_w, needs_u, *_ = ctx.needs_input_grad
        return (
            None,
            None,
            torch.mm(d_x_sums, w.roll(size, 0)).view_as(x) if needs_x else None,
            d_carried,
            _weight_gradient(d_x_sums, x).roll(-size, 0) if needs_w else None,
            _weight_gradient(d_h_sums, states[:-1]) if needs_u else None,
            d_b[: 3 * size].roll(-size),
            d_b[size:],
        )

    @staticmethod
    def _factors(gates: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the derivatives of h' by the four sums, [steps, B, 4, H], and by the previous h, which is z.

        Both arguments are overwritten.
        """
        gates = gates.view(*h.shape[:2], 4, -1)
        n, r, z, h_n = gates.unbind(2)
        keep = z.clone(memory_format=torch.contiguous_format)
        _sigmoid_backward(h.sub_(n), z, grad_input=z)
        spare = torch.sub(1, keep, out=h)
        _tanh_backward(spare, n, grad_input=n)
        torch.mul(n, h_n, out=spare)
        torch.mul(n, r, out=h_n)
        _sigmoid_backward(spare, r, grad_input=r)
        return gates, keep


class _GruBefore(torch.autograd.Function):
    """`cells.gru_step_before` over time, x [T, B, E]. `gates` [T, B, 3 x H]: reset, update, candidate."""

    @staticmethod
    def forward(
        ctx: Any,
        saves: bool,
        live: Tensor | None,
        x: Tensor,
        hidden: Tensor,
        w: Tensor,
        u: Tensor,
        b: Tensor,
        b_h: Tensor,
    ) -> tuple[Tensor, Tensor]:
        (steps, rows, _), size = x.shape, u.shape[1]
        gates = x.new_empty(steps if saves else 0, rows, 3 * size)
        resets = x.new_empty(steps, rows, size)  # r * h, the candidate's input from the state
        states = x.new_empty(steps + 1, rows, size)
        states[0] = hidden
        turns = list(
            zip(*(views.unbind() for views in (states[:-1], resets, states[1:])), _unbind(live, steps), strict=True)
        )
        h = hidden.clone()
        u_r_z, u_n = u.tensor_split([2 * size])
        times_w, times_u, times_u_n = (
            _Product(w, rows, steps, b + b_h),
            _Product(u_r_z, rows, steps),
            _Product(u_n, rows, steps),
        )
        minus_one = h.new_tensor(-1.0)
        for start, stop in _blocks(steps, rows * size):
            block = _wide(times_w(x[start:stop].flatten(0, 1)).view(stop - start, rows, -1), h)
            views = (block[..., : 2 * size], *block.chunk(3, -1))
            slots = zip(*(view.unbind() for view in views), strict=True)
            for (now, reset, then, mask), (r_z, r, z, n) in zip(turns[start:stop], slots, strict=True):
                r_z.add_(times_u(now)).sigmoid_()
                reset.copy_(r * h)
                _tanh_(n.add_(times_u_n(reset)), minus_one)
                torch.lerp(n, h, z, out=h)
                if mask is not None:
                    h.mul_(mask)
                then.copy_(h)
            if saves:
                gates[start:stop] = block
        if saves:
            ctx.save_for_backward(live, x, states, resets, gates, w, u)
        return states[1:], h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_end: Tensor) -> Gradients:
        live, x, states, resets, gates, w, u = ctx.saved_tensors
        (steps, rows, _), size = x.shape, u.shape[1]
        d_gates = torch.empty_like(gates)
        views = (d_gates[..., : 2 * size], d_gates[..., :size], d_gates[..., 2 * size :])
        d_rows = list(
            zip(d_gates.view(steps, rows, 3, size)[:, :, 1:].unbind(), *(v.unbind() for v in views), strict=True)
        )
        d_carried, wide, masks = d_end, d_end.dtype, _unbind(live, steps)
        u_r_z, u_n = u.tensor_split([2 * size])
        times_u, times_u_n = _Product(u_r_z.t(), rows, steps), _Product(u_n.t(), rows, steps)
        for start, stop in reversed(_blocks(steps, rows * size)):
            block = slice(start, stop)
            factors, reset, keep = _GruBefore._factors(_wide(gates[block], d_end), _wide(states[block], d_end))
            d_hiddens = _wide(d_outputs[block], d_end)
            by_step = (v.unbind() for v in (d_hiddens, factors, reset, keep))
            for (d_z_n, d_r_z, d_r, d_n), mask, d_hidden, factor, r, z in reversed(
                list(zip(d_rows[block], masks[block], *by_step, strict=True))
            ):
                d_hidden.add_(d_carried)
                if mask is not None:
                    d_hidden.mul_(mask)
                torch.mul(d_hidden.unsqueeze(1), factor[:, 1:], out=d_z_n)
                d_reset = times_u_n(d_n).to(wide)
                torch.mul(d_reset, factor[:, 0], out=d_r)
                d_carried = times_u(d_r_z).to(wide).addcmul_(d_hidden, z).addcmul_(d_reset, r)
        flat = d_gates.view(steps * rows, -1)
        d_b = flat.sum(0)
        _, _, needs_x, _, needs_w, needs_u, *_ = ctx.needs_input_grad
        d_u = None
        if needs_u:
            d_r_z, d_n = flat.tensor_split([2 * size], dim=1)
            d_u = torch.cat([_weight_gradient(d_r_z, states[:-1]), _weight_gradient(d_n, resets)])
        return (
            None,
            None,
            torch.mm(flat, w).view_as(x) if needs_x else None,
            d_carried,
            _weight_gradient(flat, x) if needs_w else None,
            d_u,
            d_b,
            d_b,
        )

    @staticmethod
    def _factors(gates: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the derivatives, [steps, B, 3, H], of r * h by r's sum, of h' by z's and the candidate's; r; z.

        Both arguments are overwritten.
        """
        gates = gates.view(*h.shape[:2], 3, -1)
        r, z, n = gates.unbind(2)
        reset, keep = (gate.clone(memory_format=torch.contiguous_format) for gate in (r, z))
        _sigmoid_backward(h, r, grad_input=r)
        _sigmoid_backward(h.sub_(n), z, grad_input=z)
        _tanh_backward(torch.sub(1, keep, out=h), n, grad_input=n)
        return gates, reset, keep

"""Steppers compiled for a CPU: a step is a few calls of `kernels.py` instead of many small operations of torch.

Plain twins: `RecurrentStepper` and `TransformerStepper`. numba, which compiles the kernels, is an
optional dependency.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.errors import ConfigError
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.numba.products import Array, Floats, Weight, as_array, as_tensor
from seqgen.models.recurrent.model import LayerWeights, RecurrentModel
from seqgen.models.state import State
from seqgen.models.transformer.model import TransformerModel, TransformerState, position_frequencies
from seqgen.models.transformer.positions import rotary, sinusoids
from seqgen.models.transformer.stepper import Products, normalized_weight, select_written, stepper_weights

_LOCK = threading.Lock()
"""Some of numba's threading layers end the process when two threads call them."""


def compiled_recurrent_stepper(model: RecurrentModel, precision: StepperPrecision) -> Stepper:
    """Take a snapshot of the model's weights whose steps are compiled by numba; errors as of `_compile`."""
    return _compile(CompiledRecurrentStepper, model, precision)


def compiled_transformer_stepper(model: TransformerModel, precision: StepperPrecision) -> Stepper:
    """Do what `compiled_recurrent_stepper` does for a transformer."""
    return _compile(CompiledTransformerStepper, model, precision)


def _compile(make: Callable[..., Stepper], model: LanguageModel, precision: StepperPrecision) -> Stepper:
    """Make a stepper and take one step, which compiles it.

    Raises:
        ConfigError: numba is not installed or cannot write its cache, or the model is not on a CPU.
    """
    if model.device.type != "cpu":
        raise ConfigError(f"engine: numba compiles for a CPU, but this model is on {model.device}; use --engine torch")
    stepper = make(model, precision, _kernels())
    state = stepper.select(model.initial_state(1, 1), torch.zeros(1, dtype=torch.int64))
    stepper.step(torch.ones(1, dtype=torch.int64), state)  # compiles, and fills the cache
    return stepper


def _kernels() -> ModuleType:
    torch_threads = torch.get_num_threads()
    try:
        from seqgen.models.numba import kernels

        kernels.get_num_threads()  # starts its threads, or raises
    except ModuleNotFoundError as error:
        raise ConfigError("engine: numba is not installed; pip install numba, or use --engine torch") from error
    except (ImportError, ValueError) as error:  # ValueError: a bad setting in the environment
        raise ConfigError(f"engine: numba cannot be used here: {error}") from error
    except RuntimeError as error:  # numba found no cache directory
        raise _cache_error(error) from error
    finally:
        _restore_torch_threads(torch_threads)
    return kernels


def _restore_torch_threads(torch_threads: int) -> None:
    """Restore torch's number of threads, which numba changes in the OpenMP library that they share."""
    if torch.get_num_threads() != torch_threads:
        torch.set_num_threads(torch_threads)


def _cache_error(error: Exception) -> ConfigError:
    return ConfigError(
        f"engine: numba cannot write its cache: {error}; free some space, or set NUMBA_CACHE_DIR to another directory"
    )


def _array(weight: Tensor) -> Floats:
    """Copy a weight into an fp32 array."""
    array: Floats = weight.detach().float().clone().numpy()
    return array


class _Layer(NamedTuple):
    """A recurrent layer's products and biases."""

    x: Weight | None
    """None in the first layer, whose products are in a table by token."""
    h: Weight
    """For a GRU with the reset gate before the product, only the gates' part."""
    h_candidate: Weight | None
    bias: Floats | tuple[Floats, Floats]
    """The sum of both biases where they are only added; for a GRU with the reset gate after the product, each."""


class _CompiledStepper(Stepper):
    """A compiled stepper with its own number of threads. Steps change the state in place."""

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._threads = min(torch.get_num_threads(), kernels.MAX_THREADS)

    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        kernels = self._kernels
        with _LOCK, torch.no_grad():
            torch_threads, before = torch.get_num_threads(), kernels.get_num_threads()
            kernels.set_num_threads(self._threads)  # numba's setting belongs to the calling thread
            try:
                return self._step(token, state.detach(), starts)
            except OSError as error:  # writing the cache of a newly compiled kernel
                raise _cache_error(error) from error
            finally:
                kernels.set_num_threads(before)
                _restore_torch_threads(torch_threads)

    @abstractmethod
    def _step(self, token: Tensor, state: State, starts: Tensor | None) -> tuple[Tensor, State]:
        """Take a step on a state without gradients."""


class CompiledRecurrentStepper(_CompiledStepper):
    """RNN, LSTM and GRU."""

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: StepperPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._cell = model.cell
        if model.cell.kernel is None:
            raise ConfigError(f"engine: numba has no kernel for {model.config.form}; use --engine torch")
        self._step_kernel = getattr(kernels, model.cell.kernel)
        weights = [layer.weights for layer in model.recurrent_layers]
        self._table = _array(F.linear(model.embedding.weight, weights[0].w_ih))
        self._layers = [self._pack(layer, precision, first=depth == 0) for depth, layer in enumerate(weights)]
        self._head = Weight(model.head.weight, precision, kernels)
        self._head_bias = model.head.bias.float().clone()
        self._start = _array(model.start)

    def _pack(self, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> _Layer:
        w_ih, w_hh, b_ih, b_hh = weights
        gates, *candidates = (gates * w_hh.shape[1] for gates in self._cell.parts.values())
        return _Layer(
            x=None if first else Weight(w_ih, precision, self._kernels),
            h=Weight(w_hh[:gates], precision, self._kernels),
            h_candidate=Weight(w_hh[gates:], precision, self._kernels) if candidates else None,
            bias=(_array(b_ih), _array(b_hh)) if self._cell.keeps_sums_apart else _array(b_ih + b_hh),
        )

    def _step(self, token: Tensor, state: State, starts: Tensor | None) -> tuple[Tensor, State]:
        members = tuple(member.numpy() for member in state.tensors().values())
        x_sums = self._table[token.numpy()]
        x = np.zeros((len(x_sums), members[0].shape[2]), np.float32)
        for depth, layer in enumerate(self._layers):
            if layer.x is not None:
                x_sums = layer.x(x)
            self._step_layer(layer, x_sums, members, depth, x)
        if starts is not None:
            rows = starts.numpy()
            x[rows] = self._start
            for member in members:
                member[rows] = 0.0
        return as_tensor(self._head(x)).float() + self._head_bias, state

    def _step_layer(self, layer: _Layer, x_sums: Array, state: tuple[Floats, ...], depth: int, x: Floats) -> None:
        """Step a layer's state in place, and add its output to x [B, H]."""
        h_sums = layer.h(np.ascontiguousarray(state[0][:, depth]))
        if layer.h_candidate is None:
            self._step_kernel(x_sums, h_sums, layer.bias, state, depth, x)
            return
        seen = np.empty_like(x)
        self._kernels.reset(x_sums, h_sums, layer.bias, state, depth, seen)
        self._step_kernel(x_sums, h_sums, layer.h_candidate(seen), layer.bias, state, depth, x)


class CompiledTransformerStepper(_CompiledStepper):
    """The transformer, block by block."""

    @torch.no_grad()
    def __init__(self, model: TransformerModel, precision: StepperPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._config = model.config
        self._frequencies = position_frequencies(model.config, model.device)
        self._kept = torch.float32 if precision == "fp32" else torch.bfloat16  # keys and values
        self._embedding = _array(model.embedding.weight)
        self._blocks = [
            Products(*(Weight(weight, precision, kernels) for weight in stepper_weights(block)))
            for block in model.blocks
        ]
        self._head = Weight(normalized_weight(model.norm, model.head), precision, kernels)

    def select(self, state: State, index: Tensor) -> State:
        """Copy rows with keys and values in bf16, unless the precision is fp32; `step` takes either."""
        return select_written(cast("TransformerState", state), index, self._kept)

    def _step(self, token: Tensor, state: State, starts: Tensor | None) -> tuple[Tensor, State]:
        at = cast("TransformerState", state).starting(starts)
        relative = (at.position - at.begin)[:, None]
        added: Array = self._embedding[token.numpy()]
        if self._config.positions == "sinusoidal":
            added += sinusoids(relative, self._frequencies)[:, 0].float().numpy()
        x = np.zeros_like(added)
        place = at.position.numpy(), at.begin.numpy(), *self._rotation(relative)
        for block, (keys, values) in zip(self._blocks, at.by_layer, strict=True):
            added = self._step_block(block, x, added, (as_array(keys), as_array(values), *place))
        logits = self._head(self._normalize_for(x, added, self._head))
        return as_tensor(logits).float(), at.moved(at.position + 1, at.begin)

    def _rotation(self, relative: Tensor) -> tuple[Floats, Floats]:
        """Return cosines and sines of the rotary angles, [B, D / 2], of width 0 without them."""
        if self._config.positions != "rope":
            none = np.empty((len(relative), 0), np.float32)
            return none, none
        cos, sin = rotary(relative, self._frequencies)
        return cos[:, 0, 0].float().numpy(), sin[:, 0, 0].float().numpy()

    def _step_block(self, block: Products[Weight], x: Floats, added: Array, place: tuple[Any, ...]) -> Array:
        """Run a block on x + added [B, H] in place, and return what is still to be added."""
        kernels, rows = self._kernels, len(x)
        layout = [weight.layout(rows) for weight in block]
        if None not in layout:
            weights, scales = zip(*layout, strict=True)
            compiled: Array = kernels.block(x, added, weights, scales, self._config.norm_epsilon, place)
            return compiled
        products = block.query_key_value(self._normalize_for(x, added, block.query_key_value))
        found = block.attention_output.input(rows)
        kernels.attend(products.reshape(rows, 3, self._config.heads, -1), place, found)
        gate_up = block.gate_up(self._normalize_for(x, block.attention_output(found), block.gate_up))
        gated = block.down.input(rows)
        kernels.swiglu(gate_up, gated)
        return block.down(gated)

    def _normalize_for(self, x: Floats, added: Array, follows: Weight) -> Array:
        """Compute x [B, H] += added, and normalize it for the product that follows."""
        normed = follows.input(len(x))
        self._kernels.add_and_normalize(x, added, self._config.norm_epsilon, normed)
        return normed

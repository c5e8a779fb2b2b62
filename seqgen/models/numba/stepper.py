"""Decoders compiled for a CPU: a step is a few calls of `kernels.py`, in place of many small operations of torch.

The plain steppers beside the models are what these are held against. numba, which compiles them, is optional.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.errors import ConfigError
from seqgen.models.base import LanguageModel, State, Stepper
from seqgen.models.numba.products import Array, Floats, Weight, plain, tensor
from seqgen.models.recurrent import LayerWeights, RecurrentModel, layer_weights
from seqgen.models.registry import GruConfig
from seqgen.models.transformer import (
    NORM_EPSILON,
    Products,
    TransformerModel,
    by_layer,
    check_positions,
    head_weight,
    position_frequencies,
    rotary,
    select_written,
    sinusoids,
    stepper_weights,
)

_ONE_AT_A_TIME = threading.Lock()
"""Not every threading layer of numba's can be called by two threads: one of them ends the process."""


def compiled_stepper(model: LanguageModel, precision: StepperPrecision = "fp32") -> Stepper:
    """A snapshot of the model's weights whose steps are compiled by numba.

    Raises:
        ConfigError: numba is not installed or has nowhere to keep what it compiles, or the model is not on a CPU.
    """
    if model.device.type != "cpu":
        raise ConfigError(f"engine: numba compiles for a CPU, and this model is on {model.device}; go with torch")
    kernels = _kernels()
    stepper = _of(model, precision, kernels)
    state = stepper.select(model.initial_state(1, 1), torch.zeros(1, dtype=torch.int64))
    stepper.step(torch.ones(1, dtype=torch.int64), state)  # which compiles, and fills the cache
    return stepper


def _kernels() -> ModuleType:
    torchs = torch.get_num_threads()
    try:
        from seqgen.models.numba import kernels

        kernels.get_num_threads()  # which starts its threads, if they can be
    except ModuleNotFoundError as error:
        raise ConfigError("engine: numba is not installed; pip install numba, or go with torch") from error
    except (ImportError, ValueError) as error:  # the second is what it says of its settings in the environment
        raise ConfigError(f"engine: numba cannot be used here: {error}") from error
    except RuntimeError as error:  # which is what numba says where it finds no directory
        raise _cache_error(error) from error
    finally:
        _restore_torch_threads(torchs)
    return kernels


def _restore_torch_threads(torchs: int) -> None:
    """Let torch have as many threads as before: numba, asked for its own, starts the OpenMP that they share."""
    if torch.get_num_threads() != torchs:
        torch.set_num_threads(torchs)


def _cache_error(error: Exception) -> ConfigError:
    return ConfigError(
        f"engine: numba cannot keep what it compiles: {error}; make room, or name a directory by NUMBA_CACHE_DIR"
    )


def _of(model: LanguageModel, precision: StepperPrecision, kernels: ModuleType) -> Stepper:
    if isinstance(model, RecurrentModel):
        return CompiledRecurrentStepper(model, precision, kernels)
    return CompiledTransformerStepper(cast("TransformerModel", model), precision, kernels)


def _array(weight: Tensor) -> Floats:
    """A copy as numpy has it."""
    array: Floats = weight.detach().float().clone().numpy()
    return array


class _Layer(NamedTuple):
    """A recurrent layer's products, and the biases of their sums."""

    x: Weight | None
    """None in the first layer, of whose products there is a table."""
    h: Weight
    """Of a gru with the reset gate before the product: the gates' part."""
    h_candidate: Weight | None
    x_bias: Floats
    """That of all sums, where the two are only ever added."""
    h_bias: Floats


class _CompiledStepper(Stepper):
    """What every compiled stepper does about threads; the state changes in place."""

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._threads = min(torch.get_num_threads(), kernels.MAX_THREADS)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        kernels = self._kernels
        with _ONE_AT_A_TIME, torch.no_grad():
            torchs, before = torch.get_num_threads(), kernels.get_num_threads()
            kernels.set_num_threads(self._threads)  # numba's setting is one of the thread that calls
            try:
                return self._step(token, tuple(member.detach() if member.requires_grad else member for member in state))
            except OSError as error:  # of what it compiles for a first step, or for the first of many rows
                raise _cache_error(error) from error
            finally:
                kernels.set_num_threads(before)
                _restore_torch_threads(torchs)

    @abstractmethod
    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """`step` on a state without gradients."""


class CompiledRecurrentStepper(_CompiledStepper):
    """rnn, lstm and gru."""

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: StepperPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._reset_before = isinstance(model.config, GruConfig) and model.config.gru_reset == "before"
        self._cell = model.config.cell
        weights = [layer_weights(layer) for layer in model.layers]
        self._table = _array(F.linear(model.embedding.weight, weights[0].w_ih))
        self._layers = [self._pack(layer, precision, first=depth == 0) for depth, layer in enumerate(weights)]
        self._head = Weight(model.head.weight, precision, kernels)
        self._head_bias = model.head.bias.float().clone()

    def _pack(self, weights: LayerWeights, precision: StepperPrecision, *, first: bool) -> _Layer:
        w_ih, w_hh, b_ih, b_hh = weights
        gates = 2 * w_hh.shape[1] if self._reset_before else len(w_hh)
        apart = self._cell == "gru" and not self._reset_before
        return _Layer(
            x=None if first else Weight(w_ih, precision, self._kernels),
            h=Weight(w_hh[:gates], precision, self._kernels),
            h_candidate=Weight(w_hh[gates:], precision, self._kernels) if self._reset_before else None,
            x_bias=_array(b_ih if apart else b_ih + b_hh),
            h_bias=_array(b_hh),
        )

    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        members = tuple(member.numpy() for member in state)
        x_sums = self._table[token.numpy()]
        x = np.zeros((len(x_sums), members[0].shape[2]), np.float32)
        for depth, layer in enumerate(self._layers):
            if layer.x is not None:
                x_sums = layer.x(x)
            self._advance(layer, x_sums, members, depth, x)
        return tensor(self._head(x)).float() + self._head_bias, state

    def _advance(self, layer: _Layer, x_sums: Array, state: tuple[Floats, ...], depth: int, x: Floats) -> None:
        """A layer's state after the step, in place, and added to x [B, H]."""
        kernels = self._kernels
        h_sums = layer.h(np.ascontiguousarray(state[0][:, depth]))
        if layer.h_candidate is not None:
            seen = np.empty_like(x)
            kernels.reset(x_sums, h_sums, layer.x_bias, state, depth, seen)
            kernels.step_gru_before(x_sums, h_sums, layer.h_candidate(seen), layer.x_bias, state, depth, x)
        elif self._cell == "gru":
            kernels.step_gru_after(x_sums, h_sums, (layer.x_bias, layer.h_bias), state, depth, x)
        elif self._cell == "lstm":
            kernels.step_lstm(x_sums, h_sums, layer.x_bias, state, depth, x)
        else:
            kernels.step_rnn(x_sums, h_sums, layer.x_bias, state, depth, x)


class CompiledTransformerStepper(_CompiledStepper):
    """The blocks one after the other."""

    @torch.no_grad()
    def __init__(self, model: TransformerModel, precision: StepperPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._config = model.config
        self._frequencies = position_frequencies(model)
        self._kept = torch.float32 if precision == "fp32" else torch.bfloat16  # keys and values
        self._embedding = _array(model.embedding.weight)
        self._blocks = [
            Products(*(Weight(weight, precision, kernels) for weight in stepper_weights(block)))
            for block in model.blocks
        ]
        self._head = Weight(head_weight(model), precision, kernels)

    def select(self, state: State, index: Tensor) -> State:
        """Keys and values in bf16, unless the precision is fp32; `step` takes either."""
        return select_written(state, index, self._kept)

    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        *caches, position, begin = state
        relative = (position - begin)[:, None]
        check_positions(relative, self._config)
        added: Array = self._embedding[token.numpy()]
        if self._config.positions == "sinusoidal":
            added += sinusoids(relative, self._frequencies)[:, 0].numpy()
        x = np.zeros_like(added)
        place = position.numpy(), begin.numpy(), *self._rotation(relative)
        for block, (keys, values) in zip(self._blocks, by_layer(caches), strict=True):
            added = self._advance(block, x, added, (plain(keys), plain(values), *place))
        logits = self._head(self._normalize_for(x, added, self._head))
        return tensor(logits).float(), (*caches, position + 1, begin)

    def _rotation(self, relative: Tensor) -> tuple[Floats, Floats]:
        """Cosines and sines of the rotary angles, [B, D / 2]; of width 0 without them."""
        if self._config.positions != "rope":
            none = np.empty((len(relative), 0), np.float32)
            return none, none
        cos, sin = rotary(relative, self._frequencies)
        return cos[:, 0, 0].numpy(), sin[:, 0, 0].numpy()

    def _advance(self, block: Products[Weight], x: Floats, added: Array, place: tuple[Any, ...]) -> Array:
        """A block on x + added [B, H]: all but its last addition is made, in place; what that adds comes back."""
        kernels, rows = self._kernels, len(x)
        laid_out = [weight.laid_out(rows) for weight in block]
        if None not in laid_out:
            weights, scales = zip(*laid_out, strict=True)
            compiled: Array = kernels.block(x, added, weights, scales, NORM_EPSILON, place)
            return compiled
        products = block.query_key_value(self._normalize_for(x, added, block.query_key_value))
        found = block.attention_output.input(rows)
        kernels.attend(products.reshape(rows, 3, self._config.heads, -1), place, found)
        gate_up = block.gate_up(self._normalize_for(x, block.attention_output(found), block.gate_up))
        gated = block.down.input(rows)
        kernels.swiglu(gate_up, gated)
        return block.down(gated)

    def _normalize_for(self, x: Floats, added: Array, follows: Weight) -> Array:
        """x [B, H] += added, normalized for the product that follows."""
        normed = follows.input(len(x))
        self._kernels.add_and_normalize(x, added, NORM_EPSILON, normed)
        return normed

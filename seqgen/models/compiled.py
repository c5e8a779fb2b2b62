"""Decoders compiled for a CPU: a step is a few calls of `kernels.py`, in place of many small operations of torch.

The plain decoders beside the models are what these are held against. numba, which compiles them, is optional.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from types import ModuleType
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.errors import ConfigError
from seqgen.models.config import GruConfig
from seqgen.models.language_model import Decoder, LanguageModel, State
from seqgen.models.packed import quantised
from seqgen.models.recurrent import LayerWeights, RecurrentModel, layer_weights
from seqgen.models.transformer import (
    NORM_EPSILON,
    Products,
    TransformerModel,
    by_layer,
    check_positions,
    decoder_weights,
    head_weight,
    rotary,
    sinusoids,
)
from seqgen.runtime import DecoderPrecision

Floats = npt.NDArray[np.float32]
_ONE_AT_A_TIME = threading.Lock()
"""Not every threading layer of numba's can be called by two threads: one of them ends the process."""


def compiled_decoder(model: LanguageModel, precision: DecoderPrecision = "fp32") -> Decoder:
    """A snapshot of the model's weights whose steps are compiled by numba.

    Raises:
        ConfigError: numba is not installed or has nowhere to keep what it compiles, or the model is not on a CPU.
    """
    if model.device.type != "cpu":
        raise ConfigError(f"engine: numba compiles for a CPU, and this model is on {model.device}; go with torch")
    try:
        from seqgen.models import kernels

        decoder = _of(model, precision, kernels)
        decoder.step(torch.ones(1, dtype=torch.int64), model.initial_state(1, 1))  # which compiles, and fills the cache
    except ModuleNotFoundError as error:
        raise ConfigError("engine: numba is not installed; pip install numba, or go with torch") from error
    except ImportError as error:
        raise ConfigError(f"engine: numba cannot be used here: {error}") from error
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"engine: numba cannot keep what it compiles: {error}; make room, or name a directory by NUMBA_CACHE_DIR"
        ) from error
    return decoder


def _of(model: LanguageModel, precision: DecoderPrecision, kernels: ModuleType) -> Decoder:
    if isinstance(model, RecurrentModel):
        return CompiledRecurrent(model, precision, kernels)
    return CompiledTransformer(cast("TransformerModel", model), precision, kernels)


def _array(tensor: Tensor) -> Floats:
    """A copy as numpy has it."""
    array: Floats = tensor.detach().float().clone().numpy()
    return array


class Weight:
    """x fp32 [B, K] -> x W^T, fp32 [B, N], in the precisions of `packed.DecoderLinear`; here x is never rounded."""

    def __init__(self, weight: Tensor, precision: DecoderPrecision, kernels: ModuleType) -> None:
        self._multiply = kernels.multiply
        self._columns = len(weight)
        weight = F.pad(weight.detach().float(), (0, 0, 0, -len(weight) % kernels.TILE))
        scale = torch.ones(len(weight))
        if precision == "int8":
            weight, scale = quantised(weight)
            weight = weight.to(torch.int8)
        elif precision == "bf16":
            weight = weight.to(torch.bfloat16).view(torch.int16)
        array: npt.NDArray[Any] = weight.clone(memory_format=torch.contiguous_format).numpy()
        self._weight = array.view(np.uint16) if precision == "bf16" else array
        self._scale: Floats = scale.numpy()

    def __call__(self, x: Floats, bias: Floats | None = None) -> Floats:
        """The product, and a bias [N]."""
        out = np.zeros((len(x), self._columns), np.float32)
        if bias is not None:
            out += bias
        return self.add(x, out)

    def add(self, x: Floats, out: Floats) -> Floats:
        """The product, added to `out` in place."""
        self._multiply(x, self._weight, self._scale, out)
        return out


class _Layer(NamedTuple):
    """A recurrent layer's products. The first one's input product is a row of the table."""

    x: Weight | None
    h: Weight
    """Of a gru with the reset gate before the product: the gates' part."""
    h_candidate: Weight | None
    x_bias: Floats
    h_bias: Floats


class _Compiled(Decoder):
    """What every compiled decoder does about threads; the state changes in place."""

    def __init__(self, kernels: ModuleType) -> None:
        self._kernels = kernels
        self._threads = min(torch.get_num_threads(), kernels.MOST_THREADS)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        kernels = self._kernels
        with _ONE_AT_A_TIME, torch.no_grad():
            torchs, before = torch.get_num_threads(), kernels.get_num_threads()
            kernels.set_num_threads(self._threads)  # numba's setting is one of the thread that calls
            try:
                return self._step(token, tuple(member.detach() for member in state))
            finally:
                kernels.set_num_threads(before)
                if torch.get_num_threads() != torchs:  # numba, asked for its own, starts the OpenMP that they share
                    torch.set_num_threads(torchs)

    @abstractmethod
    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """`step` on a state without gradients."""


class CompiledRecurrent(_Compiled):
    """rnn, lstm and gru."""

    @torch.no_grad()
    def __init__(self, model: RecurrentModel, precision: DecoderPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._reset_before = isinstance(model.config, GruConfig) and model.config.gru_reset == "before"
        self._cell = model.config.cell
        weights = [layer_weights(layer) for layer in model.layers]
        self._table = _array(F.linear(model.embedding.weight, weights[0].w_ih))
        self._layers = [self._pack(layer, precision, first=depth == 0) for depth, layer in enumerate(weights)]
        self._head = Weight(model.head.weight, precision, kernels)
        self._head_bias = _array(model.head.bias)

    def _pack(self, weights: LayerWeights, precision: DecoderPrecision, *, first: bool) -> _Layer:
        w_ih, w_hh, b_ih, b_hh = weights
        gates = 2 * w_hh.shape[1] if self._reset_before else len(w_hh)
        return _Layer(
            x=None if first else Weight(w_ih, precision, self._kernels),
            h=Weight(w_hh[:gates], precision, self._kernels),
            h_candidate=Weight(w_hh[gates:], precision, self._kernels) if self._reset_before else None,
            x_bias=_array(b_ih if self._cell == "gru" and not self._reset_before else b_ih + b_hh),
            h_bias=_array(b_hh),
        )

    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        members = tuple(member.numpy() for member in state)
        x = self._table[token.numpy()]
        for depth, layer in enumerate(self._layers):
            x_sums = x + layer.x_bias if layer.x is None else layer.x(x, layer.x_bias)
            out = np.zeros((len(x), members[0].shape[2]), np.float32) if layer.x is None else x
            self._advance(layer, x_sums, members, depth, out)
            x = out
        return torch.from_numpy(self._head(x, self._head_bias)), state

    def _advance(self, layer: _Layer, x_sums: Floats, state: tuple[Floats, ...], depth: int, out: Floats) -> None:
        """A layer's state after the step, in place, and added to `out` [B, H]."""
        kernels, hidden = self._kernels, np.ascontiguousarray(state[0][:, depth])
        if self._cell == "gru" and layer.h_candidate is None:
            kernels.step_gru_after(x_sums, layer.h(hidden, layer.h_bias), state, depth, out)
            return
        sums = layer.h.add(hidden, x_sums)
        if layer.h_candidate is not None:
            n_sums = layer.h_candidate(kernels.reset(sums, state, depth))
            kernels.step_gru_before(sums, n_sums, state, depth, out)
        elif self._cell == "lstm":
            kernels.step_lstm(sums, state, depth, out)
        else:
            kernels.step_rnn(sums, state, depth, out)


class CompiledTransformer(_Compiled):
    """The blocks one after the other."""

    @torch.no_grad()
    def __init__(self, model: TransformerModel, precision: DecoderPrecision, kernels: ModuleType) -> None:
        super().__init__(kernels)
        self._config = model.config

        self._embedding = _array(model.embedding.weight)
        self._blocks = [
            Products(*(Weight(weight, precision, kernels) for weight in decoder_weights(block)))
            for block in model.blocks
        ]
        self._head = Weight(head_weight(model), precision, kernels)

    def _step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        *caches, position, begin = state
        x = self._embedding[token.numpy()]
        relative = (position - begin)[:, None]
        check_positions(relative, self._config)
        if self._config.positions == "sinusoidal":
            x += sinusoids(relative, self._config.hidden_size)[:, 0].numpy()
        place = position.numpy(), begin.numpy(), *self._rotation(relative)
        for block, (keys, values) in zip(self._blocks, by_layer(caches), strict=True):
            self._advance(block, x, keys.numpy(), values.numpy(), place)
        logits = self._head(self._kernels.normalise(x, NORM_EPSILON))
        return torch.from_numpy(logits), (*caches, position + 1, begin)

    def _rotation(self, relative: Tensor) -> tuple[Floats, Floats]:
        """Cosines and sines of the rotary angles, [B, D / 2]; of width 0 without them."""
        if self._config.positions != "rope":
            none = np.empty((len(relative), 0), np.float32)
            return none, none
        cos, sin = rotary(relative, self._config.hidden_size // self._config.heads)
        return cos[:, 0, 0].numpy(), sin[:, 0, 0].numpy()

    def _advance(
        self, block: Products[Weight], x: Floats, keys: Floats, values: Floats, place: tuple[Any, ...]
    ) -> None:
        """A block on x [B, H], in place; its keys and values [B, heads, ring, D] get the new token's."""
        kernels = self._kernels
        products = block.query_key_value(kernels.normalise(x, NORM_EPSILON))
        products = products.reshape(len(x), 3, self._config.heads, -1)
        block.attention_output.add(kernels.attend(products, keys, values, *place), x)
        gate_up = block.gate_up(kernels.normalise(x, NORM_EPSILON))
        block.down.add(kernels.swiglu(gate_up), x)

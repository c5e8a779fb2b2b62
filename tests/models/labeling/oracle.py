"""Labelers written as loops over tokens and heads, for one source: what the models are compared with."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.models.recurrent.model import RecurrentLayer


def step(layer: RecurrentLayer, x: Tensor, states: list[Tensor]) -> list[Tensor]:
    """Return the states of a cell after one input [E]; equations of Elman, of Hochreiter and of Cho."""
    w_ih, w_hh, b_ih, b_hh = layer.weights
    inputs, recurrent = w_ih @ x + b_ih, w_hh @ states[0] + b_hh
    if layer.cell.gates == 1:
        return [torch.tanh(inputs + recurrent)]
    if layer.cell.gates == 4:
        i, f, g, o = (inputs + recurrent).chunk(4)
        cell = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g)
        return [torch.sigmoid(o) * torch.tanh(cell), cell]
    (r_x, z_x, n_x), (r_h, z_h, n_h) = inputs.chunk(3), recurrent.chunk(3)
    reset, update = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    new = torch.tanh(n_x + reset * n_h)
    return [(1 - update) * new + update * states[0]]


def read(layer: RecurrentLayer, inputs: list[Tensor]) -> list[Tensor]:
    size = layer.weight_hh_l0.shape[1]
    states = [inputs[0].new_zeros(size) for _ in range(layer.cell.members)]
    outputs = []
    for x in inputs:
        states = step(layer, x, states)
        outputs.append(states[0])
    return outputs


def recurrent_outputs(model, ids: list[int]) -> list[Tensor]:
    """Return the outputs of a recurrent labeler for one source."""
    one_way_tagger = hasattr(model, "start")
    layers = list(model.layers if one_way_tagger else model.encoder.layers)
    ways = 1 if one_way_tagger else model.encoder.directions
    stream = [model.embedding.weight[one] for one in ids]
    for depth in range(len(layers) // ways):
        made = read(layers[depth * ways], stream)
        if ways == 2:
            backward = read(layers[depth * ways + 1], stream[::-1])[::-1]
            made = [torch.cat(pair) for pair in zip(made, backward, strict=True)]
        stream = [a + b for a, b in zip(stream, made, strict=True)] if depth else made
    return stream


def normalized(x: Tensor, norm) -> Tensor:
    return x / torch.sqrt((x * x).mean() + norm.eps) * norm.weight


def turned(x: Tensor, position: int, base: float) -> Tensor:
    """Rotate the halves of a head's vector by angles that grow with the position (Su et al. 2021)."""
    half = len(x) // 2
    angles = [position * base ** (-index / half) for index in range(half)]
    first = [x[i] * math.cos(a) - x[half + i] * math.sin(a) for i, a in enumerate(angles)]
    second = [x[half + i] * math.cos(a) + x[i] * math.sin(a) for i, a in enumerate(angles)]
    return torch.stack(first + second)


def wave(position: int, size: int, base: float) -> Tensor:
    half = size // 2
    angles = [position * base ** (-index / half) for index in range(half)]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)


def transformer_outputs(model, ids: list[int]) -> list[Tensor]:
    """Return the outputs of a transformer labeler for one source."""
    config = model.config
    size = config.hidden_size // config.heads
    stream = [model.embedding.weight[one] * math.sqrt(config.hidden_size) for one in ids]
    if config.positions == "sinusoidal":
        stream = [x + wave(at, config.hidden_size, config.position_base) for at, x in enumerate(stream)]
    for block in model.encoder.blocks:
        inputs = [normalized(x, block.attention_norm) for x in stream]
        mixed = []
        for at, x in enumerate(inputs):
            heads = []
            for head in range(config.heads):
                part = slice(head * size, (head + 1) * size)
                query = (block.query.weight @ x)[part]
                keys = [(block.key.weight @ y)[part] for y in inputs]
                if config.positions == "rope":
                    query = turned(query, at, config.position_base)
                    keys = [turned(key, place, config.position_base) for place, key in enumerate(keys)]
                weights = torch.stack([query @ key / math.sqrt(size) for key in keys]).softmax(0)
                heads.append(sum(w * (block.value.weight @ y)[part] for w, y in zip(weights, inputs, strict=True)))
            mixed.append(stream[at] + block.attention_output.weight @ torch.cat(heads))
        stream = []
        for x in mixed:
            y = normalized(x, block.feed_forward_norm)
            stream.append(x + block.down.weight @ (F.silu(block.gate.weight @ y) * (block.up.weight @ y)))
    return [normalized(x, model.encoder.norm) for x in stream]


def pooled(model, outputs: list[Tensor]) -> Tensor:
    config = model.config
    if config.pool == "mean":
        return sum(outputs) / len(outputs)
    if config.pool == "last":
        if not getattr(config, "two_way", False):
            return outputs[-1]
        half = config.hidden_size // 2
        return torch.cat([outputs[-1][:half], outputs[0][half:]])
    scores = []
    for x in outputs:
        key = torch.tanh(model.pool.key.weight @ x + model.pool.key.bias)
        scores.append(model.pool.score.weight[0] @ key)
    weights = torch.stack(scores).softmax(0)
    return sum(w * x for w, x in zip(weights, outputs, strict=True))


def oracle_logits(model, ids: list[int]) -> list[Tensor]:
    """Return the logits of the label, or of the tag at each token."""
    read_by = transformer_outputs if model.config.name == "transformer" else recurrent_outputs
    outputs = read_by(model, ids)
    hidden = [pooled(model, outputs)] if model.config.cell.endswith("-classify") else outputs
    bias = 0 if model.head.bias is None else model.head.bias
    return [model.head.weight @ x + bias for x in hidden]

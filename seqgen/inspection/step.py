"""Step through a short text: the equations of a cell in numbers, and the distribution over the next token.

The equations are those of `models/recurrent/cells.py`. The model is run in fp64, so that they hold to the last digit
shown. A transformer has its attention in their place.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from seqgen.device import evaluation_mode
from seqgen.errors import ConfigError
from seqgen.inspection.trace import encode_whole
from seqgen.models.base import NeuralModel
from seqgen.models.recurrent.model import RecurrentModel
from seqgen.models.transformer.model import TransformerModel
from seqgen.runs.text import TextRun
from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation of a cell, for one unit at one token."""

    symbol: str
    """What it computes: `f`, `c'`; a prime is the state after the token."""
    template: str
    """The right side, each of its numbers by name in braces: `{f} * {c} + {i} * {g}`."""
    numbers: Mapping[str, float]
    """By name, in their order in the template."""
    value: float
    """The result, as the model's own trace has it."""
    compute: Callable[..., float]
    """The right side as a function of the numbers, in their order."""

    @property
    def formula(self) -> str:
        """The right side with names: `f * c + i * g`."""
        return self.template.format_map({name: name for name in self.numbers})


@dataclass(frozen=True)
class NextToken:
    """The distribution over the token that follows."""

    top: list[tuple[str, float]]
    """The most probable tokens, the first the most, each with its probability."""
    actual: str | None
    """The token that does follow; None after the last."""
    nats: float | None
    """-ln of its probability."""


@dataclass(frozen=True, eq=False)
class UnitSteps:
    """The equations of one unit at each token."""

    layer: int
    unit: int
    equations: list[list[Equation]]


@dataclass(frozen=True, eq=False)
class TextSteps:
    """A text of N tokens, step by step."""

    cell: str
    tokens: list[str]
    """N; a byte that is not a character is written as an escape."""
    next_tokens: list[NextToken]
    """N + 1: before the first token, and after each."""
    units: list[UnitSteps]
    """Of a recurrent model: the chosen unit first, then those that change most."""
    attention: Values | None
    """Of a transformer: how much each token attends to the start of the document, the tokens so far and itself.

    [layers, N, N + 1], the mean over the heads.
    """


def step_text(
    run: TextRun, text: str, *, layer: int | None = None, unit: int | None = None, units: int = 1, top: int = 5
) -> TextSteps:
    """Step through one document from its start.

    Args:
        run: a run of a recurrent model or a transformer; of a mixture the member, by `neural_part`.
        text: the document. Every token of it takes memory for the whole vocabulary.
        layer: the layer of the units, from 0; None is any.
        unit: the first unit, from 0; None is the unit whose hidden state changes most from token to token.
        units: how many units to return; the others are those that change most.
        top: how many of the most probable next tokens to return.

    Raises:
        ConfigError: the model has no such layer or unit, or is of a family that has no steps.
        TextError: the text is empty, or longer than the model's positions.
    """
    if not isinstance(run.model, RecurrentModel | TransformerModel):
        raise ConfigError(
            f"{run.path} is a model of {run.config.model.cell}, which carries no state from token to token "
            "and has no attention; name a run of a recurrent cell or a transformer"
        )
    if not isinstance(run.model, RecurrentModel) and (layer, unit) != (None, None):
        raise ConfigError(
            f"{'unit' if layer is None else 'layer'}: {run.path} is a model of {run.config.model.cell}, which has no "
            "recurrent units; leave it out"
        )
    ids = encode_whole(run, text)
    model = copy.deepcopy(run.model).cpu().double()
    trace = _trace(model, ids)
    found: list[UnitSteps] = []
    attention = None
    if isinstance(model, RecurrentModel):
        chosen = _choose_units(run, _changes(model, trace), layer, unit, units)
        found = [UnitSteps(*place, list(_steps(model, trace, *place))) for place in chosen]
    else:
        attention = np.stack([trace[f"layers.{depth}.attention"][1:].mean(1) for depth in range(len(model.layers))])
    tokens = [run.tokenizer.token_name(token) for token in ids.tolist()]
    return TextSteps(
        run.config.model.cell, tokens, _next_tokens(run.tokenizer, ids, trace["logits"], top), found, attention
    )


def _trace(model: NeuralModel, ids: Ids) -> dict[str, Values]:
    """Return all that the model computes at the boundary and at each token, [N + 1, ...] each."""
    tokens = torch.from_numpy(np.concatenate([[BOUNDARY], ids]).astype(np.int64))[None]
    with evaluation_mode(model):
        return {name: value[0].numpy() for name, value in model.trace(tokens, starts=tokens == BOUNDARY).items()}


def _next_tokens(tokenizer: Tokenizer, ids: Ids, logits: Values, top: int) -> list[NextToken]:
    """Return the distribution after the boundary and after each token, from logits [N + 1, V]."""
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    found = []
    for row, actual in zip(logs, [*ids.tolist(), None], strict=True):
        best = np.argsort(-row, kind="stable")[:top].tolist()
        likely = [(tokenizer.token_name(token), math.exp(row[token])) for token in best]
        name, nats = (None, None) if actual is None else (tokenizer.token_name(actual), -float(row[actual]))
        found.append(NextToken(likely, name, nats))
    return found


def _changes(model: RecurrentModel, trace: Mapping[str, Values]) -> Values:
    """Return the mean change of each unit's hidden state from token to token, [layers, H]."""
    hidden = np.stack([trace[f"layers.{layer}.hidden"] for layer in range(model.config.layers)], 1)
    change: Values = np.abs(np.diff(hidden, axis=0)).mean(0)
    return change


def _choose_units(
    run: TextRun, changes: Values, layer: int | None, unit: int | None, count: int
) -> list[tuple[int, int]]:
    """Return the layer and the number of `count` units, the chosen one first."""
    layers, size = changes.shape
    for name, value, number in (("layer", layer, layers), ("unit", unit, size)):
        if value is not None and not 0 <= value < number:
            raise ConfigError(f"{name}: {run.path} has {name}s 0 to {number - 1:,}, not {value:,}")
    if unit is not None and layer is None and layers > 1:
        raise ConfigError(f"unit: {run.path} has {layers} layers; name the one of the unit with --layer")
    chosen = [] if unit is None else [(layer or 0, unit)]
    ordered = [divmod(place, size) for place in np.argsort(-changes, axis=None, kind="stable").tolist()]
    others = [place for place in ordered if layer in {None, place[0]} and place not in chosen]
    return [*chosen, *others][:count]


class StepNumbers(NamedTuple):
    """The numbers of a unit at one token."""

    x: list[float]
    """The product of the input with the matrix of each gate, without a bias."""
    u: list[float]
    """The same of the state."""
    b_x: list[float]
    """The bias of each gate that is added to x; the sum of both biases, if an equation has one."""
    b_u: list[float]
    before: dict[str, float]
    """The states before the token, by the names of the trace."""
    after: dict[str, float]
    """The states after it, and the gates."""


def _steps(model: RecurrentModel, trace: Mapping[str, Values], layer: int, unit: int) -> Iterator[list[Equation]]:
    """Yield the equations of a unit at each token."""
    cell, weights = model.cell, model.recurrent_layers[layer].weights
    names = [name for name in trace if name.startswith(f"layers.{layer}.")]
    values = {name.rpartition(".")[2]: trace[name] for name in names}
    rows = torch.arange(cell.gates) * model.config.hidden_size + unit
    w_x, w_u, b_x, b_u = (weight.detach()[rows].numpy() for weight in weights)
    inputs, hidden = trace[f"stream.{layer - 1}" if layer else "embedded"][1:], values["hidden"][:-1]
    x, u = inputs @ w_x.T, hidden @ w_u.T  # [N, gates]
    if "candidate" in cell.parts:  # the reset gate is applied before the product
        u[:, -1] = (values["reset"][1:] * hidden) @ w_u[-1]
    for number in range(len(x)):
        before, after = (
            {name: float(value[place, unit]) for name, value in values.items()} for place in (number, number + 1)
        )
        step = StepNumbers(x[number].tolist(), u[number].tolist(), b_x.tolist(), b_u.tolist(), before, after)
        yield EQUATIONS[model.config.form](step)


def _sigmoid(x: float) -> float:
    return (1 + math.tanh(x / 2)) / 2


def _sigmoid_of_sum(*terms: float) -> float:
    return _sigmoid(sum(terms))


def _tanh_of_sum(*terms: float) -> float:
    return math.tanh(sum(terms))


def _relu_of_sum(*terms: float) -> float:
    return max(sum(terms), 0.0)


FUNCTIONS = {"sigmoid": _sigmoid_of_sum, "tanh": _tanh_of_sum, "relu": _relu_of_sum}


def _sum(step: StepNumbers, gate: int, symbol: str, function: str, name: str, index: str = "") -> Equation:
    """Return the equation of a gate: a function of the products and the bias, whose names have the index `index`."""
    numbers = {
        f"W{index} x": step.x[gate],
        f"U{index} h": step.u[gate],
        f"b{index}": step.b_x[gate] + step.b_u[gate],
    }
    template = f"{function}({{W{index} x}} + {{U{index} h}} + {{b{index}}})"
    return Equation(symbol, template, numbers, step.after[name], FUNCTIONS[function])


def _rnn(step: StepNumbers, function: str = "tanh") -> list[Equation]:
    return [_sum(step, 0, "h'", function, "hidden")]


def _lstm(step: StepNumbers) -> list[Equation]:
    after = step.after
    f, i, g, o, cell = (after[name] for name in ("forget", "input", "candidate", "output", "cell"))
    return [
        _sum(step, 1, "f", "sigmoid", "forget", "_f"),
        _sum(step, 0, "i", "sigmoid", "input", "_i"),
        _sum(step, 2, "g", "tanh", "candidate", "_g"),
        _sum(step, 3, "o", "sigmoid", "output", "_o"),
        Equation(
            "c'",
            "{f} * {c} + {i} * {g}",
            {"f": f, "c": step.before["cell"], "i": i, "g": g},
            cell,
            lambda f, c, i, g: f * c + i * g,
        ),
        Equation("h'", "{o} * tanh({c'})", {"o": o, "c'": cell}, after["hidden"], lambda o, c: o * math.tanh(c)),
    ]


def _gru(step: StepNumbers, candidate: Equation) -> list[Equation]:
    z, h = step.after["update"], step.before["hidden"]
    return [
        _sum(step, 0, "r", "sigmoid", "reset", "_r"),
        _sum(step, 1, "z", "sigmoid", "update", "_z"),
        candidate,
        Equation(
            "h'",
            "{z} * {h} + (1 - {z}) * {h~}",
            {"z": z, "h": h, "h~": candidate.value},
            step.after["hidden"],
            lambda z, h, new: z * h + (1 - z) * new,
        ),
    ]


def _gru_after(step: StepNumbers) -> list[Equation]:
    numbers = {
        "W x": step.x[2],
        "b": step.b_x[2],
        "r": step.after["reset"],
        "U h": step.u[2],
        "b'": step.b_u[2],
    }
    candidate = Equation(
        "h~",
        "tanh({W x} + {b} + {r} * ({U h} + {b'}))",
        numbers,
        step.after["candidate"],
        lambda x, b, r, u, b_u: math.tanh(x + b + r * (u + b_u)),
    )
    return _gru(step, candidate)


def _gru_before(step: StepNumbers) -> list[Equation]:
    numbers = {"W x": step.x[2], "U (r * h)": step.u[2], "b": step.b_x[2] + step.b_u[2]}
    candidate = Equation("h~", "tanh({W x} + {U (r * h)} + {b})", numbers, step.after["candidate"], _tanh_of_sum)
    return _gru(step, candidate)


EQUATIONS: dict[str, Callable[[StepNumbers], list[Equation]]] = {
    "rnn": _rnn,
    "rnn-sigmoid": partial(_rnn, function="sigmoid"),
    "rnn-relu": partial(_rnn, function="relu"),
    "lstm": _lstm,
    "gru": _gru_after,
    "gru-before": _gru_before,
}
"""By the `form` of the config."""

"""Measure how far back gradients reach: the norm of d loss_t / d h_(t-k) against k, for one loss_t at a time.

loss_t = -ln p(token t+1) alone, not a sum over positions. The gradient with respect to a state is total: it counts
every path from the state to the loss, through later states and through the layers above. For a cell with two states
there are three gradients:

    hidden          d loss_t / d h_(t-k)
    cell            d loss_t / d c_(t-k), including the path through h_(t-k), which is made of c_(t-k)
    hidden+cell     with respect to both as the next step receives them: c_(t-k) with h_(t-k) held fixed, so that
                    no path counts twice

`input` is the gradient with respect to the embedding of the token k back, which every neural family has.

All is computed in fp64 on the CPU, on the plain path, by one backward pass for all k: each row of a batch is a window
of the text that ends at its own t. fp64 underflows below 1e-308; a norm below is 0.

Hochreiter (1991), "Untersuchungen zu dynamischen neuronalen Netzen"; Bengio, Simard and Frasconi (1994), "Learning
long-term dependencies with gradient descent is difficult".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen import models
from seqgen.device import RandomState
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.models.base import NeuralModel, plain_path
from seqgen.models.recurrent.model import Cell, RecurrentLayer, RecurrentModel
from seqgen.runs.text import TextRun
from seqgen.tokenizers.base import BOUNDARY, Ids
from seqgen.training.config import TrainingConfig
from seqgen.utils.text import plural

Norms = npt.NDArray[np.float64]
Target = Literal["state", "input"]
"""What the gradient is taken with respect to."""
INPUT = "input"
HORIZON_SHARE = 1e-3
"""The share of the norm at k = 0 that is left at the horizon."""
ROWS = 16
"""Positions in one batch: their graph of 100 steps of 256 units takes about 100 MB."""
READ = 256
"""Tokens that are read at once before the window, without gradients."""


@dataclass(frozen=True, eq=False)
class GradientNorms:
    """The norms of a gradient at distances of k = 0, 1, ..., K tokens."""

    of: str
    """What the gradient is taken with respect to, by the names of `model.trace`: `layers.0.hidden`, `layers.0.cell`,
    `layers.0.hidden+cell`; or `input`."""
    norms: Norms
    """[positions, K + 1]."""

    @cached_property
    def mean(self) -> Norms:
        """The geometric mean over the positions, [K + 1]; 0 where the norm is 0 at one of them."""
        with np.errstate(divide="ignore"):
            mean: Norms = np.exp(np.log(self.norms).mean(axis=0))
        return mean

    def quantile(self, share: float) -> Norms:
        """Return the norm that this share of the positions does not exceed, [K + 1]."""
        quantile: Norms = np.quantile(self.norms, share, axis=0)
        return quantile

    @property
    def horizon(self) -> int | None:
        """The first k at which at most a thousandth of the mean norm at k = 0 is left; None if it is beyond K."""
        return self.distance_left(HORIZON_SHARE)

    def distance_left(self, share: float) -> int | None:
        """Return the first k at which at most this share of the mean norm at k = 0 is left; None if it is beyond K."""
        (reached,) = np.nonzero(self.mean <= share * self.mean[0])
        return int(reached[0]) if len(reached) else None

    @property
    def fit_range(self) -> tuple[int, int]:
        """The k of the fit, from 1 to the last one before a mean norm of 0."""
        (zeros,) = np.nonzero(self.mean[1:] == 0)
        return 1, int(zeros[0]) if len(zeros) else len(self.mean) - 1

    @property
    def decay(self) -> float | None:
        """The factor by which the mean norm changes with each token, fitted to its logarithm over `fit_range`.

        Over 1 the gradient explodes. None with fewer than two norms to fit.
        """
        first, last = self.fit_range
        if last - first < 1:
            return None
        k = np.arange(first, last + 1)
        slope = np.polynomial.polynomial.polyfit(k, np.log(self.mean[first : last + 1]), 1)[1]
        return float(np.exp(slope))


@dataclass(frozen=True, eq=False)
class Gradients:
    """How far back the gradients of a model reach in a text."""

    cell: str
    trained: bool
    """Whether these are the trained weights, and not those that training began with."""
    gate_bias: dict[str, float]
    """The mean bias of the gate that keeps the old state: `forget` of an lstm, `update` of a gru; else empty."""
    clip_norm: float
    """The norm to which training clips the gradient of all weights."""
    positions: int
    """Positions t of the text."""
    distance: int
    """K, the greatest k."""
    norms: tuple[GradientNorms, ...]
    """One for each state of each layer, or one for the input."""


def measure_gradients(
    run: TextRun,
    documents: Sequence[str],
    *,
    of: Target = "state",
    distance: int = 100,
    positions: int = 64,
    trained: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Gradients:
    """Measure the gradients of single losses with respect to what the model held up to `distance` tokens before.

    Args:
        run: a run whose model is neural; `trace.neural_part` returns it.
        documents: the texts. Positions are drawn from all of their tokens that have `distance` tokens before them, the
            same ones in every call.
        of: the states, or the embedded tokens.
        distance: K, the greatest k.
        positions: how many losses; fewer if the documents have fewer.
        trained: whether to take the trained weights, or those that training began with.
        progress: receives how many positions are done, and of how many.

    Raises:
        ConfigError: the model has no state, or not so many positions.
        TextError: no document is long enough.
        RunError: the loss is NaN or infinite.
    """
    config = run.config
    source = run.model if trained else untrained_model(run)
    model = copy.deepcopy(cast("NeuralModel", source)).to("cpu", torch.float64).eval().requires_grad_(True)
    if of == "state" and not isinstance(model, RecurrentModel):
        raise ConfigError(f"of: {config.model.cell} has no state that goes from token to token; use --of input")
    limit = model.max_positions
    if limit is not None and distance + 2 > limit:
        raise ConfigError(
            f"distance: {run.path} reads at most {limit:,} tokens at once, so gradients reach {limit - 2:,} back; "
            f"choose --distance {limit - 2}"
        )
    context = model.burn_in if limit is None else min(model.burn_in, limit - distance - 2)
    chosen = choose_positions([run.tokenizer.encode(document) for document in documents], distance, positions)
    parts: dict[str, list[Norms]] = {}
    for start in range(0, len(chosen), ROWS):
        windows = [_window(ids, t, context + distance) for ids, t in chosen[start : start + ROWS]]
        for name, norms in _norms_of(model, np.stack(windows), of, distance, str(run.path)).items():
            parts.setdefault(name, []).append(norms)
        if progress is not None:
            progress(start + len(windows), len(chosen))
    training = cast("TrainingConfig", config.training)
    return Gradients(
        cell=config.model.cell,
        trained=trained,
        gate_bias=_gate_bias(model),
        clip_norm=training.clip_grad_norm,
        positions=len(chosen),
        distance=distance,
        norms=tuple(GradientNorms(name, np.concatenate(norms)) for name, norms in parts.items()),
    )


def untrained_model(run: TextRun) -> NeuralModel:
    """Build the model of a run with the weights that its training began with."""
    with RandomState(run.config.training.seed, torch.device("cpu")):
        return cast("NeuralModel", models.build(run.config.model, run.tokenizer.vocab_size))


def choose_positions(documents: Sequence[Ids], distance: int, positions: int) -> list[tuple[Ids, int]]:
    """Draw positions t with `distance` tokens of their document before them and one after, always the same ones.

    Raises:
        TextError: no document has such a position.
    """
    counts = np.array([max(0, len(ids) - 1 - distance) for ids in documents], np.int64)
    total = int(counts.sum())
    if not total:
        longest = max(map(len, documents), default=0)
        raise TextError(
            f"the longest document has {plural(longest, 'token')}, and a distance of {distance:,} needs "
            f"{distance + 2:,}; name a longer text, or choose a smaller --distance"
        )
    # Random, because even steps could always meet the same place of a text that repeats itself.
    drawn = np.sort(np.random.default_rng(0).choice(total, min(positions, total), replace=False))
    owner = np.searchsorted(np.cumsum(counts), drawn, side="right")
    first = np.cumsum(counts) - counts
    return [(documents[one], int(at - first[one]) + distance) for one, at in zip(owner, drawn, strict=True)]


def _window(ids: Ids, t: int, before: int) -> npt.NDArray[np.int64]:
    """Return the boundary, `before` ids, id t and its target: int64 [before + 3].

    Where the document begins later, the boundary fills the place: tokens before a boundary have no effect.
    """
    first = max(0, t - before)
    window = np.full(before + 3, BOUNDARY, np.int64)
    window[-(t - first + 2) :] = ids[first : t + 2]
    return window


def _norms_of(
    model: NeuralModel, windows: npt.NDArray[np.int64], of: Target, distance: int, name: str
) -> dict[str, Norms]:
    """Return the norms of the gradients in windows [B, N], [B, distance + 1] each, by what they are taken to."""
    ids = torch.from_numpy(windows)
    before, tokens, targets = ids.tensor_split([ids.shape[1] - distance - 2, ids.shape[1] - 1], dim=1)
    state = model.initial_state(len(ids), ids.shape[1])
    with torch.no_grad():
        for part in torch.split(before, READ, dim=1):
            _, state = model.features(part, state, part == BOUNDARY)
    with record_states(model) as states, record_embedded(model) as embedded:
        hidden, _ = model.features(tokens, state)
    loss = F.cross_entropy(model.head(hidden[:, -1]), targets[:, 0], reduction="sum")
    if not loss.isfinite():
        raise RunError(f"{name}: the loss is NaN or infinite, so there are no gradients; name another run")
    if of == "input":
        (gradient,) = torch.autograd.grad(loss, embedded)
        # A window network embeds the tokens of each place anew; the loss depends on those of the last place only.
        gradient = gradient[:, -1] if gradient.dim() == 4 else gradient
        found = F.pad(vector_norm(gradient).flip(1), (0, distance + 1))[:, : distance + 1]
        return {INPUT: found.numpy()}
    return {of: norms.numpy() for of, norms in norms_back(loss, states).items()}


def norms_back(loss: Tensor, states: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Compute the norms of the gradients of `loss` with respect to recorded states.

    Args:
        loss: the sum of the losses of the rows.
        states: of T steps, [B, H] each, as `record_states` yields them.

    Returns:
        [B, T] each, with k along the second axis: the state of the last step is the first.
    """
    nodes = [node for steps in states.values() for node in steps]
    gradients = torch.autograd.grad(loss, nodes, allow_unused=True, materialize_grads=True)
    turns = iter(gradients)
    norms = {name: vector_norm(torch.stack([next(turns) for _ in steps], 1)).flip(1) for name, steps in states.items()}
    found = {}
    for name, norm in norms.items():
        layer, _, member = name.rpartition(".")
        prefix = f"{layer}." if layer else ""
        if member == "carried":
            found[f"{prefix}hidden+cell"] = torch.hypot(norms[f"{prefix}hidden"], norm)
        else:
            found[name] = norm
    return found


def vector_norm(vectors: Tensor) -> Tensor:
    """Compute the Euclidean norm over the last axis; squares neither underflow nor overflow."""
    scale = vectors.abs().amax(-1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    norm: Tensor = torch.linalg.vector_norm(vectors / scale, dim=-1)
    return norm * scale.squeeze(-1)


@contextmanager
def record_states(module: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Run the recurrent layers in `module` step by step, and yield the states that they make, as nodes of the graph.

    The states of each step, [B, H], are by name: `layers.0.hidden`, for an lstm `layers.0.cell`, and
    `layers.0.carried`, which is the cell state as the next step alone receives it.
    """
    states: dict[str, list[Tensor]] = {}
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, RecurrentLayer)}
    cells = [layer.cell for layer in layers.values()]
    with plain_path(module):
        for name, layer in layers.items():
            step = partial(_recorded_step, layer.cell, f"{name}." if name else "", states)
            layer.cell = layer.cell._replace(step=step)
        try:
            yield states
        finally:
            for layer, cell in zip(layers.values(), cells, strict=True):
                layer.cell = cell


def _recorded_step(cell: Cell, prefix: str, states: dict[str, list[Tensor]], *arguments: Any) -> Any:
    """Compute a step of a cell, and keep its states."""
    step = cell.step(*arguments)
    for name in step._fields[: cell.members]:
        states.setdefault(f"{prefix}{name}", []).append(getattr(step, name))
    if cell.members == 1:
        return step
    carried = step.cell.view_as(step.cell)  # another node, from which no path leads to the hidden state of this step
    states.setdefault(f"{prefix}carried", []).append(carried)
    return step._replace(cell=carried)


@contextmanager
def record_embedded(model: NeuralModel) -> Iterator[list[Tensor]]:
    """Yield what the model's embedding returns, as nodes of the graph."""
    embedded: list[Tensor] = []
    hook = model.get_submodule("embedding").register_forward_hook(lambda _module, _tokens, made: embedded.append(made))
    try:
        yield embedded
    finally:
        hook.remove()


@torch.no_grad()
def _gate_bias(model: NeuralModel) -> dict[str, float]:
    """Return the mean bias over layers and units of the gate that keeps the old state, by its name."""
    if not isinstance(model, RecurrentModel) or (gate := model.cell.retention) is None:
        return {}
    size = model.config.hidden_size  # of each gate; in every cell this one is the second
    biases = [(layer.bias_ih_l0 + layer.bias_hh_l0)[size : 2 * size] for layer in model.recurrent_layers]
    return {gate: float(torch.stack(biases).mean())}

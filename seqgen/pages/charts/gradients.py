"""Draw how far back gradients reach: their norms against k, on a log axis."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from seqgen.inspection.gradients import INPUT, GradientNorms, Gradients
from seqgen.pages.chart import Chart, Curve

FEW = 3
"""Curves up to which the chart shows the spread over positions, and marks the horizons."""
SPREAD = (0.1, 0.9)
"""The shares of the positions at the edges of the band."""
_STATES = {"hidden": "h", "cell": "c", "hidden+cell": "h and c"}


def describe_source(found: Gradients, norms: GradientNorms) -> str:
    """Return in a few characters what a gradient is taken with respect to: `h`, `layer 1 c`, `input`."""
    if norms.of == INPUT:
        return INPUT
    layer, state = re.fullmatch(r"layers\.(\d+)\.(.+)", norms.of).groups()  # type: ignore[union-attr]
    several = any(one.of.startswith("layers.1.") for one in found.norms)
    return f"layer {layer} {_STATES[state]}" if several else _STATES[state]


def describe_weights(found: Gradients) -> str:
    """Return which weights these are: `trained`, `untrained`, `untrained, forget bias 1`."""
    if found.trained:
        return "trained"
    return ", ".join(["untrained", *(f"{gate} bias {bias:.3g}" for gate, bias in found.gate_bias.items())])


def gradients_chart(measured: Sequence[tuple[str, Gradients]]) -> Chart:
    """Return the chart of the norms of named runs; those of untrained weights are dashed, in the color of the trained.

    Where a gradient explodes over the norm to which training clips that of all weights, this norm is a line.
    """
    of_input = all(norms.of == INPUT for _, found in measured for norms in found.norms)
    drawn = [(name, found, norms) for name, found in measured for norms in found.norms]
    colors = {place: number for number, place in enumerate(dict.fromkeys((name, norms.of) for name, _, norms in drawn))}
    curves, marks = [], {}
    for name, found, norms in drawn:
        label = f"{name} {describe_source(found, norms)}"
        label += "" if found.trained else f", {describe_weights(found)}"
        low, high = (norms.quantile(share) for share in SPREAD) if len(drawn) <= FEW else (None, None)
        k, color = np.arange(len(norms.mean)), colors[name, norms.of]
        curves.append(Curve(label, k, norms.mean, low, high, dashed=not found.trained, color=color))
        if len(drawn) <= FEW and norms.horizon is not None:
            marks[f"horizon of {label}"] = float(norms.horizon)
    clips = {found.clip_norm for _, found, norms in drawn if norms.mean[1:].max() > found.clip_norm}
    last = max(found.distance for _, found in measured)
    for number, clip in enumerate(sorted(clips), len(colors)):
        line = Curve(f"norm to which training clips: {clip:g}", [0, last], [clip, clip], dashed=True, color=number)
        curves.append(line)
    source = "the input" if of_input else "the state"
    return Chart(
        title=f"Gradient of the loss at one token with respect to {source} k tokens before",
        x_label="k, tokens back",
        y_label="norm, geometric mean",
        curves=curves,
        log_y=True,
        x_marks=marks,
    )

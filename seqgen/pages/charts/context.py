"""The charts of context: the loss by its length, and what is added when its distant part is disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seqgen.inspection.context import disturbed_lengths
from seqgen.pages.chart import Chart, Curve

if TYPE_CHECKING:
    from seqgen.inspection.context import ContextLosses, Estimate, Unit


def context_charts(found: Sequence[ContextLosses], unit: Unit) -> list[Chart]:
    """Return a chart of loss by the length of the context, and one of loss by what is disturbed, if anything is.

    Bands are one standard error wide to each side.
    """
    charts = [_length_chart(found, unit)]
    if any(one.distances for one in found):
        charts.append(_disturbance_chart(found, unit))
    return charts


def _length_chart(found: Sequence[ContextLosses], unit: Unit) -> Chart:
    curves, marks = [], {}
    for number, one in enumerate(found):
        estimates = [one.loss(nats, unit) for nats in one.by_length]
        curves.append(_curve(one.name, one.lengths, estimates, number))
        whole = one.loss(one.whole, unit).value
        ends = [one.lengths[0], one.lengths[-1]]
        curves.append(Curve(f"{one.name}, all of the text before", ends, [whole] * 2, dashed=True, color=number))
        if one.horizon is not None:
            marks[f"{one.name}: within 1% of its best"] = float(one.horizon)
    title = "Loss with only the last n tokens before each target; bands are standard errors"
    return Chart(title, "tokens of context, n", unit, curves, log_x=True, x_marks=marks)


def _disturbance_chart(found: Sequence[ContextLosses], unit: Unit) -> Chart:
    """Draw shuffled contexts by solid lines and replaced ones by dashed lines; of a single run dropped ones too."""
    curves: list[Curve] = []
    for number, one in enumerate(found):
        for kind, losses in one.disturbances.items():
            if not one.distances or (kind == "dropped" and len(found) > 1):
                continue
            estimates = [one.added(nats, unit) for nats in losses]
            color = number if len(found) > 1 else len(curves)
            curves.append(_curve(f"{one.name}, {kind}", one.distances, estimates, color, dashed=kind == "replaced"))
    title = f"Loss added when the tokens more than k back are disturbed, of the last {disturbed_lengths(found)}"
    return Chart(title, "tokens that stay as they are, k", f"added {unit}", curves, log_x=True)


def _curve(name: str, x: Sequence[int], estimates: Sequence[Estimate], color: int, *, dashed: bool = False) -> Curve:
    values, errors = (np.array(column) for column in zip(*estimates, strict=True))
    return Curve(name, x, values, values - errors, values + errors, dashed=dashed, color=color)

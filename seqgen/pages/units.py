"""The page of units: a text colored by the state of one unit, the units that track probes, places with a like state."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.inspection.units import FoundUnits, UnitTrace, color_scale, unit_thresholds
from seqgen.pages.page import LARGEST_DATA, escape_json, make_page

ZERO = 128
LARGEST = 127
"""A state is a byte: `ZERO`, and at most `LARGEST` more or less at the largest absolute value of the unit."""
MOST_UNITS = 256
"""Units from which to choose; a short text has room for more."""
FRAME_BYTES = 100_000
"""What is left of a page for all that is neither text nor states."""
UNIT_BYTES = 400
"""What describes a unit."""


def units_page(trace: UnitTrace, found: FoundUnits, title: str, units: Sequence[str] = ()) -> str:
    """Return the HTML of a page on which a reader chooses a unit, sees the text in its colors, and finds like places.

    Args:
        trace: the text, and the values of all units.
        found: the units that track probes best; they are offered first, after `units`.
        title: the heading.
        units: names of units that the page must have.

    Raises:
        ConfigError: a unit is unknown.
        SaveError: the text is too long for one page.
    """
    lengths = [list(map(len, tokens)) for tokens in trace.documents]
    single = all(length == 1 for own in lengths for length in own)
    text = {"documents": ["".join(tokens) for tokens in trace.documents], "lengths": None if single else lengths}
    room = LARGEST_DATA - FRAME_BYTES - len(escape_json(text).encode("utf-8"))
    size = UNIT_BYTES + 4 * len(trace.values) // 3
    kept = choose_units(trace, found, units, min(max(room // size, 1), MOST_UNITS))
    data = {
        **text,
        "units": _describe(trace, kept),
        "asked": len(dict.fromkeys(units)),
        "found": [
            {"probe": one.probe, "unit": kept.index(one.unit) if one.unit in kept else None, "name": one.unit,
             "fitted": round(one.fitted, 4), "held_out": round(one.held_out, 4)}
            for one in found.found
        ],
        "absent": found.absent,
        "tried": found.tried,
        "half": found.half,
    }  # fmt: skip
    return make_page("units", title, data)


def choose_units(trace: UnitTrace, found: FoundUnits, units: Sequence[str], most: int) -> list[str]:
    """Return the names of the units to keep: those asked for, those found, the best first, then the most varying.

    Those asked for are always kept. How much a unit varies is its standard deviation as a share of its largest value.
    """
    asked = [trace.names[trace.column(name)] for name in units]
    best = found.best()
    others = [one for one in found.found if one not in best]
    low, high = unit_thresholds(trace.values)
    largest = np.maximum(trace.values.max(0), -trace.values.min(0))
    spread = np.divide(high - low, largest, out=np.zeros_like(low), where=largest > 0)
    varying = [trace.names[column] for column in np.argsort(-spread, kind="stable").tolist()]
    kept = dict.fromkeys([*asked, *(one.unit for one in (*best, *others)), *varying])
    return list(kept)[: max(most, len(dict.fromkeys(asked)))]


def quantize(values: npt.NDArray[np.float32]) -> tuple[float, npt.NDArray[np.uint8]]:
    """Return the largest absolute value of a unit, and its values as bytes, [N]."""
    scale = float(abs(values).max()) or 1.0
    return scale, np.rint(values / scale * LARGEST + ZERO).astype(np.uint8)


def _describe(trace: UnitTrace, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the states of units, and from which byte on they are high or low."""
    described = []
    for name in names:
        values = trace.unit(name)
        scale, states = quantize(values)
        low, high = (round(float(bound) / scale * LARGEST + ZERO, 3) for bound in unit_thresholds(values))
        described.append(
            {"name": name, "scale": scale, "strong": color_scale(values), "low": low, "high": high,
             "states": base64.b64encode(states.tobytes()).decode("ascii")}
        )  # fmt: skip
    return described

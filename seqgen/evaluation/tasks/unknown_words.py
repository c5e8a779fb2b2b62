"""Replace unknown words of an output by words of its source, as its attention points to them.

Jean et al. 2015, "On using very large target vocabulary for neural machine translation", section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.errors import RunError


def replace_unknown(
    output: Sequence[str],
    unknown: Sequence[bool] | npt.NDArray[np.bool_],
    attention: npt.NDArray[np.floating[Any]],
    source: Sequence[str],
) -> list[str]:
    """Return the output with the most attended source word in place of each unknown word.

    White space of the source is not a word. Of equally attended words the first is taken; an output for a source
    without words stays as it is.

    Args:
        output: its T pieces.
        unknown: whether each of them is `<unk>`, [T].
        attention: how much each of them attended to the pieces of the source, [T, S] or more columns for padding.
        source: its S pieces.

    Raises:
        RunError: the attention of an unknown word contains NaN.
    """
    if not len(output) == len(unknown) == len(attention) or attention.shape[1] < len(source):
        raise ValueError(f"attention {attention.shape} does not fit {len(output)} pieces and a source of {len(source)}")
    words = [place for place, piece in enumerate(source) if not piece.isspace()]
    replaced = list(output)
    for place in np.flatnonzero(unknown) if words else ():
        row = attention[place, words]
        if np.isnan(row).any():
            raise RunError(f"the attention of word {place + 1} of the output contains NaN; train the model again")
        replaced[place] = source[words[row.argmax()]]
    return replaced

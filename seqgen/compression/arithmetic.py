"""Arithmetic coding of symbols with integer frequencies: a range coder with carries.

The code is a number in an interval, which each symbol narrows to its share (Witten, Neal and Cleary 1987; by bytes:
Martin 1979). The interval is [low, low + width) with a width of 2**56 to 2**64, so that a symbol with frequency f of a
total costs log2(total / f) bits, and at most total / 2**55 more.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.errors import RunError

Frequencies: TypeAlias = npt.NDArray[np.int64]

TOTAL = 1 << 32
"""The sum of the frequencies of a distribution, without the 1 that each symbol has in addition."""
_TOP = 1 << 64
_BOTTOM = 1 << 56
_LOOKAHEAD = 8
"""Bytes that the decoder has read and the encoder may not have written yet."""


def cumulative_frequencies(log_probs: npt.NDArray[np.float64]) -> Frequencies:
    """Return the cumulative frequencies of symbols whose ln p are `log_probs`: [V], the last is the total.

    Each symbol has p x `TOTAL`, rounded down, and 1: so none is impossible, and none costs more than -ln p + V / TOTAL.

    Raises:
        RunError: a probability is NaN or infinite.
    """
    probabilities = np.exp(log_probs)
    if not 0 < probabilities.sum() < 2:  # NaN fails every comparison
        raise RunError("the model's probabilities contain NaN or infinity, so it cannot code a file; train again")
    cumulative: Frequencies = ((probabilities * TOTAL).astype(np.int64) + 1).cumsum()
    return cumulative


class RangeEncoder:
    """Code symbols into bytes."""

    def __init__(self) -> None:
        self._low, self._width = 0, _TOP
        self._bytes = bytearray()

    def encode(self, start: int, frequency: int, total: int) -> None:
        """Code a symbol that has [start, start + frequency) of [0, total)."""
        unit = self._width // total
        self._low += unit * start
        self._width = unit * frequency
        if self._low >= _TOP:
            self._carry()
        while self._width < _BOTTOM:
            self._bytes.append(self._low >> 56)
            self._low = (self._low << 8) & (_TOP - 1)
            self._width <<= 8

    def encode_symbol(self, symbol: int, cumulative: Frequencies) -> None:
        """Code a symbol of a distribution with these cumulative frequencies, [V]."""
        start = int(cumulative[symbol - 1]) if symbol else 0
        self.encode(start, int(cumulative[symbol]) - start, int(cumulative[-1]))

    def finish(self) -> bytes:
        """Return all bytes; the decoder takes those after the last as 0."""
        for kept in range(0, 65, 8):  # the shortest number in the interval
            step = _TOP >> kept
            number = -(-self._low // step) * step
            if number < self._low + self._width:
                break
        self._low = number
        if number >= _TOP:
            self._carry()
        return bytes(self._bytes) + self._low.to_bytes(8, "big").rstrip(b"\0")

    def _carry(self) -> None:
        self._low -= _TOP
        place = len(self._bytes) - 1
        while self._bytes[place] == 0xFF:
            self._bytes[place] = 0
            place -= 1
        self._bytes[place] += 1


class RangeDecoder:
    """Read the symbols of a `RangeEncoder`, given the same totals and frequencies.

    Of other bytes it makes other symbols, until it is out of bytes.
    """

    def __init__(self, code: bytes) -> None:
        self._code, self._place = code, _LOOKAHEAD
        self._width, self._unit = _TOP, 0
        self._number = int.from_bytes(code[:_LOOKAHEAD].ljust(_LOOKAHEAD, b"\0"), "big")  # code - low

    def position(self, total: int) -> int:
        """Return a number in [0, total): the symbol that has it is the next one; then `take` that symbol."""
        self._unit = self._width // total
        return min(self._number // self._unit, total - 1)

    def take(self, start: int, frequency: int) -> None:
        """Take the symbol that has [start, start + frequency) of the total of the last `position`.

        Raises:
            EOFError: the code has fewer symbols.
        """
        self._number -= self._unit * start
        self._width = self._unit * frequency
        while self._width < _BOTTOM:
            byte = self._code[self._place] if self._place < len(self._code) else 0
            self._number = (self._number << 8) | byte
            self._width <<= 8
            self._place += 1
        if self._place > len(self._code) + _LOOKAHEAD:
            raise EOFError("the code has fewer symbols")

    def decode_symbol(self, cumulative: Frequencies) -> int:
        """Return the next symbol, of a distribution with these cumulative frequencies, [V]."""
        symbol = int(cumulative.searchsorted(self.position(int(cumulative[-1])), "right"))
        start = int(cumulative[symbol - 1]) if symbol else 0
        self.take(start, int(cumulative[symbol]) - start)
        return symbol

    def decode_number(self, total: int) -> int:
        """Return a number that is one of `total` equally likely ones."""
        number = self.position(total)
        self.take(number, 1)
        return number

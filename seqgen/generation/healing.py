"""Token healing: the spaces at the end of a prompt are not read, and the first new tokens must spell them.

Needed where a tokenizer's pieces begin with a space: ` the` is one piece of the training text, so a model has rarely
seen a space followed by `the`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from seqgen.tokenizers.base import Tokenizer


class Healing:
    """Token healing with the pieces of one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.id_to_bytes
        self._fitting: dict[bytes, Tensor] = {}

    def split(self, ids: list[int]) -> tuple[list[int], bytes]:
        """Return the ids of a prompt that are read, and the spaces that the first new tokens must spell."""
        last = self._pieces[ids[-1]] if ids else b""
        if last != b"" and not last.strip(b" ") and self._applies:
            return ids[:-1], last
        return ids, b""

    @cached_property
    def _applies(self) -> bool:
        return any(piece.startswith(b" ") and piece.strip(b" ") != b"" for piece in self._pieces)

    def constrain(self, logits: Tensor, owed: Sequence[bytes]) -> Tensor:
        """Exclude the tokens that do not spell what each row owes; logits [B, V]."""
        rows = [
            torch.where(self._fits(spaces).to(logits.device), row, -torch.inf) if spaces else row
            for spaces, row in zip(owed, logits, strict=True)
        ]
        return torch.stack(rows)

    def rest(self, owed: bytes, token: int) -> bytes:
        """Return what is still owed after `token`."""
        return owed[len(self._pieces[token]) :]

    def _fits(self, owed: bytes) -> Tensor:
        if owed not in self._fitting:
            fits = [piece != b"" and (piece.startswith(owed) or owed.startswith(piece)) for piece in self._pieces]
            self._fitting[owed] = torch.tensor(fits)
        return self._fitting[owed]

"""How much of a stream of texts is said twice, in bounded memory.

Each text is known by a hash of 64 bits. While there is room all hashes are kept and the figures are exact; then only
those that end in a zero bit, later in two, and so on (Wegman's adaptive sampling). What is kept is an even sample of
the distinct texts, all copies of each counted, so the share of what is repeated stays an honest estimate.
"""

from __future__ import annotations

import hashlib

LIMIT = 1 << 18
"""Distinct texts that are remembered, in about 50 MB."""


class Duplicates:
    """Counts texts that have been there before, and what they weigh.

    `sampled` is n where one in n distinct texts is looked at: 1 is all of them.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.sampled = 1
        self._limit = limit
        self._seen: dict[int, tuple[int, int]] = {}
        """By hash: how often the text occurred, and its characters."""

    def add(self, digest: bytes, characters: int) -> bool:
        """Count the text that `digest`, 8 bytes of `hasher`, is of; whether it is known to have been there before."""
        key = int.from_bytes(digest, "little")
        if key % self.sampled:
            return False
        count, _ = self._seen.get(key, (0, 0))
        self._seen[key] = (count + 1, characters)
        while len(self._seen) > self._limit:
            self.sampled *= 2
            self._seen = {key: value for key, value in self._seen.items() if key % self.sampled == 0}
        return count > 0

    @property
    def copies(self) -> int:
        """Texts that have been there before; where not all were looked at, an estimate."""
        return self.sampled * sum(count - 1 for count, _ in self._seen.values())

    @property
    def share(self) -> float:
        """The share of all characters that stands in such texts."""
        repeated = sum((count - 1) * characters for count, characters in self._seen.values())
        return repeated / max(1, sum(count * characters for count, characters in self._seen.values()))


def hasher(text: str = "") -> hashlib.blake2b:
    """A hash of 64 bits that has taken in `text`."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)

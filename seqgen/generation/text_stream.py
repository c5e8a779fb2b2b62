"""The text of a row as it grows, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqgen.tokenizers.base import Tokenizer


class TextStream:
    """Turn tokens into text. Hold back incomplete characters and what may begin a stop string.

    The first `skipped` characters belong to the prompt and are not returned.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], skipped: int = 0) -> None:
        self._decoder = tokenizer.stream_decoder()
        self._stop = tuple(tokenizer.written(text) for text in stop)
        self._held = ""
        self._skipped = skipped
        self.stopped = False
        self.push: Callable[[int], str] = self._push if self._stop or skipped else self._decoder.push
        """Return the text that became certain with a token."""

    def _push(self, token: int) -> str:
        text = self._without_prompt(self._decoder.push(token))
        return self._release(text, final=False) if self._stop else text

    def flush(self) -> str:
        """Return the text that was held back, after the last token."""
        return "" if self.stopped else self._release(self._without_prompt(self._decoder.flush()), final=True)

    def _without_prompt(self, text: str) -> str:
        """Remove the part of `text` that belongs to the prompt."""
        new = text[self._skipped :]
        self._skipped = max(0, self._skipped - len(text))
        return new

    def _release(self, text: str, *, final: bool) -> str:
        self._held += text
        # The stop string that is complete first, however the text is cut into tokens.
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, begin = min(found)
            released, self._held = self._held[:begin], ""
            return released
        keep = 0 if final else max(_overlap(self._held, stop) for stop in self._stop)
        released, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return released


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)

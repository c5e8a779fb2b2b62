"""The catalogue: `corpora/*.toml`, one spec a corpus, and what `corpus:NAME` and `corpus:NAME:PART` stand for.

`corpus:text8:test` is a part of a corpus that has customary ones; `corpus:text8` alone is then its `train` part, so
that nobody learns from what figures are compared on. Reading never reaches the network: `CorpusSpec.reader.fetch` does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Literal

from pydantic import Field, ValidationError

from seqgen.config import Config, describe
from seqgen.errors import ConfigError
from seqgen.sources.catalog.readers import Reader, Synthetic
from seqgen.sources.config import CORPUS_PREFIX
from seqgen.sources.text import CHUNK_BYTES


class PublishedResult(Config):
    """A published result on a part of a corpus, to stand beside one's own."""

    value: float
    unit: Literal["bits per character", "bits per byte", "nats per character", "perplexity per word",
                  "perplexity per token"]  # fmt: skip
    model: str
    citation: str
    part: Literal["valid", "test"] = "test"


class CorpusSpec(Config):
    """One corpus: what it is, whose, how to read it, and what others reached on it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    language: str
    license: str
    source: str
    size: int = Field(gt=0)
    """Bytes of the text, all parts together; about, where it differs from one Python to another."""
    reader: Reader
    figures: tuple[PublishedResult, ...] = Field(default=(), strict=False)

    def chunks(self, part: str | None = None) -> Iterator[str]:
        """Return the text of a part in chunks of at most `CHUNK_BYTES` characters.

        Without a part this is the `train` part, or the whole text of a corpus without parts.

        Raises:
            ConfigError: there is no such part.
            TextError: the text has not been fetched, or cannot be read; some of it on the way.
        """
        parts = self.reader.parts
        part = part or ("train" if parts else None)
        if part is not None and part not in parts:
            has = f"its parts are {', '.join(parts)}" if parts else "it has no parts"
            raise ConfigError(f"{CORPUS_PREFIX}{self.name} has no part called {part!r}; {has}")
        return _sliced(self.reader.chunks(self.name, part))

    def published_results(self, part: str | None) -> tuple[PublishedResult, ...]:
        """What to hold a result on a part against: what was published, or of a synthetic text the truth."""
        if isinstance(self.reader, Synthetic):
            derived = f"seqgen.sources.catalog.synthetic.{self.reader.source}_entropy"
            return (
                PublishedResult(
                    value=self.reader.entropy, unit="bits per byte", model="the true entropy", citation=derived
                ),
            )
        return tuple(figure for figure in self.figures if figure.part == part)


def _sliced(texts: Iterable[str]) -> Iterator[str]:
    return (text[start : start + CHUNK_BYTES] for text in texts for start in range(0, len(text), CHUNK_BYTES))


def corpus_specs() -> dict[str, CorpusSpec]:
    """Every spec of the catalogue, by name."""
    folder = resources.files("seqgen.corpora")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    read = [_read_spec(entry.name, entry.read_text("utf-8")) for entry in found]
    return {spec.name: spec for spec in sorted(read, key=lambda spec: spec.name)}


def _read_spec(file_name: str, content: str) -> CorpusSpec:
    try:
        return CorpusSpec(**tomllib.loads(content))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        reason = describe(error) if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"corpora/{file_name}: {reason}") from error


def find_spec(name: str) -> CorpusSpec:
    """The spec called `name`.

    Raises:
        ConfigError: the catalogue has no such corpus.
    """
    known = corpus_specs()
    if name not in known:
        raise ConfigError(f"there is no corpus called {name!r} in the catalogue; it has: {', '.join(known)}")
    return known[name]


def parse(text: str) -> tuple[CorpusSpec, str | None] | None:
    """The spec and the part that `corpus:NAME[:PART]` names; None where `text` is anything else, such as a path.

    Raises:
        ConfigError: the catalogue has no such corpus.
    """
    return named(text) if text.startswith(CORPUS_PREFIX) else None


def named(text: str) -> tuple[CorpusSpec, str | None]:
    """The spec and the part that `corpus:NAME[:PART]` names; raises as `parse`."""
    name, _, part = text.removeprefix(CORPUS_PREFIX).partition(":")
    return find_spec(name), part or None


def read_chunks(text: str) -> Iterator[str]:
    """The text that `corpus:NAME[:PART]` names, in chunks of at most `CHUNK_BYTES` characters.

    Raises:
        ConfigError: the catalogue has no such corpus or part.
        TextError: the text cannot be read; some errors on the way.
    """
    spec, part = named(text)
    return spec.chunks(part)


def published_results(text: str) -> tuple[PublishedResult, ...]:
    """What to hold a result on `corpus:NAME:PART` against; nothing for any other text."""
    of_the_catalogue = parse(text)
    return () if of_the_catalogue is None else of_the_catalogue[0].published_results(of_the_catalogue[1])

"""The catalog: `corpora/*.toml`, one spec per corpus, and what `corpus:NAME` and `corpus:NAME:PART` stand for.

`corpus:text8:test` is a part of a corpus with customary parts. `corpus:text8` alone is its `train` part, so that no
model learns from the text that published results are measured on. Reading never uses the network; only
`seqgen corpus fetch` does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Literal

from pydantic import Field, ValidationError

from seqgen.config import Config, describe
from seqgen.errors import ConfigError
from seqgen.sources.catalog.downloads import Download
from seqgen.sources.catalog.readers import Reader, Synthetic, SyntheticPairs
from seqgen.sources.config import CORPUS_PREFIX
from seqgen.sources.decoding import CHUNK_BYTES


class PublishedResult(Config):
    """A published result on a part of a corpus, to compare with."""

    value: float
    unit: Literal["bits per character", "bits per byte", "nats per character", "perplexity per word",
                  "perplexity per token"]  # fmt: skip
    model: str
    citation: str
    part: Literal["valid", "test"] = "test"


class CorpusSpec(Config):
    """A corpus: what it is, its license, how to read it, and published results on it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    language: str
    license: str
    source: str
    size: int = Field(gt=0)
    """The bytes of all parts; approximate where the text depends on the Python version."""
    task: Literal["generate", "translate", "classify", "tag"] = "generate"
    """The `--task` that learns from this corpus: `generate` from texts, the others from lines of pairs."""
    reader: Reader
    results: tuple[PublishedResult, ...] = Field(default=(), strict=False)

    def chunks(self, part: str | None = None, *, all_columns: bool = False) -> Iterator[str]:
        """Return the text of a part in chunks of at most `CHUNK_BYTES` characters.

        Args:
            part: None is the `train` part, or the whole text of a corpus without parts.
            all_columns: of a table, read all columns and not only that of the text.

        Raises:
            ConfigError: the corpus has no such part.
            TextError: the text is not downloaded or cannot be read; possibly after some chunks.
        """
        parts = self.reader.parts
        part = part or ("train" if parts else None)
        if part is not None and part not in parts:
            has = f"its parts are {', '.join(parts)}" if parts else "it has no parts"
            raise ConfigError(f"{CORPUS_PREFIX}{self.name} has no part called {part!r}; {has}")
        reader = self.reader.with_all_columns() if all_columns and isinstance(self.reader, Download) else self.reader
        texts = reader.chunks(self.name, part)
        return (text[start : start + CHUNK_BYTES] for text in texts for start in range(0, len(text), CHUNK_BYTES))

    def results_on(self, part: str | None) -> tuple[PublishedResult, ...]:
        """Return the published results on a part; for a synthetic text, its true entropy."""
        if isinstance(self.reader, Synthetic):
            derivation = f"seqgen.sources.catalog.synthetic.{self.reader.source}_entropy"
            entropy = self.reader.entropy
            return (
                PublishedResult(value=entropy, unit="bits per byte", model="the true entropy", citation=derivation),
            )
        return tuple(result for result in self.results if result.part == part)


def corpus_specs() -> dict[str, CorpusSpec]:
    """Return every spec of the catalog, by name.

    Raises:
        ConfigError: a file is not a valid spec.
    """
    entries = [entry for entry in resources.files("seqgen.corpora").iterdir() if entry.name.endswith(".toml")]
    specs = [_read_spec(entry.name, entry.read_text("utf-8")) for entry in entries]
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}


def _read_spec(file_name: str, content: str) -> CorpusSpec:
    try:
        return CorpusSpec(**tomllib.loads(content))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        reason = describe(error) if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"corpora/{file_name}: {reason}") from error


def find_spec(name: str) -> CorpusSpec:
    """Return the spec called `name`.

    Raises:
        ConfigError: the catalog has no such corpus.
    """
    specs = corpus_specs()
    if name not in specs:
        raise ConfigError(f"the catalog has no corpus called {name!r}; it has: {', '.join(specs)}")
    return specs[name]


def parse_name(name: str) -> tuple[CorpusSpec, str | None]:
    """Return the spec and the part that `corpus:NAME[:PART]` names.

    Raises:
        ConfigError: the catalog has no such corpus.
    """
    corpus, _, part = name.removeprefix(CORPUS_PREFIX).partition(":")
    return find_spec(corpus), part or None


def read_chunks(name: str, *, all_columns: bool = False) -> Iterator[str]:
    """Return the text that `corpus:NAME[:PART]` names, as `CorpusSpec.chunks` does.

    Raises:
        ConfigError: the catalog has no such corpus or part.
        TextError: the text is not downloaded or cannot be read; possibly after some chunks.
    """
    spec, part = parse_name(name)
    return spec.chunks(part, all_columns=all_columns)


def generating_files(name: str) -> tuple[str, ...]:
    """Return the files that decide the text of `corpus:NAME[:PART]` if it is generated; none for any other corpus.

    Raises:
        ConfigError: the catalog has no such corpus.
    """
    spec, _ = parse_name(name)
    if not isinstance(spec.reader, Synthetic | SyntheticPairs):
        return ()
    return str(resources.files("seqgen.corpora") / f"{spec.name}.toml"), *spec.reader.code


def published_results(name: str) -> tuple[PublishedResult, ...]:
    """Return the published results on `corpus:NAME:PART`; none for any other text."""
    if not name.startswith(CORPUS_PREFIX):
        return ()
    spec, part = parse_name(name)
    return spec.results_on(part)

"""A trained run: its model and its tokenizer, ready to write and to be measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, overload

import torch

from seqgen import models, tokenizers
from seqgen.data.pipeline import read_texts
from seqgen.data.split import Split
from seqgen.device import RandomState, in_torch_threads, select_device, torch_threads
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.memorization import Memorization, measure_memorization
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import Segment, score, stream_segments, window_segments
from seqgen.generation.config import SamplingConfig
from seqgen.generation.generate import generate
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.weights import check_weights, load_weights
from seqgen.runs.config import RunConfig
from seqgen.runs.directory import RunDirectory, find_run
from seqgen.runs.setup import check_same_text
from seqgen.sources.config import BYTES, Reading
from seqgen.sources.source import load_documents
from seqgen.tokenizers.base import Tokenizer, without_surrogates
from seqgen.training.config import MOST_THREADS
from seqgen.utils.text import plural

MOST_SAMPLES = 10_000
"""In one batch: each has a state and a random stream of its own."""


def load(path: str | Path | None = None, *, device: str = "auto", threads: int | None = None) -> Run:
    """Load a trained run, ready to generate and to evaluate.

    Args:
        path: its directory; None is the newest under runs/.
        device: `auto`, `cpu`, `cuda`, ...
        threads: how many torch uses on a CPU; None is its own number.

    Raises:
        ConfigError: there is no such device, or no such number of threads.
        RunError: there is no such run, it has no weights, or its files do not belong together.
        TokenizerError: its tokenizer is missing or not the one that it was trained with.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"threads: should be from 1 to {MOST_THREADS:,}, not {threads}")
    directory = find_run(path)
    config = directory.read_config()
    tokenizer = tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint)
    check_weights(models.skeleton(config.model, tokenizer.vocab_size), directory.weights)
    with RandomState(0, torch.device("cpu")):  # the draws for fresh weights, soon replaced, are not the caller's
        model = models.build(config.model, tokenizer.vocab_size).eval()
    load_weights(model, directory.weights, config.identity)
    return Run(directory, config, model.to(select_device(device)), tokenizer, threads)


class Run:
    """A trained model with its tokenizer. `model` is a plain torch module, for whoever wants more."""

    def __init__(
        self,
        directory: RunDirectory,
        config: RunConfig,
        model: LanguageModel,
        tokenizer: Tokenizer,
        threads: int | None = None,
    ) -> None:
        self.path = directory.path
        self.config = config
        self.model = model
        self.tokenizer = tokenizer
        self._threads = threads

    @overload
    def generate(
        self,
        prompt: str = "",
        *,
        stream: Literal[False] = False,
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> str: ...
    @overload
    def generate(
        self,
        prompt: str = "",
        *,
        stream: Literal[True],
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Iterator[str]: ...
    def generate(
        self,
        prompt: str = "",
        *,
        stream: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> str | Iterator[str]:
        """New text after `prompt`, which is not part of it; with `stream`, in pieces as it is made.

        Args:
            prompt: may be empty: the beginning of a document, or of a line where the run's single text has lines. For a
                model of bytes (`--encoding bytes`) prompt and text have a character U+0000 to U+00FF for each:
                `data.decode("latin-1")`, `text.encode("latin-1")`.
            stream: an iterator of pieces instead of one string.
            progress: is given how many tokens of the prompt were read, and of how many.
            sampling: the fields of `SamplingConfig`: `temperature=0.8`, `seed=1`, `max_new_tokens=200`, ...

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        config = _sampling(sampling)
        pieces = self._steps(prompt, config, 1, progress)
        streamed = (piece for (piece,) in pieces if piece)
        return streamed if stream else "".join(streamed)

    def samples(
        self,
        prompt: str = "",
        *,
        num_samples: int,
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> list[str]:
        """Several new texts after one prompt, made in one batch.

        Sample i is the same however many there are, but for what sums round: by numba in bf16 and int8, batches of four
        and more are rounded otherwise than fewer.
        """
        config = _sampling(sampling)
        if not 1 <= num_samples <= MOST_SAMPLES:
            raise ConfigError(f"num_samples: should be from 1 to {MOST_SAMPLES:,} in one batch, not {num_samples}")
        steps = self._steps(prompt, config, num_samples, progress)
        return ["".join(pieces) for pieces in zip(*steps, strict=True)]

    def evaluate(self, path: str | Path, **settings: Any) -> Evaluation:
        """Score the text at `path` (a file, a directory, `corpus:NAME`): perplexity, bits per byte.

        Args:
            path: the text.
            settings: the fields of `Reading`, which say how it is read: `encoding="cp949"`, `errors="replace"`,
                `glob="*.md"`, `field="body"`; and whatever `evaluate_text` takes.

        Raises:
            TextError: the text cannot be read, or goes beyond the model's positions.
            ConfigError: a setting is unknown or impossible.
        """
        reading = {name: settings.pop(name) for name in Reading.model_fields.keys() & settings.keys()}
        return self.evaluate_text(*load_documents([str(path)], self.reading(**reading)), **settings)

    def reading(self, **settings: Any) -> Reading:
        """How texts are read for this model: as bytes by a model of bytes, else by `settings`, the fields of `Reading`.

        Raises:
            ConfigError: a setting is unknown or impossible, or the encoding is not of this model.
        """
        raw = self.config.data.is_raw
        reading = Reading.of(**{"encoding": BYTES if raw else "utf-8", **settings})
        if reading.is_raw != raw:
            kind = (
                "bytes as they are: say --encoding bytes, or leave it out" if raw else "text, so it reads no raw bytes"
            )
            raise ConfigError(f"encoding: this model is of {kind}")
        return reading

    def evaluate_text(
        self, *documents: str, progress: Callable[[int, int], None] | None = None, **settings: Any
    ) -> Evaluation:
        """Score one text, or several as documents that begin afresh.

        Args:
            documents: the texts.
            progress: is told how many tokens have been scored, and of how many.
            settings: the fields of `EvaluationConfig`: `context_window=256`, `stride=128`, `sequential=True`, ...

        Raises:
            TextError: there is no text, or it goes beyond the model's positions.
            ConfigError: a setting is unknown or impossible.
        """
        config = EvaluationConfig.of(**settings)
        if not any(documents):
            raise TextError("there is nothing to evaluate: the text is empty")
        ids = [self.tokenizer.encode(text) for text in documents]
        total = sum(map(len, ids))
        segments, context = self._segments([len(document) for document in ids], config)
        done = 0

        def count(tokens: int) -> None:
            nonlocal done
            done += tokens
            if progress is not None:
                progress(done, total)

        with torch_threads(self._threads):
            nats = score(self.model, ids, segments, config.precision, count)
        return Evaluation(total, TextSize.total(documents, self.tokenizer), nats, context)

    def validation_texts(self) -> tuple[str, ...]:
        """The texts that this run withheld to validate on.

        Raises:
            RunError: it withheld none, or its text is no longer the same.
        """
        withheld = self._parts().valid.documents()
        if not withheld:
            raise RunError(f"{self.path} withheld nothing to validate on; name a text to evaluate")
        return withheld

    def training_texts(self) -> Iterator[Iterator[str]]:
        """The texts that this run learnt from, less what it withheld: each in chunks, to be gone through in order.

        Raises:
            TextError: the text cannot be read any more.
            RunError: it is no longer the same.
        """
        chunks = self._parts().train.chunks()
        return (map(itemgetter(1), part) for _, part in groupby(chunks, key=itemgetter(0)))

    def has_training_texts(self, text: str) -> bool:
        """Whether this is the text that the run learnt from, whole."""
        return hashlib.sha256(without_surrogates(text).encode()).hexdigest() == self.config.text.sha256

    def memorization(self, text: str) -> Memorization:
        """How much of `text`, a sample as a rule, stands verbatim in what this run learnt from; raises as that does."""
        (found,) = measure_memorization([text], self.training_texts())
        return found

    def _steps(
        self, prompt: str, config: SamplingConfig, num_samples: int, progress: Callable[[int, int], None] | None
    ) -> Iterator[list[str]]:
        with torch_threads(self._threads):
            stepper, line_end = self._stepper(config), self.config.text.line_end
            steps = generate(self.model, stepper, self.tokenizer, prompt, config, num_samples, line_end, progress)
        return in_torch_threads(self._threads, steps)

    def _stepper(self, config: SamplingConfig) -> Stepper:
        if config.engine == "torch":
            return self.model.stepper(config.precision)
        from seqgen.models.numba.stepper import compiled_stepper

        return compiled_stepper(self.model, config.precision)

    def _parts(self) -> Split:
        texts = read_texts(self.config.data, record=self.config.text)
        check_same_text(texts, self.config.text, self.config.data)
        return texts.split

    def _segments(self, lengths: Sequence[int], config: EvaluationConfig) -> tuple[list[Segment], str]:
        limit = self.model.max_positions
        window = config.context_window
        if limit is not None and (window is None or window > limit):
            if window is not None or config.sequential:
                asked = f"windows of {window}" if window is not None else "one stream"
                raise ConfigError(f"context_window: {asked} are more than this model's {limit} sinusoidal positions")
            window = limit
        if window is not None:
            stride = config.stride or window
            return window_segments(lengths, window, stride), f"windows of {plural(window, 'token')}, stride {stride}"
        if config.sequential:
            return stream_segments(
                lengths, self.model.burn_in, segments=1
            ), "carried through the whole text, one stream"
        burn_in = self.model.burn_in
        segments = stream_segments(lengths, burn_in)
        side = (
            f"{len(segments)} segments burnt in on {plural(burn_in, 'token')}"
            if len(segments) > len(lengths)
            else "one stream"
        )
        return segments, f"carried through the whole text, {side}"


def _sampling(settings: dict[str, Any]) -> SamplingConfig:
    stop = settings.get("stop", ())
    return SamplingConfig.of(**{**settings, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})

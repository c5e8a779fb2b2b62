"""A trained language model, ready to generate and to evaluate, to adapt, and to compress files."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, cast, overload

import numpy as np

from seqgen.compression.codec import Codec
from seqgen.data.documents import Documents
from seqgen.device import StepperPrecision, iterate_with_threads, torch_threads
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.adaptation.adaptive import adaptive, readers_of
from seqgen.evaluation.adaptation.config import AdaptationConfig, AdaptationConstants, Adapting
from seqgen.evaluation.adaptation.stream import (
    check_positions,
    dynamic_nats,
    evaluate_dynamic,
    find_diverged,
    read_stream,
    stream_of,
)
from seqgen.evaluation.adaptation.tune import tune
from seqgen.evaluation.choices import Choice, compare_choices
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.memorization import Memorization, measure_memorization
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.scoring import Scores, evaluate, nats_by_document, plan_segments, score
from seqgen.evaluation.surprisal.measure import Surprisal, measure_surprisal
from seqgen.evaluation.token_scores import TokenScores
from seqgen.generation.config import MAX_SAMPLES, SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.generation.generate import Completion, complete
from seqgen.generation.generate import stream as stream_text
from seqgen.models.base import Engine as EngineName
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.runs.config import RunConfig
from seqgen.runs.run import Run
from seqgen.sources.config import END_BYTES, Reading
from seqgen.sources.source import LoadedDocuments, load_documents
from seqgen.utils.text import without_surrogates


class TextRun(Run):
    """A trained language model with its tokenizer."""

    tasks = ("generate",)
    commands = "seqgen sample, seqgen eval or seqgen compress"
    diverged: Mapping[str, int] = {}
    """Members of an adapted model whose weights diverged, so that the trained ones came back: tokens before."""

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
        """Generate text after `prompt`, without the prompt; with `stream`, in pieces as it is generated.

        Args:
            prompt: may be empty: then the text begins as a document does, or as a line of the run's single text. For a
                model of bytes (`--encoding bytes`), prompt and text have one character U+0000 to U+00FF per byte:
                `data.decode("latin-1")`, `text.encode("latin-1")`.
            stream: return an iterator of pieces instead of one string.
            progress: receives how many tokens of the prompt were read, and their total.
            sampling: the fields of `SamplingConfig`: `temperature=0.8`, `seed=1`, `max_new_tokens=200`, ...

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        config = _sampling(sampling)
        made = stream_text(self.engine(config.precision, config.engine), Request(prompt, config, progress=progress))
        pieces = (piece for piece in iterate_with_threads(self._threads, made) if piece)
        return pieces if stream else "".join(pieces)

    def samples(
        self,
        prompt: str = "",
        *,
        num_samples: int,
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> list[str]:
        """Generate several texts after one prompt, in one batch.

        Sample i does not depend on the number of samples, except for rounding: with numba in bf16 and int8, batches of
        four or more round differently from smaller ones.
        """
        made = self.complete([prompt], num_samples=num_samples, progress=progress, **sampling)
        return [completion.text for completion in made]

    def complete(
        self,
        prompts: Sequence[str],
        *,
        num_samples: int = 1,
        progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Iterator[Completion]:
        """Generate texts after each of many prompts, in one batch; yield them in order, each as soon as possible.

        Args:
            prompts: as of `generate`.
            num_samples: texts for each prompt. Text i of prompt p is sample p * num_samples + i of the seed, and does
                not depend on the other texts.
            progress: receives how many tokens of a prompt were read, and their total.
            sampling: the fields of `SamplingConfig`.

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        config = _sampling(sampling)
        if not 1 <= num_samples <= MAX_SAMPLES:
            raise ConfigError(f"num_samples: should be from 1 to {MAX_SAMPLES:,} for a prompt, not {num_samples}")
        made = complete(self.engine(config.precision, config.engine), prompts, config, num_samples, progress=progress)
        return iterate_with_threads(self._threads, made)

    def engine(self, precision: StepperPrecision = "fp32", engine: EngineName = "torch") -> Engine:
        """Return an engine, to which rows with their own prompts and settings are added: `generation/engine.py`.

        Raises:
            ConfigError: numba is not available.
        """
        with torch_threads(self._threads):
            stepper = self.model.stepper(precision, engine)
        text = self.config.text
        return Engine(self.model, stepper, self.tokenizer, ends=text.ends, line_end=text.line_end)

    def evaluate(self, path: str | Path, **settings: Any) -> Evaluation:
        """Score the text at `path` (a file, a directory, `corpus:NAME`): perplexity, bits per byte.

        Args:
            path: the text.
            settings: the fields of `Reading`, which set how the text is read: `encoding="cp949"`, `errors="replace"`,
                `glob="*.md"`, `field="body"`; and those of `evaluate_text`.

        Raises:
            TextError: the text cannot be read, or is longer than the model's positions.
            ConfigError: a setting is unknown or impossible.
        """
        reading = {name: settings.pop(name) for name in Reading.model_fields.keys() & settings.keys()}
        return self.evaluate_documents(load_documents([str(path)], self.reading(**reading)), **settings)

    def evaluate_text(
        self, *documents: str, progress: Callable[[int, int], None] | None = None, **settings: Any
    ) -> Evaluation:
        """Score one text, or several as separate documents; each with its end if the run models ends.

        An end counts as many bytes as in the files of the run: 1 if its documents are lines, 2 if they are paragraphs.
        So the figures of `lines` are those of a file of these lines.

        Args:
            documents: the texts; empty ones are left out.
            progress: receives how many tokens were scored, and their total.
            settings: the fields of `EvaluationConfig`: `context_window=256`, `stride=128`, `sequential=True`, ...

        Raises:
            TextError: the text is empty, or longer than the model's positions.
            ConfigError: a setting is unknown or impossible.
        """
        texts = list(filter(None, documents))
        end_sizes = [END_BYTES[self.config.data.documents]] * len(texts)
        return self.evaluate_documents(LoadedDocuments.of(texts, end_sizes), progress=progress, **settings)

    def evaluate_documents(
        self, documents: LoadedDocuments, *, progress: Callable[[int, int], None] | None = None, **settings: Any
    ) -> Evaluation:
        """Score the documents of a file, or those of `validation_texts`; arguments and errors as in `evaluate_text`.

        The bytes that end a document count only if its end is scored.
        """
        config = EvaluationConfig.of(**settings)
        documents, ids = self._encode(documents)
        count = _counting(progress, ids.tokens)
        with torch_threads(self._threads):
            size = TextSize.total(documents, self.tokenizer, documents.end_bytes)
            measure = evaluate_dynamic if config.adapts else evaluate
            return measure(self.model, ids, size, config, count)

    def adapt(
        self,
        text: str | Path | LoadedDocuments,
        dynamic: Adapting = "all",
        *,
        progress: Callable[[int, int], None] | None = None,
        **reading: Any,
    ) -> TextRun:
        """Return this run with a model that has learned from a text, for sampling; the run on disk is not changed.

        Args:
            text: a file, a directory, `corpus:NAME`, or documents.
            dynamic: what learns, as of `evaluate_text`.
            progress: receives how many tokens were read, and their total.
            reading: the fields of `Reading`, which set how the text is read.

        Raises:
            TextError: the text cannot be read, or is empty.
            ConfigError: the model has nothing of what should learn, or a document is longer than its positions.
        """
        if not isinstance(text, LoadedDocuments):
            text = load_documents([str(text)], self.reading(**reading))
        _, ids = self._encode(text)
        check_positions(self.model, ids)
        with torch_threads(self._threads):
            reader = adaptive(self.model, dynamic, ends=self.config.text.ends)
            read_stream([reader], stream_of(ids), _counting(progress, ids.tokens))
            adapted = copy.copy(self)
            adapted.model = reader.model()
            adapted.diverged = find_diverged(readers_of(self.model, reader))
            return adapted

    def tune(
        self,
        text: str | Path | LoadedDocuments,
        *,
        progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> AdaptationConstants:
        """Search rates and sizes of adaptation that are good for a text, which is not the one to be reported.

        `evaluate` takes them as `adaptation`.

        Args:
            text: a file, a directory, `corpus:NAME`, or documents; its first `tune.TOKENS` tokens are read many times.
            progress: receives how many tokens were read, and their total.
            settings: `dynamic`, `dynamic_reset` and `cache`, as of `evaluate_text`.

        Raises:
            TextError: the text is empty.
            ConfigError: the model has nothing of what should learn, or a document is longer than its positions.
        """
        if not isinstance(text, LoadedDocuments):
            text = load_documents([str(text)], self.reading())
        _, ids = self._encode(text)
        with torch_threads(self._threads):
            return tune(self.model, ids, AdaptationConfig.of(**settings), progress)

    def score_documents(
        self, documents: LoadedDocuments, *, progress: Callable[[int, int], None] | None = None, **settings: Any
    ) -> tuple[LoadedDocuments, list[TokenScores]]:
        """Return the documents that have tokens, with the ends that are scored, and the scores of each.

        With `dynamic` or `cache`, the scores are of the model that learns while it reads. Arguments and errors as in
        `evaluate_documents`.
        """
        config = EvaluationConfig.of(**settings)
        documents, ids = self._encode(documents)
        count = _counting(progress, ids.tokens)
        with torch_threads(self._threads):
            if config.adapts:
                nats = np.split(dynamic_nats(self.model, ids, config, count), np.cumsum(ids.lengths)[:-1])
            else:
                segments, _ = plan_segments(self.model, ids, config)
                parts = score(self.model, ids, segments, config.precision)
                nats = nats_by_document(ids, _counted(parts, count))
        scores = [TokenScores.of(text, self.tokenizer, own) for text, own in zip(documents, nats, strict=True)]
        return documents, scores

    def score(self, text: str, **settings: Any) -> TokenScores:
        """Return the nats and the place in the text of every token; of the end too if the run models ends.

        Their sum, with the cost of spelling each `<unk>`, is what `evaluate_text` reports as bits.

        Args:
            text: one document.
            settings: the fields of `EvaluationConfig`, as for `evaluate_text`.

        Raises:
            TextError: the text is empty.
            ConfigError: a setting is unknown or impossible.
        """
        config = _static(settings)
        _, ids = self._encode(LoadedDocuments.of([text]))
        segments, _ = plan_segments(self.model, ids, config)
        with torch_threads(self._threads):
            (nats,) = nats_by_document(ids, score(self.model, ids, segments, config.precision))
        return TokenScores.of(text, self.tokenizer, nats)

    def choices(
        self,
        prompt: str,
        choices: Sequence[str],
        *,
        space: bool = True,
        precision: StepperPrecision = "fp32",
    ) -> list[Choice]:
        """Return how probable each of `choices` is as what continues `prompt`, in their order.

        The nats are those of `score` of the whole text, and those of a word end after it: see `evaluation/choices.py`.

        Args:
            prompt: may be empty.
            choices: words or longer continuations, each a different one.
            space: add a space between the prompt and a choice where neither has white space there.
            precision: of matrix products.

        Raises:
            ConfigError: no choice is given, one is empty, or two are the same.
            TextError: prompt and choice are longer than the model's positions.
        """
        with torch_threads(self._threads):
            return compare_choices(
                self.model,
                self.tokenizer,
                prompt,
                choices,
                space=space,
                precision=precision,
            )

    def surprisal(
        self,
        documents: LoadedDocuments,
        *,
        tokens: bool = True,
        calibration: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> Surprisal:
        """Measure where documents are hard: the nats of each line and document, and of each token what was expected.

        Args:
            documents: what `load_documents` or `validation_texts` returns.
            tokens: keep every token with its rank and the most probable tokens. Without it the memory grows with the
                lines and not with the tokens.
            calibration: count how often the most probable token is right.
            progress: receives how many tokens were scored, and their total.
            settings: the fields of `EvaluationConfig`, as for `evaluate_text`.

        Raises:
            TextError: the text is empty, or too long to keep every token.
            ConfigError: a setting is unknown or impossible.
        """
        config = _static(settings)
        documents, ids = self._encode(documents)
        count = _counting(progress, ids.tokens)
        with torch_threads(self._threads):
            return measure_surprisal(
                self.model,
                self.tokenizer,
                documents,
                ids,
                config,
                tokens=tokens,
                calibration=calibration,
                progress=count,
            )

    def scored_documents(self, documents: LoadedDocuments) -> LoadedDocuments:
        """Return the documents with the ends that are scored, which a run without ends does not model."""
        if self.config.text.ends:
            return documents
        return LoadedDocuments.of(documents, ends=[False] * len(documents), places=documents.places)

    @property
    def members(self) -> dict[str, TextRun]:
        """The members of a mixture as runs of their own, by name; empty if the model is not a mixture."""
        made = {}
        for name in self.config.members:
            config = self._directory.read_member(self.config, name)
            model = cast("MixtureModel", self.model).members[name]
            directory = self._directory.member(name)
            made[name] = TextRun(directory, config, cast("LanguageModel", model), self.tokenizer, self._threads)
        return made

    def _encode(self, documents: LoadedDocuments) -> tuple[LoadedDocuments, Documents]:
        """Return the documents that have ids, with the ends that are scored, and their ids.

        Raises:
            TextError: no document has ids.
        """
        documents = self.scored_documents(documents)
        kinds = (documents, documents.end_sizes, documents.ends, documents.places)
        encoded = zip(map(self.tokenizer.encode, documents), *kinds, strict=True)
        kept = [row for row in encoded if len(row[0])]
        if not kept:
            raise TextError("the text to evaluate is empty")
        all_ids, texts, end_sizes, ends, places = zip(*kept, strict=True)
        ids = Documents.of(all_ids)
        return LoadedDocuments.of(texts, end_sizes, ends, places), Documents(ids.ids, ids.starts, np.array(ends))

    def compress(
        self,
        content: bytes,
        name: str = "the file",
        *,
        dynamic: Adapting | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> bytes:
        """Return a file, compressed without loss into as many bits as evaluation says, and some 50 bytes.

        Args:
            content: of the file: text in UTF-8, or anything for a model of bytes.
            name: of the file, for messages.
            dynamic: what learns from the file while it is coded, as of `evaluate_text`.
            progress: receives how many tokens were coded, and their total.

        Raises:
            TextError: the model cannot code this file.
            ConfigError: the model has nothing of what should learn, or is on another device than a CPU.
        """
        return self._codec().compress(content, name, dynamic, progress)

    def decompress(
        self, content: bytes, name: str = "the file", *, progress: Callable[[int, int], None] = lambda *_: None
    ) -> bytes:
        """Return the original of a file that `compress` returned; arguments as there.

        Raises:
            TextError: it is not a compressed file, or is damaged.
            RunError: it was compressed with another run, or on another kind of machine.
            ConfigError: the model is on another device than a CPU.
        """
        return self._codec().decompress(content, name, progress)

    def _codec(self) -> Codec:
        unit = self.config.data.documents if self.config.text.ends else None
        return Codec(self.model, self.tokenizer, self.config.identity, unit)

    def training_texts(self) -> Iterator[Iterator[str]]:
        """Yield the run's training texts, without the validation part, each as an iterator of chunks.

        Read the chunks of a text before the next text.

        Raises:
            TextError: the text cannot be read.
            RunError: the text has changed.
        """
        splits = [self._split(config) for config in self._learned_from()]
        parts = (part for split in splits for part in groupby(split.train.chunks(), key=itemgetter(0)))
        return (map(itemgetter(1), part) for _, part in parts)

    def is_training_text(self, text: str) -> bool:
        """Return whether this is the run's whole text, or that of a member of a mixture."""
        found = hashlib.sha256(without_surrogates(text).encode()).hexdigest()
        return any(found == config.text.sha256 for config in self._learned_from())

    def memorization(self, text: str) -> Memorization:
        """Measure how much of `text`, usually a sample, is copied from the training texts; errors as there."""
        (found,) = measure_memorization([text], self.training_texts())
        return found

    def _learned_from(self) -> list[RunConfig]:
        """Return the config of the run, or those of the members of a mixture that have different training parts."""
        configs = [self._directory.member(name).read_config() for name in self.config.members] or [self.config]
        parts = {
            (
                one.text.sha256,
                one.text.valid_sha256,
                one.text.split,
                one.data.valid_split,
                one.data.valid_share,
                one.data.documents,
            ): one
            for one in reversed(configs)
        }
        return list(parts.values())


def _static(settings: dict[str, Any]) -> EvaluationConfig:
    """Return the settings of scoring by a model that does not change."""
    config = EvaluationConfig.of(**settings)
    if config.adapts:
        name = "cache" if config.dynamic is None else "dynamic"
        raise ConfigError(f"{name}: the scores of single tokens are static; use evaluate")
    return config


def _counting(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    """Return a function that receives the tokens of each part, and reports those of all parts so far to `progress`."""
    done = 0

    def count(tokens: int) -> None:
        nonlocal done
        done += tokens
        if progress is not None:
            progress(done, total)

    return count


def _counted(parts: Iterable[Scores], count: Callable[[int], None]) -> Iterator[Scores]:
    """Yield `parts`, and report the tokens of each after its use."""
    for part in parts:
        yield part
        count(len(part.nats))


def _sampling(settings: dict[str, Any]) -> SamplingConfig:
    stop = settings.get("stop", ())
    return SamplingConfig.of(**{**settings, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})

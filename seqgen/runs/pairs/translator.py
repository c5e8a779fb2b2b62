"""A trained encoder-decoder, ready to translate."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

from seqgen.data.pairs import Pairs, Sequences
from seqgen.device import iterate_with_threads, torch_threads
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.pairs import evaluate_pairs
from seqgen.evaluation.report import Evaluation, TextSize
from seqgen.evaluation.tasks.translations import ComparedTranslation, TranslationReport, report_translations
from seqgen.evaluation.tasks.unknown_words import replace_unknown as replace_unknown_words
from seqgen.generation.config import MAX_SAMPLES, BeamConfig, SamplingConfig
from seqgen.generation.engine import Engine, FinishReason, Request
from seqgen.generation.generate import Completion, complete_request
from seqgen.generation.generate import stream as stream_text
from seqgen.generation.translate import ROWS, Alignment, Translation, alignment, translate
from seqgen.models.translation.base import Translator
from seqgen.runs.run import Run
from seqgen.sources.config import Reading
from seqgen.sources.source import LoadedDocuments, load_documents
from seqgen.tokenizers.base import END_NAME, UNKNOWN_NAME, Ids, StreamDecoder


@dataclass(frozen=True)
class TranslationEvaluation:
    """What the targets of pairs cost given their sources, and how the written targets compare with them."""

    cost: Evaluation
    """Nats of the targets, ends included; bits per byte of their text."""
    report: TranslationReport


class TranslatorRun(Run):
    """A trained encoder-decoder with its tokenizer."""

    model: Translator
    tasks = ("translate",)
    commands = "seqgen translate or seqgen eval"

    def translate(self, source: str, **settings: Any) -> str:
        """Return the best target for a source.

        Args:
            source: the text; an empty one has an empty target.
            settings: the fields of `BeamConfig`: `beam=5`, `length_penalty=0.6`, `max_length=100`, ...

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        ((best, *_),) = self.translations([source], **settings)
        return best.text

    def translations(
        self, sources: Iterable[str], *, replace_unknown: bool = False, rows: int = ROWS, **settings: Any
    ) -> Iterator[list[Translation]]:
        """Yield the best targets of many sources in order, `n_best` of each, the best first.

        Args:
            sources: the texts.
            replace_unknown: put the source word that was most attended to in place of each `<unk>`, which is otherwise
                never written; for tokenizers of words.
            rows: sources that are read before the first is translated; they are translated together.
            settings: as of `translate`.

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        if replace_unknown and self.tokenizer.kind != "word":
            raise ConfigError(
                f"replace_unknown: this model writes {self.tokenizer.kind} tokens, not words; leave it out"
            )
        config = BeamConfig.of(**settings)
        for name, wanted in (("replace_unknown", replace_unknown), ("coverage_penalty", config.coverage_penalty)):
            if wanted:
                self.require_attention(name)
        again: Iterable[str] = ()
        if replace_unknown:
            sources, again = tee(sources)
        made = translate(
            self.model,
            self.model.stepper(),
            self.tokenizer,
            sources,
            config,
            unknown=replace_unknown,
            longest_target=self.config.text.longest_target or 0,
            rows=rows,
        )
        if replace_unknown:
            pairs = zip(again, made, strict=True)
            made = ([self._replace_unknown(source, one) for one in found] for source, found in pairs)
        return iterate_with_threads(self._threads, made)

    def require_attention(self, setting: str) -> None:
        """Refuse a setting that needs attention for a model without it.

        Raises:
            ConfigError: the model was trained with --attention none.
        """
        if not self.model.attends:
            raise ConfigError(f"{setting}: {self.path} was trained with --attention none, so it has none; leave it out")

    def _replace_unknown(self, source: str, found: Translation) -> Translation:
        """Put source words in place of the unknown words of a target."""
        unknown = [token == self.tokenizer.unknown_id for token in found.ids]
        if not any(unknown):
            return found
        ids = self._encode_source(source)
        weights = alignment(self.model, ids, found.ids)[: len(found.ids)]
        pieces = [self.tokenizer.id_to_bytes[token].decode() for token in found.ids]
        words = self.tokenizer.token_texts(source)[: len(ids)]
        return found._replace(text="".join(replace_unknown_words(pieces, unknown, weights, words)))

    def samples(
        self, source: str, *, num_samples: int = 1, max_length: int | None = None, **sampling: Any
    ) -> Iterator[Completion]:
        """Yield several targets that are drawn for one source.

        Args:
            source: the text, which is not empty.
            num_samples: how many.
            max_length: the most tokens of a target; None is as of `translate`.
            sampling: the fields of `SamplingConfig`: `temperature=0.8`, `seed=1`, ...

        Raises:
            ConfigError: a setting is unknown or impossible.
            TextError: the source is empty.
        """
        if not 1 <= num_samples <= MAX_SAMPLES:
            raise ConfigError(f"num_samples: should be from 1 to {MAX_SAMPLES:,} for a source, not {num_samples}")
        if "max_new_tokens" in sampling:
            raise ConfigError("max_new_tokens: the length of a target is limited by max_length; use that")
        engine, request = self._request(source, max_length, sampling)
        made = complete_request(engine, request, num_samples)
        return iterate_with_threads(self._threads, made)

    def stream(self, source: str, *, max_length: int | None = None) -> Generator[str, None, FinishReason]:
        """Yield the greedy target of a source in pieces, as they become certain, and return why it ended.

        Arguments and errors as of `samples`.
        """
        engine, request = self._request(source, max_length, {"temperature": 0.0})
        return iterate_with_threads(self._threads, stream_text(engine, request))

    def _request(self, source: str, max_length: int | None, sampling: dict[str, Any]) -> tuple[Engine, Request]:
        """Return a new engine, and the request to write a target for a source."""
        ids = self._encode_source(source)
        settings, target = BeamConfig.of(max_length=max_length), self.config.text.longest_target or 0
        longest = settings.max_lengths([len(ids)], target)[0]
        config = SamplingConfig.of(**sampling, max_new_tokens=longest)
        with torch_threads(self._threads):
            engine = Engine(self.model, self.model.stepper(config.precision, config.engine), self.tokenizer, ends=True)
        return engine, Request(config=config, source=ids)

    def _encode_source(self, source: str) -> Ids:
        """Return the ids of a source that the model reads.

        Raises:
            TextError: there are none.
        """
        ids = self.tokenizer.encode(source if source.strip() else "")[: self.model.config.max_source_length]
        if not len(ids):
            raise TextError("the source is empty, so there is nothing to translate; give a text")
        return ids

    def attention(self, source: str, target: str | None = None, **settings: Any) -> Alignment:
        """Return how much each token of a target attended to each token of the source.

        Args:
            source: the text.
            target: what is written for it; None is the best target by `settings`, as of `translate`.
            settings: the fields of `BeamConfig`.

        Raises:
            ConfigError: the model has no attention, or a setting is impossible.
            TextError: the source is empty.
        """
        self.require_attention("attention")
        ids = self._encode_source(source)
        if target is None:
            ((best, *_),) = self.translations([source], **settings)
            written: Sequence[int] = best.ids
            ended = best.finish_reason == "stop"
        else:
            written, ended = self.tokenizer.encode(target).tolist(), True
        with torch_threads(self._threads):
            weights = alignment(self.model, ids, written)
        rows = [*self._spell(written), *([END_NAME] if ended else [])]
        unknown = tuple(np.flatnonzero(ids == self.tokenizer.unknown_id).tolist())
        return Alignment(self.tokenizer.token_texts(source)[: len(ids)], rows, weights[: len(rows)], unknown)

    def _spell(self, ids: Iterable[int]) -> list[str]:
        """Return the characters that each id of a target completes."""
        decoder, unknown = StreamDecoder(self.tokenizer.id_to_bytes), self.tokenizer.unknown_id
        return [UNKNOWN_NAME if one == unknown else decoder.push(one) for one in ids]

    def evaluate_pairs(
        self,
        pairs: str | Path | Sequence[str] | LoadedDocuments,
        *,
        progress: Callable[[int, int], None] | None = None,
        sacrebleu: bool | None = None,
        **settings: Any,
    ) -> TranslationEvaluation:
        """Translate the sources of pairs, and compare with their targets.

        Args:
            pairs: a file of pairs, two parallel files, `corpus:NAME:PART`, or pairs as of `validation_texts`.
            progress: receives how many pairs were translated, and their total.
            sacrebleu: whether to compute chrF and BLEU; by default if sacrebleu is installed.
            settings: the fields of `BeamConfig`, and of `Reading` for files.

        Raises:
            TextError: the pairs cannot be read.
            ConfigError: a setting is unknown or impossible, or sacrebleu is not installed.
        """
        reading = {name: settings.pop(name) for name in Reading.model_fields.keys() & settings.keys()}
        if not isinstance(pairs, LoadedDocuments):
            names = [str(pairs)] if isinstance(pairs, str | Path) else list(map(str, pairs))
            pairs = load_documents(names, self.reading(**reading))
        sources, targets = pairs[::2], pairs[1::2]
        made = self.translations(sources, **settings)  # refuses impossible settings before any work
        ids = [[self.tokenizer.encode(text) for text in side] for side in (sources, targets)]
        encoded = Pairs(*map(Sequences.of, ids))
        with torch_threads(self._threads):
            cost = evaluate_pairs(self.model, encoded, TextSize.total(targets, self.tokenizer))
        compared = []
        for number, (reference, (best, *_)) in enumerate(zip(targets, made, strict=True)):
            length = int(encoded.sources.lengths[number])
            compared.append(ComparedTranslation(length, reference, best.text, best.finish_reason, best.source_cut))
            if progress is not None:
                progress(number + 1, len(sources))
        return TranslationEvaluation(cost, report_translations(compared, sacrebleu=sacrebleu))

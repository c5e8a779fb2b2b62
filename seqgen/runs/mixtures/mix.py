"""seqgen.mix: make one model of several trained runs, which stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch

from seqgen import tokenizers
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.device import RandomState, describe_environment, select_device, torch_threads
from seqgen.errors import ConfigError, RunError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.mixture_weights import fit_mixture_weights, mixture_nats
from seqgen.evaluation.report import Evaluation
from seqgen.evaluation.scoring import nats_by_document, plan_segments, score
from seqgen.models.base import LanguageModel
from seqgen.models.mixture import MixtureModel
from seqgen.models.registry import FAMILIES, MixtureConfig, name_members
from seqgen.models.weights import checksum_of
from seqgen.runs.config import MembersConfig, RunConfig
from seqgen.runs.create import make_config
from seqgen.runs.directory import RunDirectory, check_out_is_free, write_run
from seqgen.runs.load import load_model
from seqgen.runs.mixtures.record import MemberRecord, MixtureRecord
from seqgen.runs.setup import EncodedCorpus, check_same_text, encode_corpus
from seqgen.runs.summary import Summary, summarize
from seqgen.runs.text import TextRun
from seqgen.training.events import Finished, Mixed
from seqgen.training.metrics import MetricsLog
from seqgen.utils.files import make_directory, write_atomically, write_durably
from seqgen.utils.progress import Report, silent

if TYPE_CHECKING:
    from seqgen.runs.config import TextRecord
    from seqgen.training.trainer import DocumentValidation

LARGEST_SHARED = 0.5
"""Share of the text for the weights from which a member has learned it: ordinary texts share up to 0.4 by chance."""


def mix(
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    valid: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    report: Report = silent,
    notify: Callable[[str], None] = lambda _: None,
) -> TextRun:
    """Mix trained runs into a new run, whose model is the weighted mean of their probabilities.

    The weights are those that give the withheld part of the runs' text, or `valid`, the highest probability.

    Args:
        runs: the directories of two runs or more, with the same tokenizer. They are copied, without checkpoints.
        out: the directory of the mixture; None is a new one under runs/.
        valid: a text that none of them has learned from; needed where they do not withhold the same part of a text.
        device: `auto`, `cpu`, `cuda`, ...
        threads: torch's threads on a CPU; None is torch's default.
        report: receives what is being done.
        notify: receives what the user should know about the texts, a sentence each.

    Raises:
        ConfigError: the runs cannot be mixed, or no text is known that no member has learned from and `valid` is None.
        RunError: a run is missing or damaged, a text has changed, or `out` exists.
        TextError: a text is missing or cannot be read.
        SaveError: the directory cannot be written.
    """
    directories = [RunDirectory(Path(run)) for run in runs]
    configs = [directory.read_config() for directory in directories]
    _check_members(directories, configs)
    check_out_is_free(out)
    if out is not None:
        _check_is_outside(Path(out), directories)
    names = name_members([config.model.cell for config in configs])
    members = dict(zip(names, directories, strict=True))
    by_name = dict(zip(names, configs, strict=True))
    data, corpus = _read_unlearned(directories, configs, valid, report)
    for notice in corpus.notices:
        notify(notice)
    tokenizer, validation = corpus.tokenizer, cast("DocumentValidation", corpus.validation)

    config = _make_config(by_name, data, corpus, str(select_device(device)), threads)
    totals = [summarize(directory, one) for directory, one in zip(directories, configs, strict=True)]

    def add(directory: RunDirectory) -> MixtureModel:
        """Copy the runs and set the weights of the copies, as a run may be in training and change."""
        copies = {name: directory.member(name) for name in members}
        for name, source in members.items():
            _copy(source, by_name[name], copies[name])
        report("scoring the members")
        with torch_threads(threads):
            model, record = weigh_members(config, copies, validation, corpus.record)
        _write_record(directory, record, totals)
        return model

    directory, lock, model = write_run(out, config, tokenizer, add)
    lock.release()
    return TextRun(directory, config, model, tokenizer, threads)


def _write_record(directory: RunDirectory, record: MixtureRecord, members: Sequence[Summary]) -> None:
    """Write mixture.json, and metrics.jsonl with the steps of all members together."""
    write_atomically(directory.mixture, record.to_json())
    steps, total = sum(one.steps for one in members), sum(one.total_steps for one in members)
    with MetricsLog(directory.metrics) as log:
        log.write(mixed_event(record, steps, total, 0.0))
        log.write(finished_event(record, steps, total, 0.0))


def _make_config(
    members: Mapping[str, RunConfig], data: DataConfig, corpus: EncodedCorpus, device: str, threads: int | None
) -> RunConfig:
    first = next(iter(members.values()))
    return make_config(
        data,
        corpus,
        first.tokenizer,
        model=MixtureConfig(members={name: one.model for name, one in members.items()}),
        training=MembersConfig(
            device=device, threads=threads, members={name: one.training for name, one in members.items()}
        ),
        environment=describe_environment(select_device(device), "fp32"),
    )


def weigh_members(
    config: RunConfig, members: Mapping[str, RunDirectory], validation: DocumentValidation, text: TextRecord
) -> tuple[MixtureModel, MixtureRecord]:
    """Load the members, set their weights on the validation part, and return the mixture and its record.

    Each member scores the segments that the mixture would, so the figures are those that the mixture itself gives.
    """
    described, device = cast("MixtureConfig", config.model), select_device(config.training.device)
    vocab_size, documents = config.tokenizer.vocab_size, validation.documents
    with RandomState(0, torch.device("cpu")):
        loaded: dict[str, LanguageModel] = {
            name: load_model(directory, directory.read_config(), vocab_size).to(device)
            for name, directory in members.items()
        }
    model = MixtureModel(described, vocab_size, loaded).to(device).eval()
    segments, context = plan_segments(model, documents, EvaluationConfig())
    nats = np.stack(
        [np.concatenate(nats_by_document(documents, score(one, documents, segments))) for one in loaded.values()]
    )
    weights = fit_mixture_weights(nats, list(loaded))
    model.weights.copy_(torch.from_numpy(weights))

    def evaluation(total: float) -> Evaluation:
        return Evaluation(documents.tokens, validation.size, total, int(documents.ends.sum()), context)

    alone = [evaluation(float(one.sum())) for one in nats]
    mixed = evaluation(float(mixture_nats(nats, weights).sum()))
    record = MixtureRecord(
        members={
            name: MemberRecord(
                weight=float(weight),
                nats_per_token=one.nats_per_token,
                bits_per_byte=one.bits_per_byte,
                checksum=checksum_of(members[name].weights),
            )
            for name, weight, one in zip(loaded, weights, alone, strict=True)
        },
        nats_per_token=mixed.nats_per_token,
        bits_per_character=mixed.bits_per_character,
        bits_per_byte=mixed.bits_per_byte,
        tokens=documents.tokens,
        text_sha256=text.valid_sha256 or text.sha256,
        split=text.split,
    )
    return model, record


def mixed_event(record: MixtureRecord, step: int, total_steps: int, seconds: float) -> Mixed:
    """Return the event of a mixture whose weights were set."""
    return Mixed(
        step=step,
        total_steps=total_steps,
        members={name: member.model_dump(exclude={"checksum"}) for name, member in record.members.items()},
        nats_per_token=record.nats_per_token,
        bits_per_character=record.bits_per_character,
        bits_per_byte=record.bits_per_byte,
        seconds=seconds,
    )


def finished_event(record: MixtureRecord | None, step: int, total_steps: int, seconds: float) -> Finished:
    """Return the event of a mixture that has ended, without figures if its weights were not set."""
    return Finished(
        step=step,
        total_steps=total_steps,
        reason="complete",
        best_step=None if record is None else step,
        best_bits_per_byte=None if record is None else record.bits_per_byte,
        best_bits_per_character=None if record is None else record.bits_per_character,
        skipped=0,
        seconds=seconds,
    )


def _check_is_outside(out: Path, directories: Sequence[RunDirectory]) -> None:
    """Refuse a directory inside one of the runs."""
    for directory in directories:
        if out.resolve().is_relative_to(directory.path.resolve()):
            raise ConfigError(f"out: {out} is inside the run {directory.path}; choose a directory outside of all runs")


def _check_members(directories: Sequence[RunDirectory], configs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot be one model."""
    if len(directories) < 2:
        raise ConfigError("a mixture needs two runs or more; name another one")
    first, seen = configs[0], set[Path]()
    for directory in directories:
        if directory.path.resolve() in seen:
            raise ConfigError(f"{directory.path} is named twice; a run mixed with itself is the same run")
        seen.add(directory.path.resolve())
    for directory, config in zip(directories, configs, strict=True):
        if FAMILIES[config.model.cell].is_mixture:
            raise ConfigError(f"{directory.path} is a mixture itself; name the runs in {directory.path}/members")
        if config.data.has_pairs:
            raise ConfigError(f"{directory.path} is a run of --task {config.data.task}; only models of texts are mixed")
        if not directory.weights.is_file():
            raise RunError(f"{directory.path} has no weights yet: {directory.weights} is missing; train it first")
        if config.tokenizer.fingerprint != first.tokenizer.fingerprint:
            raise ConfigError(
                f"{directory.path} and {directories[0].path} have different tokenizers, so their tokens do not "
                f"correspond; train one with --tokenizer {directories[0].tokenizer}"
            )
        if config.text.ends != first.text.ends:
            with_ends, without = (directory, directories[0])[:: 1 if config.text.ends else -1]
            raise ConfigError(
                f"{with_ends.path} models the ends of documents and {without.path} does not; train both with "
                "the same --documents"
            )


def _read_unlearned(
    directories: Sequence[RunDirectory], configs: Sequence[RunConfig], valid: str | Path | None, report: Report
) -> tuple[DataConfig, EncodedCorpus]:
    """Return the data settings and the corpus of the first run, with a validation part that no run has learned from.

    Raises:
        ConfigError: such a part does not exist.
    """
    learned = [_with_parents(*run, needed=valid is None) for run in zip(directories, configs, strict=True)]
    sha256 = None
    if valid is None:
        for runs in learned:
            _check_same_validation(directories[0].path, configs[0], runs)
    else:
        alone = _with_changes(configs[0].data, text=(str(valid),), valid=None, valid_split="none", valid_share=None)
        sha256 = read_texts(alone, report).text.manifest.sha256
    found: dict[tuple[object, ...], tuple[DataConfig, EncodedCorpus]] = {}
    for directory, config in (run for runs in learned for run in runs):
        read = (config.text.sha256, config.tokenizer.fingerprint, config.data.documents)
        if read in found:
            continue
        data, record = config.data, config.text
        if valid is not None:
            if record.sha256 == sha256:
                raise ConfigError(
                    f"valid: {valid} is the training text of {directory.path}; name a text that no run has seen"
                )
            data = _with_changes(data, valid=str(valid), valid_split="none", valid_share=None)
            record = record.model_copy(update={"valid_sha256": sha256, "split": "none"})
        texts = read_texts(data, report, record)
        check_same_text(texts, record, data)
        tokenizer = tokenizers.load(directory.tokenizer, config.tokenizer.fingerprint)
        corpus = encode_corpus(texts, tokenizer, report)
        check_unlearned(data, corpus, f"the training text of {directory.path}; name a text that no run has seen")
        found[read] = (data, corpus)
    return next(iter(found.values()))


def check_unlearned(data: DataConfig, corpus: EncodedCorpus, of: str) -> None:
    """Refuse a validation file that the training text contains: weights set on it would favor what is memorized.

    A part that is withheld from the text itself may repeat it: a notice tells that.

    Raises:
        ConfigError: the text contains half of the validation file or more; the message ends with `of`.
    """
    leakage = corpus.leakage
    if data.valid is not None and leakage is not None and leakage.share >= LARGEST_SHARED:
        raise ConfigError(f"valid: {leakage.share:.0%} of {data.valid} also occurs in {of}")


def _with_changes(data: DataConfig, **changes: object) -> DataConfig:
    return DataConfig.of(**{**data.model_dump(exclude_defaults=True), **changes})


Configured: TypeAlias = tuple[RunDirectory, RunConfig]


def _with_parents(directory: RunDirectory, config: RunConfig, *, needed: bool) -> list[Configured]:
    """Return a run, the run whose weights it started from (`init_from`), that run's own, and so on.

    Raises:
        ConfigError: one is missing or cannot be read, and is `needed`.
    """
    found = [(directory, config)]
    while (parent := found[-1][1].init_from) is not None:
        if any(parent == str(known.path) for known, _ in found):
            break
        try:
            found.append((RunDirectory(Path(parent)), RunDirectory(Path(parent)).read_config()))
        except RunError as error:
            if not needed:
                break
            raise ConfigError(
                f"valid: {directory.path} was started from the weights of {parent}, and what that run has learned is "
                f"not known: {error}; name a text that no run has seen with --valid FILE"
            ) from error
    return found


def _check_same_validation(first: Path, config: RunConfig, runs: Sequence[Configured]) -> None:
    """Refuse a run if it, or one that its weights started from, may have learned from the first run's validation part.

    Raises:
        ConfigError: it may have.
    """

    def part(config: RunConfig) -> tuple[object, ...]:
        text, data = config.text, config.data
        if text.valid_sha256 is not None:
            return (text.valid_sha256,)
        return (text.sha256, text.split, data.valid_split, data.valid_share, data.documents, text.valid_tokens)

    child = runs[0][0].path
    for directory, one in runs:
        name = f"{child}" if directory.path == child else f"{child} was started from {directory.path}, which"
        if not one.text.valid_tokens:
            raise ConfigError(
                f"valid: {name} was trained on the whole text (--valid-split none), so no part of it can set the "
                "weights; name a text that no run has seen with --valid FILE"
            )
        if part(one) != part(config):
            other = child if directory.path == child else f"{directory.path}, from which {child} was started,"
            raise ConfigError(
                f"valid: {first} and {other} do not withhold the same part of the same text, so one may have learned "
                "from what the other has not seen; name a text that no run has seen with --valid FILE"
            )


def _copy(source: RunDirectory, config: RunConfig, target: RunDirectory) -> None:
    """Copy a run with this config, without its checkpoints; a link becomes the file that it names."""
    make_directory(target.path)
    target.write_config(config)
    write_durably(target.weights, source.weights.read_bytes())
    shutil.copytree(source.tokenizer, target.tokenizer)

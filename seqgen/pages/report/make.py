"""Make the report of a run: one page with its result, settings, curves, samples, and how it does on held-out text.

Each section is made by one function from data: `result_section`, `settings_section`, ... A section is a list of blocks
that templates/report.js draws: `figures`, `table`, `charts`, `texts`, `colored`, `unit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache, partial

from seqgen.errors import SeqgenError
from seqgen.evaluation.report import xz_bits_per_byte
from seqgen.inspection.context import ContextLosses, measure_context
from seqgen.inspection.gradients import Gradients, Target, measure_gradients
from seqgen.inspection.trace import fit_positions, neural_part
from seqgen.inspection.units import find_units, trace_units
from seqgen.models.config import RecurrentConfig
from seqgen.models.registry import FAMILIES
from seqgen.pages.page import make_page
from seqgen.pages.report.blocks import Section
from seqgen.pages.report.inside import (
    calibration_section,
    context_section,
    horizon_section,
    labels_section,
    surprisal_section,
    units_section,
)
from seqgen.pages.report.training import curves_section, result_section, samples_section, settings_section
from seqgen.runs.directory import RunDirectory
from seqgen.runs.history import MEMBER_OF_ALL, read_histories
from seqgen.runs.load import load
from seqgen.runs.mixtures.record import MixtureRecord
from seqgen.runs.pairs.labeler import LabelerRun
from seqgen.runs.run import Run
from seqgen.runs.summary import summarize
from seqgen.runs.text import TextRun
from seqgen.sources.source import LoadedDocuments

WORK = {
    "scoring the validation part": "token",
    "reading contexts": "token",
    "finding units": "token",
    "measuring gradients": "position",
}
"""What takes time, and what is counted."""
SCORED_CHARACTERS = 100_000
"""Characters of the validation part that are scored for the page."""
UNIT_CHARACTERS = 50_000
"""Characters of the validation part in which units are searched."""
CONTEXT_CHARACTERS, TARGETS, LONGEST = 20_000, 100, 128
"""Characters of the validation part, places in it, and tokens of the longest context, of which the loss is measured."""
DISTANCE, POSITIONS = 100, 32
"""The greatest distance of the gradients, in tokens, and the number of losses."""


@dataclass
class Report:
    """The sections of a page, and why others are not on it."""

    title: str
    sections: list[Section] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """By the title of a section that does not apply or could not be made, the reason."""

    def add(self, title: str, make: Callable[[], Section]) -> None:
        """Add a section; if its data are missing, or do not apply to this run, name it and the reason instead."""
        try:
            self.sections.append(make())
        except SeqgenError as error:
            self.left_out[title] = str(error)


def report_page(report: Report) -> str:
    """Return the HTML of a report.

    Raises:
        SaveError: it is too large for a page.
    """
    return make_page("report", report.title, asdict(report), parts=("chart",))


def make_report(directory: RunDirectory, progress: Callable[[str, int, int], None] = lambda *_: None) -> Report:
    """Report on a run of any kind, finished or not.

    Args:
        directory: the run.
        progress: receives a name of `WORK`, how much of it is done, and the total.

    Raises:
        RunError: it is not a run, or its files are damaged.
    """
    config = directory.read_config()
    damaged: list[str] = []
    histories = read_histories(directory, config, note=damaged.append)
    summary = summarize(directory, config, lambda _: None)  # `damaged` has the damaged lines already
    report = Report(f"Report of {directory.path.name}")
    if damaged:
        report.left_out["Damaged lines"] = "; ".join(damaged)
    run = load(directory.path) if directory.has_weights else None
    text, why_not = _validation_part(run)
    mixture = directory.read_mixture() if directory.mixture.is_file() else None
    best = histories[MEMBER_OF_ALL].best
    report.sections += [result_section(summary, config, best, _xz(run, text), mixture), settings_section(config)]
    if any(len(history.steps) for history in histories.values()):
        report.sections.append(curves_section(histories, config))
    else:
        takes_steps = any(FAMILIES[one.model.cell].neural for one in (config, *config.members.values()))
        report.left_out["Curves"] = "metrics.jsonl has no steps" if takes_steps else "the model is fitted in one pass"
    if any(history.samples for history in histories.values()):
        report.sections.append(samples_section(histories, raw=config.data.is_raw))
    else:
        report.left_out["Samples"] = "metrics.jsonl has no samples"
    scoring, contexts, units, gradients = (partial(progress, name) for name in WORK)
    if run is None or text is None:
        report.left_out["The validation part"] = why_not
    elif not isinstance(run, TextRun):
        if isinstance(run, LabelerRun):
            report.add("Labels of the validation part", lambda: labels_section(run.evaluate_pairs(progress=scoring)))
        report.left_out["Surprisal, calibration, context, units, gradient horizon"] = (
            "they belong to runs that continue texts"
        )
    else:
        part = text.first(SCORED_CHARACTERS)
        characters = sum(map(len, text))
        scored = cache(lambda: run.surprisal(part, calibration=True, progress=scoring))
        report.add("Surprisal", lambda: surprisal_section(scored(), characters))
        report.add("Calibration", lambda: calibration_section(scored(), run.path.name))
        report.add("Context", lambda: context_section(_context(run, text, contexts)))
        member = heaviest_member(run, mixture)
        report.add("Units", lambda: _units(neural_part(run, member), text.first(UNIT_CHARACTERS), units))
        report.add("Gradient horizon", lambda: horizon_section(_gradients(neural_part(run, member), part, gradients)))
    return report


def _validation_part(run: Run | None) -> tuple[LoadedDocuments | None, str]:
    """Return the validation part of a run, or why it cannot be read."""
    if run is None:
        return None, "the run has no weights yet; continue it with seqgen train --resume"
    try:
        return run.validation_texts(), ""
    except SeqgenError as error:
        return None, str(error)


def _xz(run: Run | None, text: LoadedDocuments | None) -> float | None:
    """Return what xz needs for the validation part of a text, in bits per byte."""
    if not isinstance(run, TextRun) or text is None:
        return None
    return xz_bits_per_byte(run.scored_documents(text).in_file, run.tokenizer.text_encoding)


def heaviest_member(run: TextRun, mixture: MixtureRecord | None) -> str | None:
    """Return the member of a mixture with the largest weight of those that gradients trained; None without any."""
    neural = [name for name, part in run.members.items() if FAMILIES[part.config.model.cell].neural]
    if mixture is None or not neural:
        return None
    return max(neural, key=lambda name: mixture.members[name].weight)


def _context(run: TextRun, documents: LoadedDocuments, progress: Callable[[int, int], None]) -> ContextLosses:
    """Measure what the beginning of a text costs a run by the context that it sees."""
    part = documents.first(CONTEXT_CHARACTERS)
    (found,) = measure_context([run], part, targets=TARGETS, longest=LONGEST, progress=progress)
    return found


def _units(part: TextRun, documents: LoadedDocuments, progress: Callable[[int, int], None]) -> Section:
    """Find the units of a neural run."""
    trace = trace_units(part, fit_positions(part, documents), progress=progress)
    return units_section(trace, find_units(trace), part.config.model.name, part.model.max_positions)


def _gradients(part: TextRun, documents: LoadedDocuments, progress: Callable[[int, int], None]) -> Gradients:
    """Measure the gradients of a neural run, as far back as the documents and its positions allow."""
    limits = [max((len(part.tokenizer.encode(text)) for text in documents), default=0)]
    if part.model.max_positions is not None:
        limits.append(part.model.max_positions)
    distance = max(1, min(DISTANCE, *(limit - 2 for limit in limits)))
    of: Target = "state" if isinstance(part.config.model, RecurrentConfig) else "input"
    return measure_gradients(part, documents, of=of, distance=distance, positions=POSITIONS, progress=progress)

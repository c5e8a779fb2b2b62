"""`seqgen translate`: write a target for each source with a trained encoder-decoder."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import (
    JsonLinesOption,
    QuietOption,
    RunOption,
    is_typed,
    machine_settings,
    pick,
    texts_of,
    with_settings,
)
from seqgen.cli.output import check_out, notice, stdout, write_json, write_stream, write_text
from seqgen.cli.prompt import UnknownPieces
from seqgen.cli.signals import exit_on_signal

from seqgen.config import BEAM, SAMPLING, settings_of
from seqgen.errors import ConfigError, TextError
from seqgen.generation.config import BeamConfig, SamplingConfig
from seqgen.pages.chart_file import CHART_SUFFIXES, PICTURE_SUFFIXES
from seqgen.sources.config import STDIN, Reading
from seqgen.utils.files import write_atomically
from seqgen.utils.text import plural, singular_or_plural

if TYPE_CHECKING:
    from seqgen.generation.engine import FinishReason
    from seqgen.generation.translate import Translation
    from seqgen.pages.attention import AttentionExample
    from seqgen.runs.pairs.translator import TranslatorRun

_SAMPLING = settings_of(SamplingConfig)
DRAWING = ("temperature", "top_k", "top_p", "min_p", "seed")
SETTINGS = {
    **settings_of(BeamConfig),
    **{name: _SAMPLING[name] for name in DRAWING},
    "encoding": settings_of(Reading)["encoding"]._replace(group=SAMPLING),
    **machine_settings(SAMPLING),
}
SETTINGS["temperature"] = SETTINGS["temperature"]._replace(
    description="Draw targets at this temperature instead of searching for the best.", shown="search"
)
NAMED = 10
"""Lines that a notice names."""
MOST_EXAMPLES = 50
"""Sources whose attention is drawn on one page."""


@with_settings(SETTINGS, main=[name for name, made in SETTINGS.items() if made.group == BEAM])
def translate(
    source: Annotated[
        str, typer.Argument(metavar="TEXT|-|FILE", help="A source in each line: a text, - for stdin, or a file.")
    ],
    run: RunOption = None,
    attention: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw the attention: OUT.html, OUT.png, OUT.svg, or - for the terminal."),
    ] = None,
    replace_unknown: Annotated[
        bool,
        typer.Option("--replace-unknown", help="word: write the most attended source word in place of <unk>."),
    ] = False,
    json: JsonLinesOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Write a target for each source, by a run trained with --task translate.

    There is a line of output for each line of input, as soon as it comes: the best target.
    With --n-best, each target has the number of its source and its score before it.
    """
    machine, reading = pick(settings, "device", "threads"), pick(settings, "encoding")
    drawing = pick(settings, *DRAWING)
    _check_settings(settings, drawing, replace_unknown=replace_unknown, attention=attention is not None)
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.pairs.translator import TranslatorRun

    model = load(run, **machine).expect(TranslatorRun)
    if replace_unknown:
        settings["replace_unknown"] = True
    if attention is not None:
        _check_attention(model, attention, json=json)
    batches, one = texts_of(source, "the source", reading, model.config.data, quiet=quiet)
    unknown, sources = UnknownPieces(model), list[str]()
    batches = (list(unknown.count(batch)) for batch in batches)
    if attention is not None:
        sources = list(chain.from_iterable(batches))
        batches = iter([sources])
    if one and attention is None and not (json or drawing or settings.keys() - {"max_length"}):
        (text,) = next(batches)
        written = [_stream(model, text, settings.get("max_length"))]
    elif drawing:
        texts = chain.from_iterable(batches)
        written = _print_drawn(model, texts, settings.get("max_length"), drawing, json=json)
    else:
        with WorkBar("translating", quiet=quiet or sys.stdout.isatty() or is_typed(source), unit="source") as bar:
            written = _print(model, batches, settings, bar, json=json)
    unknown.note("the source", quiet=quiet)
    for message in _length_notices(model, written):
        notice(message, quiet=quiet)
    if attention is not None:
        draw_attention(model, [text for text in sources if text], attention, settings, quiet=quiet)


def _check_settings(settings: dict[str, Any], drawing: dict[str, Any], **given: bool) -> None:
    """Refuse impossible settings, and those of the search and of drawing together, before the run is loaded.

    `given` are options of the search that no config has.
    """
    BeamConfig.of(**settings)
    SamplingConfig.of(**drawing)
    searching = [name for name in settings if name != "max_length"] + [name for name in given if given[name]]
    if drawing and searching:
        raise ConfigError(
            f"{searching[0]}: it belongs to the search, and {next(iter(drawing))} to drawing; leave one out"
        )
    if drawing and "temperature" not in drawing:
        raise ConfigError(f"{next(iter(drawing))}: it belongs to drawing; add --temperature, or leave it out")


def _check_attention(model: TranslatorRun, place: str, *, json: bool) -> None:
    """Refuse a model without attention, and a place where it cannot be drawn, before the work starts."""
    if place != STDIN:
        check_out(place, CHART_SUFFIXES, "attention")
    if json and place == STDIN:
        raise ConfigError("attention: stdout has JSON, so name a file, or leave --json out")
    model.require_attention("attention")


class _Written(NamedTuple):
    """What was written for a source: how many tokens the source has, and why the best target ended."""

    source_tokens: int
    finish_reason: FinishReason


def _length_notices(model: TranslatorRun, written: Sequence[_Written]) -> list[str]:
    """Return a sentence each on sources that were cut or are longer than any in training, and on cut targets."""
    notices, lengths = [], [one.source_tokens for one in written]
    if limited := sum(one.finish_reason == "length" for one in written):
        notices.append(
            f"{limited:,} of {plural(len(written), 'target')} reached the length limit without an end; to allow more "
            "tokens, raise --max-length"
        )
    limit, longest = model.model.config.max_source_length, model.config.text.longest_source
    if cut := _numbers(lengths, limit):
        notices.append(f"{cut}: more than {plural(limit, 'token')}; the rest was not read")
    if longest is not None and longest < limit and (unseen := _numbers(lengths, longest)):
        known = plural(longest, "token")
        notices.append(f"{unseen}: longer than any source in training ({known}), so expect worse targets")
    return notices


def _numbers(lengths: Sequence[int], limit: int) -> str:
    """Return the sources with more than `limit` tokens in words, by their lines; empty if there are none."""
    found = [number for number, length in enumerate(lengths, 1) if length > limit]
    named = ", ".join(f"{number:,}" for number in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
    if not found:
        return ""
    return f"{plural(len(found), 'source')} ({singular_or_plural(len(found), 'line', 'lines')} {named})"


def _stream(model: TranslatorRun, source: str, max_length: int | None) -> _Written:
    """Print the greedy target of a source while it is written."""
    reasons: list[FinishReason] = []

    def pieces() -> Generator[str]:
        reasons.append((yield from model.stream(source, max_length=max_length)))

    write_stream(pieces())
    write_text("\n")
    return _Written(len(model.tokenizer.encode(source)), *reasons)


def _print_drawn(
    model: TranslatorRun, sources: Iterable[str], max_length: int | None, drawing: dict[str, Any], *, json: bool
) -> list[_Written]:
    """Print a target that is drawn for each source."""
    written = []
    for source in sources:
        made = list(model.samples(source, max_length=max_length, **drawing)) if source else []
        records = [{"text": one.text, "tokens": one.tokens, "finish_reason": one.finish_reason} for one in made]
        records = records or [{"text": "", "tokens": 0, "finish_reason": "stop"}]
        write_json({"source": source, "targets": records}) if json else write_text(f"{records[0]['text']}\n")
        reason = made[0].finish_reason if made else "stop"
        written.append(_Written(len(model.tokenizer.encode(source)), reason))
    return written


def _print(
    model: TranslatorRun, batches: Iterable[list[str]], settings: dict[str, Any], bar: WorkBar, *, json: bool
) -> list[_Written]:
    """Print the best targets of each source."""
    written, several = list[_Written](), settings.get("n_best", 1) > 1
    made = (zip(batch, model.translations(batch, **settings), strict=True) for batch in batches)
    for number, (source, found) in enumerate(chain.from_iterable(made), 1):
        written.append(_Written(found[0].source_tokens, found[0].finish_reason))
        bar.show(number)
        if json:
            write_json({"source": source, "targets": [_record(one) for one in found]})
        elif several:
            write_text("".join(f"{number}\t{one.score:.4f}\t{one.text}\n" for one in found))
        else:
            write_text(f"{found[0].text}\n")
    return written


def _record(found: Translation) -> dict[str, Any]:
    return {
        "text": found.text,
        "tokens": len(found.ids) + (found.source_tokens > 0 and found.finish_reason == "stop"),  # with the end
        "nats": found.nats,
        "score": found.score,
        "finish_reason": found.finish_reason,
        "source_cut": found.source_cut,
    }


def draw_attention(
    model: TranslatorRun, sources: Sequence[str], place: str, settings: dict[str, Any], *, quiet: bool
) -> None:
    """Draw the attention of sources: a page, a picture, or a map in the terminal.

    Args:
        model: the run.
        sources: texts that are not empty.
        place: a page or a picture, or - for the terminal.
        settings: of the search.
        quiet: whether to leave out notices.
    """
    from seqgen.pages.attention import AttentionExample, attention_page
    from seqgen.pages.attention_picture import write_attention_picture

    if not sources:
        raise TextError("attention: all sources are empty, so there is none to draw; give a text")
    is_picture = place.lower().endswith(PICTURE_SUFFIXES)
    chosen = sources[: 1 if is_picture else MOST_EXAMPLES]
    examples = [AttentionExample(*model.attention(source, **settings)) for source in chosen]
    if place == STDIN:
        for one in examples:
            print_map(one)
    elif is_picture:
        write_attention_picture(examples[0], Path(place))
    else:
        write_atomically(Path(place), attention_page(examples, f"Attention of {model.path.name}").encode())
    if len(chosen) < len(sources):
        notice(f"attention: the first {plural(len(chosen), 'source')} of {len(sources):,}", quiet=quiet)


def print_map(example: AttentionExample) -> None:
    """Print a map of attention on stdout."""
    from seqgen.cli.commands.pairs.attention_text import attention_text

    console = stdout(100)
    for line in attention_text(example, console.width):
        console.print(line, soft_wrap=True)

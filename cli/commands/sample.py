"""`seqgen sample`: generate text with a trained run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import TokenBar
from seqgen.cli.options import JsonOption, QuietOption, RunOption, pick, with_settings
from seqgen.cli.output import notice, write_json, write_stream, write_text
from seqgen.cli.prompt import check_prompt, check_stops, interpret_escapes, read_prompt
from seqgen.cli.signals import exit_on_signal

from seqgen.config import SAMPLING, settings_of
from seqgen.errors import ConfigError
from seqgen.generation.config import SamplingConfig
from seqgen.sources.config import Reading
from seqgen.training.config import TrainingConfig
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.evaluation.memorization import Memorization
    from seqgen.runs.load import Run

_MACHINE = settings_of(TrainingConfig)
SETTINGS = {
    **settings_of(SamplingConfig),
    "encoding": settings_of(Reading)["encoding"]._replace(shown="utf-8; bytes as trained", group=SAMPLING),
    "device": _MACHINE["device"]._replace(group=SAMPLING),
    "threads": _MACHINE["threads"]._replace(group=SAMPLING, shown="all"),
}
QUOTED = 60
"""Characters of a copied passage that are shown."""
MAIN = ("temperature", "max_new_tokens", "top_k", "top_p", "stop", "seed")


@with_settings(SETTINGS, main=MAIN)
def sample(
    run: RunOption = None,
    prompt: Annotated[str, typer.Option(help="Text to continue; - reads it from stdin.")] = "",
    prompt_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with the prompt; as with stdin, a final line end is dropped."),
    ] = None,
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", help="Number of texts.")] = 1,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Print the new text without the prompt.")] = False,
    escapes: Annotated[
        bool, typer.Option("--escapes", help=r"Read \n, \t, \r, \\, \xHH and \uHHHH in --prompt and --stop.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a prompt with characters that are not in the vocabulary.")
    ] = False,
    memorization: Annotated[
        bool, typer.Option("--memorization", help="Report how much of each text occurs verbatim in the training text.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Generate text with the newest run, or the run that --run names.

    One text is streamed to stdout; several are generated in one batch. The output begins with the prompt.
    Without a prompt a text begins as a line of the training text does.
    """
    from seqgen.sources.content import bytes_as_characters

    with exit_on_signal():
        from seqgen.runs.load import load

    if escapes:
        prompt = _interpret_escapes(prompt, settings)
    model = load(run, **pick(settings, "device", "threads"))
    reading = model.reading(**pick(settings, "encoding"))
    if reading.is_raw and num_samples > 1 and not json and not sys.stdout.isatty():
        raise ConfigError("num_samples: texts of bytes cannot be told apart in a pipe; add --json, or sample one text")
    start = read_prompt(prompt, prompt_file, reading.encoding)
    check_prompt(start, model, strict=strict, quiet=quiet)
    check_stops(settings.get("stop", ()), model, quiet=quiet)
    if reading.is_raw and "stop" in settings:
        settings["stop"] = tuple(map(bytes_as_characters, settings["stop"]))
    learned = model.training_texts() if memorization else None  # before anything is written: the text may be missing
    with TokenBar("reading the prompt", quiet=quiet) as bar:
        if num_samples == 1 and not json:
            texts = [_stream(model, start, {**settings, "progress": bar.show}, echo=not no_echo)]
        else:
            texts = model.samples(start, num_samples=num_samples, progress=bar.show, **settings)
    copied = None if learned is None else _compare(texts, learned)
    if json:
        _print_json(model, start, texts, copied)
        return
    if num_samples > 1:
        _print_all(model, "" if no_echo else start, texts)
    for number, found in enumerate(copied or [], 1):
        notice(f"{'' if num_samples == 1 else f'sample {number}: '}{_describe(found)}", quiet=quiet)


def _interpret_escapes(prompt: str, settings: dict[str, Any]) -> str:
    """Interpret the escapes in `settings["stop"]` and in the prompt, which is returned."""
    if prompt in {"", "-"} and "stop" not in settings:
        raise ConfigError("escapes: it applies to --prompt and --stop, and neither is given; leave it out")
    if "stop" in settings:
        settings["stop"] = [interpret_escapes(text, "stop") for text in settings["stop"]]
    return interpret_escapes(prompt, "prompt")


def _print_json(model: Run, start: str, texts: list[str], copied: list[Memorization] | None) -> None:
    memorization = {} if copied is None else {"memorization": [asdict(found) for found in copied]}
    write_json({"run": str(model.path), "prompt": start, "samples": texts, **memorization})


def _print_all(model: Run, start: str, texts: list[str]) -> None:
    """Print several texts, each under its number."""
    for number, text in enumerate(texts):
        whole = model.tokenizer.written(start + text)
        write_text(f"{'' if number == 0 else chr(10)}--- {number + 1} ---\n{whole}\n", raw=model.config.data.is_raw)


def _stream(model: Run, start: str, settings: dict[str, Any], *, echo: bool) -> str:
    """Write a text while it is generated, after the prompt if `echo` is set; return what was generated."""
    from seqgen.tokenizers.normalization import compose_chunks

    generated = model.generate(start, stream=True, **settings)
    # Read the prompt, with its bar, and meet errors before anything is written.
    made = [next(generated, "")]

    def new() -> Iterator[str]:
        yield made[0]
        for piece in generated:
            made.append(piece)
            yield piece

    pieces, raw = chain([start] if echo else [], new()), model.config.data.is_raw
    try:
        write_stream(pieces if model.tokenizer.normalization == "none" else compose_chunks(pieces), raw=raw)
    finally:
        if not raw or sys.stdout.isatty():  # of bytes in a pipe it would be one more byte
            write_text("\n")
    return "".join(made)


def _compare(texts: list[str], learned: Iterable[Iterable[str]]) -> list[Memorization]:
    from seqgen.evaluation.memorization import measure_memorization

    return measure_memorization(texts, learned)


def _describe(found: Memorization) -> str:
    """Describe in one line how much of a sample occurs in the training text."""
    from seqgen.evaluation.memorization import NGRAM

    copy = found.longest_copy
    quoted = repr(copy if len(copy) <= QUOTED else f"{copy[: QUOTED // 2]} ... {copy[-QUOTED // 2 :]}")
    return (
        f"longest copy from the training text: {len(copy)} of {plural(found.characters, 'character')}, {quoted}; "
        f"{found.copied_share:.0%} of the sample is in copies of {NGRAM} characters or more"
    )

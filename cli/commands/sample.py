"""`seqgen sample`: new text from a trained run."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from seqgen.cli.options import (
    DeviceOption,
    JsonOption,
    OfTheModelOption,
    QuietOption,
    RunOption,
    ThreadsOption,
    as_text,
    drop_none,
    read_stdin,
)
from seqgen.cli.output import notice, write_json, write_stream, write_text
from seqgen.cli.progress import Counting
from seqgen.cli.signals import leaving_at_once

from seqgen.errors import ConfigError, TextError
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.evaluation.memorization import Memorization
    from seqgen.runs.load import Run

_LINE_END = re.compile(r"(?:\r\n|\n|\r)\Z")
_ESCAPE = re.compile(
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # the two halves of a character beyond U+FFFF
    | \\(?:[\\nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})""",
    re.VERBOSE,
)
QUOTED = 60
"""Characters of a stretch that are shown."""


def sample(
    run: RunOption = None,
    prompt: Annotated[str, typer.Option(help="Text to continue; - reads it from stdin.")] = "",
    prompt_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with the text to continue; one final line end is dropped, as of stdin. Of more than some 12,000 "
            "tokens only the end is read where two starting points agree, so what was set long before may be missed.",
        ),
    ] = None,
    escapes: Annotated[
        bool, typer.Option("--escapes", help=r"Read \n, \t, \r, \\, \xHH and \uHHHH in --prompt and --stop.")
    ] = False,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Print the new text without the prompt.")] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Maximum number of new tokens.", show_default="500")
    ] = None,
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", help="Number of texts.")] = 1,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 is greedy, 1 the model's own distribution, more is more random.", show_default="0.8"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Sample from the k most likely tokens; 0 is off.", show_default="0")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the fewest tokens whose probabilities sum to p.", show_default="1")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(help="Sample from tokens at least p times as likely as the most likely one.", show_default="0"),
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="0")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "int8"] | None,
        typer.Option(help="Precision of the weights; lower is faster and less exact.", show_default="fp32"),
    ] = None,
    engine: Annotated[
        Literal["torch", "numba"] | None,
        typer.Option(
            help="Engine; numba is faster for long texts on a CPU, but takes a second to load, and at its "
            "first use some more to compile.",
            show_default="torch",
        ),
    ] = None,
    memorization: Annotated[
        bool, typer.Option("--memorization", help="Report how much of each text occurs verbatim in the training text.")
    ] = False,
    encoding: OfTheModelOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a prompt with characters that are not in the vocabulary.")
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write new text, from the newest run unless --run says which.

    One text streams to stdout as it is made; several are made in one batch. The prompt is part of what is printed.
    Without a prompt a text begins as a line of the training text does.
    """
    from seqgen.sources.content import bytes_as_characters

    with leaving_at_once():
        from seqgen.runs.load import load

    if escapes:
        if prompt in {"", "-"} and not stop:
            raise ConfigError("escapes: it is about --prompt and --stop, and neither is given; leave it out")
        prompt = interpret_escapes(prompt, "prompt")
        stop = [interpret_escapes(text, "stop") for text in stop or []]
    settings = drop_none(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, max_new_tokens=max_new_tokens, seed=seed,
        precision=precision, engine=engine,
    )  # fmt: skip
    model = load(run, device=device, threads=threads)
    raw, encoding = model.config.data.is_raw, model.reading(**drop_none(encoding=encoding)).encoding
    if raw and num_samples > 1 and not json and not sys.stdout.isatty():
        raise ConfigError(
            "num_samples: several texts of bytes cannot be told apart in a pipe; add --json, or write one"
        )
    start = _read_prompt(prompt, prompt_file, encoding)
    if stop:
        settings["stop"] = tuple(map(bytes_as_characters, stop) if raw else stop)
    _check_prompt(start, model, strict=strict, quiet=quiet)
    _check_stops(stop or [], model, quiet=quiet)
    learnt = model.training_texts() if memorization else None  # before anything is written: the text may be gone
    drawn = Counting("reading the prompt", quiet=quiet)
    settings["progress"] = drawn.show
    try:
        _write(start, model, settings, num_samples, learnt, json=json, no_echo=no_echo, quiet=quiet)
    finally:
        drawn.stop()


def _write(
    start: str,
    model: Run,
    settings: dict[str, Any],
    num_samples: int,
    learnt: Iterable[Iterable[str]] | None,
    *,
    json: bool,
    no_echo: bool,
    quiet: bool,
) -> None:
    """Make the texts, and print them and what was asked about them."""
    if json:
        texts = model.samples(start, num_samples=num_samples, **settings)
        copied = {} if learnt is None else {"memorization": [asdict(found) for found in _compare(texts, learnt)]}
        write_json({"run": str(model.path), "prompt": start, "samples": texts, **copied})
        return
    if num_samples == 1:
        texts = [_stream(start, model, settings, no_echo=no_echo)]
    else:
        texts = model.samples(start, num_samples=num_samples, **settings)
        for number, text in enumerate(texts):
            whole = model.tokenizer.written(text if no_echo else start + text)
            write_text(f"{'' if number == 0 else chr(10)}--- {number + 1} ---\n{whole}\n", raw=model.config.data.is_raw)
    for number, found in enumerate(_compare(texts, learnt) if learnt is not None else [], 1):
        which = "" if num_samples == 1 else f"sample {number}: "
        notice(f"{which}{_describe(found)}", quiet=quiet)


def _stream(start: str, model: Run, settings: dict[str, Any], *, no_echo: bool) -> str:
    """Write a text as it is made; give what is new of it."""
    from seqgen.tokenizers.normalization import compose_chunks

    generated = model.generate(start, stream=True, **settings)
    made = [
        next(generated, "")
    ]  # the prompt is read, its bar drawn, and what is wrong raised before anything is written

    def new() -> Iterator[str]:
        yield made[0]
        for piece in generated:
            made.append(piece)
            yield piece

    pieces, raw = chain([] if no_echo else [start], new()), model.config.data.is_raw
    try:
        write_stream(pieces if model.tokenizer.normalization == "none" else compose_chunks(pieces), raw=raw)
    except KeyboardInterrupt:
        _end_line(raw=raw)  # so that what is said of it stands in a line of its own
        raise
    _end_line(raw=raw)
    return "".join(made)


def _end_line(*, raw: bool) -> None:
    if not raw or sys.stdout.isatty():  # or it would be one more byte of a file
        write_text("\n")


def _compare(texts: list[str], learnt: Iterable[Iterable[str]]) -> list[Memorization]:
    from seqgen.evaluation.memorization import measure_memorization

    return measure_memorization(texts, learnt)


def _describe(found: Memorization) -> str:
    """What of a sample stands in the training text, in a line."""
    from seqgen.evaluation.memorization import SPAN

    stretch = found.stretch
    quoted = repr(stretch if len(stretch) <= QUOTED else f"{stretch[: QUOTED // 2]} ... {stretch[-QUOTED // 2 :]}")
    return (
        f"its longest stretch from the training text is {len(stretch)} of "
        f"{plural(found.characters, 'character')}, {quoted}; "
        f"{found.share:.0%} of it stands there in stretches of {SPAN} or more"
    )


def _read_prompt(prompt: str, prompt_file: str | None, encoding: str) -> str:
    from seqgen.sources.config import BYTES
    from seqgen.sources.content import bytes_as_characters
    from seqgen.sources.text import read_text

    if prompt_file is not None:
        if prompt:
            raise ConfigError("prompt_file: give a prompt or a file with one, not both")
        content = read_text(prompt_file, encoding)
    elif prompt == "-":
        content = read_stdin(encoding, "the prompt from stdin")
    else:
        return bytes_as_characters(prompt) if encoding == BYTES else as_text(prompt, "the prompt")
    return content if encoding == BYTES else _LINE_END.sub("", content)


def interpret_escapes(text: str, option: str) -> str:
    """`text` with its backslash escapes as the characters that they stand for; another backslash stays.

    Raises:
        ConfigError: an escape stands for half of a character; the message names `option`.
    """

    def character(match: re.Match[str]) -> str:
        units = codecs.decode(match[0], "unicode_escape").encode("utf-16-le", "surrogatepass")
        try:
            return units.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{option}: {match[0]} is half of a character; write both, as in \\ud83d\\ude00"
            ) from error

    return _ESCAPE.sub(character, text)


def _check_stops(stops: Sequence[str], run: Run, *, quiet: bool) -> None:
    r"""Name the stop texts that will not end a text: with characters that are not in the vocabulary, or with `\n` as
    two characters.
    """
    written = None if run.tokenizer.unknown_id is None else set(b"".join(run.tokenizer.id_to_bytes).decode())
    for stop in stops:
        foreign = set() if written is None else set(run.tokenizer.written(stop)) - written
        if _ESCAPE.search(stop):
            notice(f"--stop '{stop}' has a backslash and a letter; --escapes reads them as one character", quiet=quiet)
        elif foreign:
            names = ", ".join(map(repr, sorted(foreign)))
            notice(f"--stop {stop!r} ends no text: this model's vocabulary does not have {names}", quiet=quiet)


def _check_prompt(prompt: str, run: Run, *, strict: bool, quiet: bool) -> None:
    """Name the characters (or words) of the prompt that the model has never seen."""
    unknown = run.tokenizer.unknown(prompt)
    if not unknown:
        return
    names = ", ".join(repr(piece) for piece in list(unknown)[:10]) + (" ..." if len(unknown) > 10 else "")
    message = f"the prompt has what this model's {run.tokenizer.kind} vocabulary does not: {names}"
    if strict:
        raise TextError(f"{message}; leave it out, or go without --strict")
    notice(f"{message}; it is read as <unk>", quiet=quiet)

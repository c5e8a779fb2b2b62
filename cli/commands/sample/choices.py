"""`seqgen sample --choices`: which of several continuations of a prompt is the most probable."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from seqgen.cli.output import fit_table, notice, printable, printable_bytes, stdout, write_json
from seqgen.cli.prompt import check_vocabulary

from seqgen.errors import ConfigError, TextError

if TYPE_CHECKING:
    from seqgen.device import StepperPrecision
    from seqgen.evaluation.choices import Choice
    from seqgen.runs.text import TextRun

COLUMNS = ("choice", "share", "nats", "nats/token", "tokens", "word end")
LEFT_OUT_FIRST = ("word end", "tokens", "nats/token")
"""The columns that a narrow terminal drops, in this order."""
LEAST_SHARE = 0.0005
"""Smaller shares are shown as less than this, rounded."""


def read_choices(given: Sequence[str], model: TextRun, *, space: bool, strict: bool, quiet: bool) -> list[str]:
    """Return the choices of an option: one option separates them by commas, repeated each is one choice.

    For a model of bytes, each character of a choice is one of its bytes.

    Raises:
        ConfigError: a choice is empty, or two are the same.
        TextError: a choice is not in the vocabulary, and `strict` is set.
    """
    from seqgen.cli.options import as_text

    from seqgen.evaluation.choices import check_choices
    from seqgen.sources.content import bytes_as_characters

    choices = [one.strip() for one in given[0].split(",")] if len(given) == 1 else list(given)
    raw = model.config.data.is_raw
    choices = [bytes_as_characters(one) if raw else as_text(one, "a choice") for one in choices]
    check_choices(choices, model.tokenizer, space=space)
    effect = "its nats include the spelling of each <unk>"
    check_vocabulary(choices, model, "a choice", effect=effect, strict=strict, quiet=quiet)
    return choices


def refuse_settings(settings: dict[str, Any], **flags: bool) -> None:
    """Raise an error if settings or flags are given that matter to sampled texts only.

    Raises:
        ConfigError: one is given.
    """
    given = [*settings, *(name for name, is_given in flags.items() if is_given)]
    if given:
        raise ConfigError(f"{given[0]}: it has no effect with --choices, where nothing is sampled; leave it out")


def print_choices(
    model: TextRun,
    prompts: Sequence[str],
    places: Sequence[str],
    choices: Sequence[str],
    *,
    space: bool,
    json: bool,
    quiet: bool,
    precision: StepperPrecision = "fp32",
) -> None:
    """Compare the choices after each prompt; print tables, the most probable choice first, or JSON lines."""
    for number, prompt in enumerate(prompts):
        try:
            compared = model.choices(prompt, choices, space=space, precision=precision)
        except TextError as error:
            if not places:
                raise
            raise TextError(f"{places[number]}: {str(error).removeprefix('prompt: ')}") from error
        if json:
            write_json({"run": str(model.path), "prompt": prompt, "choices": [_as_record(one) for one in compared]})
            continue
        if number:
            stdout().print()
        _print(model, prompt, compared)
    if any(one.continuation != one.text for one in compared):
        notice("a space was added between prompt and choice; --no-space adds none", quiet=quiet)


def _as_record(choice: Choice) -> dict[str, Any]:
    return {**asdict(choice), "nats": choice.nats, "nats_per_token": choice.nats_per_token}


def _print(model: TextRun, prompt: str, compared: Sequence[Choice]) -> None:
    """Print the prompt, and a row for each choice."""
    shown: Callable[[str], str] = printable_bytes if model.config.data.is_raw else printable

    def quoted(text: str) -> str:
        """Return a text with quotes if it has spaces at its ends, which cannot be seen without them."""
        quote = "'" * (text != text.strip())
        return quote + shown(text).replace("\n", r"\n").replace("\t", r"\t") + quote

    rows = [
        {
            "choice": quoted(one.text),
            "share": f"{one.share:.1%}" if one.share >= LEAST_SHARE else f"<{LEAST_SHARE * 2:.1%}",
            "nats": f"{one.nats:.3f}",
            "nats/token": f"{one.nats_per_token:.3f}",
            "tokens": f"{one.tokens:,}",
            "word end": f"{one.end_nats:.3f}",
        }
        for one in sorted(compared, key=lambda one: one.nats)
    ]
    console = stdout()
    console.print(_title(prompt, shown, console.width), soft_wrap=True)
    console.print(fit_table(console, COLUMNS, rows, figures=COLUMNS[1:], left_out_first=LEFT_OUT_FIRST).table)


def _title(prompt: str, shown: Callable[[str], str], width: int) -> str:
    """Return a line with the prompt, or with its end, which decides most, after an ellipsis."""
    from rich.cells import cell_len

    def title(kept: int) -> str:
        cut = "…" if kept < len(prompt) else ""
        return f"choices after {cut}{shown(prompt[len(prompt) - kept :])!r}"

    most = min(len(prompt), width)
    return title(max(bisect_right(range(most + 1), width, key=lambda kept: cell_len(title(kept))) - 1, 0))

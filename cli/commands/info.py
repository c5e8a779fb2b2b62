"""`seqgen info`: show one run in full."""

from __future__ import annotations

from typing import Any

from seqgen.cli.options import JsonOption, RunArgument
from seqgen.cli.output import notice, printable, stdout, write_json


def info(run: RunArgument = None, json: JsonOption = False) -> None:
    """Show the results and every setting of a run."""
    from rich.table import Column, Table

    from seqgen.runs.config import RunConfig
    from seqgen.runs.directory import find_run
    from seqgen.runs.embeddings.config import EmbeddingRunConfig
    from seqgen.runs.summary import summarize

    directory = find_run(run, kinds=(RunConfig, EmbeddingRunConfig))
    config = directory.read_any_config()
    summary = summarize(directory, config, notice)
    mixture = directory.read_mixture() if directory.mixture.is_file() else None
    if mixture is not None and isinstance(config, RunConfig):
        for member in mixture.members:
            directory.read_member(config, member)  # a damaged member is an error here too
    if json:
        mixed = {} if mixture is None else {"mixture": mixture.model_dump()}
        write_json({"summary": summary.model_dump(), "config": config.model_dump(), **mixed})
        return
    table = Table("", "", Column(overflow="fold"), box=None, pad_edge=False, show_header=False)
    for title, values in (
        ("result", summary.model_dump(include={"state", "steps", "seconds", "best_step", "best_bits_per_byte",
                                               "best_bits_per_character", "best_accuracy", "parameters"})),
        ("mixture", {} if mixture is None else _flatten(mixture.model_dump())),
        ("model", _flatten(config.model.model_dump())),
        ("tokenizer", config.tokenizer.model_dump(exclude={"asked"})),
        ("text", config.data.model_dump() | {"text": config.data.name} | config.text.model_dump()),
        ("training", _flatten(config.training.model_dump())),
        ("environment", {"created": config.created, "seqgen": config.seqgen, **config.environment}),
    ):  # fmt: skip
        for number, (name, value) in enumerate(values.items()):
            table.add_row(title if number == 0 else "", name, _show(value))
    console = stdout()
    console.print(printable(str(directory.path)), style="bold")
    console.print(table)


def _flatten(values: dict[str, Any]) -> dict[str, object]:
    """Return settings, those of the members of a mixture as `lstm.hidden_size`."""
    members = values.pop("members", {})
    return values | {f"{name}.{key}": value for name, own in members.items() for key, value in own.items()}


def _show(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(_show, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return printable(text) if text and not set(text) & set("\n\r") else repr(text)

"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

RunOption = Annotated[
    str | None, typer.Option("--run", metavar="DIR", help="The run's directory.", show_default="the newest under runs/")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
EncodingOption = Annotated[
    str, typer.Option("--encoding", help="How the file's bytes are text: utf-8, cp949, utf-16 ...")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}

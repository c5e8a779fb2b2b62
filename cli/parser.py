"""The command line: help whose choices are never split, and usage errors in one line."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from seqgen.cli.errors import USAGE, handle_errors, say_error
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException

ALIASES = {
    "batch": ("--batch-size",),
    "context-length": ("--block-size", "--context-window"),
    "count": ("--num-samples",),
    "dim": ("--hidden-size",),
    "epochs": ("--max-epochs",),
    "iterations": ("--max-steps",),
    "iters": ("--max-steps",),
    "learning-rate": ("--lr",),
    "length": ("--max-new-tokens",),
    "max-iters": ("--max-steps",),
    "max-tokens": ("--max-new-tokens",),
    "model": ("--cell", "--run"),
    "model-type": ("--tokenizer", "--cell"),
    "n-embd": ("--hidden-size",),
    "n-head": ("--heads",),
    "n-layer": ("--layers",),
    "output": ("--out",),
    "samples": ("--num-samples",),
    "seq-len": ("--bptt",),
    "steps": ("--max-steps",),
    "val": ("--valid",),
    "wd": ("--weight-decay",),
}
"""Names that other programs give to options here."""

VALUES = {"--dynamic": "all", "--plot": "-"}
"""What an option means that has no value, or is followed by something else than one of its choices or endings."""
ENDINGS = {"--plot": (".html", ".png", ".svg")}
"""How the value of such an option ends that has no choices; it may be what the option means without one, too."""
SEVERAL = ("--text",)
"""Options that take all arguments up to the next option: `--text A B` is `--text A --text B`."""


class _Help:
    """Print the help of a command or a group; a reader of the pipe that has closed it (`| head`) is not an error."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        except SystemExit as end:  # by rich, with 1
            raise BrokenPipeError from end


class OnceOnly(_Help, TyperCommand):
    """Refuse `--run A --run B`, of which the parser would silently drop A; `-q -q` is harmless."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(order).items():
            if times > 1 and isinstance(option, TyperOption) and not option.multiple and not _is_switch(option):
                raise typer.BadParameter("it is given more than once", ctx=ctx, param=option)
        return super().parse_args(ctx, args)


def _is_value(option: TyperOption, following: list[str]) -> bool:
    """Return whether the argument after an option that may have no value is its value."""
    choices = [str(choice) for choice in option.type_descriptor.choices or ()]
    endings = tuple(ending for name in option.opts for ending in ENDINGS.get(name, ()))
    values = [*choices, *(VALUES[name] for name in option.opts if name in ENDINGS)]
    return any(one in values or (not one.startswith("--") and one.endswith(endings)) for one in following)


def _is_switch(option: TyperOption) -> bool:
    return option.is_flag and not option.secondary_opts


class Command(OnceOnly):
    """A command whose help has the choices and the default of an option in its text, and which handles errors.

    In the column of types, `<rnn|lstm|gru|transformer>` is one word, which an 80-column terminal cuts in two; a line of
    text breaks between the choices.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        parameters: list[Any] = self.params  # arguments and options: both have a help
        for parameter in parameters:
            if isinstance(parameter, TyperOption) and (choices := parameter.type_descriptor.choices):
                parameter.metavar = "<choice>"
                parameter.help = f"{parameter.help} One of [bold]{', '.join(map(str, choices))}[/bold]."
            if isinstance(parameter.show_default, str):
                parameter.help = rf"{parameter.help} [dim]\[default: {parameter.show_default}][/dim]"
                parameter.show_default = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, after an option that may have no value was given its own, and one of several values each of them."""
        options = {name: one for one in self.params if isinstance(one, TyperOption) for name in one.opts}
        whole: list[str] = []
        repeated = ""
        for place, argument in enumerate(args):
            if argument == "--":
                return super().parse_args(ctx, [*whole, *args[place:]])
            if argument.startswith("-") and argument != "-":
                takes_several = argument in SEVERAL and argument in options and options[argument].multiple
                repeated = argument if takes_several else ""
            elif repeated and whole[-1] != repeated:
                whole.append(repeated)
            whole.append(argument)
            following = args[place + 1 : place + 2]
            if argument in VALUES and argument in options and not _is_value(options[argument], following):
                whole.append(VALUES[argument])
        return super().parse_args(ctx, whole)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors become a sentence on stderr and an exit code."""
        with handle_errors({name for option in self.params for name in (*option.opts, *option.secondary_opts)}):
            return super().invoke(ctx)


class Group(_Help, TyperGroup):
    """A table of commands."""


class Program(Group):
    """The table of all commands; a usage error is a line on stderr and exit code 2."""

    def main(self, *arguments: Any, **settings: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        try:
            code = super().main(*arguments, **{**settings, "standalone_mode": False})
        except TyperException as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # that one has printed the help
                say_error(describe_usage(error))
            sys.exit(USAGE)
        sys.exit(code or 0)


def describe_usage(error: TyperException) -> str:
    """Say what is wrong with the command line, what may have been meant, and where the help is."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if type(error).__name__ == "NoSuchOption":
        message = _unknown_option(error)
    elif type(error).__name__ == "BadParameter" and parameter is not None:
        name = max(parameter.opts, key=len) if isinstance(parameter, TyperOption) else parameter.display_name_raw
        reason = (
            error.message.removeprefix("Value error, ").removeprefix("Input ").partition(", unable to")[0].rstrip(".")
        )
        message = f"{name}: {reason}"
    else:
        text = error.format_message().rstrip(".")
        message = text[:1].lower() + text[1:]
    if context is None:
        return message
    return f"{message}{' See' if message.endswith('?') else '; see'} `{context.command_path} --help`"


def _unknown_option(error: Any) -> str:
    parameters = error.ctx.command.params if error.ctx is not None else []
    names = [name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)]
    message = f"unknown option {error.option_name}"
    if near := nearest(error.option_name, [name for name in names if name.startswith("--")]):
        return f"{message}; did you mean {near}?"
    has_arguments = any(not isinstance(parameter, TyperOption) for parameter in parameters)
    if has_arguments and (not error.option_name.startswith("--") or " " in error.option_name):
        example = f"{error.ctx.command_path} -- '{error.option_name}...'"
        message += f"; an argument that begins with a dash comes last, after --: {example}"
    return message


def nearest(name: str, options: Sequence[str]) -> str | None:
    """Return the option that `name` may mean: by an alias, a word in common, or a similar spelling."""
    word = name.lstrip("-").partition("=")[0]
    words = {option.removeprefix("--"): option for option in options}
    aliases = [option for option in ALIASES.get(word, ()) if option in options]
    inside = [
        option
        for other, option in words.items()
        if len(word) > 1 and (other.startswith(word) or word in other.split("-"))
    ]
    spelled = [words[close] for close in difflib.get_close_matches(word, words, n=1)]
    return next(iter(aliases + inside + spelled), None)

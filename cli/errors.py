"""The one boundary: an expected error becomes one clear sentence and an exit code, anything else a bug report.

0 done   1 expected failure   2 usage   3 a bug   4 could not save   130 interrupted   143 terminated
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from seqgen.cli.output import print_line, printable, stderr
from typer.models import OptionInfo

from seqgen._version import __version__
from seqgen.errors import ConfigError, SaveError, SeqgenError

FAILURE, USAGE, BUG, UNSAVED, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 130, 143


_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_WAYS = re.compile(r",? or |, (?=--)")
_OTHER_COMMAND = re.compile(r"`?seqgen [a-z].*")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, with an exit code of its own."""


def handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with its errors turned into a sentence on stderr and an exit code.

    What a message advises is said as far as the command has the options for it.
    """

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
            sys.stdout.flush()  # so that what cannot be written is met here, and not when Python ends
        except SeqgenError as error:
            message = own_advice(str(error), options_of(command))
            say_error(_with_flags(message) if isinstance(error, ConfigError) else message)
            sys.exit(_code_of(error))
        except Terminated:
            say_error("terminated")
            sys.exit(TERMINATED)
        except KeyboardInterrupt:
            say_error("interrupted")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read stdout has had enough (`| head`): nothing is wrong, and nothing more can be said there.
            _abandon_stdout()
        except Exception as error:  # noqa: BLE001 (the boundary: a bug is reported whole, not swallowed)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                _abandon_stdout()
                say_error(f"the output could not be written: {error.strerror}")
                sys.exit(UNSAVED)
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                say_error(f"{str(error.filename)[:60]}...: {error.strerror}; give a shorter name")
                sys.exit(FAILURE)
            if isinstance(error, MemoryError) or ("memory" in str(error) and "alloc" in str(error).lower()):
                advice = (
                    "there is not enough memory for this; try a smaller --batch-size, --hidden-size or --block-size"
                )
                say_error(own_advice(advice, options_of(command)))
                sys.exit(FAILURE)
            say_error(f"this is a bug in seqgen, not something you did; the details are in {_write_log()}")
            sys.exit(BUG)

    return run


def _with_flags(message: str) -> str:
    """A setting's error, naming the flag as it is typed: `hidden_size: ...` becomes `--hidden-size: ...`."""
    return re.sub(r"(^|; )([a-z_]+)(?=: )", lambda match: f"{match[1]}--{match[2].replace('_', '-')}", message)


def options_of(command: Callable[..., None]) -> set[str]:
    """The options of a command as they are typed, from its signature."""
    found: set[str] = set()
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        for mark in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(mark, OptionInfo):
                # typer takes the first name for a default, until it sees that one stands behind the annotation
                first = (mark.default,) if isinstance(mark.default, str) else ()
                names = (*first, *(mark.param_decls or ())) or (f"--{name.replace('_', '-')}",)
                found.update(one for names_of_one in names for one in names_of_one.split("/"))
    return found


def own_advice(message: str, options: set[str]) -> str:
    """`message` without the advice to use an option that is not among `options`.

    A message is `what is wrong; what to do`, and what to do may be several things: `say --encoding, or --errors
    replace, or convert it first`. An option behind the name of a command (`seqgen train --resume`) is that command's.
    """
    what, *clauses = message.split("; ")
    kept = [what]
    for before, clause in pairwise([what, *clauses]):
        ways = _WAYS.split(clause)
        fitting = [way for way in ways if not _foreign(way, options)]
        if len(fitting) == len(ways):
            kept.append(clause if before in kept else clause.removeprefix("or "))
        elif fitting:
            verb = clause.partition("--")[0] if fitting[0].startswith("--") else ""
            kept.append(verb + ", or ".join(fitting))
    return "; ".join(kept)


def _foreign(text: str, options: set[str]) -> bool:
    return not options.issuperset(_FLAG.findall(_OTHER_COMMAND.sub("", text)))


def _code_of(error: SeqgenError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return UNSAVED if isinstance(error, SaveError) else FAILURE


def _abandon_stdout() -> None:
    """What is still to be written to stdout goes nowhere, or Python would fail over it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_error(message: str) -> None:
    """What went wrong, on stderr."""
    from rich.text import Text

    print_line(stderr(), Text(printable(f"error: {message}"), style="red"))


def _write_log() -> str:
    content = f"seqgen {__version__}, Python {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="seqgen-", suffix=".log", delete=False) as file:
            file.write(content.encode("utf-8", "backslashreplace"))
    except OSError:  # no room for it anywhere: its last line is better than nothing
        return repr(content.splitlines()[-1])
    return file.name

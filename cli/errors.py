"""The one boundary: an expected error becomes one clear sentence and an exit code, anything else a bug report.

0 done   1 expected failure   2 usage   3 a bug   4 could not save   130 interrupted   143 terminated
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator
from itertools import pairwise

from seqgen.cli.output import print_line, printable, stderr

from seqgen._version import __version__
from seqgen.errors import ConfigError, SaveError, SeqgenError

FAILURE, USAGE, BUG, UNSAVED, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 130, 143


_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_WAYS = re.compile(r",? or |, (?=--)")
_OTHER_COMMAND = re.compile(r"`?seqgen [a-z].*")


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, but with another exit code."""


@contextlib.contextmanager
def handle_errors(options: Collection[str] = ()) -> Iterator[None]:
    """Turn an exception into a sentence on stderr and an exit code.

    Args:
        options: the options of the command that runs; advice to use another option is left out of the sentence.
    """
    try:
        yield
        sys.stdout.flush()  # an output that cannot be written fails here, and not when Python ends
    except SeqgenError as error:
        message = own_advice(str(error), options)
        say_error(_with_flags(message, options) if isinstance(error, ConfigError) else message)
        sys.exit(_code_of(error))
    except KeyboardInterrupt as error:
        code, message = (TERMINATED, "terminated") if isinstance(error, Terminated) else (INTERRUPTED, "interrupted")
        say_error(f"{message}: {error}" if str(error) else message)
        sys.exit(code)
    except BrokenPipeError:
        _abandon_stdout()  # the reader of the pipe (`| head`) has closed it, which is not an error
    except Exception as error:  # noqa: BLE001 (the boundary: a bug is reported whole, not swallowed)
        message, code = _describe(error, options)
        say_error(message)
        sys.exit(code)


def _describe(error: Exception, options: Collection[str]) -> tuple[str, int]:
    """Return the sentence and the exit code of an error that seqgen did not raise."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EBADF}:
        _abandon_stdout()
        reason = "stdout is closed" if error.errno == errno.EBADF else error.strerror
        return f"the output could not be written: {reason}", UNSAVED
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{str(error.filename)[:60]}...: {error.strerror}; give a shorter name", FAILURE
    if isinstance(error, MemoryError) or ("memory" in str(error) and "alloc" in str(error).lower()):
        message = "not enough memory; try a smaller --batch-size, --hidden-size or --block-size"
        return own_advice(message, options), FAILURE
    log = _write_log(error)
    details = f"; the details are in {log}" if log else ""
    return f"this is a bug in seqgen, not something you did: {_last_line(error)}{details}", BUG


def _with_flags(message: str, options: Collection[str]) -> str:
    """Name options instead of fields: `hidden_size: ...` becomes `--hidden-size: ...`."""

    def as_flag(match: re.Match[str]) -> str:
        flag = f"--{match[0].replace('_', '-')}"
        return flag if flag in options else match[0]

    if "--run" not in options:  # the run is an argument of this command
        message = message.removeprefix("run: ")
    message = re.sub(r"(^|; )([a-z_]+)(?=: )", lambda match: f"{match[1]}--{match[2].replace('_', '-')}", message)
    return re.sub(r"(?<![\w./-])[a-z]+(?:_[a-z]+)+(?![\w./])", as_flag, message)


def own_advice(message: str, options: Collection[str]) -> str:
    """Return `message` without the advice to use an option that is not among `options`.

    A message is `what is wrong; what to do`, and what to do may be several things: `say --encoding, or --errors
    replace, or convert it first`. An option after the name of a command (`seqgen train --resume`) is that command's.
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


def _foreign(text: str, options: Collection[str]) -> bool:
    return not set(_FLAG.findall(_OTHER_COMMAND.sub("", text))) <= set(options)


def _code_of(error: SeqgenError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return UNSAVED if isinstance(error, SaveError) else FAILURE


def _abandon_stdout() -> None:
    """Discard what is still to be written to stdout; Python would fail on it again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_error(message: str) -> None:
    """Print an error on stderr."""
    from rich.text import Text

    print_line(stderr(), Text(printable(f"error: {message}"), style="red"))


def _last_line(error: Exception) -> str:
    """Return the last line of the traceback: the error's type and message."""
    return traceback.format_exception_only(error)[-1].splitlines()[-1]


def _write_log(error: Exception) -> str | None:
    """Write the traceback to a file, and return its name; None if it cannot be written."""
    details = "".join(traceback.format_exception(error))
    content = f"seqgen {__version__}, Python {sys.version}\n{sys.argv}\n\n{details}"
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="seqgen-", suffix=".log", delete=False) as file:
            file.write(content.encode("utf-8", "backslashreplace"))
    except OSError:  # no room anywhere
        return None
    return file.name

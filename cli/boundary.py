"""The one boundary: an expected error becomes one clear sentence and an exit code, anything else a bug report.

0 done   1 expected failure   2 usage   3 a bug   4 could not save   130 interrupted   143 terminated
"""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from seqgen.cli.output import printable, stderr

from seqgen._version import __version__
from seqgen.errors import ConfigError, SaveError, SeqgenError

FAILURE, USAGE, BUG, UNSAVED, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, with an exit code of its own."""


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with its errors turned into a sentence on stderr and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
            sys.stdout.flush()  # so that what cannot be written is met here, and not when Python ends
        except SeqgenError as error:
            _say(_with_flags(str(error)) if isinstance(error, ConfigError) else str(error))
            sys.exit(_code_of(error))
        except Terminated:
            _say("terminated")
            sys.exit(TERMINATED)
        except KeyboardInterrupt:
            _say("interrupted")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read stdout has had enough (`| head`): nothing is wrong, and nothing more can be said there.
            _abandon_stdout()
        except Exception as error:  # noqa: BLE001 (the boundary: a bug is reported whole, not swallowed)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                _abandon_stdout()
                _say(f"the output could not be written: {error.strerror}")
                sys.exit(UNSAVED)
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                _say(f"{str(error.filename)[:60]}...: {error.strerror}; give a shorter name")
                sys.exit(FAILURE)
            if isinstance(error, MemoryError) or ("memory" in str(error) and "alloc" in str(error).lower()):
                _say("there is not enough memory for this; try a smaller --batch-size, --hidden-size or --block-size")
                sys.exit(FAILURE)
            _say(f"this is a bug in seqgen, not something you did; the details are in {_write_log()}")
            sys.exit(BUG)

    return run


def _with_flags(message: str) -> str:
    """A setting's error, naming the flag as it is typed: `hidden_size: ...` becomes `--hidden-size: ...`."""
    return re.sub(r"(^|; )([a-z_]+)(?=: )", lambda match: f"{match[1]}--{match[2].replace('_', '-')}", message)


def _code_of(error: SeqgenError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return UNSAVED if isinstance(error, SaveError) else FAILURE


def _abandon_stdout() -> None:
    """What is still to be written to stdout goes nowhere, or Python would fail over it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    stderr().print(printable(f"error: {message}"), style="red", markup=False, soft_wrap=True)


def _write_log() -> str:
    content = f"seqgen {__version__}, Python {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="seqgen-", suffix=".log", delete=False) as file:
            file.write(content.encode("utf-8", "backslashreplace"))
    except OSError:  # no room for it anywhere: its last line is better than nothing
        return repr(content.splitlines()[-1])
    return file.name

"""The one boundary: an expected error becomes one clear sentence and an exit code, anything else a bug report.

0 done   1 expected failure   2 usage   3 a bug   4 could not save   130 interrupted   143 terminated
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from seqgen.cli.output import stderr

from seqgen._version import __version__
from seqgen.errors import ConfigError, SaveError, SeqgenError

FAILURE, USAGE, BUG, UNSAVED, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 130, 143


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with its errors turned into a sentence on stderr and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except SeqgenError as error:
            _say(str(error))
            sys.exit(_code_of(error))
        except KeyboardInterrupt:
            _say("interrupted")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read stdout has had enough (`| head`): nothing is wrong, and nothing more can be said there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception:  # noqa: BLE001 (the boundary: a bug is reported whole, not swallowed)
            _say(f"this is a bug in seqgen, not something you did; the details are in {_write_log()}")
            sys.exit(BUG)

    return run


def _code_of(error: SeqgenError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    return UNSAVED if isinstance(error, SaveError) else FAILURE


def _say(message: str) -> None:
    stderr().print(f"error: {message}", style="red", markup=False, soft_wrap=True)


def _write_log() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="seqgen-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(f"seqgen {__version__}, Python {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}")
    return file.name

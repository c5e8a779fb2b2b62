"""A download that can be trusted: resumed where it broke off, checked before it takes its name, and bounded.

`NAME.part` is what has come so far and `NAME.part.version` which version of the file it is of (the server's ETag or
Last-Modified): the rest is asked for on the condition that it is still that one. Nothing is unpacked here.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seqgen._version import __version__
from seqgen.errors import SaveError, TextError
from seqgen.utils.files import hash_file, sync_directory

Progress = Callable[[int, int | None], None]
"""Is told how many bytes are here, and of how many where that is known."""

ATTEMPTS = 5
TIMEOUT = 30.0
"""Seconds in which a server has to send something."""
LARGEST = 2**31
"""Bytes that a file may have whose size nobody states."""
CHUNK = 1 << 16
REDIRECTS = 5
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be others in a moment."""


@dataclass(frozen=True)
class Wanted:
    """A file to download.

    Args:
        url: its address, https (http from this machine itself).
        target: where it goes.
        size: its bytes, where they are known.
        sha256: its hash, where it is known.
    """

    url: str
    target: Path
    size: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        """What has come so far."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def version(self) -> Path:
        """What the server called the version that `part` is of."""
        return self.target.with_name(f"{self.target.name}.part.version")

    @property
    def limit(self) -> int:
        """Bytes after which it cannot be what was wanted."""
        return self.size if self.size is not None else LARGEST


class _Passing(Exception):  # noqa: N818 (no failure yet)
    """A fault that another attempt may not meet."""


def is_allowed(url: str) -> bool:
    """Whether an address may be asked: https, or http from this machine itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"})


def fetch(
    wanted: Wanted,
    progress: Progress = lambda *_: None,
    *,
    timeout: float = TIMEOUT,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Download a file, going on where an earlier attempt broke off, and give its SHA-256.

    The caller keeps others from fetching the same file at the same time.

    Raises:
        TextError: it cannot be had, or what came is not what was wanted; with a fault that may pass, after `ATTEMPTS`.
        SaveError: it cannot be written.
    """
    for attempt in range(ATTEMPTS):
        try:
            resumed = _download(wanted, progress, timeout)
            return _accept(wanted, resumed=resumed)
        except _Passing as fault:
            if attempt == ATTEMPTS - 1:
                raise TextError(
                    f"{wanted.url} could not be fetched in {ATTEMPTS} attempts: {fault}; what came is kept, try again "
                    "later"
                ) from fault
            sleep(2.0**attempt)
    raise AssertionError("the last attempt returns or raises")


def _download(wanted: Wanted, progress: Progress, timeout: float) -> bool:
    """Append to `part` until the file is whole; whether any of it was there before."""
    with _open(wanted, timeout) as response:
        start, total = _where_it_begins(wanted, response)
        if total is not None and total > wanted.limit:
            raise TextError(
                f"{wanted.url} sends {total:,} bytes, more than the {wanted.limit:,} of what was wanted; it is not it"
            )
        done = start
        with _writing(wanted), wanted.part.open("ab" if start else "wb") as file:
            if not start:
                wanted.version.write_text(_version_of(response.headers), "ascii", "replace")
            for chunk in _chunks(response):
                done += len(chunk)
                if done > wanted.limit:
                    break
                file.write(chunk)
                file.flush()  # so that a process that is killed loses nothing of it
                progress(done, total)
    if done > wanted.limit:
        _forget(wanted)
        raise TextError(f"{wanted.url} sends more than the {wanted.limit:,} bytes of what was wanted; it is not it")
    due = total if total is not None else wanted.size
    if due is not None and done < due:
        raise _Passing(f"the connection ended after {done:,} of {due:,} bytes")
    return start > 0


def _open(wanted: Wanted, timeout: float) -> Any:
    """The answer to a request for what is missing; the context closes it."""
    if not is_allowed(wanted.url):
        raise TextError(f"{wanted.url}: only https is fetched; correct the spec's address")
    # Some publishers turn away the name that urllib gives itself.
    headers = {"User-Agent": f"seqgen/{__version__}", "Accept-Encoding": "identity"} | _conditions(wanted)
    request = urllib.request.Request(wanted.url, headers=headers)  # noqa: S310 (asked above)
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as answer:
        with answer:
            raise _refusal(wanted, answer) from answer
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: redirected to what is no address
        raise _Passing(_describe(error)) from error


def _conditions(wanted: Wanted) -> dict[str, str]:
    """The headers that ask for the rest of what is here: of the same version, or of a file whose hash will tell."""
    try:
        size, version = wanted.part.stat().st_size, wanted.version.read_text("ascii")
    except (OSError, ValueError):
        return {}
    if not size or not (version or wanted.sha256):
        return {}
    return {"Range": f"bytes={size}-"} | ({"If-Range": version} if version else {})


def _refusal(wanted: Wanted, answer: urllib.error.HTTPError) -> Exception:
    """What an answer that is no success means."""
    if answer.code == 416:  # nothing from there on: what is here is whole, or of another file; the hash tells
        _forget(wanted)
        return _Passing("the server has nothing beyond what was here; beginning again")
    if answer.code in PASSING:
        return _Passing(f"the server answers {answer.code} {answer.reason}")
    if 300 <= answer.code < 400:
        return TextError(f"{wanted.url} is redirected too often, or to where https does not lead; nothing was fetched")
    return TextError(f"{wanted.url} answers {answer.code} {answer.reason}; the spec's address may be out of date")


def _where_it_begins(wanted: Wanted, response: Any) -> tuple[int, int | None]:
    """The first byte that the answer sends, and the bytes of the whole file where the server says them."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise TextError(f"{wanted.url} sends {encoding}, which was not asked for; its bytes cannot be checked")
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, int(length) if length is not None and length.isdecimal() else None
    sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if sent is None or int(sent[1]) != wanted.part.stat().st_size:
        _forget(wanted)
        raise _Passing("the server sends another part than was asked for; beginning again")
    return int(sent[1]), int(sent[2])


def _version_of(headers: Message) -> str:
    """What to hold a later part against: an ETag that stands for the very bytes, else the date."""
    tag = str(headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(headers.get("Last-Modified", ""))


def _chunks(response: Any) -> Iterator[bytes]:
    try:
        while chunk := response.read1(CHUNK):  # as it comes: `read` would lose what came before a stall
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(_describe(error)) from error


def _accept(wanted: Wanted, *, resumed: bool) -> str:
    """Give a whole file its name, if it is what was wanted."""
    size, found = wanted.part.stat().st_size, hash_file(wanted.part)
    if wanted.sha256 not in {None, found} or wanted.size not in {None, size}:
        _forget(wanted)
        if resumed:
            raise _Passing("the parts do not make up the file; beginning again")
        stated = f"{wanted.sha256[:12]}... " if wanted.sha256 else ""
        raise TextError(
            f"{wanted.url} is not the file that it should be: SHA-256 {found[:12]}..., {size:,} bytes, where "
            f"{stated}{'' if wanted.size is None else f'and {wanted.size:,} bytes '}were expected; nothing was kept"
        )
    with _writing(wanted):
        with wanted.part.open("rb+") as file:
            os.fsync(file.fileno())
        wanted.part.replace(wanted.target)
        sync_directory(wanted.target.parent)
    _forget(wanted)
    return found


def _forget(wanted: Wanted) -> None:
    """Take away what has come so far."""
    with _writing(wanted):
        wanted.part.unlink(missing_ok=True)
        wanted.version.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(wanted: Wanted) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{wanted.target} could not be written: {error.strerror or error}; make room, or name another cache "
            "directory by SEQGEN_CACHE"
        ) from error


def _describe(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return "nothing came for too long" if isinstance(reason, TimeoutError) else str(reason) or type(reason).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Few redirects, and none away from https."""

    max_redirections = REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        return super().redirect_request(req, fp, code, msg, headers, newurl) if is_allowed(newurl) else None

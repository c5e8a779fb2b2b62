"""ZIP and tar archives as folders: their regular members in the order of their names, those that `--glob` selects.

Nothing is written to the disk, so where a name leads (absolute, `../`) does not matter. Links, devices and pipes are no
regular members and are passed over. What is declared is held against limits before anything is expanded.
"""

from __future__ import annotations

import contextlib
import functools
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from seqgen.errors import TextError
from seqgen.sources.config import Reading
from seqgen.sources.content import DAMAGE, Content, Document
from seqgen.sources.patterns import asked_for, is_hidden, selects, summary

MOST_MEMBERS = 200_000
"""A header takes a kilobyte of memory."""
LARGEST = 1 << 36
"""Bytes that an archive may expand to: 64 GiB."""
RATIO, FREE = 250, 1 << 26
"""How many times its own size an archive may expand to, once that is more than `FREE` bytes: text shrinks to a tenth,
logs to a hundredth; deflate's limit is 1,032, which only a bomb comes near.
"""
HELD = 1 << 26
"""Bytes of members of a tar archive that are held in memory, to be read in the order of their names."""
_UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, NotImplementedError, ValueError, struct.error)
"""What opening an archive may raise, damaged or of a kind that Python does not know."""


@dataclass(frozen=True)
class Member:
    """A regular member: its name as a path, its size, and how it is opened."""

    path: PurePosixPath
    size: int
    offset: int
    """Where it begins in the archive."""
    open: Callable[[], IO[bytes]]
    encrypted: bool = False


def read(content: Content) -> Iterator[Document]:
    """Read the documents of each member by the format that its own name says.

    Raises:
        TextError: the archive is damaged, encrypted, or beyond a limit; no member fits; or one cannot be read.
    """
    from seqgen.sources import formats  # which knows this one, too

    with contextlib.ExitStack() as stack:
        with naming_damage(content.name):
            members = open_zip(content, stack) if content.suffix == ".zip" else _open_tar(content, stack)
        for name, size, file in _in_order(_select(members, content), content):
            with content.member(name, file, size) as member:
                if member.suffix in formats.ARCHIVES:
                    raise TextError(f"{member.name} is an archive within an archive; unpack {content.name} first")
                for document in formats.read(member):
                    yield document._replace(member=name)


@contextlib.contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn what reading a damaged archive raises into a TextError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__
        raise TextError(f"{name} is damaged, cut short or of a kind that cannot be read ({reason})") from error


def open_zip(content: Content, stack: contextlib.ExitStack) -> list[Member]:
    """List the regular members of a ZIP file, the last of each name.

    Raises:
        TextError: a limit is passed, or it comes through a pipe.
    """
    archive = stack.enter_context(zipfile.ZipFile(_seekable(content)))
    expanded = 0
    members: dict[PurePosixPath, Member] = {}
    for number, info in enumerate(archive.infolist(), 1):
        expanded += info.file_size
        _check_limits(content, number, expanded)
        if not info.filename:
            raise zipfile.BadZipFile("a member has no name")
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the system that packed it has none
        if not info.is_dir() and kind in {0, stat.S_IFREG}:
            path = as_path(_name_in_zip(info, content.reading))
            opening = functools.partial(archive.open, info)
            members[path] = Member(path, info.file_size, info.header_offset, opening, bool(info.flag_bits & 1))
    return list(members.values())


def _open_tar(content: Content, stack: contextlib.ExitStack) -> list[Member]:
    file = _Bounded(_seekable(content))
    archive = stack.enter_context(
        tarfile.TarFile(fileobj=cast("BinaryIO", file), encoding="utf-8", errors="surrogateescape")
    )
    members: dict[PurePosixPath, Member] = {}
    for number, info in enumerate(archive, 1):
        _check_limits(content, number, info.offset_data + info.size)
        if info.isreg():
            path = as_path(info.name)
            opening = cast("Callable[[], IO[bytes]]", functools.partial(archive.extractfile, info))
            members[path] = Member(path, info.size, info.offset_data, opening)
    if not file.at_end:  # at a header that it cannot read, tarfile stops without a word
        raise TextError(
            f"{content.name} is damaged or cut short: at byte {archive.offset:,} of the tar archive there is neither a "
            "member nor the empty block that ends it; fetch or pack it anew"
        )
    if _seekable(content).read(RECORD).strip(b"\0"):  # two empty blocks end an archive, and zeros fill its last record
        raise TextError(
            f"{content.name} continues after the end of its tar archive: it is damaged, or several archives joined "
            "into one; unpack it by tar --ignore-zeros, and name the folder"
        )
    return list(members.values())


def _seekable(content: Content) -> BinaryIO:
    file = cast("BinaryIO", content.file)
    if not file.seekable():
        raise TextError(f"{content.name} comes through a pipe, which an archive cannot be read from; name a file")
    return file


def _check_limits(content: Content, members: int, expanded: int) -> None:
    """Refuse an archive that would take more than any text does, with a TextError."""
    name, advice = content.name, "unpack it yourself if you trust it, and name the folder"
    if members > MOST_MEMBERS:
        raise TextError(f"{name} has more than {MOST_MEMBERS:,} members; {advice}")
    if expanded > LARGEST:
        raise TextError(f"{name} expands to more than {LARGEST >> 30} GiB; {advice}")
    if expanded > max(FREE, RATIO * content.size):
        raise TextError(
            f"{name} expands to more than {RATIO} times its {content.size:,} bytes, as a decompression bomb does; "
            f"{advice}"
        )


def as_path(name: str) -> PurePosixPath:
    """The name of a member as a path within the archive: what leads out of it, or to it, is left out."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return PurePosixPath(*parts)


def _name_in_zip(info: zipfile.ZipInfo, reading: Reading) -> str:
    """A member's name, which without the UTF-8 flag is in whatever encoding the machine had that packed it."""
    if info.flag_bits & 0x800:
        return info.filename
    name = info.filename.encode("cp437", "replace")  # as zipfile has decoded it
    for encoding in ("utf-8", reading.encoding):
        with contextlib.suppress(UnicodeError, LookupError):
            if "x".encode(encoding) == b"x":  # no archive has names in UTF-16
                return name.decode(encoding)
    return info.filename


def _select(members: list[Member], content: Content) -> list[Member]:
    shown = [member for member in members if not any(map(is_hidden, member.path.parts))]
    fitting = [member for member in shown if selects(content.reading, member.path)]
    if not fitting:
        there = summary(member.path for member in shown) or "no members that are not hidden"
        raise TextError(f"{content.name} has no member that fits {asked_for(content.reading)}; it has {there}")
    encrypted = next((member for member in fitting if member.encrypted), None)
    if encrypted is not None:
        raise TextError(
            f"{content.name}: the member {encrypted.path} is encrypted; unpack the archive with its password first"
        )
    return sorted(fitting, key=lambda member: member.path.parts)


def _in_order(members: list[Member], content: Content) -> Iterator[tuple[str, int, BinaryIO]]:
    """Open member after member.

    Each rewinding of a compressed tar expands it anew, so as many members as fit into `HELD` bytes are read in the
    order in which they lie. A member that is larger is not held but streamed.
    """
    while members:
        batch, size = [members[0]], members[0].size
        while content.suffix != ".zip" and len(batch) < len(members) and size + members[len(batch)].size <= HELD:
            batch.append(members[len(batch)])
            size += batch[-1].size
        members = members[len(batch) :]
        if len(batch) == 1:
            with naming_damage(f"{content.name}/{batch[0].path}"):
                file = batch[0].open()
            with file:
                yield str(batch[0].path), batch[0].size, cast("BinaryIO", file)
            continue
        held = {}
        for member in sorted(batch, key=lambda member: member.offset):
            with naming_damage(f"{content.name}/{member.path}"), member.open() as file:
                held[member.path] = file.read()
        for member in batch:
            yield str(member.path), member.size, io.BytesIO(held.pop(member.path))


RECORD = 20 * tarfile.BLOCKSIZE
"""Bytes to which tar fills an archive up."""


class _Bounded:
    """A file of which nothing is read at once that no member's header can need: tarfile reads these whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell
        self.at_end = False
        """Whether what was read last is the block of zeros that ends a tar archive."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HELD:
            raise TextError(f"a header or member of the tar archive asks for {size:,} bytes at once; unpack it first")
        block = self._file.read(size)
        self.at_end = block == bytes(tarfile.BLOCKSIZE)
        return block

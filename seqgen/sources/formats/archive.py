"""Read ZIP and tar archives like folders: the regular members that `--glob` selects, sorted by name.

Nothing is extracted to the disk, so absolute names and `../` do no harm. Links, devices and pipes are ignored. The
declared sizes are checked against limits before anything is decompressed.
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
from seqgen.sources.content import ARCHIVE_ERRORS, Content, Document
from seqgen.sources.patterns import is_hidden, pattern_options, selects, suffix_counts, unselected_message

MAX_MEMBERS = 200_000
"""The header of a member takes a kilobyte of memory."""
MAX_EXPANDED_BYTES = 1 << 36
"""The largest size of the content of an archive: 64 GiB."""
MAX_RATIO, MIN_RATIO_BYTES = 250, 1 << 26
"""The largest ratio of content to archive, checked above `MIN_RATIO_BYTES` of content.

Text shrinks to a tenth, logs to a hundredth. The limit of deflate is 1,032, which only a bomb approaches.
"""
BATCH_BYTES = 1 << 26
"""The size of the members of a tar archive that are held in memory, to be read sorted by name."""
_UNREADABLE: tuple[type[Exception], ...] = (*ARCHIVE_ERRORS, NotImplementedError, ValueError, struct.error)
"""The exceptions that opening a damaged archive, or one of an unknown kind, may raise."""


@dataclass(frozen=True)
class Member:
    """A regular member: its path in the archive, its size, and how to open it."""

    path: PurePosixPath
    size: int
    offset: int
    """The position in the archive."""
    open: Callable[[], IO[bytes]]
    encrypted: bool = False


def read(content: Content) -> Iterator[Document]:
    """Read the documents of each member by the suffix of the member.

    Raises:
        TextError: the archive is damaged, encrypted, or above a limit; no member matches; or a member cannot be read.
    """
    from seqgen.sources import formats  # which imports this module

    with contextlib.ExitStack() as stack:
        with naming_damage(content.name):
            members = open_zip(content, stack) if content.suffix == ".zip" else _open_tar(content, stack)
        for name, size, file in _in_order(_select(members, content), content):
            with content.member(name, file, size) as member:
                if member.suffix in formats.ARCHIVES:
                    raise TextError(f"{member.name} is an archive inside an archive; unpack {content.name} first")
                for document in formats.read(member):
                    yield document._replace(member=name)


@contextlib.contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turn the exceptions of reading a damaged archive into a TextError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__
        raise TextError(f"{name} is damaged, cut short or of an unknown kind ({reason})") from error


def open_zip(content: Content, stack: contextlib.ExitStack) -> list[Member]:
    """Return the regular members of a ZIP file; of members with the same name the last.

    Raises:
        TextError: the archive is above a limit, or comes through a pipe.
    """
    archive = stack.enter_context(zipfile.ZipFile(_seekable(content)))
    expanded = 0
    members: dict[PurePosixPath, Member] = {}
    for number, info in enumerate(archive.infolist(), 1):
        expanded += info.file_size
        _check_limits(content, number, expanded)
        if not info.filename:
            raise zipfile.BadZipFile("a member has no name")
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the system that created the archive has no file types
        if not info.is_dir() and kind in {0, stat.S_IFREG}:
            path = as_path(_name_in_zip(info, content.reading))
            opening = functools.partial(archive.open, info)
            members[path] = Member(path, info.file_size, info.header_offset, opening, bool(info.flag_bits & 1))
    return list(members.values())


def _open_tar(content: Content, stack: contextlib.ExitStack) -> list[Member]:
    file = _BoundedFile(_seekable(content))
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
    if not file.at_end:  # tarfile stops silently at a header that it cannot read
        raise TextError(
            f"{content.name} is damaged or cut short: at byte {archive.offset:,} of the tar archive is neither a "
            "member nor the empty block that ends it; download or create it again"
        )
    if _seekable(content).read(RECORD).strip(b"\0"):  # zeros fill the last record of an archive
        raise TextError(
            f"{content.name} has more data after the end of its tar archive: it is damaged, or several archives were "
            "joined; unpack it with tar --ignore-zeros, and name the folder"
        )
    return list(members.values())


def _seekable(content: Content) -> BinaryIO:
    file = cast("BinaryIO", content.file)
    if not file.seekable():
        raise TextError(f"{content.name} comes through a pipe, and an archive cannot be read from a pipe; name a file")
    return file


def _check_limits(content: Content, members: int, expanded: int) -> None:
    """Raise a TextError for an archive that is larger than any real text."""
    name, advice = content.name, "if you trust it, unpack it yourself and name the folder"
    if members > MAX_MEMBERS:
        raise TextError(f"{name} has more than {MAX_MEMBERS:,} members; {advice}")
    if expanded > MAX_EXPANDED_BYTES:
        raise TextError(f"{name} expands to more than {MAX_EXPANDED_BYTES >> 30} GiB; {advice}")
    if expanded > max(MIN_RATIO_BYTES, MAX_RATIO * content.size):
        raise TextError(
            f"{name} expands to more than {MAX_RATIO} times its {content.size:,} bytes, like a decompression bomb; "
            f"{advice}"
        )


def as_path(name: str) -> PurePosixPath:
    """Return the name of a member as a path inside the archive, without `..` and a leading slash."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}]
    return PurePosixPath(*parts)


def _name_in_zip(info: zipfile.ZipInfo, reading: Reading) -> str:
    """Return the name of a member; without the UTF-8 flag its encoding is that of the machine that created it."""
    if info.flag_bits & 0x800:
        return info.filename
    name = info.filename.encode("cp437", "replace")  # undo the decoding by zipfile
    for encoding in ("utf-8", reading.encoding):
        with contextlib.suppress(UnicodeError, LookupError):
            if "x".encode(encoding) == b"x":  # names are never in UTF-16
                return name.decode(encoding)
    return info.filename


def _select(members: list[Member], content: Content) -> list[Member]:
    """Return the members that the patterns select, sorted by name."""
    visible = [member for member in members if not any(map(is_hidden, member.path.parts))]
    selected = [member for member in visible if selects(content.reading, member.path)]
    if not selected:
        has = suffix_counts(member.path for member in visible) or "no members except hidden ones"
        options = pattern_options(content.reading)
        raise TextError(f"{content.name} has no member that matches {options}; it has {has}")
    paths = [member.path for member in visible]
    content.issues.unselected = unselected_message(content.name, "member", paths, content.reading)
    encrypted = next((member for member in selected if member.encrypted), None)
    if encrypted is not None:
        raise TextError(
            f"{content.name}: the member {encrypted.path} is encrypted; unpack the archive with its password first"
        )
    return sorted(selected, key=lambda member: member.path.parts)


def _in_order(members: list[Member], content: Content) -> Iterator[tuple[str, int, BinaryIO]]:
    """Open the members one after the other.

    Each seek backwards in a compressed tar decompresses it again. So members of together at most `BATCH_BYTES` are read
    in the order of the archive and held in memory. A larger member is streamed.
    """
    while members:
        batch, size = [members[0]], members[0].size
        while content.suffix != ".zip" and len(batch) < len(members) and size + members[len(batch)].size <= BATCH_BYTES:
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
"""The size of a record: tar fills an archive up to a multiple of it."""


class _BoundedFile:
    """A file that refuses to read more at once than a header can need: tarfile reads headers whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell
        self.at_end = False
        """Whether the last block read is the block of zeros that ends a tar archive."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= BATCH_BYTES:
            raise TextError(f"a header of the tar archive claims {size:,} bytes; unpack the archive first")
        block = self._file.read(size)
        self.at_end = block == bytes(tarfile.BLOCKSIZE)
        return block

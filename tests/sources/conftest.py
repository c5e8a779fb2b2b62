"""What the tests of sources share: a file to be read, and its documents."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqgen.sources.config import Reading
from seqgen.sources.source import Source, load_documents


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a file into the test's folder; its name."""

    def write(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def read(write: Callable[..., str]) -> Callable[..., tuple[str, ...]]:
    """The documents of a file of this name and content, read by these settings."""

    def read(name: str, content: bytes | str, **reading: Any) -> tuple[str, ...]:
        return load_documents([write(name, content)], Reading.of(**reading))

    return read


@pytest.fixture
def places(write: Callable[..., str], tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Where the documents of a file stand, and what was passed over."""

    def places(name: str, content: bytes | str, **reading: Any) -> SimpleNamespace:
        source = Source(write(name, content), Reading.of(**reading))
        found = [(source.place.replace(f"{tmp_path}/", ""), "".join(document)) for document in source.documents()]
        return SimpleNamespace(found=found, issues=source.issues, size=source.size, sha256=source.sha256)

    return places


@pytest.fixture
def zipped() -> Callable[..., bytes]:
    """A ZIP archive of these members."""

    def zipped(members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", compression) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return packed.getvalue()

    return zipped


@pytest.fixture
def tarred() -> Callable[..., bytes]:
    """A tar archive of these members, in this order: contents, or the type and target of a link."""

    def tarred(members: dict[str, str | tuple[bytes, str]], mode: str = "w") -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode) as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                if isinstance(content, tuple):
                    info.type, info.linkname = content
                    file.addfile(info)
                else:
                    info.size = len(content.encode())
                    file.addfile(info, io.BytesIO(content.encode()))
        return packed.getvalue()

    return tarred

"""The texts in East Asian encodings that CPython carries for its own tests: each is the text of its UTF-8 twin."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from seqgen.data.cache.cache import Cache
from seqgen.sources.config import Reading


def _legacy_files() -> list[Path]:
    """Every file that has a twin, or none: some distributions leave Python's tests out."""
    spec = find_spec("test")
    places = spec.submodule_search_locations if spec is not None else None
    folders = [Path(place) / "cjkencodings" for place in places or ()]
    return [path for folder in folders for path in sorted(folder.glob("*.txt")) if _twin(path).is_file()]


def _twin(path: Path) -> Path:
    return path.with_name(f"{path.stem}-utf8.txt")


FILES = _legacy_files()


@pytest.mark.skipif(not FILES, reason="this Python has no test/cjkencodings")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_legacy_file_is_read_as_its_utf8_twin(tmp_path, path):
    cache = Cache(tmp_path)

    legacy, twin = cache.text([str(path)], Reading(encoding=path.stem)), cache.text([str(_twin(path))], Reading())

    assert path.read_bytes() != _twin(path).read_bytes()
    assert legacy.manifest.sha256 == twin.manifest.sha256
    assert legacy.manifest.characters == twin.manifest.characters

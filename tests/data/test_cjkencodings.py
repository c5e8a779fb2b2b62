"""The texts in East Asian encodings that CPython carries for its own tests: each gives the ids of its UTF-8 twin."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from seqgen.sources.text import read_text
from seqgen.tokenizers import KINDS, build
from seqgen.tokenizers.config import TokenizerConfig


def _legacy_files() -> list[Path]:
    """Every file that has a twin, or none: some distributions leave Python's tests out."""
    spec = find_spec("test")
    places = spec.submodule_search_locations if spec is not None else None
    folders = [Path(place) / "cjkencodings" for place in places or ()]
    return [path for folder in folders for path in sorted(folder.glob("*.txt")) if _twin(path).is_file()]


def _twin(path: Path) -> Path:
    return path.with_name(f"{path.stem}-utf8.txt")


FILES = _legacy_files()


@pytest.mark.skipif(not FILES, reason="this Python carries no test/cjkencodings")
@pytest.mark.parametrize("normalization", ["none", "nfd"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_legacy_file_gives_the_ids_of_its_twin(path, kind, normalization):
    text, twin = read_text(path, path.stem), read_text(_twin(path))
    config = TokenizerConfig(kind=kind, normalization=normalization)

    tokenizer, twins = build([text], config), build([twin], config)

    assert path.read_bytes() != _twin(path).read_bytes()
    assert tokenizer.fingerprint == twins.fingerprint
    assert tokenizer.encode(text).tolist() == twins.encode(twin).tolist()
    assert tokenizer.unknown(text) == twins.unknown(twin)
    if tokenizer.unknown(text).total() == 0:
        assert tokenizer.decode(tokenizer.encode(text)) == twins.written(twin)

"""Texts without files: two processes that read stdin read two texts, and one text is kept once."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest

from seqgen.data.cache.cache import Cache
from seqgen.data.config import DataConfig
from seqgen.sources import source as sources


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def pipe(monkeypatch, content):
    """Give this process another stdin."""
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=content))


def test_text_from_stdin_is_found_by_its_hash(cache, monkeypatch):
    pipe(monkeypatch, io.BytesIO(b"a text"))
    text = cache.text(["-"], DataConfig())

    found = cache.find_text(text.manifest.sha256)

    assert found is not None
    assert found.read(0, 6) == "a text"
    assert cache.find_text("0" * 64) is None


def test_two_texts_from_stdin_are_read_at_once(cache, monkeypatch):
    class Slow(io.BytesIO):
        """While it is read, another text is."""

        def read(self, size=-1):
            if not inner:
                inner.append(None)
                pipe(monkeypatch, io.BytesIO(b"the inner text"))
                inner[0] = cache.text(["-"], DataConfig())
            return super().read(size)

    inner = []
    pipe(monkeypatch, Slow(b"the outer text"))

    outer = cache.text(["-"], DataConfig())

    assert [text.read(0, 14) for text in (outer, *inner)] == ["the outer text", "the inner text"]


def test_one_catalog_text_read_twice_at_once_is_kept_once(cache):
    def read(_):
        both.wait()
        return cache.text(["corpus:hello"], DataConfig()).read(0, 9)

    both = Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            first, second = pool.map(read, range(2))
            assert first == second

    assert len(list((cache.path / "texts").iterdir())) == 1

"""Writing sources as a text: its hash, its records, and progress."""

from __future__ import annotations

import hashlib
import json

from seqgen.data.cache.cached_text import CachedText, Span
from seqgen.data.cache.write_text import write_text
from seqgen.sources.config import Reading

from ..caching import cache_text


def test_hash_of_one_document_is_that_of_its_text_and_of_several_depends_on_their_ends(tmp_path):
    assert cache_text(tmp_path, "ab").manifest.sha256 == hashlib.sha256(b"ab").hexdigest()
    together, apart = cache_text(tmp_path, "ab", "c"), cache_text(tmp_path, "a", "bc")
    assert len({cache_text(tmp_path, "abc").manifest.sha256, together.manifest.sha256, apart.manifest.sha256}) == 3


def test_lone_surrogates_of_json_are_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a\ud800b"}), "utf-8")

    write_text([str(tmp_path / "a.jsonl")], Reading(), tmp_path / "cached")

    assert CachedText(tmp_path / "cached").read(0, 5) == "a\ufffdb"


def test_sources_are_recorded_as_they_were_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff text")
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{"text": ""}\n{"text": "two"}\n', "utf-8")
    (tmp_path / "empty.txt").touch()
    names = [str(tmp_path / name) for name in ("a.txt", "b.jsonl", "empty.txt")]
    watched = []

    manifest = write_text(names, Reading(errors="replace"), tmp_path / "cached", watched.append)

    assert [source.name for source in manifest.sources] == names
    assert [source.documents for source in manifest.sources] == [1, 2, 0]
    assert [source.sha256 for source in manifest.sources] == [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names
    ]
    assert sum(watched) == sum(source.bytes for source in manifest.sources)
    assert (manifest.documents, manifest.issues.ill_formed, manifest.issues.skipped) == (3, 1, 0)
    assert manifest == CachedText(tmp_path / "cached").manifest


def test_many_short_documents_are_written(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{number}"}}\n' for number in range(100)), "utf-8")

    write_text([str(tmp_path / "a.jsonl")], Reading(), tmp_path / "cached")

    assert Span.whole(CachedText(tmp_path / "cached")).documents() == tuple(map(str, range(100)))


def test_landmarks_are_at_least_a_chunk_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.data.cache.write_text.CHUNK_BYTES", 6)

    manifest = cache_text(tmp_path, *["한"] * 5, "abcde", "f", "g").manifest

    assert manifest.landmarks == ((0, 0), (6, 2), (12, 4), (20, 10))


def test_two_parallel_files_are_written_as_pairs(tmp_path):
    for name, content in (("a.en", "one\n\ntwo\nthree\n"), ("a.de", "eins\n\nzwei\n \n")):
        (tmp_path / name).write_text(content, "utf-8")
    names = [str(tmp_path / name) for name in ("a.en", "a.de")]

    manifest = write_text(names, Reading(task="translate", on_bad_line="skip"), tmp_path / "cached", parallel=True)

    assert Span.whole(CachedText(tmp_path / "cached")).documents() == ("one", "eins", "two", "zwei")
    assert (manifest.documents, [source.documents for source in manifest.sources]) == (4, [2, 2])
    assert (manifest.issues.empty, manifest.issues.skipped) == (1, 1)
    assert [source.sha256 for source in manifest.sources] == [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.en", "a.de")
    ]


def test_hash_of_pairs_depends_on_where_a_source_ends(tmp_path):
    hashes = set()
    for number, content in enumerate(("ab\tc\n", "a\tbc\n")):
        (tmp_path / f"{number}.tsv").write_text(content, "utf-8")
        folder = tmp_path / f"cached-{number}"
        hashes.add(write_text([str(tmp_path / f"{number}.tsv")], Reading(task="translate"), folder).sha256)

    assert len(hashes) == 2


def test_pair_whose_side_is_only_lone_surrogates_is_left_out_whole(tmp_path):
    lines = [{"source": "\ud800", "target": "a"}, {"source": "b", "target": "c\udfff"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    reading = Reading(task="translate", errors="ignore", on_bad_line="skip")

    manifest = write_text([str(tmp_path / "p.jsonl")], reading, tmp_path / "cached")

    assert Span.whole(CachedText(tmp_path / "cached")).documents() == ("b", "c")
    assert (manifest.issues.ill_formed, manifest.issues.skipped) == (2, 1)

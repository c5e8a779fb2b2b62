"""Fetched corpora: held to their hashes, cut into their customary parts, unpacked by name and within bounds."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import zipfile
from itertools import pairwise

import pytest

from seqgen.errors import ConfigError, SaveError, TextError
from seqgen.sources.catalog import published as fetched_module
from seqgen.sources.catalog.download_cache import download_directory
from seqgen.sources.catalog.published import Fetched
from seqgen.utils.locks import hold_lock

from ...publisher import serving

TEXT = "".join(f"Zeile {number}: Käse, 치즈.\n" for number in range(200))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The cache of each test."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def publisher():
    with serving() as publisher:
        publisher.content = TEXT.encode()
        yield publisher


def reader(publisher, *split: dict[str, object], pinned: bool = True, **settings: object) -> Fetched:
    """A reader of the published file, cut as `split` says."""
    sha256 = hashlib.sha256(publisher.content).hexdigest() if pinned else None
    file = {"name": "cheese.txt", "url": publisher.url, "sha256": sha256, "sha256_source": "this test"}
    parts = [{"name": "train", "file": "cheese.txt", **part} for part in split or ({},)]
    return Fetched.of(**{"kind": "fetched", "largest": 100_000, "files": [file], "split": parts, **settings})


def fetch(fetched: Fetched) -> str | None:
    """Fetch the one file, and give the hash that it has."""
    return fetched.fetch("cheese", lambda file: lambda done, total: None)[0].sha256


def test_it_is_read_when_it_has_been_fetched(publisher):
    fetched = reader(publisher)
    assert not fetched.is_here("cheese")
    with pytest.raises(TextError, match="corpus:cheese has not been fetched yet; run `seqgen corpus fetch cheese`"):
        "".join(fetched.chunks("cheese", "train"))
    assert publisher.requests == []

    fetch(fetched)

    assert fetched.is_here("cheese")
    assert "".join(fetched.chunks("cheese", "train")) == TEXT


def test_what_is_here_is_not_fetched_again(publisher):
    fetched = reader(publisher)

    assert fetch(fetched) == fetch(fetched)
    assert len(publisher.requests) == 1


def test_a_file_that_was_changed_is_refused(publisher):
    fetched = reader(publisher)
    fetch(fetched)
    (download_directory("cheese") / "cheese.txt").write_text("whey", "utf-8")

    for ask in (lambda: "".join(fetched.chunks("cheese", "train")), lambda: fetch(fetched)):
        with pytest.raises(TextError, match=r"cheese.txt is not the file that was fetched \(SHA-256 .*remove it, and"):
            ask()


def test_where_nobody_states_a_hash_the_first_is_held(publisher):
    fetched = reader(publisher, pinned=False)
    first = fetch(fetched)
    assert first == hashlib.sha256(TEXT.encode()).hexdigest()
    (download_directory("cheese") / "cheese.txt").unlink()
    publisher.content = publisher.content[::-1]

    with pytest.raises(TextError, match="is not the file that it should be"):
        fetch(fetched)
    publisher.content = TEXT.encode()
    assert fetch(fetched) == first
    (download_directory("cheese") / "cheese.txt").write_text("whey", "utf-8")
    with pytest.raises(TextError, match="is not the file that was fetched"):
        "".join(fetched.chunks("cheese", "train"))


@pytest.mark.parametrize("bound", range(20, 40))
def test_parts_are_cut_by_bytes_and_between_characters(publisher, bound):
    fetched = reader(publisher, {"end": bound}, {"name": "valid", "start": bound, "end": 3_000},
                     {"name": "test", "start": 3_000})  # fmt: skip
    fetch(fetched)

    parts = ["".join(fetched.chunks("cheese", part)) for part in fetched.parts]

    assert fetched.parts == ("train", "valid", "test")
    assert "".join(parts) == TEXT
    assert 0 <= bound - len(parts[0].encode()) <= 2


@pytest.mark.parametrize("member", [None, "cheese"])
def test_parts_are_read_a_block_at_a_time(publisher, monkeypatch, member):
    monkeypatch.setattr(fetched_module, "CHUNK_BYTES", 5)
    publisher.content = TEXT.encode() if member is None else zipped(cheese=TEXT)
    bounds = [0, 21, 22, 23, 26, 31, 1_000, None]
    for start, end in pairwise(bounds):
        fetched = reader(publisher, {"start": start, "end": end, "member": member})
        fetch(fetched)

        chunks = list(fetched.chunks("cheese", "train"))

        utf8 = TEXT.encode()
        first, last = (len(utf8[:bound].decode("utf-8", "ignore").encode()) for bound in (start, end))
        assert "".join(chunks) == utf8[first:last].decode()
        assert max(map(len, chunks)) <= 12


def test_a_long_part_takes_little_memory(publisher):
    publisher.content = zipped(cheese="Käse 🧀 " * 2_000_000)
    fetched = reader(publisher, {"member": "cheese", "end": 21_000_000}, largest=30_000_000)
    fetch(fetched)
    tracemalloc.start()
    try:
        characters = sum(map(len, fetched.chunks("cheese", "train")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert characters > 13_000_000
    assert peak < 16 << 20


def test_a_part_beyond_the_file_is_refused(publisher):
    fetched = reader(publisher, {"start": 10**6})
    fetch(fetched)

    with pytest.raises(TextError, match=r"cheese.txt has [\d,]+ bytes, so its part train cannot be cut out of it"):
        "".join(fetched.chunks("cheese", "train"))


def test_a_column_becomes_lines(publisher):
    rows = ["id\tdocument\tlabel", '1\t"재밌다\t1', "2\t\t0", "3\t별로\u2028였다\t0", "4", ""]
    publisher.content = "\r\n".join(rows).encode()
    fetched = reader(publisher, column="document")
    fetch(fetched)

    assert "".join(fetched.chunks("cheese", "train")) == '"재밌다\n별로\u2028였다\n'


def test_a_column_that_is_not_there_is_refused(publisher):
    publisher.content = b"id\ttext\n1\ta\n"
    fetched = reader(publisher, column="document")
    fetch(fetched)

    with pytest.raises(TextError, match=r"cheese.txt has no column called 'document'; its first line is \['id', 'te"):
        "".join(fetched.chunks("cheese", "train"))


def zipped(**members: str) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_member_is_read_by_its_name_and_no_name_becomes_a_path(publisher, tmp_path):
    publisher.content = zipped(**{"../../escaped": "evil", "a/cheese": TEXT})
    fetched = reader(publisher, {"member": "a/cheese", "end": 7})
    fetch(fetched)

    assert "".join(fetched.chunks("cheese", "train")) == TEXT[:7]
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped(other="text"), "has no member called cheese"),
        (zipped(cheese="0" * 200_000), "cheese is more than 100,000 bytes unpacked"),
        (zipped(cheese=TEXT)[:-30], "cannot be unpacked"),
        (zipped(cheese=TEXT).replace(zipped(cheese=TEXT)[60:90], b"\xff" * 30), "cannot be unpacked"),
        (b"no zip at all", "cannot be unpacked"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_is_refused(publisher, content, reason):
    publisher.content = content
    fetched = reader(publisher, {"member": "cheese"})
    fetch(fetched)

    with pytest.raises(TextError, match=reason):
        "".join(fetched.chunks("cheese", "train"))


def test_two_do_not_fetch_at_once(publisher):
    fetched = reader(publisher)
    download_directory("cheese").mkdir(parents=True)

    with (
        hold_lock(download_directory("cheese"), "fetching"),
        pytest.raises(TextError, match="by another process; wait"),
    ):
        fetch(fetched)


def test_a_cache_that_cannot_be_made_is_said(publisher, cache):
    cache.write_text("in the way", "utf-8")

    with pytest.raises(SaveError, match=r"cheese cannot be written: .*SEQGEN_CACHE"):
        fetch(reader(publisher))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": [{"name": "train", "file": "wine.txt"}]}, r"split: wine.txt is none of the files"),
        ({"split": []}, "split: .*at least 1"),
        ({"largest": 2**40}, "largest: should be less than or equal to"),
        ({"name": "../cheese.txt"}, "files.0.name"),
        ({"url": "http://example.org/cheese.txt"}, "files.0.url: only https addresses are fetched"),
        ({"sha256": "86c4"}, "files.0.sha256"),
    ],
)
def test_an_impossible_recipe_is_refused(change, reason):
    file = {"name": "cheese.txt", "url": "https://example.org/cheese.txt", "sha256_source": "nobody states one"}
    whole = {"kind": "fetched", "largest": 10, "split": [{"name": "train", "file": "cheese.txt"}]}
    inside = {key: value for key, value in change.items() if key in {"name", "url", "sha256"}}
    around = {key: value for key, value in change.items() if key not in inside}

    with pytest.raises(ConfigError, match=reason):
        Fetched.of(**{**whole, "files": [{**file, **inside}], **around})


@pytest.mark.parametrize("cut", [{"start": 5, "end": 5}, {"start": 5, "end": 3}])
def test_a_part_without_bytes_is_none(publisher, cut):
    with pytest.raises(ConfigError, match="end: should come after start 5"):
        reader(publisher, cut)

"""Downloaded corpora: the hash is checked, a failure leaves no file, and parts are cut between characters."""

from __future__ import annotations

import hashlib
import io
import re
import tracemalloc
import zipfile
from itertools import pairwise

import pytest

from seqgen.errors import ConfigError, SaveError, TextError
from seqgen.sources.catalog import downloads
from seqgen.sources.catalog.corpus import CorpusSpec
from seqgen.sources.catalog.downloads import Download, download_directory
from seqgen.utils.locks import hold_lock

from ...publisher import half, serving, stalled, status

TEXT = "".join(f"Zeile {number}: Käse, 치즈.\n" for number in range(200))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The cache directory of each test."""
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def publisher():
    with serving() as publisher:
        publisher.content = TEXT.encode()
        yield publisher


def zipped(**members: str) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def corpus(content: bytes = TEXT.encode(), url: str = "https://example.org/", *split: object, **settings: object):
    """A corpus of one file of this content, split into these parts."""
    file = {
        "name": "cheese.txt", "url": url, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "sha256_source": "this test",
    }  # fmt: skip
    parts = [{"name": "train", "file": "cheese.txt", **part} for part in split or ({},)]
    return Download.of(**{"kind": "download", "max_bytes": 100_000, "files": [file], "split": parts, **settings})


def fetch(download: Download) -> list[int]:
    """Download the file, and return the progress."""
    progress: list[int] = []
    download.fetch("cheese", lambda file: progress.append)
    return progress


def downloaded(content: bytes, *split: object, **settings: object) -> Download:
    """A corpus whose file is in the cache directory."""
    download_directory("cheese").mkdir(parents=True, exist_ok=True)
    (download_directory("cheese") / "cheese.txt").write_bytes(content)
    return corpus(content, "https://example.org/", *split, **settings)


def read(download: Download, part: str = "train") -> str:
    return "".join(download.chunks("cheese", part))


def files() -> list[str]:
    return [path.name for path in download_directory("cheese").iterdir()]


def test_fetch_downloads_a_file_once_and_reports_progress(publisher):
    publisher.content = b"0123456789" * 20_000
    download = corpus(publisher.content, publisher.url)
    assert not download.is_downloaded("cheese")

    progress = fetch(download)

    assert progress == sorted(progress)
    assert progress[-1] == 200_000
    assert download.is_downloaded("cheese")
    assert (download_directory("cheese") / "cheese.txt").read_bytes() == publisher.content
    assert fetch(download) == []
    assert len(publisher.requests) == 1
    assert publisher.requests[0]["User-Agent"].startswith("seqgen/")


def test_fetch_downloads_a_damaged_file_again(publisher):
    download = downloaded(b"whey")
    download = corpus(publisher.content, publisher.url)

    fetch(download)

    assert read(download) == TEXT
    assert files() == ["cheese.txt"]


@pytest.mark.parametrize("place", ["/elsewhere", "{url}"])
def test_fetch_follows_a_redirect(publisher, place):
    publisher.faults = [status(302, Location=place.format(url=publisher.url))]

    fetch(download := corpus(publisher.content, publisher.url))

    assert read(download) == TEXT


@pytest.mark.parametrize(
    ("faults", "content", "words"),
    [
        ([half], TEXT, "could not be downloaded"),
        ([stalled], TEXT, "could not be downloaded"),
        ([], TEXT[::-1], "does not have the SHA-256 [0-9a-f]{64}"),
        ([lambda answer: answer.send(TEXT.encode(), length=100)], TEXT, "SHA-256"),
        ([status(404)], TEXT, "404"),
        ([status(503)], TEXT, "503"),
        ([status(302, Location="/file")] * 100, TEXT, "redirects"),
        ([status(302, Location="file:///etc/passwd")], TEXT, "could not be downloaded"),
    ],
)
def test_a_failed_download_leaves_no_file_and_can_be_repeated(publisher, monkeypatch, faults, content, words):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.3)
    download = corpus(publisher.content, publisher.url)
    publisher.faults, publisher.content = list(faults), content.encode()

    with pytest.raises(TextError, match=f"{re.escape(publisher.url)}.*{words}"):
        fetch(download)

    assert files() == []
    publisher.faults, publisher.content = [], TEXT.encode()
    fetch(download)
    assert read(download) == TEXT


def test_fetch_names_a_server_that_does_not_answer(publisher):
    url = re.sub(r":\d+/", ":1/", publisher.url)

    with pytest.raises(TextError, match=re.escape(url)):
        fetch(corpus(url=url))


def test_fetch_refuses_a_second_process(publisher):
    download_directory("cheese").mkdir(parents=True)

    with (
        hold_lock(download_directory("cheese"), downloads.FETCHING),
        pytest.raises(TextError, match="another process is downloading corpus:cheese"),
    ):
        fetch(corpus(publisher.content, publisher.url))
    assert publisher.requests == []


def test_fetch_removes_the_temporary_files_of_a_killed_process(publisher, monkeypatch):
    def die(*given, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.hash_matches", die)
        patch.setattr("pooch.core.os.remove", lambda path: None)  # a killed process removes nothing
        with pytest.raises(KeyboardInterrupt):
            fetch(corpus(publisher.content, publisher.url))
    assert len(files()) == 1

    fetch(corpus(publisher.content, publisher.url))

    assert files() == ["cheese.txt"]


def test_fetch_names_a_cache_directory_that_cannot_be_written(publisher, cache):
    cache.write_text("a file", "utf-8")

    with pytest.raises(SaveError, match="SEQGEN_CACHE"):
        fetch(corpus(publisher.content, publisher.url))


def test_chunks_name_the_command_that_downloads_a_missing_file():
    with pytest.raises(TextError, match="seqgen corpus fetch cheese"):
        read(corpus())


def test_chunks_refuse_a_changed_file():
    download = downloaded(TEXT.encode())
    (download_directory("cheese") / "cheese.txt").write_text("whey", "utf-8")

    with pytest.raises(TextError, match=r"cheese\.txt was changed or damaged.*seqgen corpus fetch cheese"):
        read(download)


@pytest.mark.parametrize("bound", range(20, 34))
def test_parts_are_cut_between_characters(bound):
    download = downloaded(
        TEXT.encode(), {"end": bound}, {"name": "valid", "start": bound, "end": 3_000}, {"name": "test", "start": 3_000}
    )

    parts = [read(download, part) for part in download.parts]

    assert download.parts == ("train", "valid", "test")
    assert "".join(parts) == TEXT
    assert 0 <= len(parts[0].encode()) - bound <= 2


@pytest.mark.parametrize("member", [None, "cheese"])
def test_parts_are_read_in_chunks(monkeypatch, member):
    monkeypatch.setattr(downloads, "CHUNK_BYTES", 5)
    utf8 = TEXT.encode()
    characters = [len(TEXT[:end].encode()) for end in range(len(TEXT) + 1)]
    for start, end in pairwise([0, 21, 31, 1_000, len(utf8)]):
        download = downloaded(
            utf8 if member is None else zipped(cheese=TEXT), {"start": start, "end": end, "member": member}
        )

        chunks = list(download.chunks("cheese", "train"))

        first, last = (next(place for place in characters if place >= bound) for bound in (start, end))
        assert "".join(chunks) == utf8[first:last].decode()
        assert max(map(len, chunks)) <= 5


@pytest.mark.slow
def test_a_long_part_takes_little_memory():
    download = downloaded(
        zipped(cheese="Käse 🧀 " * 2_000_000), {"member": "cheese", "end": 21_000_000}, max_bytes=30_000_000
    )
    tracemalloc.start()
    try:
        characters = sum(map(len, download.chunks("cheese", "train")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert characters > 13_000_000
    assert peak < 16 << 20


@pytest.mark.parametrize("bounds", [{"start": 10**6}, {"end": 10**6}])
def test_a_part_beyond_the_end_of_the_file_is_refused(bounds):
    with pytest.raises(TextError, match=r"cheese\.txt is too short: its part train .* 1,000,000"):
        read(downloaded(TEXT.encode(), bounds))


def test_a_column_is_read_as_lines():
    rows = ["id\tdocument\tlabel", '1\t"재밌다\t1', "2\t\t0", "3\t별로\u2028였다\t0", "4", ""]

    assert read(downloaded("\r\n".join(rows).encode(), column="document")) == '"재밌다\n별로\u2028였다\n'


def test_all_columns_are_read_for_a_task_with_labels():
    download = downloaded(b"id\tdocument\tlabel\n1\tfun\t1\n", column="document")
    spec = CorpusSpec(name="cheese", title="", language="English", license="", source="", size=1, reader=download)

    assert "".join(spec.chunks()) == "fun\n"
    assert "".join(spec.chunks(all_columns=True)) == "id\tdocument\tlabel\n1\tfun\t1\n"


def test_a_missing_column_is_refused():
    with pytest.raises(TextError, match=r"cheese\.txt has no column called 'document'; .*\['id', 'text'\]"):
        read(downloaded(b"id\ttext\n1\ta\n", column="document"))


def test_a_zip_member_is_read_and_nothing_is_extracted(tmp_path):
    content = zipped(**{"../../escaped": "evil", "a/cheese": TEXT})

    assert read(downloaded(content, {"member": "a/cheese", "end": 7})) == TEXT[:7]
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped(other="text"), "has no member called cheese"),
        (zipped(cheese="0" * 100_001), "cheese has 100,001 bytes, more than the 100,000"),
        (zipped(cheese=TEXT)[:-30], "cannot be read"),
        (zipped(cheese=TEXT).replace(zipped(cheese=TEXT)[60:90], b"\xff" * 30), "cannot be read"),
        (b"not a zip file", "cannot be read"),
    ],
)
def test_a_wrong_or_damaged_zip_file_is_refused(content, reason):
    with pytest.raises(TextError, match=rf"cheese\.txt.*{reason}"):
        read(downloaded(content, {"member": "cheese"}))


def test_a_member_of_a_zip_file_has_at_most_max_bytes():
    content = zipped(cheese="x" * 1_000)

    assert read(downloaded(content, {"member": "cheese"}, max_bytes=1_000)) == "x" * 1_000
    with pytest.raises(TextError, match="1,000 bytes, more than the 999"):
        read(downloaded(content, {"member": "cheese"}, max_bytes=999))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": [{"name": "train", "file": "wine.txt"}]}, "split: wine.txt"),
        ({"split": []}, "split: .*at least 1"),
        ({"split": [{"name": "train", "file": "cheese.txt", "start": 5, "end": 5}]}, "end: .* 5"),
        ({"name": "../cheese.txt"}, "files.0.name"),
        ({"url": "file:///etc/passwd"}, "files.0.url"),
        ({"sha256": "86c4"}, "files.0.sha256"),
    ],
)
def test_an_impossible_spec_is_refused(change, reason):
    settings = corpus().model_dump()
    settings["files"][0].update({key: value for key, value in change.items() if key != "split"})

    with pytest.raises(ConfigError, match=reason):
        Download.of(**{**settings, **{key: value for key, value in change.items() if key == "split"}})

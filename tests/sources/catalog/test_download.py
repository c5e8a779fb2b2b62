"""A download ends as the whole file or as a clear error, whatever the server does."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqgen.errors import SaveError, TextError
from seqgen.sources.catalog import download as module
from seqgen.sources.catalog.download import Wanted, fetch, is_allowed

from ...publisher import half, serving, stalled, status, without_range


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as publisher:
        yield publisher


@pytest.fixture
def wanted(publisher, tmp_path):
    """The file as its publisher states it."""
    content = publisher.content
    return Wanted(publisher.url, tmp_path / "file.bin", len(content), hashlib.sha256(content).hexdigest())


def get(wanted: Wanted, **options: object) -> list[float]:
    """Fetch, and give how long was waited between attempts."""
    waits: list[float] = []
    fetch(wanted, timeout=0.3, sleep=waits.append, **options)
    return waits


def whole(wanted: Wanted, publisher) -> bool:
    """Whether the file is there, complete, and nothing beside it."""
    return wanted.target.read_bytes() == publisher.content and list(wanted.target.parent.iterdir()) == [wanted.target]


def nothing(wanted: Wanted) -> bool:
    return list(wanted.target.parent.iterdir()) == []


def test_a_whole_file_takes_its_name_and_progress_is_told(wanted, publisher):
    told = []

    found = fetch(wanted, lambda done, total: told.append((done, total)))

    assert found == wanted.sha256
    assert whole(wanted, publisher)
    assert told[-1] == (wanted.size, wanted.size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_it_says_who_asks_and_wants_no_encoding(wanted, publisher):
    get(wanted)

    assert publisher.requests[0]["User-Agent"].startswith("seqgen/")
    assert publisher.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("fault", [half, stalled])
def test_what_came_before_a_break_is_kept_and_the_rest_asked_for(wanted, publisher, fault):
    publisher.faults = [fault]

    assert get(wanted) == [1.0]
    assert whole(wanted, publisher)
    assert publisher.requests[1]["Range"] == f"bytes={wanted.size // 2}-"
    assert publisher.requests[1]["If-Range"] == '"first"'


def test_a_killed_process_leaves_what_came_to_the_next(wanted, publisher):
    publisher.faults = [stalled]
    code = (
        "import sys; from pathlib import Path; from seqgen.sources.catalog.download import Wanted, fetch\n"
        "fetch(Wanted(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))"
    )
    arguments = [wanted.url, str(wanted.target), str(wanted.size), wanted.sha256]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    while not (wanted.part.exists() and wanted.part.stat().st_size == wanted.size // 2):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()

    assert not wanted.target.exists()
    assert get(wanted) == []
    assert whole(wanted, publisher)
    assert publisher.requests[1]["Range"] == f"bytes={wanted.size // 2}-"


def test_a_server_that_knows_no_ranges_sends_it_all_again(wanted, publisher):
    publisher.faults = [half, without_range]

    get(wanted)

    assert "Range" in publisher.requests[1]
    assert whole(wanted, publisher)


@pytest.mark.parametrize("etag", ['"first"', None])
def test_a_file_that_changed_between_attempts_is_fetched_anew(wanted, publisher, etag):
    new, old = publisher.content[::-1], publisher.content
    publisher.etag = etag

    def half_of_the_old(answer):
        publisher.content = old
        half(answer)
        publisher.content, publisher.etag = new, etag and '"second"'

    publisher.faults = [half_of_the_old]
    get(Wanted(wanted.url, wanted.target, len(new), hashlib.sha256(new).hexdigest()))

    assert whole(wanted, publisher)


def test_without_a_version_or_a_hash_nothing_is_resumed(wanted, publisher):
    publisher.faults, publisher.etag = [half], None

    get(Wanted(wanted.url, wanted.target))

    assert "Range" not in publisher.requests[1]
    assert whole(wanted, publisher)


def test_a_weak_etag_is_no_version(wanted, publisher):
    publisher.faults, publisher.etag = [half], 'W/"first"'

    get(Wanted(wanted.url, wanted.target))

    assert "Range" not in publisher.requests[1]


def test_a_part_that_goes_on_elsewhere_is_thrown_away(wanted, publisher):
    def elsewhere(answer):
        answer.say(206, Content_Length=3, Content_Range=f"bytes 7-9/{wanted.size}")
        answer.wfile.write(b"abc")

    publisher.faults = [half, elsewhere]

    assert len(get(wanted)) == 2
    assert whole(wanted, publisher)


@pytest.mark.parametrize("left", [b"x" * 256_000, b"x" * 300_000, b"x" * 1_000])
def test_what_another_left_behind_does_no_harm(wanted, publisher, left):
    wanted.part.write_bytes(left)
    wanted.version.write_text('"first"', "ascii")

    get(wanted)

    assert whole(wanted, publisher)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_passing_answer_is_asked_again_ever_later(wanted, publisher, code):
    publisher.faults = [status(code)] * 3

    assert get(wanted) == [1.0, 2.0, 4.0]
    assert whole(wanted, publisher)


def test_attempts_are_counted_and_what_came_is_kept(wanted, publisher):
    publisher.faults = [half] + [status(503)] * 4

    with pytest.raises(TextError, match=r"could not be fetched in 5 attempts: the server answers 503 .*what came is"):
        get(wanted)
    assert wanted.part.stat().st_size == wanted.size // 2


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_ends_it_at_once(wanted, publisher, code):
    publisher.faults = [status(code)]

    with pytest.raises(TextError, match=f"/file answers {code} .*may be out of date"):
        get(wanted)
    assert len(publisher.requests) == 1
    assert nothing(wanted)


def test_a_server_that_is_not_there_is_said(tmp_path, publisher):
    url = re.sub(r":\d+/", ":1/", publisher.url)

    with pytest.raises(TextError, match=r"in 5 attempts: .*refused"):
        get(Wanted(url, tmp_path / "file.bin"))


def test_wrong_bytes_are_not_kept(wanted, publisher):
    publisher.content = publisher.content[::-1]

    with pytest.raises(TextError, match=r"is not the file that it should be: SHA-256 \w{12}.*nothing was kept"):
        get(wanted)
    assert nothing(wanted)


def test_a_length_that_is_too_small_cuts_the_file_and_is_noticed(wanted, publisher):
    publisher.faults = [lambda answer: answer.send(publisher.content, length=1_000)]

    with pytest.raises(TextError, match=r"is not the file that it should be: .* 1,000 bytes"):
        get(wanted)
    assert nothing(wanted)


def test_a_length_that_is_too_large_is_refused_before_a_byte_is_read(wanted, publisher):
    publisher.faults = [lambda answer: answer.send(publisher.content, length=10**12)]

    with pytest.raises(TextError, match="sends 1,000,000,000,000 bytes, more than the 256,000"):
        get(wanted)
    assert nothing(wanted)


def test_a_file_without_end_is_given_up(wanted, publisher):
    def endless(answer):
        answer.say(200)
        while True:  # until the client hangs up, which is an error here
            answer.wfile.write(publisher.content)

    publisher.faults = [endless]

    with pytest.raises(TextError, match="sends more than the 256,000 bytes"):
        get(wanted)
    assert nothing(wanted)


def test_an_unstated_size_has_a_limit_too(wanted, publisher, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1_000)

    with pytest.raises(TextError, match="more than the 1,000"):
        get(Wanted(wanted.url, wanted.target))


def test_an_encoding_that_was_not_asked_for_is_refused(wanted, publisher):
    publisher.faults = [lambda answer: answer.send(b"\x1f\x8b", Content_Encoding="gzip")]

    with pytest.raises(TextError, match="sends gzip, which was not asked for"):
        get(wanted)
    assert nothing(wanted)


def test_redirects_are_followed_a_few_times(wanted, publisher):
    publisher.faults = [status(302, Location="/elsewhere"), status(308, Location="/there")]

    get(wanted)

    assert whole(wanted, publisher)


def test_redirects_in_circles_end(wanted, publisher):
    publisher.faults = [status(302, Location="/file")] * 100

    with pytest.raises(TextError, match="is redirected too often"):
        get(wanted)
    assert len(publisher.requests) < 10
    assert nothing(wanted)


@pytest.mark.parametrize("place", ["http://example.org/file", "file:///etc/passwd", "ftp://127.0.0.1/file"])
def test_no_redirect_leads_away_from_https(wanted, publisher, place):
    publisher.faults = [status(302, Location=place)]

    with pytest.raises(TextError, match="to where https does not lead"):
        get(wanted)
    assert nothing(wanted)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/a", True),
        ("http://127.0.0.1:8000/a", True),
        ("http://localhost/a", True),
        ("http://example.org/a", False),
        ("http://localhost.example.org/a", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
        ("a", False),
    ],
)
def test_what_may_be_asked(url, allowed):
    assert is_allowed(url) == allowed


def test_a_place_that_cannot_be_written_is_said(wanted, tmp_path):
    (tmp_path / "file.bin.part").mkdir()

    with pytest.raises(SaveError, match=r"file.bin could not be written: .*SEQGEN_CACHE"):
        get(wanted)


def test_only_https_is_asked_at_all():
    with pytest.raises(TextError, match="only https is fetched"):
        get(Wanted("http://example.org/a", Path("a")))

"""The cache: what was made is found again, what was changed is made anew, what was killed goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest
import test

from seqgen import tokenizers
from seqgen.data.cache import cache as module
from seqgen.data.cache import cached_ids, workers
from seqgen.data.cache.cache import Cache, cache_path, size_of
from seqgen.data.cache.cached_ids import CachedIds, write_ids
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.errors import ConfigError, SaveError, TextError
from seqgen.sources import source as sources
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.locks import making, take

from ...conftest import TEXT

CJK = Path(test.__file__).with_name("cjkencodings")
LEGACY = sorted(path for path in CJK.glob("*.txt") if not path.stem.endswith("-utf8"))


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def encoded(cache, config=None, **settings):
    """Text, tokenizer and ids of some settings."""
    data = DataConfig(**settings)
    text = cache.text(data.text, data)
    split = split_text(text, data)
    tokenizer = cache.tokenizer(split, data, config or TokenizerConfig())
    return text, tokenizer, cache.ids(split, data, tokenizer)


def ids_of(stored: CachedIds) -> list[list[int]]:
    return [ids.tolist() for ids in (*stored.train, *stored.valid)]


def test_a_text_that_validates_itself_is_not_one_that_nothing_validates(cache, corpus):
    data = DataConfig.of(text=str(corpus), valid=str(corpus))
    text = cache.text(data.text, data)
    both = split_text(text, data, text)

    assert len(cache.ids(both, data, cache.tokenizer(both, data, TokenizerConfig())).valid) == 1
    assert len(encoded(cache, text=str(corpus), valid_split="none")[2].valid) == 0


def test_who_waited_for_another_finds_what_that_made(cache, corpus, made, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    encoded(cache, text=str(corpus))
    made.clear()
    for name in ("_known", "_known_ids"):
        original, answers = getattr(Cache, name), iter([None])
        monkeypatch.setattr(
            Cache, name, lambda self, key, original=original, answers=answers: next(answers, original(self, key))
        )

    encoded(cache, text=str(corpus))

    assert made == []


@pytest.mark.parametrize("again", ["corpus.txt", "./corpus.txt", "{corpus}"])
def test_a_text_is_known_by_every_name_of_its_file(cache, corpus, made, monkeypatch, again):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    monkeypatch.chdir(corpus.parent)
    encoded(cache, text="corpus.txt")
    made.clear()

    text, _, _ = encoded(cache, text=again.format(corpus=corpus))

    assert made == []
    assert [source.name for source in text.manifest.sources] == ["corpus.txt"]


def test_what_is_found_takes_no_store_that_can_be_written(cache, corpus, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    expected = ids_of(encoded(cache, text=str(corpus))[2])
    beside = Cache(corpus / "no directory", beside=cache.path)

    text = beside.text([str(corpus)], DataConfig())

    assert text.manifest.sha256 == cache.text([str(corpus)], DataConfig()).manifest.sha256
    monkeypatch.setattr(Cache, "_making", lambda self, *given: pytest.fail("nothing is to be made"))
    assert ids_of(encoded(cache, text=str(corpus))[2]) == expected


def test_what_is_looked_for_in_another_store_is_not_made_there(cache, corpus, made, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    elsewhere = Cache(tmp_path / "elsewhere")
    encoded(elsewhere, text=str(corpus))
    made.clear()
    before = size_of(elsewhere.path)

    beside = Cache(cache.path, beside=elsewhere.path)
    assert ids_of(encoded(beside, text=str(corpus))[2])
    assert made == []
    corpus.write_text("another text\n" * 999, "utf-8")
    encoded(beside, text=str(corpus))

    assert made == ["write_text", "write_ids"]
    assert size_of(elsewhere.path) == before


@pytest.mark.parametrize("pattern", ["texts/*/text.utf8", "texts/*/documents.i64", "ids/*/ids.bin", "ids/*/starts.i64",
                                     "tokenizers/*/tokenizer.json", "tokenizers/*/fingerprint"])  # fmt: skip
def test_one_flipped_bit_is_noticed_and_what_has_it_made_again(cache, corpus, monkeypatch, pattern):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    expected = ids_of(encoded(cache, text=str(corpus))[2])
    (path,) = cache.path.glob(pattern)
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])

    assert ids_of(encoded(cache, text=str(corpus))[2]) == expected

    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
@pytest.mark.parametrize("name", ["manifest.json", "documents.i64"])
def test_a_pipe_in_the_store_is_not_waited_for(cache, corpus, name):
    text, _, _ = encoded(cache, text=str(corpus))
    (text.folder / name).unlink()
    os.mkfifo(text.folder / name)

    assert cache.known_text(text.manifest.sha256) is None


def test_a_text_that_is_refused_leaves_nothing(cache, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"good " * 99 + b"\xff")

    with pytest.raises(TextError, match="is not utf-8 at byte 495"):
        encoded(cache, text=str(tmp_path / "bad.txt"))

    assert size_of(cache.path) == 0


def piped(monkeypatch, content):
    """Give this process another stdin."""
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=content))


def test_who_reads_stdin_waits_for_nobody_else_who_does(cache, monkeypatch):
    with cache._making("texts", "other", waits=False) as other:
        other.mkdir()
        read = [cache._making("texts", "other", waits=False) for _ in range(2)]
        with read[0] as second, read[1] as third:
            assert len({other, second, third}) == 3
    with cache._making("texts", "other", waits=False) as again:
        assert again == other, "what a killed process left is used again, not left for ever"


def test_two_texts_from_stdin_can_be_read_at_once(cache, monkeypatch):
    class Slow(io.BytesIO):
        """While it is read, another text is."""

        def read(self, size=-1):
            if not inner:
                inner.append(None)
                piped(monkeypatch, io.BytesIO(b"the inner text"))
                inner[0] = cache.text(["-"], DataConfig())
            return super().read(size)

    inner = []
    piped(monkeypatch, Slow(b"the outer text"))

    outer = cache.text(["-"], DataConfig())

    assert [text.read(0, 14) for text in (outer, *inner)] == ["the outer text", "the inner text"]


def test_one_text_read_under_two_names_at_once_is_one_text(cache, tmp_path):
    def read(name, number):
        path = tmp_path / f"{name}{number}.txt"
        path.write_text(f"text {number}", "utf-8")
        both.wait()
        return cache.text([str(path)], DataConfig()).read(0, 99)

    both = Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        for number in range(60):
            assert list(pool.map(read, "ab", [number] * 2)) == [f"text {number}"] * 2


@pytest.fixture
def made(monkeypatch):
    """What is made, not found, from now on."""
    calls: list[str] = []
    for name in ("write_text", "write_ids"):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, original=original, name=name: calls.append(name) or original(*given)
        )
    return calls


def test_the_ids_are_those_of_the_parts(cache, corpus):
    text, tokenizer, stored = encoded(cache, text=str(corpus))
    split = split_text(text, DataConfig(text=str(corpus)))

    expected = [tokenizer.encode(part).tolist() for part in (*split.train.documents(), *split.valid.documents())]
    assert ids_of(stored) == expected
    assert stored.train.ids.dtype.itemsize == 1
    assert stored.manifest.train.tokens + stored.manifest.valid.tokens == len(TEXT)


def test_a_text_that_is_there_is_not_read_again(cache, corpus, made, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60)  # a file of a moment ago is trusted too
    first = encoded(cache, text=str(corpus))
    assert made == ["write_text", "write_ids"]

    again = encoded(cache, text=str(corpus))

    assert made == ["write_text", "write_ids"]
    assert ids_of(again[2]) == ids_of(first[2])


def test_a_file_of_a_moment_ago_is_read_again_and_its_ids_are_found(cache, corpus, made, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", 1e6)  # a long moment: the machine may be busy
    encoded(cache, text=str(corpus))
    encoded(cache, text=str(corpus))

    assert made == ["write_text", "write_ids", "write_text"]


def test_another_tokenizer_shares_the_text(cache, corpus, made, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60)
    encoded(cache, text=str(corpus))
    encoded(cache, TokenizerConfig(kind="byte"), text=str(corpus))

    assert made == ["write_text", "write_ids", "write_ids"]


def test_a_file_that_was_changed_is_another_text(cache, corpus, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60)
    first = encoded(cache, text=str(corpus))[0].manifest.sha256
    state = corpus.stat()
    corpus.write_bytes(corpus.read_bytes().replace(b"rain", b"snow"))
    os.utime(corpus, ns=(state.st_atime_ns, state.st_mtime_ns))  # of the same size and, it claims, time

    assert encoded(cache, text=str(corpus))[0].manifest.sha256 != first


@pytest.mark.parametrize("damage", ["text.utf8", "ids.bin", "starts.i64", "manifest.json", "tokenizer.json"])
def test_what_is_damaged_is_made_again(cache, corpus, damage, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60)
    expected = ids_of(encoded(cache, text=str(corpus))[2])
    for path in cache.path.rglob(damage):
        path.write_bytes(path.read_bytes()[:-9])

    assert ids_of(encoded(cache, text=str(corpus))[2]) == expected


def test_an_empty_text_leaves_nothing_behind(cache, tmp_path):
    (tmp_path / "empty.txt").touch()

    with pytest.raises(TextError, match=r"empty\.txt is empty"):
        encoded(cache, text=str(tmp_path / "empty.txt"))
    assert not [path for path in cache.path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_store_that_cannot_be_written_is_a_save_error(tmp_path, corpus):
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match=r"the cache in .*file.* cannot be written: .*SEQGEN_CACHE"):
        encoded(Cache(tmp_path / "file" / "cache"), text=str(corpus))


def test_the_place_is_the_one_given_or_the_environments_or_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))
    assert cache_path("here") == Path("here")
    assert cache_path() == tmp_path
    (tmp_path / "a").write_bytes(b"abc")
    assert size_of(tmp_path) == 3


@pytest.mark.skipif(not LEGACY, reason="this Python was installed without its own tests")
@pytest.mark.parametrize("path", LEGACY, ids=lambda path: path.stem)
def test_every_legacy_file_of_cpython_gives_the_ids_of_its_utf8_twin(cache, path):
    twin = path.with_name(f"{path.stem}-utf8.txt")

    legacy = encoded(cache, text=str(path), encoding=path.stem, valid_split="none")
    utf8 = encoded(cache, text=str(twin), valid_split="none")

    assert ids_of(legacy[2]) == ids_of(utf8[2])
    assert legacy[2].manifest.train == utf8[2].manifest.train
    assert legacy[0].manifest.sha256 == utf8[0].manifest.sha256


# --- processes


@pytest.fixture
def long(tmp_path, monkeypatch):
    """A text of many shards, with something to be encoded apart."""
    for where in (cached_ids, sys.modules["seqgen.data.cache.encode"]):
        monkeypatch.setattr(where, "SHARD", 2_000)
    monkeypatch.setattr(cached_ids, "APART", 0)
    path = tmp_path / "long.txt"
    path.write_text("".join(f"{number} {TEXT}" for number in range(5)), "utf-8")
    return path


def test_processes_change_no_id(cache, long, tmp_path):
    data = DataConfig(text=str(long))
    split = split_text(cache.text(data.text, data), data)
    tokenizer = tokenizers.build([TEXT], TokenizerConfig(kind="bpe", vocab_size=300))

    for count in (1, 2, 3):
        write_ids(tmp_path / f"by {count}", split, tokenizer, lambda *_: None, count)

    alone, *others = [CachedIds(tmp_path / f"by {count}") for count in (1, 2, 3)]
    assert all(ids_of(other) == ids_of(alone) and other.manifest == alone.manifest for other in others)


def test_a_tokenizer_built_apart_is_the_one_built_here(cache, long, monkeypatch):
    config = TokenizerConfig(kind="unigram", vocab_size=400)
    here = encoded(cache, config, text=str(long))[1]
    monkeypatch.setattr(module, "BUILT_APART", 0)

    assert encoded(Cache(cache.path / "other"), config, text=str(long))[1].fingerprint == here.fingerprint


def test_what_goes_wrong_in_a_process_is_the_same_error(cache, long, monkeypatch):
    monkeypatch.setattr(module, "BUILT_APART", 0)

    with pytest.raises(ConfigError, match="vocab_size: 10 is too small for bpe"):
        encoded(cache, TokenizerConfig(kind="bpe", vocab_size=10), text=str(long))


@pytest.mark.skipif(os.name == "nt", reason="there is no such program")
def test_a_process_that_dies_is_told_of(monkeypatch, cache, long, tmp_path):
    monkeypatch.setattr(workers.sys, "executable", "/bin/true")

    with pytest.raises(SaveError, match=r"ended with code 0, .*run the same command again"):
        encoded(cache, TokenizerConfig(kind="bpe", vocab_size=300), text=str(long))


# --- killed half way

KILLED = """
import os, signal, sys
from pathlib import Path
from seqgen.data.cache import encode as encoding
from seqgen.data.cache import cached_ids
from seqgen.cli.main import main
encoding.SHARD = cached_ids.SHARD = 2_000
end = cached_ids._Writer.end_shard
left = [int(sys.argv.pop(1))]
def end_shard(self, name):
    end(self, name)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
cached_ids._Writer.end_shard = end_shard
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("shards", [3, 9])
def test_killed_half_way_it_goes_on_after_the_last_whole_shard(tmp_path, long, monkeypatch, shards):
    command = ["corpus", "encode", str(long), "--cache-dir", str(tmp_path / "cache")]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(shards), *command], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    encode, again = cached_ids.encode_portion, []
    monkeypatch.setattr(cached_ids, "encode_portion", lambda *a, **k: again.append(1) or encode(*a, **k))

    _, _, stored = encoded(Cache(tmp_path / "cache"), text=str(long))
    resumed = len(again)
    again.clear()

    assert ids_of(stored) == ids_of(encoded(Cache(tmp_path / "straight"), text=str(long))[2])
    assert resumed == len(again) - shards


# --- FACTS: a text larger than memory (row 18), a gigantic line (row 17), without torch

FLAT = """
import resource, sys
from seqgen.data.config import DataConfig
from seqgen.utils.locks import making
from seqgen.data.split import split_text
from seqgen.data.cache.cache import Cache, cache_path
from seqgen.tokenizers.config import TokenizerConfig
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def encode(path):
    data = DataConfig(text=path)
    cache = Cache(cache_path())
    split = split_text(cache.text(data.text, data), data)
    cache.ids(split, data, cache.tokenizer(split, data, TokenizerConfig()))
encode(sys.argv[1]); before = peak()
encode(sys.argv[2])
assert "torch" not in sys.modules
print((peak() - before) >> (20 if sys.platform == "darwin" else 10))
"""


@pytest.mark.parametrize("end", ["\n", " "], ids=["lines", "one line"])
def test_memory_stays_flat_over_a_long_text_and_a_long_line(tmp_path, end):
    pytest.importorskip("resource", reason="only there does the system say how much memory a process took")
    sentence = "The quick brown fox jumps over the lazy dog, 한국어" + end
    (tmp_path / "short.txt").write_text(sentence * 100_000, "utf-8", newline="")
    (tmp_path / "long.txt").write_text(sentence * 2_000_000, "utf-8", newline="")
    files = [str(tmp_path / "short.txt"), str(tmp_path / "long.txt")]
    environment = {**os.environ, "SEQGEN_CACHE": str(tmp_path / "cache")}

    told = subprocess.run([sys.executable, "-c", FLAT, *files], check=True, capture_output=True, env=environment)

    assert int(told.stdout) < 30, "megabytes more for 110 MB than for 5"


# --- nothing is left behind


def left_in(cache):
    """What stands in the cache and is no whole entry."""
    return sorted(path.name for kind in cache.path.iterdir() for path in kind.iterdir() if path.name.startswith("."))


def test_what_is_made_leaves_no_lock(cache, corpus):
    for kind in ("char", "bpe"):
        encoded(cache, TokenizerConfig(kind=kind), text=str(corpus))

    assert left_in(cache) == []


@pytest.mark.parametrize("apart", [0, 1 << 30], ids=["apart", "here"])
def test_a_tokenizer_that_cannot_be_built_leaves_nothing(cache, corpus, monkeypatch, apart):
    monkeypatch.setattr(module, "BUILT_APART", apart)

    with pytest.raises(ConfigError, match="too small"):
        encoded(cache, TokenizerConfig(kind="bpe", vocab_size=10), text=str(corpus))

    assert left_in(cache) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
@pytest.mark.parametrize("name", ["write_text", "write_ids", "tokenizers.build"])
def test_what_is_interrupted_or_broken_leaves_nothing(cache, corpus, monkeypatch, name, error):
    def fail(first, *given):
        for folder in (first, *given):
            if isinstance(folder, Path):
                folder.mkdir()
                (folder / "half").touch()
        raise error

    monkeypatch.setattr(f"seqgen.data.cache.cache.{name}", fail)

    with pytest.raises((error, SaveError)):
        encoded(cache, text=str(corpus))

    assert left_in(cache) == []


def test_what_was_interrupted_far_on_is_kept_to_be_gone_on_with(cache, corpus, monkeypatch):
    def fail(folder, *given):
        folder.mkdir(exist_ok=True)
        (folder / "progress.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_ids", fail)
    with pytest.raises(KeyboardInterrupt):
        encoded(cache, text=str(corpus))
    assert [name[:8] for name in left_in(cache)] == [".making-"]

    monkeypatch.undo()
    encoded(cache, text=str(corpus))
    assert left_in(cache) == []


def test_what_a_killed_process_left_is_swept_by_the_next_build(cache, corpus):
    for kind in ("texts", "tokenizers", "ids"):
        for name in (".making-killed", ".making-far-on", ".making-long-ago"):
            (cache.path / kind / name).mkdir(parents=True)
            (cache.path / kind / name / "half").touch()
        for name in ("far-on", "long-ago"):
            (cache.path / kind / f".making-{name}" / "progress.json").touch()
        os.utime(cache.path / kind / ".making-long-ago" / "progress.json", (0, 0))
        (cache.path / kind / ".killed.lock").touch()
        (cache.path / kind / ".gone.lock").touch()

    with making(cache.path / "ids", "killed"):  # by a process that lives
        encoded(cache, text=str(corpus))
        assert left_in(cache) == [".killed.lock", *[".making-far-on"] * 3, ".making-killed"]


def test_what_another_format_gave_is_made_anew(cache, corpus, made, monkeypatch):
    monkeypatch.setattr(module, "SETTLED", -60.0)
    encoded(cache, text=str(corpus))
    everything = list(made)
    made.clear()
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)

    encoded(cache, text=str(corpus))

    assert made == everything


@pytest.mark.parametrize("opens", ["_load", "CachedIds"])
def test_what_was_made_is_opened_before_another_process_may_remove_it(cache, corpus, monkeypatch, opens):
    original, removed = getattr(module, opens), []
    monkeypatch.setattr(module, opens, lambda folder: removed.append(take(folder)) or original(folder))

    encoded(cache, text=str(corpus))

    assert removed[-1] is False

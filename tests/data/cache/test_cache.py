"""The cache finds what was built, and builds again what was changed or damaged."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqgen import tokenizers
from seqgen.data.cache import cache as module
from seqgen.data.cache.cache import Cache, cache_path, check_hash, size_of
from seqgen.data.cache.workers import run_workers
from seqgen.data.cache.write_ids import write_ids
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.errors import ConfigError, RunError, SaveError, TextError
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.locks import build_folder

from ...conftest import TEXT
from ..caching import as_lists, prepare


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def built(monkeypatch):
    """What is built, not found, from now on."""
    calls: list[str] = []
    for name in ("write_text", "write_ids"):
        original = getattr(module, name)

        def build(*given, original=original, name=name, **options):
            calls.append(name)
            return original(*given, **options)

        monkeypatch.setattr(module, name, build)
    return calls


def leftovers(cache):
    """What is in the cache and is not an entry."""
    return sorted(path.name for kind in cache.path.iterdir() for path in kind.iterdir() if path.name.startswith("."))


def test_ids_are_those_of_the_split(cache, corpus):
    text, tokenizer, ids = prepare(cache, text=str(corpus))
    split = split_text(text, DataConfig(text=str(corpus)))

    expected = [tokenizer.encode(part).tolist() for part in (*split.train.documents(), *split.valid.documents())]
    assert as_lists(ids) == expected
    assert ids.train.ids.dtype.itemsize == 1
    assert ids.manifest.train.tokens + ids.manifest.valid.tokens == len(TEXT)


def test_ids_differ_between_a_text_as_its_own_validation_text_and_no_validation_text(cache, corpus):
    data = DataConfig.of(text=str(corpus), valid=str(corpus))
    text = cache.text(data.text, data)
    both = split_text(text, data, text)

    assert len(cache.ids(both, data, cache.tokenizer(both, data, TokenizerConfig())).valid) == 1
    assert len(prepare(cache, text=str(corpus), valid_split="none")[2].valid) == 0


# what is found


@pytest.mark.parametrize("again", ["corpus.txt", "./corpus.txt", "{corpus}"])
def test_unchanged_file_is_found_by_every_name_of_it(cache, corpus, built, monkeypatch, again):
    monkeypatch.chdir(corpus.parent)
    first = prepare(cache, text="corpus.txt")
    assert built == ["write_text", "write_ids"]
    built.clear()

    text, _, ids = prepare(cache, text=again.format(corpus=corpus))

    assert built == []
    assert as_lists(ids) == as_lists(first[2])
    assert [source.name for source in text.manifest.sources] == ["corpus.txt"]


def test_text_is_shared_by_tokenizers(cache, corpus, built):
    prepare(cache, text=str(corpus))
    prepare(cache, TokenizerConfig(kind="byte"), text=str(corpus))

    assert built == ["write_text", "write_ids", "write_ids"]


def test_changed_file_of_the_same_size_and_time_is_read_again(cache, corpus):
    first = prepare(cache, text=str(corpus))[0].manifest.sha256
    state = corpus.stat()
    corpus.write_bytes(corpus.read_bytes().replace(b"rain", b"snow"))
    os.utime(corpus, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert prepare(cache, text=str(corpus))[0].manifest.sha256 != first


def test_touched_file_is_read_again_and_its_ids_are_found(cache, corpus, built):
    prepare(cache, text=str(corpus))
    os.utime(corpus, (0, 0))
    prepare(cache, text=str(corpus))

    assert built == ["write_text", "write_ids", "write_text"]


def test_file_rewritten_within_a_tick_of_the_clock_is_read_again(cache, corpus, monkeypatch, built):
    state = module.file_state(str(corpus))
    monkeypatch.setattr(module, "file_state", lambda name: state)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 1e9)
    first = prepare(cache, text=str(corpus))[0].manifest
    corpus.write_bytes(corpus.read_bytes().replace(b"rain", b"snow"))

    second = prepare(cache, text=str(corpus))[0].manifest

    assert (second.bytes, built.count("write_text")) == (first.bytes, 2)
    assert second.sha256 != first.sha256


def test_state_of_a_file_is_trusted_after_two_seconds(cache, corpus, monkeypatch, built):
    changed = max(corpus.stat().st_mtime, corpus.stat().st_ctime)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 2.0)
    for age in (1.9, 2.1, 2.1):
        monkeypatch.setattr(module.time, "time", lambda age=age: changed + age)
        cache.text([str(corpus)], DataConfig())

    assert built == ["write_text"] * 2


@pytest.mark.parametrize(("corpus", "times"), [("corpus:hello:valid", 1), ("corpus:english-prose", 2)])
def test_generated_corpus_is_found_by_the_files_that_generate_it(cache, built, monkeypatch, corpus, times):
    sha256 = cache.text([corpus], DataConfig()).manifest.sha256
    assert cache.text([corpus], DataConfig(), sha256=sha256).manifest.sha256 == sha256
    assert built == ["write_text"] * times

    monkeypatch.setattr(module, "file_state", lambda name: (0,) * 5 if name.endswith(".py") else None)
    cache.text([corpus], DataConfig())
    assert built == ["write_text"] * (times + 1)


def test_file_changed_while_it_is_read_is_not_found_by_its_old_state(cache, corpus, monkeypatch):
    old = module.file_state(str(corpus))
    read = module.write_text

    def read_and_change(*given, **options):
        manifest = read(*given, **options)
        corpus.write_bytes(b"another text\n")
        return manifest

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_text", read_and_change)
        changed = cache.text([str(corpus)], DataConfig())
    assert changed.read(0, 7) == "another"

    monkeypatch.setattr(module, "file_state", lambda name: old)
    assert cache.text([str(corpus)], DataConfig()).read(0, 7) == "another"


def test_another_split_builds_ids_again(cache, corpus, built, monkeypatch):
    """Also by the same settings: the rule of `split.py` may change."""
    prepare(cache, text=str(corpus))
    monkeypatch.setattr("seqgen.data.split.DEFAULT_SHARE", 0.1)
    prepare(cache, text=str(corpus))

    assert built == ["write_text", "write_ids", "write_ids"]


def test_another_version_builds_again(cache, corpus, built, monkeypatch):
    prepare(cache, text=str(corpus))
    monkeypatch.setattr(module, "__version__", "another")
    prepare(cache, text=str(corpus))

    assert built == ["write_text", "write_ids"] * 2


def test_entries_are_found_in_a_cache_that_cannot_be_written(cache, corpus, monkeypatch):
    def refuse(self, *given, **settings):
        raise OSError(errno.EROFS, "Read-only file system")

    expected = as_lists(prepare(cache, text=str(corpus))[2])
    for module_or_class, name in ((Path, "mkdir"), (os, "utime")):
        monkeypatch.setattr(module_or_class, name, refuse)

    assert as_lists(prepare(cache, text=str(corpus))[2]) == expected


def test_process_that_waited_finds_what_the_other_built(cache, corpus, built, monkeypatch):
    prepare(cache, text=str(corpus))
    built.clear()
    find, missed = Cache._find, set()

    def miss_once(self, kind, key, open_entry):
        if kind not in missed:
            missed.add(kind)
            return None
        return find(self, kind, key, open_entry)

    monkeypatch.setattr(Cache, "_find", miss_once)

    prepare(cache, text=str(corpus))

    assert missed == {"texts", "tokenizers", "ids"}
    assert built == []


# what is damaged


@pytest.mark.parametrize("pattern", ["texts/*/text.utf8", "texts/*/documents.i64", "ids/*/ids.bin", "ids/*/starts.i64",
                                     "tokenizers/*/tokenizer.json", "tokenizers/*/fingerprint"])  # fmt: skip
@pytest.mark.parametrize("damage", ["flipped bit", "cut short"])
def test_damaged_entry_is_built_again(cache, corpus, pattern, damage):
    expected = as_lists(prepare(cache, text=str(corpus))[2])
    (path,) = cache.path.glob(pattern)
    content = path.read_bytes()
    changed = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    path.write_bytes(changed if damage == "flipped bit" else content[:-9])

    assert as_lists(prepare(cache, text=str(corpus))[2]) == expected

    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("pattern", ["texts/*/text.utf8", "texts/*/documents.i64", "ids/*/ids.bin", "ids/*/starts.i64"])
def test_pipe_in_an_entry_does_not_block_and_is_replaced(cache, corpus, pattern):
    expected = as_lists(prepare(cache, text=str(corpus))[2])
    (path,) = cache.path.glob(pattern)
    path.unlink()
    os.mkfifo(path)

    assert as_lists(prepare(cache, text=str(corpus))[2]) == expected

    assert path.is_file()


# what is left behind


@pytest.mark.parametrize(("content", "message"), [(b"", r"\.txt is empty"), (b"good " * 99 + b"\xff", "at byte 495")])
def test_refused_text_leaves_nothing(cache, tmp_path, content, message):
    (tmp_path / "bad.txt").write_bytes(content)

    with pytest.raises(TextError, match=message):
        prepare(cache, text=str(tmp_path / "bad.txt"))

    assert size_of(cache.path) == 0


def test_text_with_another_hash_is_refused_and_not_kept(cache, corpus):
    with pytest.raises(RunError, match=corpus.name):
        cache.text([str(corpus)], DataConfig(), sha256="0" * 64)

    assert size_of(cache.path) == 0
    check_hash("a text", "1", "1")


@pytest.mark.parametrize("process_bytes", [0, 1 << 30], ids=["in a process", "here"])
def test_tokenizer_that_cannot_be_built_leaves_nothing(cache, corpus, monkeypatch, process_bytes):
    monkeypatch.setattr(module, "PROCESS_BYTES", process_bytes)

    with pytest.raises(ConfigError, match="vocab_size: 10 is too small for bpe"):
        prepare(cache, TokenizerConfig(kind="bpe", vocab_size=10), text=str(corpus))

    assert leftovers(cache) == []


def test_tokenizer_built_in_a_process_is_the_same(cache, corpus, monkeypatch):
    config = TokenizerConfig(kind="unigram", vocab_size=400)
    here = prepare(cache, config, text=str(corpus))[1]
    monkeypatch.setattr(module, "PROCESS_BYTES", 0)

    other = Cache(cache.path / "other")
    assert prepare(other, config, text=str(corpus))[1].fingerprint == here.fingerprint
    (folder,) = (other.path / "tokenizers").iterdir()
    files = {"tokenizer.json", "sentencepiece.model", "fingerprint", "entry.json"}
    assert {path.name for path in folder.iterdir()} == files


@pytest.mark.parametrize(("kind", "spare", "in_a_process"), [("bpe", 0, True), ("bpe", 1, False), ("char", 0, False)])
def test_subword_tokenizer_of_a_long_text_is_built_in_a_process(cache, corpus, monkeypatch, kind, spare, in_a_process):
    kinds = []

    def build(span, config, folder):
        kinds.append(config.kind)
        tokenizers.build(span.documents(), config).save(folder)

    monkeypatch.setattr(module, "build_in_process", build)
    monkeypatch.setattr(module, "PROCESS_BYTES", corpus.stat().st_size + spare)

    config = TokenizerConfig(kind=kind, vocab_size=400) if kind == "bpe" else TokenizerConfig(kind=kind)
    prepare(cache, config, text=str(corpus), valid_split="none")

    assert kinds == [kind] * in_a_process


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
@pytest.mark.parametrize("name", ["write_text", "write_ids", "tokenizers.build"])
def test_interrupted_build_leaves_nothing(cache, corpus, monkeypatch, name, error):
    def fail(first, *given, **_):
        for folder in (first, *given):
            if isinstance(folder, Path):
                folder.mkdir()
                (folder / "half").touch()
        raise error

    monkeypatch.setattr(f"seqgen.data.cache.cache.{name}", fail)

    with pytest.raises((error, SaveError)):
        prepare(cache, text=str(corpus))

    assert leftovers(cache) == []


def test_build_removes_what_killed_processes_left(cache, corpus):
    for kind in ("texts", "tokenizers", "ids"):
        for name in (".building-killed", ".building-alive"):
            (cache.path / kind / name).mkdir(parents=True)
            (cache.path / kind / name / "half").touch()
        (cache.path / kind / ".building-gone.lock").touch()

    with build_folder(cache.path / "ids", "alive") as alive:
        alive.mkdir()
        prepare(cache, text=str(corpus))
        assert leftovers(cache) == [".building-alive", ".building-alive.lock"]


def test_cache_that_cannot_be_written_is_a_save_error(tmp_path, corpus):
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match=r"file.*cache.*--cache-dir or SEQGEN_CACHE"):
        prepare(Cache(tmp_path / "file" / "cache"), text=str(corpus))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no place where no folder can be made")
def test_cache_where_no_folder_can_be_made_is_a_save_error(corpus):
    with pytest.raises(SaveError, match=r"/proc/nope cannot be written.*SEQGEN_CACHE"):
        prepare(Cache(Path("/proc/nope")), text=str(corpus))


def test_text_that_is_removed_meanwhile_is_not_a_cache_that_cannot_be_written(cache, corpus):
    data = DataConfig(text=str(corpus))
    split = split_text(cache.text(data.text, data), data)
    tokenizer = cache.tokenizer(split, data, TokenizerConfig())
    shutil.rmtree(cache.path / "texts")

    with pytest.raises(SaveError, match=r"removed.*cache.*again") as caught:
        cache.ids(split, data, tokenizer)

    assert "cannot be written" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_full_disk_in_a_worker_is_a_save_error(cache, corpus, monkeypatch):
    def run_on_a_full_disk(jobs, *given):
        (Path(jobs[0]["folder"]) / "ids.bin").symlink_to("/dev/full")
        run_workers(jobs, *given)

    monkeypatch.setattr(module, "write_ids", lambda *given, **options: write_ids(*given, workers=2, **options))
    monkeypatch.setattr("seqgen.data.cache.write_ids.run_workers", run_on_a_full_disk)

    with pytest.raises(SaveError, match=r"cache.*No space left.*make room"):
        prepare(cache, text=str(corpus))


def test_cache_path_is_the_given_directory_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))

    assert cache_path("here") == Path("here")
    assert cache_path() == tmp_path


def test_size_of_adds_up_all_files(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "folder" / "b").write_bytes(b"de")

    assert size_of(tmp_path) == 5


# a text larger than memory

FLAT = """
import resource, sys
from seqgen.data.cache.cache import Cache, cache_path
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [pytest.param("\n", marks=pytest.mark.slow, id="lines"), pytest.param(" ", id="one line")]
)
def test_memory_stays_flat_over_a_long_text_and_a_long_line(tmp_path, end):
    pytest.importorskip("resource", reason="only there does the system say how much memory a process took")
    sentence = "The quick brown fox jumps over the lazy dog, 한국어" + end
    (tmp_path / "short.txt").write_text(sentence * 60_000, "utf-8", newline="")
    (tmp_path / "long.txt").write_text(sentence * 300_000, "utf-8", newline="")
    files = [str(tmp_path / "short.txt"), str(tmp_path / "long.txt")]
    environment = {**os.environ, "SEQGEN_CACHE": str(tmp_path / "cache")}

    done = subprocess.run([sys.executable, "-c", FLAT, *files], check=True, capture_output=True, env=environment)

    assert int(done.stdout) < 6, "megabytes more for 17 MB than for 3"

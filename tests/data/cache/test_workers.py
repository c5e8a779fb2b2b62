"""Worker processes: what they write, the errors that they pass on, and every way in which they end early."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqgen import tokenizers
from seqgen.data.cache import workers
from seqgen.data.cache.cached_text import Span
from seqgen.data.cache.workers import build_in_process, processors, run_workers
from seqgen.errors import ConfigError, SaveError, TokenizerError
from seqgen.tokenizers.config import TokenizerConfig

from ..caching import cache_text

TEXTS = ["the first\n", "the second\nand its end\n"]


@pytest.fixture
def span(tmp_path):
    return Span.whole(cache_text(tmp_path, *TEXTS))


@pytest.fixture
def job(tmp_path, span):
    """A job that encodes both documents."""
    tokenizers.build(TEXTS, TokenizerConfig()).save(tmp_path / "tokenizer")
    folder = tmp_path / "shard"
    folder.mkdir()
    np.save(folder / "ranges.npy", span.ranges)
    return {
        "task": "encode", "folder": str(folder), "text": str(span.text.folder), "continued": False,
        "tokenizer": str(tmp_path / "tokenizer"), "dtype": "<u2", "spell": True,
    }  # fmt: skip


@pytest.fixture
def replace_worker(tmp_path, monkeypatch):
    """Put another program in the place of the worker."""
    if os.name == "nt":
        pytest.skip("a script is not a program there")

    def replace(*lines):
        script = tmp_path / "worker"
        script.write_text("\n".join([f"#!{sys.executable}", "import os, signal, sys, time", *lines]), "utf-8")
        script.chmod(0o700)
        monkeypatch.setattr(workers.sys, "executable", str(script))

    return replace


def test_worker_writes_ids_starts_and_counts(job, tmp_path):
    watched = []
    tokenizer = tokenizers.load(tmp_path / "tokenizer")

    run_workers([job], watched.append)

    folder = tmp_path / "shard"
    assert np.fromfile(folder / "ids.bin", "<u2").tolist() == tokenizer.encode("".join(TEXTS)).tolist()
    assert np.fromfile(folder / "starts.i64", "<i8").tolist() == [0, len(TEXTS[0])]
    assert json.loads((folder / "counts.json").read_bytes())["documents"] == 2
    assert sum(watched) == len("".join(TEXTS))


def test_continued_shard_begins_no_document(job, tmp_path):
    run_workers([{**job, "continued": True}])

    assert np.fromfile(tmp_path / "shard" / "starts.i64", "<i8").tolist() == [len(TEXTS[0])]


def test_tokenizer_built_in_a_process_is_the_one_built_here(span, tmp_path):
    config = TokenizerConfig(kind="word")
    (tmp_path / "built").mkdir()

    build_in_process(span, config, tmp_path / "built")

    assert [path.name for path in (tmp_path / "built").iterdir()] == ["tokenizer.json"]
    assert tokenizers.load(tmp_path / "built").fingerprint == tokenizers.build(["".join(TEXTS)], config).fingerprint


def test_error_of_a_worker_is_raised_with_its_type_and_message(span, job, tmp_path):
    (tmp_path / "built").mkdir()
    with pytest.raises(ConfigError, match=r"^vocab_size: 10 is too small for bpe"):
        build_in_process(span, TokenizerConfig(kind="bpe", vocab_size=10), tmp_path / "built")

    (tmp_path / "tokenizer" / "tokenizer.json").write_text("no tokenizer", "utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        run_workers([job])


def test_bug_in_a_worker_is_raised_with_its_traceback(job):
    del job["spell"]

    with pytest.raises(RuntimeError, match=r"(?s)worker\.py.*KeyError: 'spell'"):
        run_workers([job])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("names", [["ids.bin"], ["ids.bin", "error.json"]], ids=["shard", "shard and report"])
def test_full_disk_in_a_worker_is_an_error_of_the_system(job, tmp_path, names):
    for name in names:
        (tmp_path / "shard" / name).symlink_to("/dev/full")

    with pytest.raises(SaveError if "error.json" in names else OSError) as caught:
        run_workers([job])

    if "error.json" not in names:
        assert caught.value.errno == errno.ENOSPC


def test_empty_report_of_a_worker_is_a_save_error(job, tmp_path, replace_worker):
    (tmp_path / "shard" / "error.json").touch()
    replace_worker("sys.exit(1)")

    with pytest.raises(SaveError, match=r"code 1\b"):
        run_workers([job])


def test_orphan_saves_no_tokenizer(span, tmp_path):
    folder = tmp_path / "built"
    folder.mkdir()
    np.save(folder / "ranges.npy", span.ranges)
    config = TokenizerConfig().model_dump()
    job = {"task": "build", "folder": str(folder), "text": str(span.text.folder), "config": config}
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    read_end, write_end = os.pipe()
    os.close(read_end)  # as when the process that reads has been killed

    command = [sys.executable, "-m", "seqgen.data.cache.worker", str(folder / "job.json")]
    assert subprocess.run(command, check=False, stdout=write_end, stderr=subprocess.PIPE).returncode == 1
    os.close(write_end)

    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "ranges.npy"]


@pytest.mark.parametrize(
    ("ending", "code"),
    [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("print(5, flush=True); sys.exit(7)", 7)],
)
def test_worker_that_ends_early_is_a_save_error(job, replace_worker, ending, code):
    replace_worker(ending)

    with pytest.raises(SaveError, match=rf"code {code}\b"):
        run_workers([job])


def test_worker_that_fails_ends_the_others(job, tmp_path, replace_worker):
    pid = str(tmp_path / "pid")
    replace_worker(
        "if 'other' in sys.argv[-1]:",
        f"    while not os.path.exists({pid!r}): time.sleep(0.01)",
        "    sys.exit(3)",
        f"open({pid + '-'!r}, 'w').write(str(os.getpid())); os.rename({pid + '-'!r}, {pid!r})",
        "while True: print(1, flush=True); time.sleep(0.01)",
    )
    (tmp_path / "other").mkdir()

    with pytest.raises(SaveError, match=r"code 3\b"):
        run_workers([job, {**job, "folder": str(tmp_path / "other")}])

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text("utf-8")), 0)


def test_interrupt_ends_the_workers(job, tmp_path, replace_worker):
    replace_worker(
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))", "print(1, flush=True); time.sleep(600)"
    )

    def interrupt(size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_workers([job], interrupt)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text("utf-8")), 0)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is not a signal to one process there")
def test_worker_ignores_ctrl_c(job, tmp_path):
    path = tmp_path / "shard" / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    code = (
        "import os, signal, sys; from seqgen.data.cache import worker; work = worker.work\n"
        "worker.work = lambda job: (os.kill(os.getpid(), signal.SIGINT), work(job))\n"
        "sys.argv = ['worker', sys.argv[1]]; worker.main()"
    )

    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False, stdout=subprocess.PIPE).returncode == 0
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_there_is_a_processor():
    assert processors() >= 1


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (None, 1)])
def test_processors_are_counted_where_a_process_has_no_affinity(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)

    assert processors() == expected

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def cache_dir(tmp_path):
    return str(tmp_path / "kept")


def test_encoded_text_is_reused_by_train(answers, corpus, cache_dir):
    record = json.loads(answers("corpus", "encode", "corpus.txt", "--cache-dir", cache_dir, "--json"))

    assert record["train_tokens"] + record["valid_tokens"] == record["characters"] == len(corpus.read_text("utf-8"))
    assert (record["tokenizer"], record["bytes_per_id"], record["cache_dir"]) == ("char", 1, cache_dir)
    ids = sorted(path for path in (corpus.parent / "kept" / "ids").rglob("ids.bin"))
    answers("train", "corpus.txt", "--cache-dir", cache_dir, "--cell", "gru", "--hidden-size", "8", "--max-steps", "2")
    assert sorted((corpus.parent / "kept" / "ids").rglob("ids.bin")) == ids


def test_output_is_a_list_with_a_note_on_the_cache(invoke, corpus, cache_dir):
    result = invoke(
        "corpus", "encode", "corpus.txt", "--tokenizer", "bpe", "--vocab-size", "auto", "--cache-dir", cache_dir
    )

    assert result.exit_code == 0
    assert "tokenizer             bpe\n" in result.stdout
    assert f"{cache_dir} can be removed" in result.stderr


def test_encode_imports_no_torch(corpus, cache_dir):
    code = (
        "import sys; from seqgen.cli.main import app\n"
        f"try: app({['corpus', 'encode', str(corpus), '--cache-dir', cache_dir]!r})\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_malformed_vocab_size_is_refused(refuses, corpus):
    refuses(2, "corpus", "encode", "corpus.txt", "--vocab-size", "huge", words=("--vocab-size: ", "huge"))


def test_encoded_pairs_are_reused_by_train(answers, pairs, cache_dir):
    task = ("--task", "translate", "--cache-dir", cache_dir)
    record = json.loads(answers("corpus", "encode", "pairs.tsv", *task, "--json"))

    assert record["tokenizer"] == "char"
    ids = sorted((pairs.parent / "kept" / "ids").rglob("ids.bin"))
    assert len(ids) == 1
    answers("train", "pairs.tsv", *task, "--cell", "gru", "--hidden-size", "8", "--max-steps", "2")
    assert sorted((pairs.parent / "kept" / "ids").rglob("ids.bin")) == ids

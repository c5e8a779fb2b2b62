from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "kept")


def test_encoded_text_is_reused_by_train(answers, corpus, store):
    told = json.loads(answers("corpus", "encode", "corpus.txt", "--cache-dir", store, "--json"))

    assert told["train_tokens"] + told["valid_tokens"] == told["characters"] == len(corpus.read_text("utf-8"))
    assert (told["tokenizer"], told["bytes_per_id"], told["store"]) == ("char", 1, store)
    ids = sorted(path for path in (corpus.parent / "kept" / "ids").rglob("ids.bin"))
    answers("train", "corpus.txt", "--cache-dir", store, "--cell", "gru", "--hidden-size", "8", "--max-steps", "2")
    assert sorted((corpus.parent / "kept" / "ids").rglob("ids.bin")) == ids


def test_output_is_a_list_with_a_note_on_the_cache(invoke, corpus, store):
    result = invoke(
        "corpus", "encode", "corpus.txt", "--tokenizer", "bpe", "--vocab-size", "auto", "--cache-dir", store
    )

    assert result.exit_code == 0
    assert "tokenizer             bpe\n" in result.stdout
    assert f"{store} can be removed" in result.stderr


def test_encode_imports_no_torch(corpus, store):
    code = (
        "import sys; from seqgen.cli.main import app\n"
        f"try: app({['corpus', 'encode', str(corpus), '--store', store]!r})\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_malformed_vocab_size_is_refused(refuses, corpus):
    refuses(2, "corpus", "encode", "corpus.txt", "--vocab-size", "huge", words=("--vocab-size: ", "huge"))

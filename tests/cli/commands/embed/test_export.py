from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seqgen.embeddings.vectors import read_text
from seqgen.runs.embeddings.source import read_vectors


def test_export_writes_the_vectors_of_a_run(invoke, run):
    result = invoke("embed", "export", "out.txt", "--run", run)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "out.txt" in result.stderr
    written, vectors = read_text(Path("out.txt")), read_vectors(run)
    assert written.words == list(vectors.words)
    np.testing.assert_array_equal(written.vectors, vectors.vectors)


def test_export_as_json_has_the_sizes(answers, run):
    record = json.loads(answers("embed", "export", "out.txt", "--json"))

    assert record == {"source": str(run), "out": "out.txt", "words": len(read_text(Path("out.txt"))), "size": 16}


def test_export_replaces_no_file(refuses, run):
    Path("out.txt").write_text("a 1 2\n", "utf-8")

    refuses(1, "embed", "export", "out.txt", words=("out.txt exists",))

    assert Path("out.txt").read_text("utf-8") == "a 1 2\n"


@pytest.mark.parametrize("out", ["", "-"])
def test_export_refuses_stdout_and_an_empty_name(refuses, run, out):
    refuses(2, "embed", "export", out, words=("name",))


def test_export_refuses_a_folder_that_is_missing(refuses, run):
    refuses(4, "embed", "export", "gone/out.txt", words=("gone/out.txt",))

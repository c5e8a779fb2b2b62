"""The file of vectors and progress, whole or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from seqgen.embeddings.state import first_state, load_state, save_state
from seqgen.errors import RunError, SaveError

STATE = first_state(7, 3, seed=1)


def test_load_state_returns_what_was_saved(tmp_path):
    progress = STATE.progress.model_copy(update={"step": 5, "seconds": 1.5, "metrics_bytes": 9})

    save_state(tmp_path / "v", replace(STATE, progress=progress), "me")
    read = load_state(tmp_path / "v", (7, 3), "me")

    assert read.progress == progress
    np.testing.assert_array_equal(read.vectors, STATE.vectors)
    np.testing.assert_array_equal(read.contexts, STATE.contexts)
    read.vectors[:] = 1  # it can be trained further


def test_first_vectors_are_small_and_follow_from_the_seed():
    assert 0.1 < np.abs(STATE.vectors).max() <= 1 / 6
    assert STATE.vectors.dtype == np.float32
    assert not STATE.contexts.any()
    np.testing.assert_array_equal(first_state(7, 3, seed=1).vectors, STATE.vectors)
    assert (first_state(7, 3, seed=2).vectors != STATE.vectors).any()


def test_load_state_refuses_damaged_files_and_those_of_other_runs(tmp_path):
    path = tmp_path / "v"
    with pytest.raises(RunError, match=f"{path} is missing"):
        load_state(path, (7, 3), "me")
    save_state(path, STATE, "me")
    content = path.read_bytes()
    with pytest.raises(RunError, match="another run"):
        load_state(path, (7, 3), "you")
    with pytest.raises(RunError, match="shape"):
        load_state(path, (7, 4), "me")
    flipped = bytearray(content)
    flipped[-9] ^= 4
    other = safetensors.numpy.save({"vectors": STATE.vectors, "contexts": STATE.contexts}, metadata={"seqgen": "{}"})
    wrong = safetensors.numpy.save({"vectors": STATE.vectors.astype(np.float64), "contexts": STATE.contexts})
    for damaged in (content[:-1], content[:20], b"", bytes(flipped), other, wrong, safetensors.numpy.save({})):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=str(path)):
            load_state(path, (7, 3), "me")


def test_failed_save_names_the_file(tmp_path):
    with pytest.raises(SaveError, match="v could not be written"):
        save_state(tmp_path / "missing" / "v", STATE, "me")

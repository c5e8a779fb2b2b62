from __future__ import annotations

import pytest

from seqgen.models.registry import FAMILIES
from seqgen.pages.report.defaults import nondefault_settings
from seqgen.runs.config import resolve_settings

from ...small_runs import run_config


def config_with(**settings):
    """Return the config of a run with these settings."""
    resolved, config = resolve_settings(settings), run_config()
    tokenizer = config.tokenizer.model_copy(
        update={"kind": resolved.tokenizer.kind, "asked": resolved.tokenizer, "auto": resolved.auto}
    )
    parts = {name: getattr(resolved, name) for name in ("model", "data", "training")}
    return config.model_copy(update={**parts, "tokenizer": tokenizer})


@pytest.mark.parametrize("family", FAMILIES.keys() - {"mixture"})
def test_a_run_by_defaults_has_no_nondefault_settings_but_its_cell(family):
    task = FAMILIES[family].task
    cell = family.removesuffix(f"-{task}")
    named = {} if task == "generate" else {"task": task}

    found = nondefault_settings(config_with(cell=cell, **named))

    assert found == ({} if (task, cell) != ("generate", "lstm") and cell == "lstm" else {"cell": found["cell"]})
    assert all(value == cell for value, _ in found.values())


def test_nondefault_settings_are_compared_with_the_preset_of_the_sizes():
    config = config_with(
        cell="lstm", hidden_size=64, lr=0.02, max_time="5m", tokenizer="bpe", vocab_size=600, valid="a.txt", glob="*.md"
    )

    assert nondefault_settings(config) == {
        "cell": ("lstm", "lstm+ngram"),
        "max_time": (300.0, 120.0),
        "tokenizer": ("bpe", "auto"),
        "vocab_size": (600, None),
        "valid": ("a.txt", None),
        "glob": (("*.md",), ("*.txt",)),
        "hidden_size": (64, 256),
        "layers": (1, 2),
        "lr": (0.02, 0.012),
    }
    assert "lr" not in nondefault_settings(config_with(cell="lstm", max_time="15m"))
    assert nondefault_settings(config_with(cell="rnn", max_steps=9, seed=3)) == {
        "cell": ("rnn", "lstm+ngram"),
        "max_steps": (9, None),
        "seed": (3, 0),
    }

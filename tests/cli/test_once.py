from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["sample", "--run", "a", "--run", "b"], "--run"),
        (["train", "a.txt", "--lr", "1", "--lr=2"], "--lr"),
        (["train", "a.txt", "--tie-weights", "--no-tie-weights"], "--tie-weights"),
        (["corpus", "stats", "a.txt", "--top", "1", "--top", "2"], "--top"),
        (["tokenizer", "show", "--run", "a", "--run", "a"], "--run"),
        (["sample", "-n", "1", "--num-samples", "2"], "--num-samples"),
    ],
)
def test_a_single_option_that_is_given_again_is_refused(invoke, arguments, flag):
    result = invoke(*arguments)

    assert result.exit_code == 2
    assert flag in result.stderr
    assert "more than once" in " ".join(result.stderr.replace("│", " ").split())


def test_what_may_be_given_again_may_be(answers, run):
    assert answers("sample", "--stop", "a", "--stop", "e", "-q", "-q", "--max-new-tokens", 5)

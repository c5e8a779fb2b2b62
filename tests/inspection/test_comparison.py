from __future__ import annotations

import numpy as np
import pytest

from seqgen.errors import ConfigError
from seqgen.evaluation.comparison import FEWEST_BLOCKS
from seqgen.inspection.comparison import (
    VALIDATION,
    SeedSpread,
    compare,
    compare_methods,
    group_by_seed,
    require_same_validation,
)

from ..conftest import TEXT


@pytest.fixture
def held_out(tmp_path):
    """A text that no run has learned from, with a name for it."""
    path = tmp_path / "held-out.txt"
    path.write_text(TEXT[::-1] * 2, "utf-8")
    return str(path)


def test_compare_returns_the_figures_of_the_evaluation(make_run, corpus, held_out):
    subwords = make_run(corpus, "gru", tokenizer="bpe", vocab_size=300)
    runs, seen = [make_run(corpus, "gru"), subwords, make_run(corpus, "ngram")], []

    (found,) = compare(runs, [held_out], progress=lambda run, *counted: seen.append((run.path, *counted)))

    expected = [run.evaluate(held_out) for run in runs]
    assert found.bits_per_byte == pytest.approx([one.bits_per_byte for one in expected], rel=1e-9)
    assert [one.tokens for one in found.runs] == [one.tokens for one in expected]
    assert all(one.interval[0] < one.bits_per_byte < one.interval[1] for one in found.runs)
    assert all(one.tokens_per_second > 0 for one in found.runs)
    assert (found.name, found.bytes, found.dynamic) == (held_out, len(TEXT) * 2, False)
    assert (found.block_bytes, found.blocks) == (500, pytest.approx(len(TEXT) * 2 / 500, abs=1))
    pairs = {(one.first, one.second): one.bits_per_byte for one in found.differences}
    assert pairs[0, 2] == pytest.approx(found.bits_per_byte[2] - found.bits_per_byte[0])
    assert seen[-1] == (runs[2].path, held_out, expected[2].tokens, expected[2].tokens)


def test_compare_is_the_same_in_blocks_for_documents_with_ends(make_run, corpus, held_out):
    """The nats of a line and its end are where the line is in the file."""
    runs = [make_run(corpus, "gru"), make_run(corpus, "gru", documents="line")]

    (found,) = compare(runs, [held_out], block=200)

    assert found.bits_per_byte == pytest.approx([run.evaluate(held_out).bits_per_byte for run in runs], rel=1e-9)
    assert (found.bytes, found.block_bytes) == (len(TEXT) * 2, 200)


def test_compare_scores_a_dynamic_model_too(make_run, corpus, held_out):
    runs = [make_run(corpus, "gru+ngram"), make_run(corpus, "ngram")]

    static, dynamic = compare(runs, [held_out], dynamic="all")

    assert (static.dynamic, dynamic.dynamic) == (False, True)
    for number, run in enumerate(runs):
        expected = run.evaluate(held_out, dynamic="all")
        assert static.bits_per_byte[number] == pytest.approx(run.evaluate(held_out).bits_per_byte, rel=1e-9)
        assert dynamic.bits_per_byte[number] == pytest.approx(expected.dynamic.bits_per_byte, rel=1e-9)


def test_compare_takes_the_validation_part_and_loads_one_run_at_a_time(make_run, corpus):
    made = [make_run(corpus, "gru"), make_run(corpus, "ngram")]
    loaded = []

    def load():
        for run in made:
            loaded.append(run.path)
            yield run

    (found,) = compare(load(), block=10)

    assert loaded == [run.path for run in made]
    assert found.name == VALIDATION
    assert found.bits_per_byte[0] == pytest.approx(made[0].evaluate_documents(made[0].validation_texts()).bits_per_byte)


def test_compare_shows_no_interval_of_a_short_text(make_run, corpus, tmp_path):
    (tmp_path / "short.txt").write_text("The river", "utf-8")

    (found,) = compare([make_run(corpus, "gru"), make_run(corpus, "ngram")], [str(tmp_path / "short.txt")])

    assert found.blocks < FEWEST_BLOCKS
    assert found.differences == ()
    assert [one.interval for one in found.runs] == [None, None]


def test_compare_notes_a_training_text(make_run, corpus):
    run, notes = make_run(corpus, "gru"), []

    compare([run], [str(corpus)], note=notes.append)

    (message,) = notes
    assert str(run.path) in message
    assert str(corpus) in message


def test_compare_refuses_runs_that_read_other_bytes(make_run, corpus, tmp_path):
    gaps = tmp_path / "gaps.txt"
    gaps.write_text("The river\n\nThe rain\n", "utf-8")
    runs = [make_run(corpus, "gru"), make_run(corpus, "gru", documents="line")]

    with pytest.raises(ConfigError, match=str(runs[1].path)):
        compare(runs, [str(gaps)])


def test_require_same_validation_names_runs_that_differ(make_run, corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(TEXT[::-1], "utf-8")
    first, same, different = make_run(corpus, "gru"), make_run(corpus, "ngram"), make_run(other, "lstm", seed=17)
    nothing = make_run(corpus, "rnn", valid_split="none")

    require_same_validation({"a": first.config, "b": same.config})
    with pytest.raises(ConfigError, match=r"a and c .*other\.txt.*--text"):
        require_same_validation({"a": first.config, "c": different.config})
    with pytest.raises(ConfigError, match="d has no validation part"):
        require_same_validation({"a": first.config, "d": nothing.config})


def test_group_by_seed_joins_runs_that_differ_in_nothing_else(make_run, corpus):
    configs = {
        "runs/gru-s1": make_run(corpus, "gru", seed=1).config,
        "runs/big": make_run(corpus, "gru", hidden_size=24).config,
        "runs/gru-s2": make_run(corpus, "gru", seed=2).config,
        "runs/mix-1": make_run(corpus, "gru+ngram", seed=1).config,
        "runs/mix-2": make_run(corpus, "gru+ngram", seed=2).config,
    }

    assert group_by_seed(configs) == {"runs/gru-s*": [0, 2], "runs/big": [1], "runs/mix-*": [3, 4]}


def test_group_by_seed_gives_each_group_its_own_name(make_run, corpus):
    configs = [
        make_run(corpus, "gru", hidden_size=size, seed=seed).config
        for size in (16, 24)
        for seed in (1, 2)
    ]

    found = group_by_seed({f"runs/{number}": config for number, config in enumerate(configs)})

    assert found == {"runs/* (gru 1x16)": [0, 1], "runs/* (gru 1x24)": [2, 3]}
    longer = {"a": configs[0], "b": make_run(corpus, "gru", seed=2, max_steps=6).config}
    assert group_by_seed(longer) == {"a": [0], "b": [1]}


def test_compare_methods_compares_means_over_seeds(make_run, corpus, held_out):
    runs = [make_run(corpus, "gru", seed=seed) for seed in (1, 2)] + [make_run(corpus, "ngram")]
    (text,) = compare(runs, [held_out])

    (found,) = compare_methods(text, [[0], [1, 2], [2], [0, 1]])

    bits = np.array(text.bits_per_byte)
    assert (found.first, found.second) == (1, 3)
    assert found.bits_per_byte == pytest.approx(bits[:2].mean() - bits[1:].mean())
    assert found.least_p == pytest.approx(2 / 6)
    assert found.least_p <= found.p <= 1


def test_seed_spread_has_mean_deviation_and_range():
    assert SeedSpread.of([1.0, 2.0, 6.0]) == SeedSpread(3.0, pytest.approx(7**0.5), 1.0, 6.0)
    assert SeedSpread.of([2.0]) == SeedSpread(2.0, None, 2.0, 2.0)

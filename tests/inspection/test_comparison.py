from __future__ import annotations

import shutil

import pytest

from seqgen.errors import ConfigError, RunError
from seqgen.evaluation.bootstrap import FEWEST_BLOCKS
from seqgen.inspection.comparison import (
    VALIDATION,
    ComparedText,
    RunOnText,
    SeedSpread,
    compare,
    compare_methods,
    group_by_seed,
    read_comparable,
    require_same_validation,
)
from seqgen.runs.config import RunConfig

from ..conftest import TEXT
from ..small_runs import run_config


@pytest.fixture
def held_out(tmp_path):
    """A text that no run has learned from, with a name for it."""
    path = tmp_path / "held-out.txt"
    path.write_text((TEXT[::-1].strip() + "\n") * 2, "utf-8")
    return str(path)


def test_compare_returns_the_figures_of_the_evaluation(make_run, corpus, held_out):
    runs, seen = [make_run(corpus, "gru"), make_run(corpus, "ngram")], []

    (found,) = compare(runs, [held_out], progress=lambda run, *counted: seen.append((run.path, *counted)))

    expected = [run.evaluate(held_out) for run in runs]
    assert found.bits_per_byte == pytest.approx([one.bits_per_byte for one in expected], rel=1e-9)
    assert [one.tokens for one in found.runs] == [one.tokens for one in expected]
    assert all(one.interval[0] < one.bits_per_byte < one.interval[1] for one in found.runs)
    assert all(one.tokens_per_second > 0 for one in found.runs)
    assert (found.name, found.bytes, found.dynamic) == (held_out, len(TEXT) * 2, False)
    assert (found.block_bytes, found.blocks) == (500, pytest.approx(len(TEXT) * 2 / 500, abs=1))
    pairs = {(one.first, one.second): one.bits_per_byte for one in found.differences}
    assert pairs == {(0, 1): pytest.approx(found.bits_per_byte[1] - found.bits_per_byte[0])}
    assert seen[-1] == (runs[1].path, held_out, expected[1].tokens, expected[1].tokens)


@pytest.mark.slow
def test_compare_reads_the_same_bytes_by_other_tokenizers_and_as_lines(make_run, corpus, held_out):
    subwords = {"tokenizer": "bpe", "vocab_size": 300}
    runs = [make_run(corpus, "gru", **one) for one in ({}, {"documents": "line"}, subwords, {"encoding": "bytes"})]

    (found,) = compare(runs, [held_out], block=200)

    assert found.bits_per_byte == pytest.approx([run.evaluate(held_out).bits_per_byte for run in runs], rel=1e-9)
    assert (found.bytes, found.block_bytes) == (len(TEXT) * 2, 200)


@pytest.mark.slow
def test_compare_scores_a_dynamic_model_too(make_run, corpus, held_out):
    runs = [make_run(corpus, "gru+ngram"), make_run(corpus, "ngram")]

    static, dynamic = compare(runs, [held_out], dynamic="ngram")

    assert (static.dynamic, dynamic.dynamic) == (False, True)
    for number, run in enumerate(runs):
        expected = run.evaluate(held_out, dynamic="ngram")
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


@pytest.mark.slow
def test_compare_refuses_runs_that_read_other_bytes(make_run, corpus, tmp_path):
    gaps = tmp_path / "gaps.txt"
    gaps.write_text("The river\n\nThe rain\n", "utf-8")
    runs = [make_run(corpus, "gru"), make_run(corpus, "gru", documents="line")]

    with pytest.raises(ConfigError, match=str(runs[1].path)):
        compare(runs, [str(gaps)])


def _config(**changes) -> RunConfig:
    """Return the config of a run that was never made, with changes such as `training={"seed": 1}`."""
    config = run_config()
    return config.model_copy(
        update={part: getattr(config, part).model_copy(update=values) for part, values in changes.items()}
    )


def test_read_comparable_returns_the_configs_of_runs_and_names_the_option_in_refusals(make_run, corpus, tmp_path):
    gru, ngram = make_run(corpus, "gru").path, make_run(corpus, "ngram").path
    shutil.copytree(gru, tmp_path / "untrained")
    (tmp_path / "untrained" / "model.safetensors").unlink()

    assert list(read_comparable([gru, ngram], on_validation=True)) == [str(gru), str(ngram)]
    for option, prefix in ((None, str(gru)), ("against", f"against: {gru}")):
        with pytest.raises(ConfigError, match=f"^{prefix}"):
            read_comparable([gru, ngram, gru], on_validation=False, option=option)
    with pytest.raises(RunError, match="untrained"):
        read_comparable([gru, tmp_path / "untrained"], on_validation=False)


def test_require_same_validation_names_runs_that_differ():
    first, longer = _config(), _config(training={"max_steps": 7})
    configs = {
        "other": _config(text={"sha256": "1" * 64}),
        "shares": _config(data={"valid_share": 0.3}),
        "lines": _config(data={"documents": "line"}),
        "none": _config(text={"valid_tokens": 0}),
    }

    require_same_validation({"a": first, "b": longer})
    for name, config in configs.items():
        with pytest.raises(ConfigError, match=f"^text: .*{name}"):
            require_same_validation({"a": first, name: config})


def test_require_same_validation_compares_a_validation_file_by_its_content():
    first, other = (_config(text={"sha256": digit * 64, "valid_sha256": "2" * 64}) for digit in "01")
    changed = _config(text={"valid_sha256": "3" * 64})

    require_same_validation({"a": first, "b": other})
    with pytest.raises(ConfigError, match="a and c"):
        require_same_validation({"a": first, "c": changed})


def test_group_by_seed_joins_runs_that_differ_in_nothing_else():
    configs = {
        "runs/gru-s1": _config(training={"seed": 1}),
        "runs/big": _config(model={"hidden_size": 24}),
        "runs/gru-s2": _config(training={"seed": 2, "threads": 7}),
        "runs/longer": _config(training={"seed": 3, "max_steps": 6}),
        "runs/other": _config(training={"seed": 4}, text={"sha256": "1" * 64}),
    }

    found = group_by_seed(configs)

    assert found == {"runs/gru-s*": [0, 2], "runs/big": [1], "runs/longer": [3], "runs/other": [4]}


def test_group_by_seed_does_not_join_a_run_with_its_copy():
    assert group_by_seed({"a": _config(), "b": _config()}) == {"a": [0], "b": [1]}
    other = _config(training={"seed": 2})
    assert list(group_by_seed({"a1": _config(), "a2": other, "b": other}).values()) == [[0, 1], [2]]


def test_group_by_seed_gives_each_group_its_own_name():
    configs = [_config(model={"hidden_size": size}, training={"seed": seed, "lr": rate})
               for size, rate in ((16, 0.1), (24, 0.1), (24, 0.2)) for seed in (1, 2)]  # fmt: skip

    found = group_by_seed({f"runs/{number}": config for number, config in enumerate(configs)})

    assert list(found.values()) == [[0, 1], [2, 3], [4, 5]]
    first, second, third = found
    assert (first[:7], second[:7], third) == ("runs/* ", "runs/* ", f"{second} 2")
    assert "16" in first
    assert "24" in second


@pytest.mark.slow
def test_group_by_seed_joins_mixtures_whose_members_had_other_times(make_run, corpus):
    configs = {f"runs/mix-{seed}": make_run(corpus, "gru+ngram", seed=seed).config for seed in (1, 2)}

    assert group_by_seed(configs) == {"runs/mix-*": [0, 1]}


def test_compare_methods_compares_means_over_seeds():
    bits = [1.0, 1.2, 1.5, 1.7, 1.1]
    runs = tuple(RunOnText(one, None, 10, 1.0) for one in bits)
    text = ComparedText("a.txt", False, 10, 500, 0, runs, ())

    (found,) = compare_methods(text, [[4], [0, 1], [2, 3]])

    assert (found.first, found.second) == (1, 2)
    assert found.bits_per_byte == pytest.approx(0.5)
    assert found.p == found.least_p == pytest.approx(2 / 6)


def test_seed_spread_has_mean_deviation_and_range():
    assert SeedSpread.of([1.0, 2.0, 6.0]) == SeedSpread(3.0, pytest.approx(7**0.5), 1.0, 6.0)
    assert SeedSpread.of([2.0]) == SeedSpread(2.0, None, 2.0, 2.0)

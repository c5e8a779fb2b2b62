"""The advice before training, at the edges of its rules."""

from __future__ import annotations

import re

import pytest

from seqgen.training.advice import advise


@pytest.mark.parametrize(
    ("parameters", "text", "read", "dropout"),
    [
        (322_243, 953_859, 9_011_200, 0.1),  # gru, two minutes
        (421_059, 953_859, 5_120_000, 0.1),  # lstm
        (231_747, 953_859, 4_915_200, 0.0),  # rnn
        (821_120, 953_859, 1_126_400, 0.0),  # transformer
        (4_300_000, 953_859, 16_700_000, 0.35),  # two layers of lstm 512, a quarter of an hour
        (320_703, 284_967, 6_144_000, 0.1),  # gru on 300 KB, which did not turn
    ],
)
def test_what_was_measured_to_do_well_fits(parameters, text, read, dropout):
    assert advise(parameters, text, read, dropout).endswith(": that fits")


@pytest.mark.parametrize(("parameters", "text", "read"), [(320_703, 94_943, 2_867_200), (316_000, 28_498, 860_160)])
def test_what_was_measured_to_be_learnt_by_heart_is_said(parameters, text, read):
    assert "enough to learn it by heart; a smaller --hidden-size, a --dropout of 0.3" in advise(
        parameters, text, read, 0.1
    )


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ((1000, 10_000, 1000, 0.0), "that fits"),
        ((1000, 10_000, 999, 0.0), "too few"),
        ((1000, 10_000, 225_000, 0.0), "that fits"),
        ((1000, 10_000, 225_001, 0.0), "it could feed more"),
        ((1000, 500, 225_001, 0.0), "that fits"),  # more would learn the text by heart
        ((1001, 500, 4001, 0.0), "enough to learn it by heart"),
        ((1000, 500, 4001, 0.0), "that fits"),
        ((1001, 500, 4000, 0.0), "that fits"),
        ((1001, 500, 4001, 0.3), "that fits"),
    ],
)
def test_the_edges(arguments, verdict):
    assert advise(*arguments).split(": ")[1].split(";")[0] == verdict


@pytest.mark.parametrize(
    ("arguments", "asked"), [((1_000_000, 10**6, 150_000, 0.0), 100_000), ((1000, 10**6, 1_500_000, 0.0), 10_000)]
)
def test_a_size_is_named_that_the_same_work_feeds(arguments, asked):
    line = advise(*arguments)

    assert int(re.search(r"about ([\d,]+) parameters", line)[1].replace(",", "")) == asked
    assert "\n" not in line
    assert len(line) < 180


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        (
            9_011_200,
            "320,000 parameters read a text of 950,000 tokens 9.4 times, 28 tokens for each parameter: that fits",
        ),
        (95_385_900, "read a text of 950,000 tokens 100 times, 300 tokens for each parameter: it could feed more"),
        (953_859, "read a text of 950,000 tokens 1 time, 3 tokens for each parameter: that fits"),
        (95_386, "read a text of 950,000 tokens 0.1 times, 0.3 tokens for each parameter: too few"),
    ],
)
def test_sizes_have_two_digits(read, shown):
    assert shown in advise(322_243, 953_859, read, 0.3)


def test_no_larger_size_is_named_than_the_text_can_take():
    assert "about 4,000 parameters" in advise(1000, 2000, 15 * 10**6, 0.0)

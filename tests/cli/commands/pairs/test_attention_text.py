from __future__ import annotations

import numpy as np
from rich.cells import cell_len
from seqgen.cli.commands.pairs.attention_text import attention_text

from seqgen.pages.attention import AttentionExample


def test_attention_text_draws_a_shade_for_each_weight():
    example = AttentionExample(list("ab cd"), ["x", "\n"], [[0.04, 0.05, 0.25, 0.5, 0.75], [1, 0, 0, 0, 0]])

    *lines, legend = attention_text(example, 80)

    assert lines == [
        "  a b ␣ c d",
        "x   ░░▒▒▓▓██",
        "⏎ ██",
        "",
    ]
    assert all(part in legend for part in ("░ from 0.05", "▒ from 0.25", "▓ from 0.5", "█ from 0.75"))


def test_attention_text_draws_the_mean_of_the_heads():
    example = AttentionExample(["a", "b"], ["x"], [[[1, 0]], [[0, 1]]])

    assert attention_text(example, 80)[1] == "x ▓▓▓▓"


def test_attention_text_marks_unknown_tokens_and_explains_the_mark():
    example = AttentionExample(["é", "a"], ["b", "왕"], np.eye(2), unknown_source=[0], unknown_target=[1])

    lines = attention_text(example, 80)

    assert lines[:4] == ["    é", "    * a", "  b ██", "왕*   ██"]
    assert "<unk>" in lines[-1]


def test_attention_text_writes_source_tokens_downwards_and_shortens_long_ones():
    example = AttentionExample(["to", "가나", "e\u0301"], ["데비안", "abcdefghijklmnop"], np.eye(2, 3))

    assert attention_text(example, 80)[:4] == [
        "             t 가",
        "             o 나e\u0301",
        "      데비안 ██",
        "abcdefghijk…   ██",
    ]


def test_attention_text_continues_below_what_does_not_fit():
    example = AttentionExample([*"abcdefg"], ["x", "yy"], np.eye(2, 7))

    lines = attention_text(example, 10)

    assert all(cell_len(line) <= 10 for line in lines[:-1])
    assert [line.split() for line in lines[:-1] if "x" not in line and "y" not in line and line] == [
        ["a", "b", "c"],
        ["d", "e", "f"],
        ["g"],
    ]
    assert len(attention_text(example, 1)) == 7 * 4 + 1  # a column at least

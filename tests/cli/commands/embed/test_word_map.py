"""Words as points in the terminal."""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len
from seqgen.cli.commands.embed.word_map import HEIGHT, map_lines

from seqgen.embeddings.projection import Projection


def projection_of(words: list[str], points: list[tuple[float, float]], named: int = 0) -> Projection:
    return Projection(words, np.array(points, float), (0.5, 0.25), named, [[] for _ in words])


def test_map_lines_put_names_next_to_their_points():
    lines, hidden = map_lines(projection_of(["low", "high"], [(0, 0), (9, 9)], named=1), 40)

    assert hidden == []
    assert len(lines) == HEIGHT
    assert lines[-1].plain.rstrip() == "◆low"
    assert lines[0].plain.rstrip() == " " * 35 + "high•"
    assert not any(line.plain.strip() for line in lines[1:-1])


def test_map_lines_leave_two_columns_for_a_wide_character():
    lines, hidden = map_lines(projection_of(["여왕", "왕", "고양이"], [(0, 0), (1, 0), (2, 0)]), 30)

    assert hidden == []
    assert cell_len(lines[-1].plain) == 30
    assert not any(line.plain for line in lines[:-1])
    text = "\n".join(line.plain for line in lines)
    assert all(name in text for name in ("여왕", "왕", "고양이"))


def test_map_lines_return_the_names_without_room():
    words = [f"word{number}" for number in range(9)]
    lines, hidden = map_lines(projection_of([*words, "far"], [*[(0, 0)] * 9, (9, 9)]), 40)

    shown = [word for word in words if any(word in line.plain for line in lines)]
    assert shown
    assert shown + hidden == words


def test_map_lines_in_ascii_have_no_other_characters():
    lines, _ = map_lines(projection_of(["한", "a\x1b[31mb"], [(0, 0), (1, 1)], named=1), 60, ascii_only=True)

    text = "\n".join(line.plain for line in lines)
    assert text.isascii()
    assert "#\\ud55c" in text
    assert "a\\u241b[31mb*" in text


def test_map_lines_show_characters_that_would_join_others_as_signs():
    lines, hidden = map_lines(projection_of(["\u1161", "\u0301", "\u200b"], [(0, 0), (1, 1), (2, 2)]), 40)

    text = "\n".join(line.plain for line in lines)
    assert hidden == []
    assert all(name in text for name in ("ㅏ", "◌\u0301", "U+200B"))

from __future__ import annotations

import numpy as np
import pytest

from seqgen.data import leakage
from seqgen.data.leakage import find_leakage
from seqgen.data.stored_text import Portion

from .storing import store_text

LINES = [f"line {number:03} of a text that is long enough to count\n" for number in range(9)]


@pytest.fixture
def portion(tmp_path):
    return lambda *documents: Portion.whole(store_text(tmp_path, *documents))


def test_lines_that_stand_on_both_sides_are_counted_once_each(portion):
    train = portion("".join([*LINES[:5], *LINES[:5], "short\n"]))
    valid = portion("".join([*LINES[3:9], LINES[3], "short\n"]))

    found = find_leakage(train, valid)

    assert (found.unit, found.found, found.looked_for) == ("line", 2, 6)
    assert "2 of 6 withheld lines of 32 characters or more stand word for word in the training part" in str(found)
    one = found.model_copy(update={"found": 1, "looked_for": 1})
    assert str(one).startswith("1 of 1 withheld line of 32 characters or more stands word for word")


def test_documents_are_compared_whole_where_there_are_several(portion):
    found = find_leakage(portion("ab", "c", "long" * 500_000), portion("a", "c", "long" * 500_000))

    assert (found.unit, found.found, found.looked_for) == ("document", 2, 3)


def test_parts_of_documents_are_compared_by_line(tmp_path):
    text = store_text(tmp_path, "".join(LINES), "".join(LINES))
    first, second = text.documents[:-1]
    cut = len(LINES[0])
    train, valid = (
        np.array(ranges)
        for ranges in ([[cut, second], [second + cut, text.documents[-1]]], [[first, cut], [second, second + cut]])
    )

    found = find_leakage(Portion(text, train), Portion(text, valid))

    assert (found.unit, found.looked_for) == ("line", 1)


def test_no_more_are_looked_for_than_memory_allows(portion, monkeypatch):
    monkeypatch.setattr(leakage, "MOST", 4)

    assert find_leakage(portion("".join(LINES)), portion("".join(LINES))).looked_for == 4

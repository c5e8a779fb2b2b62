"""Segments by hand and by their laws: every token and end once, after its burn-in, each document's in one lane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.documents import Documents
from seqgen.evaluation.segments import LANES, MIN_SEGMENT, Lanes, Segments, pack_lanes, stream_segments, window_segments


def make_documents(lengths: list[int], ends: list[bool] | bool = False) -> Documents:
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    return Documents(np.ones(starts[-1], dtype=np.int32), starts, np.broadcast_to(ends, len(lengths)))


DOCUMENTS = st.lists(st.tuples(st.integers(1, 3000) | st.integers(1, 20), st.booleans()), max_size=6).map(
    lambda drawn: make_documents([length for length, _ in drawn], np.array([ends for _, ends in drawn], dtype=bool))
)


def rows_of(segments: Segments) -> list[tuple[int, ...]]:
    """Return each segment as document, begin, score, end, ends."""
    columns = (segments.document, segments.begin, segments.score, segments.end, segments.ends)
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]


def assert_scored_once(documents: Documents, segments: Segments) -> None:
    """Every token and end of each document is scored by one segment."""
    for document, length in enumerate(documents.lengths.tolist()):
        own = [row for row in rows_of(segments) if row[0] == document]
        assert [place for _, _, score, end, ends in own for place in range(score, end + ends)] == list(range(length))
        assert [ends for *_, ends in own] == [0] * (len(own) - 1) + [int(documents.ends[document])]


@settings(max_examples=100)
@given(documents=DOCUMENTS, burn_in=st.integers(0, 600), lanes=st.integers(1, 9))
def test_stream_segments_score_each_token_once_after_their_burn_in(documents, burn_in, lanes):
    segments = stream_segments(documents, burn_in, lanes)

    assert_scored_once(documents, segments)
    assert (segments.begin == np.maximum(0, segments.score - burn_in)).all()
    counts = np.bincount(segments.document, minlength=len(documents))
    cut = counts[segments.document] > 1
    assert (segments.end - segments.score + segments.ends)[cut].min(initial=MIN_SEGMENT) >= MIN_SEGMENT // 2
    assert len(segments) <= lanes + len(documents)
    assert lanes > 1 or (counts == 1).all()


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([512], [(0, 0, 0, 512)]),
        ([513], [(0, 0, 0, 256), (0, 156, 256, 513)]),
        ([3, 1024], [(0, 0, 0, 3), (1, 0, 0, 512), (1, 412, 512, 1024)]),
        ([2100], [(0, 0, 0, 700), (0, 600, 700, 1400), (0, 1300, 1400, 2100)]),
    ],
)
def test_stream_segments_cut_long_documents_evenly(lengths, expected):
    assert rows_of(stream_segments(make_documents(lengths), 100, lanes=3)) == [(*row, 0) for row in expected]


def test_an_end_counts_as_a_target_of_the_last_segment():
    documents = make_documents([512, 3, 4], [True, True, False])

    assert rows_of(stream_segments(documents, 100, lanes=2)) == [
        (0, 0, 0, 256, 0),
        (0, 156, 256, 512, 1),
        (1, 0, 0, 3, 1),
        (2, 0, 0, 4, 0),
    ]
    assert rows_of(window_segments(make_documents([4], True), 4, 4)) == [(0, 0, 0, 4, 0), (0, 4, 4, 4, 1)]
    assert rows_of(window_segments(make_documents([4], True), 4, 2)) == [(0, 0, 0, 4, 0), (0, 2, 4, 4, 1)]
    assert rows_of(window_segments(make_documents([3], True), 4, 4)) == [(0, 0, 0, 3, 1)]


def test_stream_segments_fill_a_whole_batch_with_a_long_text():
    assert len(stream_segments(make_documents([1_000_000]), burn_in=256)) == LANES


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (8, 4, 4, [(0, 0, 4), (4, 4, 8)]),
        (8, 4, 2, [(0, 0, 4), (2, 4, 6), (4, 6, 8)]),
        (6, 4, 1, [(0, 0, 4), (1, 4, 5), (2, 5, 6)]),
        (10, 4, 4, [(0, 0, 4), (4, 4, 8), (8, 8, 10)]),  # the last window is the rest
        (3, 4, 2, [(0, 0, 3)]),
        (3, 1, 1, [(0, 0, 1), (1, 1, 2), (2, 2, 3)]),
    ],
)
def test_window_segments_by_hand(length, window, stride, expected):
    segments = window_segments(make_documents([length]), window, stride)

    assert rows_of(segments) == [(0, *row, 0) for row in expected]


@settings(max_examples=100)
@given(documents=DOCUMENTS, window=st.integers(1, 300), data=st.data())
def test_window_segments_score_each_token_once_with_its_context(documents, window, data):
    stride = data.draw(st.integers(1, window))

    segments = window_segments(documents, window, stride)

    assert_scored_once(documents, segments)
    assert (segments.steps <= window).all()
    assert ((segments.begin == 0) | (segments.score - segments.begin >= window - stride)).all()


# Lanes


def cells_of(lanes: Lanes, width: int) -> list[tuple[int, ...]]:
    """Return row, column, document, position and whether it is scored of every target, and check its block."""
    cells = []
    for block in lanes.blocks(width):
        columns = block.stop - block.start
        assert columns <= width
        row, column = np.divmod(block.cells, columns)
        assert (row < lanes.running(block.start)).all()
        document, position = np.repeat(block.document, block.count), block.spread(block.position)
        ends = np.zeros(len(document), dtype=bool)
        ends[(block.first + block.count - 1)[block.ends]] = True
        found = (row, block.start + column, document, position, block.scored, ends)
        cells += [tuple(map(int, cell)) for cell in zip(*found, strict=True)]
    return cells


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=300),
    window=st.integers(1, 60),
    ends=st.booleans(),
    width=st.integers(1, 50),
)
def test_lanes_read_every_segment_in_order(lengths, window, ends, width):
    documents = make_documents(lengths, ends)
    segments = window_segments(documents, window, max(1, window // 2))
    read: list[tuple[int, ...]] = []

    for lanes in pack_lanes(segments):
        assert len(lanes.lengths) <= LANES
        assert (np.diff(lanes.lengths) <= 0).all()
        cells = sorted(cells_of(lanes, width))
        places = [(row, column) for row, column, *_ in cells]
        assert places == [(row, column) for row, length in enumerate(lanes.lengths) for column in range(length)]
        for before, (_, column, document, position, *rest) in zip([None, *cells], cells, strict=False):
            continues = before is not None and before[2:4] == (document, position - 1)
            assert continues or column == 0 or position == 0  # only the first of a lane begins inside its document
            read.append((document, position, *rest))

    expected = [
        (document, position, int(position >= score), int(position == length))
        for (document, begin, score, end, ends), length in zip(
            rows_of(segments), np.array(lengths)[segments.document].tolist(), strict=True
        )
        for position in range(begin, end + ends)
    ]
    assert sorted(read) == sorted(expected)


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=1000))
def test_lanes_differ_by_less_than_the_longest_document(lengths):
    (lanes,) = pack_lanes(stream_segments(make_documents(lengths), 256))

    assert len(lanes.lengths) == min(LANES, len(lengths))
    assert lanes.lengths[0] - lanes.lengths[-1] <= max(lengths)
    assert lanes.lengths.sum() == sum(lengths)


def test_lanes_of_many_short_documents_are_even():
    lengths = np.random.default_rng(0).integers(1, 72, 10_000).tolist()

    (lanes,) = pack_lanes(stream_segments(make_documents(lengths, True), 256))

    assert lanes.lengths[0] - lanes.lengths[-1] <= 2


def test_segments_inside_documents_have_lanes_of_their_own():
    groups = list(pack_lanes(window_segments(make_documents([1300]), 10, 10)))

    assert [len(lanes.lengths) for lanes in groups] == [64, 64, 2]
    assert {int(length) for lanes in groups for length in lanes.lengths} == {10}
    assert list(pack_lanes(window_segments(make_documents([]), 10, 10))) == []

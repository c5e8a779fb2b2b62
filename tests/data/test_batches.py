"""Batches against the circle of inputs and targets, written out as a list of pairs."""

from __future__ import annotations

import math
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.batches import MIN_DOCUMENTS_OF_LANE, BatchStream, ContiguousBatches, WindowBatches
from seqgen.data.documents import Documents
from seqgen.errors import TextError
from seqgen.models.base import IGNORED
from seqgen.tokenizers.base import BOUNDARY

HELLO_WORLD = [[1, 2, 3, 3, 4], [5, 4, 6, 3, 7]]  # h e l l o, w o r l d

STREAMS = pytest.mark.parametrize("stream_class", [ContiguousBatches, WindowBatches])
SIZES = st.integers(1, 12)
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


def as_ids(documents: list[list[int]], *, ends: bool = False) -> Documents:
    return Documents.of((np.array(document, dtype=np.int32) for document in documents), ends=ends)


def distinct(lengths: list[int]) -> list[list[int]]:
    """Documents of these lengths in which every id occurs once: 1, 2, 3, ..."""
    cuts = np.cumsum([0, *lengths]).tolist()
    return [list(range(start + 1, stop + 1)) for start, stop in pairwise(cuts)]


def circle(documents: list[list[int]]) -> list[tuple[int, int]]:
    """What the module promises, pair by pair: each id comes after the one before it, the first after the boundary."""
    return [pair for document in documents for pair in pairwise([BOUNDARY, *document])]


def pairs_of(stream: BatchStream, step: int, rank: int = 0, world: int = 1) -> list[list[tuple[int, int]]]:
    batch = stream.batch_at(step, rank, world)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    rows = zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
    return [list(zip(inputs, targets, strict=True)) for inputs, targets in rows]


def test_inputs_are_the_boundary_and_the_targets_before():
    batch = ContiguousBatches(as_ids(HELLO_WORLD), batch_size=1, length=10, seed=0).batch_at(0)

    assert batch.inputs.tolist() == [[0, 1, 2, 3, 3, 0, 5, 4, 6, 3]]
    assert batch.targets.tolist() == [[1, 2, 3, 3, 4, 5, 4, 6, 3, 7]]


def test_contiguous_batches_by_hand():
    stream = ContiguousBatches(as_ids(HELLO_WORLD), batch_size=2, length=3, seed=0)

    assert [stream.batch_at(step).inputs.tolist() for step in range(3)] == [
        [[0, 1, 2], [0, 5, 4]],
        [[3, 3, 0], [6, 3, 0]],
        [[5, 4, 6], [1, 2, 3]],
    ]
    assert [stream.batch_at(step).targets.tolist() for step in range(3)] == [
        [[1, 2, 3], [5, 4, 6]],
        [[3, 4, 5], [3, 7, 1]],
        [[4, 6, 3], [2, 3, 3]],
    ]


@settings(max_examples=60)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES)
def test_contiguous_rows_start_evenly_and_continue(lengths, batch_size, length):
    documents = distinct(lengths)
    stream = ContiguousBatches(as_ids(documents), batch_size, length, seed=0)
    pairs, steps = circle(documents), math.ceil(3 * stream.batches_per_epoch)

    for row in range(stream.batch_size):
        walked = [pair for step in range(steps) for pair in pairs_of(stream, step)[row]]

        start = row * len(pairs) // stream.batch_size
        assert walked == [pairs[(start + count) % len(pairs)] for count in range(steps * stream.length)]


@settings(max_examples=60)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES, seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_windows_show_each_token_once_an_epoch(lengths, batch_size, length, seed, epoch):
    documents = distinct(lengths)
    stream = WindowBatches(as_ids(documents), batch_size, length, seed)
    begin = epoch * stream.batches_per_epoch
    rows = [row for step in range(begin, begin + stream.batches_per_epoch) for row in pairs_of(stream, step)]

    scored = [pair for row in rows for pair in row if pair[1] != IGNORED]

    assert sorted(scored, key=lambda pair: pair[1]) == circle(documents)
    for row in rows:  # a window is one passage of the text, its ignored targets at its end
        targets = [target for _, target in row]
        kept = targets[: targets.index(IGNORED)] if IGNORED in targets else targets
        assert all(after == before % sum(lengths) + 1 for before, after in pairwise(kept))
        assert set(targets[len(kept) :]) <= {IGNORED}


def order_of_epoch(stream: BatchStream, epoch: int) -> list[int]:
    steps = range(epoch * stream.batches_per_epoch, (epoch + 1) * stream.batches_per_epoch)
    return [target for step in steps for row in pairs_of(stream, step) for _, target in row]


def test_window_order_differs_between_epochs_and_seeds():
    documents = as_ids(distinct([500, 500]))

    orders = [order_of_epoch(WindowBatches(documents, 4, 10, seed), epoch) for seed in (0, 1) for epoch in (0, 1)]

    assert len({tuple(order) for order in orders}) == 4
    assert order_of_epoch(WindowBatches(documents, 4, 10, 1), 1) == orders[3]


def test_window_offset_differs_between_epochs():
    stream = WindowBatches(as_ids(distinct([1000])), batch_size=4, length=10, seed=0)

    cuts = {min(target for _, target in row) % 10 for step in range(250) for row in pairs_of(stream, step)[:1]}

    assert len(cuts) > 3


@STREAMS
@settings(max_examples=30)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES, steps=st.lists(st.integers(0, 200), max_size=8))
def test_batch_depends_only_on_its_step(stream_class, lengths, batch_size, length, steps):
    ids = as_ids(distinct(lengths))
    used = stream_class(ids, batch_size, length, 3)

    for step in steps:
        assert pairs_of(used, step) == pairs_of(stream_class(ids, batch_size, length, 3), step)


@STREAMS
@settings(max_examples=30)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES, step=st.integers(0, 50), world=st.integers(1, 5))
def test_ranks_divide_the_rows_of_a_batch(stream_class, lengths, batch_size, length, step, world):
    stream = stream_class(as_ids(distinct(lengths)), batch_size, length, 0)
    whole = pairs_of(stream, step)

    shares = [pairs_of(stream, step, rank, world) for rank in range(world)]

    assert [shares[row % world][row // world] for row in range(len(whole))] == whole
    assert sum(map(len, shares)) == len(whole)


@STREAMS
@settings(max_examples=30)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES)
def test_batches_have_the_declared_shape(stream_class, lengths, batch_size, length):
    stream = stream_class(as_ids(distinct(lengths)), batch_size, length, 0)

    for step in range(math.ceil(2 * stream.batches_per_epoch)):
        assert stream.batch_at(step).inputs.shape == (stream.batch_size, stream.length)
    assert stream.tokens == sum(lengths)


def test_contiguous_epoch_may_end_within_a_batch():
    assert ContiguousBatches(as_ids(distinct([1000])), batch_size=4, length=32, seed=0).batches_per_epoch == 7.8125


@settings(max_examples=60)
@given(lengths=LENGTHS, batch_size=SIZES, length=SIZES)
def test_window_epoch_has_the_fewest_batches_of_equal_size(lengths, batch_size, length):
    stream = WindowBatches(as_ids(distinct(lengths)), batch_size, length, 0)
    windows = math.ceil(sum(lengths) / stream.length)

    assert stream.batch_size <= batch_size
    assert stream.batches_per_epoch == math.ceil(windows / batch_size)
    assert (stream.batch_size - 1) * stream.batches_per_epoch < windows


@STREAMS
@pytest.mark.parametrize(
    ("tokens", "batch_size", "length", "rows", "windows"),
    [
        (1000, 4, 64, (4, 64), (4, 64)),
        (256, 4, 64, (4, 64), (4, 64)),
        (255, 4, 64, (3, 64), (4, 64)),
        (100, 4, 64, (1, 64), (2, 64)),
        (7, 4, 64, (1, 7), (1, 7)),
        (10, 8, 2, (5, 2), (5, 2)),
        (1, 32, 128, (1, 1), (1, 1)),
    ],
)
def test_short_text_makes_the_batch_smaller(stream_class, tokens, batch_size, length, rows, windows):
    stream = stream_class(as_ids(distinct([tokens])), batch_size, length, 0)

    shape = rows if stream_class is ContiguousBatches else windows
    assert (stream.batch_size, stream.length) == shape
    assert stream.batch_at(0).inputs.shape == shape


@STREAMS
def test_documents_without_a_token_are_left_out(stream_class):
    ids = as_ids([[], [1, 2], [], [3], []])

    assert pairs_of(stream_class(ids, 1, 3, 0), 5) == pairs_of(stream_class(as_ids([[1, 2], [3]]), 1, 3, 0), 5)


@STREAMS
@pytest.mark.parametrize("documents", [[], [[]], [[], []]])
def test_documents_without_tokens_are_refused(stream_class, documents):
    with pytest.raises(TextError, match="no tokens"):
        stream_class(as_ids(documents), 4, 8, 0)


def test_position_far_into_training_is_exact():
    stream = ContiguousBatches(as_ids(distinct([997])), batch_size=2, length=100, seed=0)

    _, target = pairs_of(stream, 10**12)[0][0]

    assert target == 10**14 % 997 + 1


def test_only_contiguous_batches_carry_state():
    assert ContiguousBatches.carries_state
    assert not WindowBatches.carries_state


# --- documents with ends


ENDED = st.lists(st.integers(1, 9), min_size=1, max_size=60)


def rows_of_epoch(stream: BatchStream, epoch: int) -> list[list[tuple[int, int]]]:
    """The pairs of each row, over all batches of an epoch."""
    count = int(stream.batches_per_epoch)
    batches = [pairs_of(stream, step) for step in range(epoch * count, (epoch + 1) * count)]
    return [list(chain.from_iterable(batch[row] for batch in batches)) for row in range(stream.batch_size)]


def ended(documents: list[list[int]]) -> list[list[tuple[int, int]]]:
    """What the module promises of each document with an end: the boundary comes before its first id, and last."""
    return [list(pairwise([BOUNDARY, *document, BOUNDARY])) for document in documents if document]


def split_at_starts(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    documents: list[list[tuple[int, int]]] = []
    for pair in pairs:
        if pair[0] == BOUNDARY or not documents:
            documents.append([])
        documents[-1].append(pair)
    return documents


def test_end_is_the_target_after_the_last_id():
    batch = WindowBatches(as_ids([[1, 2, 3]], ends=True), batch_size=1, length=100, seed=0).batch_at(0)

    pairs = list(zip(batch.inputs[0].tolist(), batch.targets[0].tolist(), strict=True))
    assert sorted(pairs) == [(0, 1), (1, 2), (2, 3), (3, 0)]


def test_only_documents_with_ends_have_one():
    documents = Documents(np.array([1, 2, 3, 4, 5]), np.array([0, 2, 5]), np.array([False, True]))

    stream = ContiguousBatches(documents, batch_size=1, length=6, seed=0)

    assert (documents.tokens, stream.tokens, stream.length) == (6, 6, 6)
    assert sorted(pairs_of(stream, 0)[0]) == [(0, 1), (0, 3), (1, 2), (3, 4), (4, 5), (5, 0)]


@settings(max_examples=100)
@given(lengths=ENDED, batch_size=SIZES, length=SIZES, seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_lanes_are_whole_documents_each_once_an_epoch(lengths, batch_size, length, seed, epoch):
    documents = distinct(lengths)
    stream = ContiguousBatches(as_ids(documents, ends=True), batch_size, length, seed)
    longest, tokens = max(lengths) + 1, sum(lengths) + len(lengths)
    if MIN_DOCUMENTS_OF_LANE * longest * batch_size > tokens:
        assert stream.batches_per_epoch == tokens / (stream.batch_size * stream.length)
        return
    expected, seen = ended(documents), []

    for row in rows_of_epoch(stream, epoch):
        scored = [pair for pair in row if pair[1] != IGNORED]
        assert row == scored + row[len(scored) :]
        assert all(entry != BOUNDARY for entry, _ in row[len(scored) :])
        whole = split_at_starts(scored)
        assert all(document in expected for document in whole[:-1])
        assert any(document[: len(whole[-1])] == whole[-1] for document in expected)
        if whole[-1] not in expected:
            assert len(scored) == len(row)
        seen += whole

    starts = [document[0] for document in seen]
    assert len(set(starts)) == len(starts)
    lost = tokens - sum(map(len, seen))
    assert 0 <= lost < stream.batch_size * longest


@settings(max_examples=100)
@given(lengths=ENDED, batch_size=SIZES, length=SIZES)
def test_every_batch_of_lanes_has_a_target(lengths, batch_size, length):
    stream = ContiguousBatches(as_ids(distinct(lengths), ends=True), batch_size, length, 0)

    for step in range(math.ceil(2 * stream.batches_per_epoch)):
        batch = stream.batch_at(step)
        assert (batch.targets != IGNORED).any()
        assert batch.inputs.shape == (stream.batch_size, stream.length)
    assert 1 <= stream.batch_size <= batch_size


def test_lanes_of_short_documents_lose_and_ignore_little():
    random = np.random.default_rng(0)
    documents = as_ids([list(range(1, size + 1)) for size in random.integers(3, 15, 4_000)], ends=True)
    stream = ContiguousBatches(documents, batch_size=32, length=64, seed=0)

    targets = [stream.batch_at(step).targets for step in range(int(stream.batches_per_epoch))]
    scored = sum(int((batch != IGNORED).sum()) for batch in targets)

    assert stream.batch_size > 24
    assert scored > 0.998 * stream.tokens
    assert scored > 0.95 * sum(batch.numel() for batch in targets)


def test_long_documents_are_a_circle_in_a_drawn_order():
    documents = distinct([50, 40, 30])
    stream = ContiguousBatches(as_ids(documents, ends=True), batch_size=4, length=3, seed=0)

    (whole,) = zip(*[pairs_of(stream, step)[:1] for step in range(2 * 123 // 3)], strict=True)
    walked = list(chain.from_iterable(whole))

    assert stream.batches_per_epoch == 123 / 12
    assert walked[:123] == walked[123:]
    assert sorted(split_at_starts(walked[:123])) == ended(documents)


@settings(max_examples=60)
@given(lengths=ENDED, batch_size=SIZES, length=SIZES, seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_windows_show_each_token_and_end_once_an_epoch(lengths, batch_size, length, seed, epoch):
    documents = distinct(lengths)
    stream = WindowBatches(as_ids(documents, ends=True), batch_size, length, seed)

    rows = rows_of_epoch(stream, epoch)

    scored = [pair for row in rows for pair in row if pair[1] != IGNORED]
    assert sorted(scored) == sorted(chain.from_iterable(ended(documents)))


@STREAMS
@settings(max_examples=40)
@given(lengths=ENDED, length=SIZES, step=st.integers(0, 60), world=st.integers(1, 5), ends=st.booleans())
def test_starts_are_where_the_inputs_are_the_boundary(stream_class, lengths, length, step, world, ends):
    stream = stream_class(as_ids(distinct(lengths), ends=ends), 3, length, 0)
    batch = stream.batch_at(step, world - 1, world)

    if batch.starts is None:
        assert (batch.inputs != BOUNDARY).all()
    else:
        assert batch.starts.any()
        assert torch.equal(batch.starts, batch.inputs == BOUNDARY)


@STREAMS
@settings(max_examples=30)
@given(lengths=ENDED, batch_size=SIZES, length=SIZES, steps=st.lists(st.integers(0, 99), max_size=6))
def test_batch_of_documents_depends_only_on_its_step(stream_class, lengths, batch_size, length, steps):
    ids = as_ids(distinct(lengths), ends=True)
    used = stream_class(ids, batch_size, length, 3)

    for step in steps:
        fresh = stream_class(ids, batch_size, length, 3)
        assert pairs_of(used, step) == pairs_of(fresh, step)
        shares = [pairs_of(fresh, step, rank, 2) for rank in range(2)]
        assert [shares[row % 2][row // 2] for row in range(used.batch_size)] == pairs_of(used, step)


@STREAMS
def test_order_of_documents_differs_between_epochs_and_seeds(stream_class):
    documents = as_ids(distinct([3] * 200), ends=True)

    def order(seed: int, epoch: int) -> tuple[int, ...]:
        stream = stream_class(documents, 2, 4, seed)
        begin = int(epoch * stream.batches_per_epoch)
        return tuple(
            target for step in range(begin, begin + 100) for row in pairs_of(stream, step) for entry, target in row
            if entry == BOUNDARY
        )  # fmt: skip

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]

    assert len(set(orders)) == 4
    assert order(1, 1) == orders[3]


def test_order_of_documents_without_ends_is_kept():
    stream = ContiguousBatches(as_ids(distinct([3] * 20)), batch_size=1, length=60, seed=5)

    assert [target for _, target in pairs_of(stream, 0)[0]] == list(range(1, 61))

"""Batches against the circle of inputs and targets, written out as a list of pairs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.batches import IGNORED, BatchStream, ContiguousBatches, WindowBatches
from seqgen.data.documents import Documents
from seqgen.errors import TextError
from seqgen.tokenizers.base import BOUNDARY

HELLO_WORLD = [[1, 2, 3, 3, 4], [5, 4, 6, 3, 7]]  # h e l l o, w o r l d

STREAMS = pytest.mark.parametrize("stream_class", [ContiguousBatches, WindowBatches])
SIZES = st.integers(1, 12)
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


def as_ids(documents: list[list[int]]) -> Documents:
    return Documents.of(np.array(document, dtype=np.int32) for document in documents)


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

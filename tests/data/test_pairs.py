"""Pairs of ids, and batches of them, against lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgen.data.documents import Documents
from seqgen.data.pairs import PairBatches, Pairs, Sequences
from seqgen.errors import TextError
from seqgen.models.base import IGNORED

SOURCES = [[3, 1, 4], [5], [9, 2, 6, 5]]
TARGETS = [[2, 7], [1, 8, 2, 8], [4]]
LENGTHS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


def sequences(lists: list[list[int]]) -> Sequences:
    return Sequences.of([np.array(one, np.int32) for one in lists])


def pairs(sources: list[list[int]] = SOURCES, targets: list[list[int]] = TARGETS) -> Pairs:
    return Pairs(sequences(sources), sequences(targets))


def numbered(lengths: list[tuple[int, int]]) -> Pairs:
    """Return pairs of these lengths whose ids are their number from 2 on."""
    return pairs(*([[number] * pair[side] for number, pair in enumerate(lengths, 2)] for side in (0, 1)))


def numbers_of(stream: PairBatches, step: int, rank: int = 0, world: int = 1) -> list[int]:
    """Return which pairs of `numbered` a batch has; checks that each source is next to its target."""
    batch = stream.batch_at(step, rank, world)
    assert batch.source is not None
    assert torch.equal(batch.source[:, 0], batch.targets[:, 0])
    return (batch.source[:, 0] - 2).tolist()


# --- sequences


def test_sequences_are_the_arrays_that_they_were_made_of():
    made = sequences([[3, 1], [], [4]])

    assert len(made) == 3
    assert [made[number].tolist() for number in range(3)] == [[3, 1], [], [4]]


def test_sequences_are_cut_and_selected():
    assert [one.tolist() for one in map(sequences(SOURCES).cut(2).__getitem__, range(3))] == [[3, 1], [5], [9, 2]]
    chosen = sequences(SOURCES).select(np.array([2, 0, 2]))
    assert [chosen[number].tolist() for number in range(3)] == [SOURCES[2], SOURCES[0], SOURCES[2]]


def test_sequences_are_filled_at_the_right():
    assert sequences(SOURCES).filled(1).tolist() == [[3, 1, 4, 1], [5, 1, 1, 1], [9, 2, 6, 5]]
    assert sequences(SOURCES).filled(1).dtype == np.int64


def test_filled_rows_never_read_beyond_their_array():
    made = sequences([[3, 1, 4], [5]]).select(np.array([1]))

    assert made.filled(7).tolist() == [[5]]


# --- pairs


def test_pairs_of_documents_are_every_second_one():
    documents = Documents.of([np.array(one, np.int32) for both in zip(SOURCES, TARGETS, strict=True) for one in both])

    made = Pairs.of(documents)

    assert [made.sources[number].tolist() for number in range(3)] == SOURCES
    assert [made.targets[number].tolist() for number in range(3)] == TARGETS


def test_tokens_are_those_of_the_targets_and_an_end_for_each():
    assert pairs().tokens == 2 + 4 + 1 + 3


def test_batch_has_filled_sources_and_targets_with_an_end():
    batch = pairs().batch()

    assert batch.source.tolist() == [[3, 1, 4, 1], [5, 1, 1, 1], [9, 2, 6, 5]]
    assert batch.lengths.tolist() == [3, 1, 4]
    assert batch.inputs.tolist() == [[0, 2, 7, 1, 1], [0, 1, 8, 2, 8], [0, 4, 1, 1, 1]]
    x = IGNORED
    assert batch.targets.tolist() == [[2, 7, 0, x, x], [1, 8, 2, 8, 0], [4, 0, x, x, x]]
    assert batch.starts.tolist() == [[True, *[False] * 4]] * 3
    assert {tensor.dtype for tensor in (batch.source, batch.lengths, batch.inputs, batch.targets)} == {torch.int64}


def test_cut_sources_leaves_targets_whole():
    made = pairs().cut_sources(2)

    assert made.sources.lengths.tolist() == [2, 1, 2]
    assert made.tokens == pairs().tokens


def test_by_length_gives_every_pair_once_the_longest_sources_first():
    groups = pairs().by_length(2)

    assert [group.tolist() for group in groups] == [[2, 0], [1]]


# --- batches


@given(lengths=LENGTHS, batch_size=st.integers(1, 12), epoch=st.integers(0, 3))
def test_every_pair_is_in_each_epoch_once(lengths, batch_size, epoch):
    stream = PairBatches(numbered(lengths), batch_size, seed=1)
    steps = range(epoch * stream.batches_per_epoch, (epoch + 1) * stream.batches_per_epoch)

    batches = [numbers_of(stream, step) for step in steps]

    assert sorted(itertools.chain.from_iterable(batches)) == list(range(len(lengths)))
    assert {len(batch) for batch in batches[:-1]} <= {stream.batch_size}


@given(lengths=LENGTHS, world=st.integers(1, 4))
def test_ranks_share_the_rows_of_a_batch(lengths, world):
    stream = PairBatches(numbered(lengths), 8, seed=1)

    shares = [numbers_of(stream, 1, rank, world) for rank in range(world)]

    whole = numbers_of(stream, 1)
    assert [whole[rank::world] for rank in range(world)] == shares


def test_batches_depend_on_seed_and_step_alone():
    made = numbered([(1 + number % 7, 1 + number % 5) for number in range(50)])
    one, other = PairBatches(made, 8, seed=3), PairBatches(made, 8, seed=3)
    later = numbers_of(other, 20)

    assert [numbers_of(one, step) for step in (0, 20)] == [numbers_of(other, 0), later]
    epochs = [[numbers_of(one, epoch * one.batches_per_epoch + step) for step in range(7)] for epoch in range(2)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != [numbers_of(PairBatches(made, 8, seed=4), step) for step in range(7)]


def test_batches_have_sources_of_similar_length_in_no_order_of_length():
    generator = np.random.default_rng(0)
    made = numbered([(length, 2) for length in generator.integers(1, 100, 640).tolist()])
    stream = PairBatches(made, 16, seed=0)
    batches = [stream.batch_at(step).lengths for step in range(stream.batches_per_epoch)]

    assert max(int(lengths.max() - lengths.min()) for lengths in batches) <= 10
    first = [int(lengths[0]) for lengths in batches]
    assert first != sorted(first)
    assert first != sorted(first, reverse=True)


def test_batch_is_at_most_all_pairs():
    stream = PairBatches(pairs(), 64, seed=0)

    assert (stream.batch_size, stream.batches_per_epoch, stream.length) == (3, 1, 3)
    assert not stream.carries_state


def test_without_pairs_there_are_no_batches():
    with pytest.raises(TextError, match="no pairs"):
        PairBatches(pairs([], []), 8, seed=0)


def test_a_rank_without_rows_has_an_empty_batch():
    assert PairBatches(pairs(), 3, seed=0).batch_at(0, 3, 4).inputs.shape[0] == 0

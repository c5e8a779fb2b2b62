from __future__ import annotations

import itertools
import math
import unicodedata

import numpy as np
import pytest

from seqgen.evaluation.bootstrap import (
    BLOCK_CELLS,
    CONFIDENCE,
    FEWEST_BLOCKS,
    MOST_PERMUTATIONS,
    REPLICATES,
    block_length,
    cut_cells,
    least_permutation_p,
    nats_by_cell,
    permutation_p,
    resample,
)
from seqgen.evaluation.token_scores import TokenScores
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.normalization import combines_with_previous

ACCENTED = "e\u0301a" * 40 + "각가나" * 30 + "\u1100\u1161\u11a8" * 20 + "🙂plain text\n" * 20
SIZES = np.full(30 * BLOCK_CELLS, 50)


def _scores(text: str, tokenizer, *, ends: bool = False) -> TokenScores:
    nats = np.random.default_rng(len(text)).random(len(tokenizer.encode(text)) + ends)
    return TokenScores.of(text, tokenizer, nats)


def test_block_length_is_a_200th_of_the_text_and_at_least_500_bytes():
    assert [block_length(size) for size in (1, 100_000, 100_001, 1_000_000)] == [500, 500, 501, 5_000]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_cut_cells_cuts_where_normalization_allows_it(form):
    content = ACCENTED.encode()

    edges = cut_cells(content, 10).tolist()

    cells = [content[start:stop].decode() for start, stop in itertools.pairwise(edges)]
    assert "".join(cells) == ACCENTED
    assert "".join(unicodedata.normalize(form, cell) for cell in cells) == unicodedata.normalize(form, ACCENTED)
    assert max(np.diff(edges)) <= 20
    assert len(edges) == pytest.approx(len(content) / 10, rel=0.05)


def test_cut_cells_cuts_bytes_that_are_not_utf_8_anywhere():
    assert cut_cells(b"\xff" * 25, 10).tolist() == [0, 10, 20, 25]
    assert cut_cells(b"abc", 10).tolist() == [0, 3]
    assert cut_cells("e\u0301".encode() + b"\xcc\x81" * 9, 2).tolist() == [0, 21]


CHARACTERS = CharTokenizer("".join(sorted({*ACCENTED})))


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), CHARACTERS], ids=["byte", "char"])
def test_nats_by_cell_counts_a_token_where_its_last_character_is(tokenizer):
    content = ACCENTED.encode()
    edges = cut_cells(content, 10)
    scores = _scores(ACCENTED, tokenizer)

    found = nats_by_cell([scores], LoadedDocuments.of([ACCENTED]), tokenizer, edges)

    for cell, (start, stop) in enumerate(itertools.pairwise(edges)):
        before, own = len(tokenizer.encode(content[:start].decode())), content[start:stop].decode()
        after = before + len(tokenizer.encode(own))
        assert found[cell] == pytest.approx(scores.nats[before:after].sum())


def test_nats_by_cell_is_the_same_place_for_every_normalization():
    edges = cut_cells(ACCENTED.encode(), 10)
    counts = []
    for form in ("none", "nfc", "nfd"):
        tokenizer = CharTokenizer("".join(sorted({*unicodedata.normalize("NFD", ACCENTED), *ACCENTED})), form)
        scores = _scores(ACCENTED, tokenizer)
        widths = [not combines_with_previous(token) for token in scores.tokens]
        counted = TokenScores(scores.text, scores.ids, scores.spans, np.array(widths, float), np.zeros(len(widths)))
        counts.append(nats_by_cell([counted], LoadedDocuments.of([ACCENTED]), tokenizer, edges))

    cells = [ACCENTED.encode()[start:stop].decode() for start, stop in itertools.pairwise(edges)]
    letters = [sum(not combines_with_previous(character) for character in cell) for cell in cells]
    np.testing.assert_array_equal(counts, [letters] * 3)


def test_nats_by_cell_counts_ends_where_the_bytes_are_that_end_a_document():
    tokenizer = CharTokenizer("abc")
    documents = LoadedDocuments.of(["abc", "ab", "\ud800bc"], [1, 1, 0])
    scores = [_scores(text, tokenizer, ends=True) for text in documents]

    found = nats_by_cell(scores, documents, tokenizer, np.array([0, 3, 4, 7, 12]))

    first, second, third = (one.nats + one.unk_cost for one in scores)
    assert found == pytest.approx([first[:3].sum(), first[3], second.sum(), third.sum()])


def test_resample_returns_the_bits_per_byte_and_an_interval_around_it():
    nats = np.random.default_rng(1).gamma(4, 10, (2, len(SIZES)))

    found = resample(nats, SIZES)

    assert found is not None
    assert found.replicates.shape == (2, REPLICATES)
    for model in range(2):
        exact = nats[model].sum() / math.log(2) / SIZES.sum()
        low, high = found.interval(model)
        assert found.bits_per_byte[model] == pytest.approx(exact)
        assert low < exact < high
        inside = (found.replicates[model] >= low) & (found.replicates[model] <= high)
        assert inside.mean() == pytest.approx(CONFIDENCE, abs=1e-3)
        deviation = nats[model].std() / math.log(2) / 50 / math.sqrt(len(SIZES))
        assert found.replicates[model].std() == pytest.approx(deviation, rel=0.3)  # the cells are independent


def test_resample_keeps_neighbors_together():
    """Blocks of equal cells vary as much as their number says, not that of the cells."""
    blocks = np.random.default_rng(1).gamma(4, 10, len(SIZES) // 30)

    found = resample(np.repeat(blocks, 30)[None], SIZES)

    independent = blocks.std() / math.log(2) / 50 / math.sqrt(len(SIZES))
    assert found.replicates.std() > 2 * independent


def test_resample_compares_models_on_the_same_blocks():
    first = np.random.default_rng(1).gamma(4, 10, len(SIZES))
    equal, worse = np.random.default_rng(2).permutation(first), first + 50 * math.log(2) / 100

    found = resample(np.array([first, worse, equal, first]), SIZES)

    by_pair = {(one.first, one.second): one for one in found.differences}
    assert len(by_pair) == 6
    same, shifted, shuffled = by_pair[0, 3], by_pair[0, 1], by_pair[0, 2]
    assert (same.bits_per_byte, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert [shifted.bits_per_byte, shifted.low, shifted.high] == pytest.approx([0.01] * 3)
    assert shifted.p == pytest.approx(1 / (REPLICATES + 1))
    assert shuffled.low < 0 < shuffled.high
    assert shuffled.p > 0.9
    assert by_pair[1, 3].bits_per_byte == pytest.approx(-0.01)


def test_resample_repeats_itself_by_its_seed():
    nats = np.random.default_rng(1).random((1, len(SIZES)))

    first, again, other = (resample(nats, SIZES, seed=seed).replicates for seed in (0, 0, 1))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_resample_needs_several_blocks():
    few = FEWEST_BLOCKS * BLOCK_CELLS - BLOCK_CELLS

    assert resample(np.ones((1, few)), np.ones(few, int)) is None
    assert resample(np.ones((1, few + BLOCK_CELLS)), np.ones(few + BLOCK_CELLS, int)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_interval_has_the_true_value_about_as_often_as_it_says(correlation):
    draw, hits, texts = np.random.default_rng(3), 0, 100
    for _ in range(texts):
        noise, cells = draw.normal(size=1_000), np.empty(1_000)
        cells[0] = noise[0] / math.sqrt(1 - correlation**2)
        for place in range(1, 1_000):
            cells[place] = correlation * cells[place - 1] + noise[place]
        low, high = resample((cells + 20)[None] * math.log(2), np.ones(1_000, int)).interval(0)
        hits += low <= 20 <= high

    assert 0.87 <= hits / texts <= 0.99


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1, 2, 3], [4, 5, 6], 2 / 20),
        ([1, 2, 6], [4, 5, 3], 14 / 20),
        ([0], [2, 3], 1 / 3),
        ([1, 1], [1, 1], 1),
        (range(12), range(12, 24), 1 / (MOST_PERMUTATIONS + 1)),
    ],
)
def test_permutation_p_counts_divisions_with_a_gap_as_large(first, second, p):
    assert permutation_p(first, second) == pytest.approx(p)


@pytest.mark.parametrize(("first", "second"), [([1, 2, 3], [4, 5, 6]), ([1, 2], [7, 8, 9]), ([0], [2, 3])])
def test_least_permutation_p_is_that_of_groups_apart(first, second):
    assert least_permutation_p(len(first), len(second)) == pytest.approx(permutation_p(first, second))


def test_least_permutation_p_of_many_seeds_is_that_of_the_divisions_that_are_drawn():
    """48,620 divisions are not all tried."""
    assert least_permutation_p(9, 9) == 1 / (MOST_PERMUTATIONS + 1)
    assert permutation_p(range(9), range(100, 109)) >= least_permutation_p(9, 9)

"""What is drawn at random in training: which words are left out, window widths, noise words. No torch.

Every number is a function of the seed, the epoch, the block and a counter (splitmix64), and not of what was drawn
before. So a run can continue anywhere, and blocks can be trained in any order or at the same time. Of a block's word at
position p, number p S decides whether it is left out; of the i-th word that is left, number i S + 1 is the width of its
window and those from i S + 2 on are its noise words, `negative` for each prediction. S is `stride`.

With skip-gram each word of the window predicts the middle word, as in word2vec.c. Mikolov et al. (2013) write it the
other way. Both have the same pairs on average, as windows are symmetric; here the words of a window change in turn,
there one vector changes for up to ten predictions in a row.

`kernels.py` draws the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.embeddings.corpus import Integers, Rows, Thresholds, WordCorpus

Words64 = npt.NDArray[np.uint64]
GAMMA = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1
_HALF = np.uint64(32)


def epoch_key(seed: int, epoch: int) -> int:
    """Return the key of an epoch, from 0 to 2^64 - 1."""
    keys = _mix(np.array([seed], np.uint64) * np.uint64(GAMMA) + np.uint64(1))
    return int(_mix(keys + np.array([epoch * GAMMA & _MASK], np.uint64))[0])


def block_keys(key: np.uint64, blocks: Integers) -> Words64:
    """Return the keys of blocks by the key of an epoch."""
    return _mix(key + blocks.astype(np.uint64) * np.uint64(GAMMA))


def stride(model: EmbeddingModelConfig) -> int:
    """Return how many numbers belong to a word."""
    return 2 + 2 * model.window * model.negative


def _mix(x: Words64) -> Words64:
    """Return the output function of splitmix64, element by element."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(FACTORS[0])
    x = (x ^ (x >> np.uint64(27))) * np.uint64(FACTORS[1])
    return x ^ (x >> np.uint64(31))


def _draw(keys: Words64, counters: Words64) -> Words64:
    """Return the numbers with these counters."""
    return _mix(keys + counters * np.uint64(GAMMA))


@dataclass(frozen=True, eq=False)
class Examples:
    """Predictions: a target from the mean of the vectors of its inputs. N of them, with C inputs and K noise words."""

    inputs: Integers
    """[N, C]"""
    mask: npt.NDArray[np.bool_]
    """Which inputs count: with CBOW the words of the window that are inside the block, with skip-gram all. [N, C]"""
    targets: Integers
    """[N]"""
    noise: Integers
    """[N, K], with softmax [N, 0]; a noise word that is the target does not count."""
    blocks: Integers
    """The block of each. [N]"""


def draw_examples(
    corpus: WordCorpus, model: EmbeddingModelConfig, kept: Thresholds, first: int, last: int, key: int
) -> Examples:
    """Draw the examples of the blocks from `first` up to `last`, in the order of the text.

    Args:
        corpus: the text.
        model: method, window and number of noise words.
        kept: as `Vocabulary.kept` returns it.
        first: the first block.
        last: the block after the last one.
        key: the key of the epoch.
    """
    steps = np.uint64(stride(model))
    words, blocks, keys = _subsample(corpus, kept, first, last, np.uint64(key), steps)
    begins = np.searchsorted(blocks, blocks)  # where the block of each word begins, and ends, in `words`
    ends = np.searchsorted(blocks, blocks, side="right")
    own = (np.arange(len(words)) - begins).astype(np.uint64) * steps
    reach = 1 + ((_draw(keys, own + np.uint64(1)) >> _HALF) * np.uint64(model.window) >> _HALF).astype(np.int64)
    offsets = np.delete(np.arange(-model.window, model.window + 1), model.window)
    places = np.arange(len(words))[:, None] + offsets
    mask = (np.abs(offsets) <= reach[:, None]) & (places >= begins[:, None]) & (places < ends[:, None])
    slots = np.arange(0 if model.loss == "softmax" else model.negative, dtype=np.uint64) + np.uint64(2)
    if model.method == "cbow":
        (center,) = np.nonzero(mask.any(axis=1))
        mask = mask[center]
        inputs, targets = np.where(mask, words[np.where(mask, places[center], 0)], 0), words[center]
        counters = own[center, None] + slots
    else:
        center, slot = np.nonzero(mask)
        inputs, targets, mask = words[places[center, slot], None], words[center], np.ones((len(center), 1), np.bool_)
        counters = own[center, None] + slot[:, None].astype(np.uint64) * np.uint64(model.negative) + slots
    noise = _draw_noise(corpus.vocabulary.noise, _draw(keys[center, None], counters))
    return Examples(inputs, mask, targets, noise, blocks[center])


def _subsample(
    corpus: WordCorpus, kept: Thresholds, first: int, last: int, key: np.uint64, steps: np.uint64
) -> tuple[Integers, Integers, Words64]:
    """Return the words that are not left out, and the block and the key of each."""
    lengths = np.diff(corpus.starts[first : last + 1])
    blocks = np.repeat(np.arange(first, last), lengths)
    keys = block_keys(key, blocks)
    positions = np.arange(corpus.starts[first], corpus.starts[last]) - corpus.starts[blocks]
    words = corpus.rows[corpus.starts[first] : corpus.starts[last]].astype(np.int64)
    chosen = _draw(keys, positions.astype(np.uint64) * steps) >> _HALF < kept[words]
    return words[chosen], blocks[chosen], keys[chosen]


def _draw_noise(table: tuple[Thresholds, Rows], numbers: Words64) -> Integers:
    """Return the rows that `numbers` draw: the upper half chooses the column, the lower half its row or its alias."""
    accept, alias = table
    columns = ((numbers >> _HALF) * np.uint64(len(accept)) >> _HALF).astype(np.int64)
    return np.where(numbers & np.uint64(0xFFFFFFFF) < accept[columns], columns, alias[columns])

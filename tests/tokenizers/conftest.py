"""Small tokenizers of every kind, trained once, and texts drawn from all of Unicode."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from seqgen.tokenizers import KINDS, build
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig

CORPUS = (
    "ROMEO:\nIs the day so young?\n\nBENVOLIO:\nBut new struck nine.\r\n"
    "Don't say <unk> of <unk>: it's 42, it’s   4 2.\n\tx = f(x)\n\tx = f(x)\n"
    "나는 오늘 학교에 간다. 나는 학교에 간다.\nÅngström e\u0301 e\u0301 👩‍👩‍👧 👩‍👩‍👧\n"
) * 3

TRAPS = st.sampled_from(
    [
        "\u2581",  # sentencepiece's sign for a space
        "\u2585",  # and for an unknown character
        "\u2581\u2581 \u2581",
        "<0x41>",
        "<unk>",
        "<s>",
        "\n<boundary>",
        "\r\n",
        "\n\n",
        "\x00",
        "\t",
        "   ",
        "\ufeff",
        "\ufffd",
        "👩‍👩‍👧",
        "한글",
        "\u1112\u1161\u11ab",  # one syllable in jamo
        "e\u0301",
        "don't",
        "the day",
    ]
)
ANY_CHARACTER = st.characters(exclude_categories=["Cs"])


@pytest.fixture(scope="session")
def corpus() -> str:
    """A few lines of English, Korean, code and emoji, said three times."""
    return CORPUS


@pytest.fixture(scope="session")
def texts() -> st.SearchStrategy[str]:
    """Any text at all, with what has tripped tokenizers among it."""
    return st.one_of(
        st.text(ANY_CHARACTER),
        st.lists(st.one_of(TRAPS, st.text(ANY_CHARACTER, max_size=4)), max_size=20).map("".join),
    )


@pytest.fixture(scope="session")
def trained() -> dict[str, Tokenizer]:
    """From kind to a tokenizer of `corpus`."""
    return {kind: build([CORPUS], TokenizerConfig(kind=kind)) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    """Each kind in turn."""
    return trained[request.param]


@pytest.fixture(params=["byte", "unigram", "bpe"])
def lossless(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    """Each kind that has no unknown pieces."""
    return trained[request.param]

from __future__ import annotations

import subprocess
import sys

import pytest

from seqgen.errors import ConfigError
from seqgen.tokenizers import KINDS
from seqgen.tokenizers.config import MAX_BUILDS, TokenizerConfig, auto_size


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "sentence"},
        {"vocab_size": 1},
        {"vocab_size": "many"},
        {"character_coverage": 0.0},
        {"character_coverage": 0.97},  # which sentencepiece refuses
        {"character_coverage": 1.5},
        {"size": 3},
    ],
)
def test_invalid_setting_is_named(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        TokenizerConfig.of(**values)


def test_config_accepts_every_kind():
    assert [TokenizerConfig.of(kind=kind).kind for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import seqgen.tokenizers.config", {"torch", "numpy", "sentencepiece"}),
        ("import seqgen.tokenizers", {"torch", "numpy", "sentencepiece"}),
        ("import seqgen.tokenizers.subword, seqgen.tokenizers.char, seqgen.tokenizers.word", {"torch"}),
    ],
)
def test_imports_do_not_load_heavy_modules(statement, absent):
    command = f"import sys; {statement}; print(*({absent!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


@pytest.mark.parametrize("slope", [1.5, 2.0, 2.5, 3.0, 3.5])
@pytest.mark.parametrize("right", [600, 1_000, 5_000, 30_000])
def test_auto_size_gives_the_rarest_pieces_a_hundred_examples(slope, right):
    asked = []

    def rarest(size):
        asked.append(size)
        return 100 * (right / size) ** slope

    size = auto_size(10**7, 300, rarest)

    assert 0.6 < rarest(size) / 100 < 1.7
    assert len(asked) <= MAX_BUILDS + 1


@pytest.mark.parametrize(
    ("characters", "at_least", "times", "size"),
    [
        (0, 260, 0.0, 512),
        (10**3, 260, 3.0, 512),
        (10**3, 900, 3.0, 900),
        (10**12, 260, 1e9, 32_000),
        (0, 260, 1e9, 32_000),
    ],
)
def test_auto_size_is_within_its_bounds(characters, at_least, times, size):
    assert auto_size(characters, at_least, lambda _: times) == size


def test_vocab_size_must_be_a_number_or_auto():
    assert TokenizerConfig(vocab_size="auto").vocab_size == "auto"
    with pytest.raises(ConfigError, match=r"^vocab_size: .*'huge'"):
        TokenizerConfig.of(vocab_size="huge")

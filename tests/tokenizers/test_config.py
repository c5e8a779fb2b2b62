from __future__ import annotations

import math
import subprocess
import sys

import pytest

from seqgen.errors import ConfigError
from seqgen.tokenizers import KINDS
from seqgen.tokenizers.config import TokenizerConfig, auto_size


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "sentence"},
        {"vocab_size": 1},
        {"vocab_size": "2000"},
        {"character_coverage": 0.0},
        {"character_coverage": 0.97},  # which sentencepiece refuses
        {"character_coverage": 1.5},
        {"size": 3},
    ],
)
def test_an_impossible_setting_is_named(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        TokenizerConfig.of(**values)


def test_every_kind_can_be_asked_for():
    assert [TokenizerConfig.of(kind=kind).kind for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import seqgen.tokenizers.config", {"torch", "numpy", "sentencepiece"}),
        ("import seqgen.tokenizers", {"torch", "numpy", "sentencepiece"}),
        ("import seqgen.tokenizers.subword, seqgen.tokenizers.char, seqgen.tokenizers.word", {"torch"}),
    ],
)
def test_importing_stays_light(statement, absent):
    command = f"import sys; {statement}; print(*({absent!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("characters", "size"), [(0, 512), (10**6, 512), (10**7, 3_012), (10**8, 24_712), (10**10, 31_912)]
)
def test_auto_is_as_large_as_leaves_the_rarest_id_a_hundred_examples(characters, size):
    assert auto_size(characters) == size
    assert size == 512 or size * math.log(size) * 100 <= characters / 4


def test_auto_is_a_size_and_what_is_neither_is_refused_as_a_number():
    assert TokenizerConfig(vocab_size="auto").size_for(10**7) == 3_012
    assert TokenizerConfig(vocab_size=300).size_for(10**7) == 300
    assert TokenizerConfig().size_for(10**7) is None
    with pytest.raises(ConfigError, match=r"^vocab_size: should be a valid integer, not 'huge'$"):
        TokenizerConfig.of(vocab_size="huge")

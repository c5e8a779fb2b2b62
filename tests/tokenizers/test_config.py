from __future__ import annotations

import subprocess
import sys

import pytest

from seqgen.errors import ConfigError
from seqgen.tokenizers import KINDS
from seqgen.tokenizers.config import TokenizerConfig


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "sentence"},
        {"vocab_size": 1},
        {"vocab_size": "2000"},
        {"character_coverage": 0.0},
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

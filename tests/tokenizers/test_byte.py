from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.config import TokenizerConfig


def test_byte_b_is_id_b_plus_one():
    tokenizer = ByteTokenizer()

    assert tokenizer.vocab_size == 257
    assert tokenizer.encode("\x00A한").tolist() == [1, 66, 0xED + 1, 0x95 + 1, 0x9C + 1]


def test_bytes_that_are_no_utf8_become_replacement_characters():
    assert ByteTokenizer().decode([0xED + 1, 66, 256]) == "\ufffdA\ufffd"


def test_a_vocabulary_size_is_refused():
    with pytest.raises(ConfigError, match="vocab_size"):
        ByteTokenizer.train(["abc"], TokenizerConfig(kind="byte", vocab_size=257))


def test_training_reads_no_more_than_it_must():
    documents = iter(["", "a", "b"])

    ByteTokenizer.train(documents, TokenizerConfig(kind="byte"))

    assert list(documents) == ["b"]

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError, TokenizerError
from seqgen.tokenizers import build, load
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.config import TokenizerConfig


def test_byte_b_is_id_b_plus_one():
    tokenizer = ByteTokenizer()

    assert tokenizer.vocab_size == 257
    assert tokenizer.encode("\x00A한").tolist() == [1, 66, 0xED + 1, 0x95 + 1, 0x9C + 1]


def test_invalid_utf8_becomes_replacement_characters():
    assert ByteTokenizer().decode([0xED + 1, 66, 256]) == "\ufffdA\ufffd"


def test_vocab_size_is_refused():
    with pytest.raises(ConfigError, match="vocab_size"):
        ByteTokenizer.train(["abc"], TokenizerConfig(kind="byte", vocab_size=257))


def test_training_reads_only_the_first_document():
    documents = iter(["", "a", "b"])

    ByteTokenizer.train(documents, TokenizerConfig(kind="byte"))

    assert list(documents) == ["b"]


def test_raw_tokenizer_is_saved_and_refuses_other_characters(tmp_path):
    raw = build(["\xff"], TokenizerConfig(kind="byte", raw=True))
    raw.save(tmp_path / "raw")

    loaded = load(tmp_path / "raw", raw.fingerprint)

    assert loaded.text_encoding == "latin-1"
    assert raw.fingerprint != ByteTokenizer().fingerprint
    assert loaded.encode("\xff").tolist() == [256]
    with pytest.raises(TokenizerError, match="'한'"):
        loaded.encode("a한")


@pytest.mark.parametrize(
    ("change", "name"), [({"kind": "bpe"}, "tokenizer"), ({"normalization": "nfc"}, "normalization")]
)
def test_raw_needs_a_byte_tokenizer_without_normalization(change, name):
    with pytest.raises(ConfigError, match=rf"^{name}: "):
        TokenizerConfig.of(**{"kind": "byte", "raw": True, **change})

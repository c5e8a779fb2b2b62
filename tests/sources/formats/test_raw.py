from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.errors import ConfigError
from seqgen.sources.config import Reading
from seqgen.tokenizers.byte import ByteTokenizer

ALL = bytes(range(256)) + b"\xef\xbb\xbf\r\n"


@pytest.mark.parametrize("name", ["a.mid", "a.txt", "a.csv", "a.json", "a"])
def test_raw_bytes_ignore_the_suffix(read, name):
    assert read(name, ALL, encoding="bytes") == (ALL.decode("latin-1"),)


def test_raw_bytes_of_a_compressed_file_are_decompressed(read):
    assert read("a.mid.gz", gzip.compress(ALL), encoding="bytes") == (ALL.decode("latin-1"),)


@pytest.mark.parametrize("setting", [{"errors": "replace"}, {"field": "text"}, {"on_bad_line": "skip"}])
def test_settings_that_do_not_apply_to_raw_bytes_are_refused(setting):
    with pytest.raises(ConfigError, match=rf"^{next(iter(setting))}: with --encoding bytes"):
        Reading.of(encoding="bytes", **setting)


@given(st.binary())
def test_raw_bytes_survive_the_byte_tokenizer(content):
    tokenizer = ByteTokenizer(raw=True)
    text = content.decode("latin-1")
    ids = tokenizer.encode(text)
    stream = tokenizer.stream_decoder()

    assert ids.tolist() == [byte + 1 for byte in content]
    assert tokenizer.decode(ids) == text == "".join(map(stream.push, ids.tolist())) + stream.flush()
    assert tokenizer.byte_length(text) == len(content)

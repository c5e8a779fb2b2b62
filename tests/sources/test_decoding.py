from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import ConfigError, TextError
from seqgen.sources.decoding import TextDecoder, decode_text, read_text

KOREAN = "나는 오늘 학교에 간다.\r\n끝\n"


@pytest.fixture
def write(tmp_path):
    def write(content: bytes):
        path = tmp_path / "text.txt"
        path.write_bytes(content)
        return path

    return write


def test_read_text_keeps_line_ends(write):
    text = "a\r\nb\nc\rd\x00\u2028e"

    assert read_text(write(text.encode())) == text
    assert read_text(str(write(text.encode()))) == text


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "euc-kr", "utf-16", "utf-16-le", "utf-32"])
def test_read_text_decodes_with_the_encoding(write, encoding):
    assert read_text(write(KOREAN.encode(encoding)), encoding) == KOREAN


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-be"])
def test_a_leading_byte_order_mark_is_dropped(write, encoding):
    content = ("\ufeff" if encoding != "utf-8-sig" else "") + "a\ufeffb"

    assert read_text(write(content.encode(encoding)), encoding) == "a\ufeffb"


def test_only_one_byte_order_mark_is_dropped(write):
    assert read_text(write("\ufeff\ufeffa".encode())) == "\ufeffa"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TextError, match=r"nowhere\.txt is missing"):
        read_text(tmp_path / "nowhere.txt")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(TextError, match="is a directory; name a text file"):
        read_text(tmp_path)


def test_a_path_through_a_file_is_refused(write):
    with pytest.raises(TextError, match=r"below cannot be read: Not a directory"):
        read_text(write(b"a") / "below")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_text(write, content):
    assert read_text(write(content)) == ""


@pytest.mark.parametrize(
    ("content", "encoding", "place"),
    [
        (b"caf\xe9 au lait", "utf-8", r"is not valid utf-8 at byte 3 \(0xe9\)"),
        ("가나".encode()[:-1], "utf-8", r"is not valid utf-8 at byte 3 \(0xeb\)"),
        (b"abc\xff\xffdef", "cp949", r"is not valid cp949 at byte 3 \(0xff\)"),
        (b"\xff\xfea\x00b", "utf-16", r"is not valid utf-16 at byte 4 \(0x62\)"),
        ("é".encode(), "ascii", r"is not valid ascii at byte 0 \(0xc3\)"),
    ],
)
def test_invalid_bytes_are_refused_with_their_offset(write, content, encoding, place):
    with pytest.raises(TextError, match=rf"text\.txt {place}; give --encoding"):
        read_text(write(content), encoding)


@pytest.mark.parametrize("encoding", ["klingon", "", "hex", "a\x00b"])
def test_an_unknown_encoding_is_a_config_error(write, encoding):
    with pytest.raises(ConfigError, match=r"^encoding: "):
        read_text(write(b"a"), encoding)


@settings(max_examples=100)
@given(
    content=st.binary(max_size=40),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-7", "cp949", "johab", "iso2022_kr", "punycode"]),
)
def test_decode_text_returns_utf8_or_raises_a_text_error(content, encoding):
    with contextlib.suppress(TextError):
        decode_text(content, encoding, "somewhere").encode()  # no lone surrogates, whatever the codec gives


def test_lone_surrogates_are_replaced():
    assert decode_text(b"a+2AA-b", "utf-7", "somewhere") == "a\ufffdb"
    assert decode_text(b"ab-zd9k", "punycode", "somewhere") == "a\ufffdb"


@settings(max_examples=50)
@given(text=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.startswith("\ufeff")))
def test_decode_text_inverts_utf8(text):
    assert decode_text(text.encode(), "utf-8", "somewhere") == text


def test_a_device_is_refused():
    with pytest.raises(TextError, match="/dev/zero is a device"):
        read_text("/dev/zero")


def test_an_invalid_file_name_is_refused():
    with pytest.raises(TextError, match="is not a valid file name"):
        read_text("no\0name")


@settings(max_examples=100)
@given(
    content=st.binary(max_size=60) | st.text().map(lambda text: text.encode("utf-8", "replace")),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp949", "euc_kr", "shift_jis", "johab"]),
    errors=st.sampled_from(["strict", "replace", "ignore"]),
    block=st.integers(1, 9),
)
def test_decoding_in_blocks_equals_decoding_at_once(content, encoding, errors, block):
    def in_blocks() -> str:
        decoder = TextDecoder(encoding, errors, "it")
        blocks = [content[start : start + block] for start in range(0, len(content), block)]
        return "".join(map(decoder.push, blocks)) + decoder.push(b"", final=True)

    try:
        whole = content.decode(encoding, errors)
        whole = whole if encoding in {"utf-8-sig", "utf-16"} else whole.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        with pytest.raises(TextError, match=rf"at byte {error.start} \(0x"):
            in_blocks()
    else:
        assert in_blocks() == whole


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_the_error_names_the_encoding_of_the_byte_order_mark(write, encoding, order):
    path = write(("\ufeff" + KOREAN).encode(f"{encoding}-{order}"))

    with pytest.raises(TextError, match=rf"text\.txt is not valid utf-8 at byte \d .*: give --encoding {encoding}$"):
        read_text(path)
    assert read_text(path, encoding) == KOREAN

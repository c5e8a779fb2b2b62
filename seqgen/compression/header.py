"""The compressed file: a header of some 50 bytes, the code, and a CRC-32 of both.

offset  bytes
0       4      magic; the last byte is the version of the format
4       1      how the model adapts while it codes; 0: it does not
5       1      the layout of the documents
6       24     hashes of the parts of a `Fingerprint`: run 6, weights 6, seqgen 2, torch 2, numpy 2, processor 2,
               predictions 4
30      16     the first half of the SHA-256 of the original file
46      1 to 9 number of tokens, 7 bits a byte, the lowest first
...            code
last    4      CRC-32 of everything before it
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Self

from seqgen.compression.layout import LAYOUTS, Layout
from seqgen.errors import RunError, TextError
from seqgen.evaluation.adaptation.config import Adapting

MAGIC = b"\x93sg"
VERSION = 1
DIGEST_BYTES = 16
_SIZES = {"run": 6, "weights": 6, "seqgen": 2, "torch": 2, "numpy": 2, "processor": 2, "predictions": 4}
_HEAD = struct.Struct(f"3sBBB{sum(_SIZES.values())}s{DIGEST_BYTES}s")
_CHECKSUM_BYTES = 4
_DYNAMIC: tuple[Adapting | None, ...] = (None, "weights", "ngram", "all")
"""What may learn, by its number in the header."""
_VARINT = re.compile(rb"[\x80-\xff]{0,8}[\x00-\x7f]")
_DIFFERENCES = {
    "run": "it was compressed with another run; name that one",
    "weights": "it was compressed with other weights of this run: restore those of that time",
    "seqgen": "it was compressed by another version of seqgen than this one, {}",
    "torch": "it was compressed with another version of torch than the one here, {}",
    "numpy": "it was compressed with another version of numpy than the one here, {}",
    "processor": "it was compressed on another kind of processor than the one here, {}",
    "predictions": "this machine rounds the model's numbers in another way than the one where it was compressed",
}


@dataclass(frozen=True)
class Fingerprint:
    """What the numbers of a code depend on: each part is a string that differs where they may differ."""

    run: str
    weights: str
    seqgen: str
    torch: str
    numpy: str
    processor: str
    predictions: str

    def to_bytes(self) -> bytes:
        """Return the hashes of all parts."""
        return b"".join(digest(part.encode(), _SIZES[name]) for name, part in asdict(self).items())

    def check(self, stored: bytes, name: str) -> None:
        """Compare with the hashes in the compressed file called `name`.

        Raises:
            RunError: a part differs; the message names the first.
        """
        place = 0
        for part, value in asdict(self).items():
            size = _SIZES[part]
            if stored[place : place + size] != digest(value.encode(), size):
                raise RunError(f"{name} cannot be decompressed: {_DIFFERENCES[part].format(value)}")
            place += size


@dataclass(frozen=True)
class CompressedFile:
    """The content of a compressed file."""

    dynamic: Adapting | None
    """What learned while the file was coded."""
    layout: Layout
    fingerprint: bytes
    original: bytes
    """The digest of the original file."""
    tokens: int
    code: bytes

    def to_bytes(self) -> bytes:
        """Return the file."""
        head = _HEAD.pack(
            MAGIC, VERSION, _DYNAMIC.index(self.dynamic), self.layout.to_byte(), self.fingerprint, self.original
        )
        content = head + _to_varint(self.tokens) + self.code
        return content + _checksum(content)

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Self:
        """Return the content of the file called `name`.

        Raises:
            TextError: it is not a compressed file, is damaged, or has values that seqgen does not write.
        """
        if not content.startswith(MAGIC):
            raise TextError(f"{name} is not a file that seqgen compressed")
        body = content[:-_CHECKSUM_BYTES]
        if len(body) <= _HEAD.size or content[-_CHECKSUM_BYTES:] != _checksum(body):
            raise TextError(f"{name} is damaged or cut off: its checksum is wrong; restore it from a copy")
        _, version, dynamic, layout, fingerprint, original = _HEAD.unpack_from(body)
        if version != VERSION:
            raise TextError(
                f"{name} has version {version} of the format, and this seqgen reads {VERSION}; decompress it with the "
                "seqgen that compressed it"
            )
        count = _VARINT.match(body, _HEAD.size)
        if dynamic >= len(_DYNAMIC) or layout >= LAYOUTS or count is None:
            raise TextError(f"{name} has a header that seqgen does not write; restore it from a copy")
        code = body[count.end() :]
        return cls(_DYNAMIC[dynamic], Layout.from_byte(layout), fingerprint, original, _from_varint(count[0]), code)


def digest(content: bytes, size: int = DIGEST_BYTES) -> bytes:
    """Return the first bytes of the SHA-256."""
    return hashlib.sha256(content).digest()[:size]


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big")


def _to_varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _to_varint(rest) if rest else bytes([low])


def _from_varint(content: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(content))

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.cache.cached_text import CachedText
from seqgen.data.cache.write_text import write_text
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.errors import TextError
from seqgen.sources.formats import archive
from seqgen.sources.source import load_documents

MEMBERS = {"b.txt": "second\n", "./a.txt": "first\n", "x/c.md": "mark\n", ".hid.txt": "no", "__MACOSX/._b.txt": "no"}
UNSAFE = {"/etc/d.txt": "absolute\n", "../../e.txt": "up\n"}
LINKS = {
    "l.txt": (tarfile.SYMTYPE, "/etc/passwd"), "h.txt": (tarfile.LNKTYPE, "b.txt"), "dev.txt": (tarfile.CHRTYPE, ""),
    "fifo.txt": (tarfile.FIFOTYPE, ""), "dir.txt": (tarfile.DIRTYPE, ""),
}  # fmt: skip
SUFFIXES = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".TAR.GZ"]


def mode_of(suffix: str) -> str:
    packers = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "tbz2": "bz2", "xz": "xz", "txz": "xz"}
    return "w:" + packers.get(suffix.lower().rpartition(".")[2], "")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("batch", [1 << 26, 1 << 13])
def test_a_tar_is_read_as_its_regular_members_sorted_by_name(places, tarred, monkeypatch, suffix, batch):
    monkeypatch.setattr(archive, "BATCH_BYTES", batch)
    packed = tarred({**MEMBERS, **LINKS, **UNSAFE}, mode_of(suffix))
    found = places(f"n{suffix}", packed)

    name = f"n{suffix}"
    assert found.found == [
        (f"{name}/a.txt", "first\n"), (f"{name}/b.txt", "second\n"),
        (f"{name}/e.txt", "up\n"), (f"{name}/etc/d.txt", "absolute\n"),
    ]  # fmt: skip
    assert (found.size, found.sha256) == (len(packed), hashlib.sha256(packed).hexdigest())


@pytest.mark.parametrize(("batch", "order"), [(60_000, "cba"), (59_999, "bac"), (39_999, "abc")])
def test_members_of_up_to_a_batch_are_read_in_the_order_of_the_tar(read, tarred, monkeypatch, batch, order):
    opened = []
    extract = tarfile.TarFile.extractfile
    monkeypatch.setattr(archive, "BATCH_BYTES", batch)
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda *given: opened.append(given[1].name) or extract(*given))

    documents = read("a.tar", tarred({f"{name}.txt": name * 20_000 for name in "cba"}))

    assert [document[0] for document in documents] == ["a", "b", "c"]
    assert opened == [f"{name}.txt" for name in order]


def test_a_zstandard_tar_is_read(read, tarred):
    zstd = pytest.importorskip("backports.zstd")

    assert read("a.tar.zst", zstd.compress(tarred(MEMBERS))) == ("first\n", "second\n")


def test_a_zip_is_read_as_its_members_sorted_by_name(places, zipped):
    packed = zipped({**MEMBERS, **UNSAFE, "folder.txt/": ""})
    found = places("a.zip", packed)

    assert [text for _, text in found.found] == ["first\n", "second\n", "up\n", "absolute\n"]
    assert (found.size, found.sha256) == (len(packed), hashlib.sha256(packed).hexdigest())


def test_patterns_select_members(read, zipped):
    assert read("a.zip", zipped(MEMBERS), glob="*.{md,rst}") == ("mark\n",)
    assert read("a.zip", zipped(MEMBERS), glob=["*.md", "*.txt"], exclude="x") == ("first\n", "second\n")
    assert read("a.zip", zipped(MEMBERS), glob="x/*") == ("mark\n",)
    with pytest.raises(TextError, match=r"a\.zip has no member .* --glob '\*\.rst'; it has 2 \*\.txt, 1 \*\.md"):
        read("a.zip", zipped(MEMBERS), glob="*.rst")


def test_members_that_no_pattern_matches_are_counted(places, zipped):
    def unselected(**reading):
        return places("a.zip", zipped(MEMBERS), **reading).issues.unselected

    assert "1 member of" in unselected()
    assert unselected().endswith("does not match --glob '*.txt': 1 *.md")
    assert unselected(exclude="x") is None
    assert unselected(glob="*") is None


def test_a_member_is_read_by_its_own_suffix(places, zipped):
    members = {
        "a.jsonl": '{"text": "one"}\n{"text": "two"}\n', "b.txt.gz": gzip.compress(b"three"), "c.csv": "text\nfour\n",
        "d.html": "<p>five</p>",
    }  # fmt: skip

    assert places("a.zip", zipped(members), glob="*").found == [
        ("the document on line 1 of a.zip/a.jsonl", "one"), ("the document on line 2 of a.zip/a.jsonl", "two"),
        ("a.zip/b.txt.gz", "three"), ("the document on line 2 of a.zip/c.csv", "four"), ("a.zip/d.html", "five\n"),
    ]  # fmt: skip


def test_members_are_read_as_raw_bytes(read, zipped):
    assert read("a.zip", zipped({"a.mid": bytes(range(256))}), glob="*.mid", encoding="bytes") == (
        "".join(map(chr, range(256))),
    )


def test_member_names_in_a_legacy_encoding_are_decoded(places):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("XXXX\\YY.txt", "한글".encode("cp949"))
    content = packed.getvalue().replace(b"XXXX", "한글".encode("cp949"))

    assert places("a.zip", content, encoding="cp949", glob="한글/*").found == [("a.zip/한글/YY.txt", "한글")]


def test_the_last_of_members_with_the_same_name_is_read(read):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for text in (b"old", b"new"):
            info = tarfile.TarInfo("a.txt")
            info.size = len(text)
            file.addfile(info, io.BytesIO(text))

    assert read("a.tar", packed.getvalue()) == ("new",)


def test_links_in_a_zip_are_ignored(read):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        link = zipfile.ZipInfo("l.txt")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("a.txt", "text")

    assert read("a.zip", packed.getvalue()) == ("text",)


def test_an_encrypted_member_is_refused_only_if_it_is_selected(read, zipped):
    content = bytearray(zipped({"a.txt": "text", "secret.md": "text"}))
    for at in range(len(content)):  # the flag in the local header, and in the central directory
        for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            if content.startswith(magic, at) and b"secret" in content[at : at + 60]:
                content[at + offset] |= 1

    assert read("a.zip", bytes(content)) == ("text",)
    with pytest.raises(TextError, match=r"a\.zip: the member secret\.md is encrypted"):
        read("a.zip", bytes(content), glob="*.md")


def test_an_archive_inside_an_archive_is_refused(read, zipped):
    with pytest.raises(TextError, match=r"a\.zip/b\.zip is an archive inside an archive"):
        read("a.zip", zipped({"b.zip": zipped({"a.txt": "a"})}), glob="*.zip")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz"])
def test_a_decompression_bomb_is_refused(read, zipped, tarred, monkeypatch, name):
    monkeypatch.setattr(archive, "MIN_RATIO_BYTES", 1 << 16)
    zeros = "\0" * (1 << 21)
    packed = zipped({"a.txt": zeros}) if name == "a.zip" else tarred({"a.txt": zeros}, mode_of(name))

    with pytest.raises(TextError, match=rf"{name} expands to more than 250 times its {len(packed):,} bytes"):
        read(name, packed)


def test_content_above_64_mib_is_held_against_the_ratio(read, zipped):
    size = struct.pack("<I", 12_345)
    packed = zipped({"a.txt": "a" * 12_345}).replace(size, struct.pack("<I", (64 << 20) + 1))

    with pytest.raises(TextError, match="expands to more than 250 times"):
        read("a.zip", packed)


@pytest.mark.parametrize(("claimed", "reason"), [(64 << 20, "damaged"), ((64 << 20) + 1, "claims 67,109,376 bytes")])
def test_tar_header_may_claim_64_mib(read, claimed, reason):
    header = tarfile.TarInfo("long name")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, claimed

    with pytest.raises(TextError, match=reason):
        read("a.tar", header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))


@pytest.mark.parametrize(("limit", "value", "reason"), [
    ("MAX_MEMBERS", 1, "more than 1 members"), ("MAX_EXPANDED_BYTES", 8, "more than 0 GiB"),
])  # fmt: skip
def test_an_archive_above_a_limit_is_refused(read, zipped, tarred, monkeypatch, limit, value, reason):
    monkeypatch.setattr(archive, limit, value)

    for name, packed in (("a.zip", zipped(MEMBERS)), ("a.tar", tarred(MEMBERS))):
        with pytest.raises(TextError, match=reason):
            read(name, packed)


def test_a_tar_with_another_suffix_is_recognized(read, tarred):
    with pytest.raises(TextError, match=r"a\.txt is a tar archive: rename it to end in \.tar"):
        read("a.txt", tarred(MEMBERS))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_a_damaged_archive_is_refused(read, zipped, tarred, name):
    members = {f"{number}.txt": f"{number}" * 999 for number in range(9)}
    packed = zipped(members) if name == "a.zip" else tarred(members, mode_of(name))

    for content in (packed[: len(packed) // 2], b"", b"not an archive " * 99):
        with pytest.raises(TextError, match=rf"{name}.* is (damaged|empty)"):
            read(name, content)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_is_damaged_or_cut_short_is_refused(read, tarred, mode):
    whole = tarred({f"{number}.txt": f"{number}" * 999 for number in range(9)})
    member = 3 * 512  # a header, and two blocks of text
    name, pack = ("a.tar.gz", gzip.compress) if mode == "w:gz" else ("a.tar", bytes)

    assert len(read(name, pack(whole[: 9 * member + 512]))) == 9
    for end in (4 * member, 4 * member + 100, 4 * member + 512, 9 * member):
        with pytest.raises(TextError, match=rf"{name} is damaged"):
            read(name, pack(whole[:end]))
    for place in (0, 148, 300):  # the name, the checksum, padding
        damaged = bytearray(whole)
        damaged[4 * member + place] ^= 0x55
        with pytest.raises(TextError, match=rf"{name} is damaged or cut short: at byte {4 * member:,} "):
            read(name, pack(bytes(damaged)))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_random_damage_raises_a_text_error_or_none(write, zipped, tarred, name):
    members = {"a.txt": "text " * 50, "b.txt": "more"}
    whole = zipped(members) if name == "a.zip" else tarred(members, mode_of(name))

    @settings(max_examples=40)
    @given(changes=st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255), min_size=1, max_size=4))
    def damage(changes):
        content = bytearray(whole)
        for place, byte in changes.items():
            content[place] = byte
        with contextlib.suppress(TextError):
            assert load_documents([write(name, bytes(content))])

    damage()


def test_a_zip_member_without_a_name_is_refused(write, zipped):
    content = zipped({"a.txt": "text"}).replace(b"a.txt", b"\0.txt")  # a NUL ends the name

    with pytest.raises(TextError, match="a member has no name"):
        load_documents([write("a.zip", content)])


def test_members_are_split_like_files(write, zipped, tmp_path):
    texts = [(f"{number} one" * 60, f"{number} two" * 60) for number in range(5)]
    members = {f"{n}.jsonl": "".join(f'{{"text": "{text}"}}\n' for text in pair) for n, pair in enumerate(texts)}
    reading = DataConfig(text=write("a.zip", zipped(members)), glob="*.jsonl", valid_split="file", valid_share=0.2)

    write_text(reading.text, reading, tmp_path / "stored")

    assert split_text(CachedText(tmp_path / "stored"), reading, None).valid.documents() == texts[4]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_with_another_suffix_is_recognized(read, tarred, pack):
    suffix = {gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz"}[pack]

    with pytest.raises(TextError, match="is a tar archive"):
        read(f"a{suffix}", pack(tarred(MEMBERS)))


@pytest.mark.parametrize("damage", ["a lone empty block", "two archives in one"])
def test_a_tar_with_data_after_its_end_is_refused(tmp_path, damage):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("a.txt", "b.txt", "c.txt"):
            content = f"the text of {name}\n".encode() * 3
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    content = packed.getvalue()
    if damage == "a lone empty block":
        content = content[:1024] + bytes(512) + content[1536:]
    else:
        content += content
    (tmp_path / "d.tar").write_bytes(content)

    with pytest.raises(TextError, match=r"d\.tar (has more data after the end|is damaged)"):
        load_documents([str(tmp_path / "d.tar")])

from __future__ import annotations

import pytest

from seqgen.errors import TextError

CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
PACKAGE = """<?xml version="1.0"?><!DOCTYPE package [<!ENTITY a "ch1.xhtml">]>
<opf:package xmlns:opf="http://www.idpf.org/2007/opf"><opf:manifest>
<opf:item id="two" href="ch%202.xhtml" media-type="application/xhtml+xml"/>
<opf:item id="one" href="../text/ch1.xhtml" media-type="application/xhtml+xml"/>
<opf:item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>
<opf:item id="cover" href="cover.png" media-type="image/png"/>
</opf:manifest><opf:spine><opf:itemref idref="cover"/><opf:itemref idref="nav"/><opf:itemref idref="one"/>
<opf:itemref idref="two"/></opf:spine></opf:package>"""
BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "OEBPS/book.opf": PACKAGE,
    "OEBPS/nav.xhtml": "<body>Contents</body>",
    "text/ch1.xhtml": "<?xml version='1.0'?><html><head><title>T</title></head><body><h1>One</h1><p>A &amp; b.</p>"
    "<script/></body></html>",
    "OEBPS/ch 2.xhtml": "<body><p>Zwei.</p></body>".encode("utf-16"),
}


def test_a_book_is_read_as_its_chapters_in_reading_order(places, zipped):
    packed = zipped(BOOK)
    found = places("a.epub", packed)

    assert found.found == [("a.epub", "One\n\nA & b.\n\nZwei.\n")]
    assert found.size == len(packed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"META-INF/container.xml": "<container/>"}, "no usable package"),
        ({"META-INF/container.xml": None}, "no usable META-INF/container.xml"),
        ({"OEBPS/book.opf": "<package/>"}, "lists no chapters"),
        ({"META-INF/container.xml": "<container><rootfile/></container>"}, "no usable package"),
        ({"OEBPS/book.opf": PACKAGE.replace('idref="one"', "")}, "lists the chapter ''"),
        ({"OEBPS/book.opf": PACKAGE.replace('id="one"', "")}, "lists the chapter 'one'"),
        ({"text/ch1.xhtml": None}, r"the chapter text/ch1\.xhtml, which is missing"),
        ({"META-INF/encryption.xml": '<enc:CipherReference URI="text/ch1.xhtml"/>'}, "protected by DRM"),
    ],
)
def test_a_book_that_cannot_be_read_is_refused(read, zipped, change, reason):
    members = {name: content for name, content in {**BOOK, **change}.items() if content is not None}

    with pytest.raises(TextError, match=rf"a\.epub.* {reason}"):
        read("a.epub", zipped(members))


def test_a_book_in_an_encrypted_zip_is_refused(read, zipped):
    content = bytearray(zipped(BOOK))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(magic) + offset] |= 1

    with pytest.raises(TextError, match=r"a\.epub is encrypted"):
        read("a.epub", bytes(content))


def test_a_book_with_encrypted_fonts_is_read(read, zipped):
    fonts = {"META-INF/encryption.xml": '<CipherReference URI="OEBPS/font.otf"/>'}

    assert len(read("a.epub", zipped({**BOOK, **fonts}))) == 1


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(40)])
def test_a_file_that_is_not_a_book_is_refused(read, content):
    with pytest.raises(TextError, match=r"a\.epub is damaged"):
        read("a.epub", content)

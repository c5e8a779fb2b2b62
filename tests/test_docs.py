"""The guide to texts (docs/data.md) is held against the program: its commands run, its tables name what there is."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path

import pytest
from seqgen.cli.main import app
from typer.testing import CliRunner

from seqgen.sources.compression import SUFFIXES
from seqgen.sources.formats import FORMATS

GUIDE = (Path(__file__).parents[1] / "docs" / "data.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line.split("   #")[0])[1:]
    for block in GUIDE.split("```")[1::2]
    for line in block.splitlines()
    if line.startswith("seqgen ")
]
SMALL = ["--cell", "gru", "--hidden-size", "8", "--max-steps", "1", "--batch-size", "4"]
TEXT = "".join(f"The {number}th sailor left the river, and the moon was quiet.\n" for number in range(99))
CHAPTERS = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfile full-path="a.opf"/></container>',
    "a.opf": '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/><itemref idref="a"/>',
    "a.xhtml": "<p>Once.</p>",
}


def zip_of(members: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the guide names."""
    desk = tmp_path_factory.mktemp("desk")
    midi = b"MThd\x00\x00\x00\x06" + bytes(range(256)) * 9
    rows = "".join(f'{number},"Well, ""it"" was\nthe {number}th time that I read it"\n' for number in range(99))
    files = {
        "letters.txt": TEXT, "notes/a.txt": TEXT, "notes/b.md": TEXT, "notes/2024/c.md": TEXT,
        "notes/drafts/d.txt": TEXT,
        "reviews.csv": f"id,review\n{rows}", "chats.jsonl": '{"messages": [{"content": "hi"}, {"content": "yo"}]}\n',
        "scraped.jsonl": '{"text": "one"}\n{"text": null}\n{bad\n', "texts.zip": zip_of({"a.txt": TEXT, "b.md": TEXT}),
        "book.epub": zip_of(CHAPTERS), "old.txt": "나는 학교에 간다.\n".encode("cp949"), "broken.txt": b"a\xffb",
        "songs/a.mid": midi, "song.mid": midi, "letters.pdf": b"%PDF-1.7\n\xff",
    }  # fmt: skip
    for name, content in files.items():
        path = desk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return desk


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_runs(desk, monkeypatch, command):
    monkeypatch.chdir(desk)
    if "sample" in command or command[0] == "eval":  # of the run that the guide trains just before
        for_bytes = ["train", "songs", "--glob", "*.mid", "--encoding", "bytes", *SMALL, "--out", "runs/songs"]
        if not (desk / "runs" / "songs").exists():
            assert CliRunner().invoke(app, for_bytes).exit_code == 0
        shorter = " ".join(command).replace("1000 > new.mid", "20")  # the shell's part is not the command's
        command = [*shorter.split(), "--run", "runs/songs"]

    result = CliRunner().invoke(app, [*command, *(SMALL if command[0] == "train" else [])])

    assert result.exit_code == 0, result.output


def test_the_guide_shows_what_is_said_of_a_pdf(desk, monkeypatch):
    monkeypatch.chdir(desk)
    asked, answer = re.search(r"\$ seqgen (train letters\.pdf)\n(error: .*)\n", GUIDE).groups()

    assert CliRunner().invoke(app, asked.split()).stderr.strip() == answer


def test_the_guide_names_every_suffix():
    named = set(re.findall(r"`(\.\w+)`", GUIDE))

    assert {*FORMATS, *SUFFIXES} <= named
    assert len(COMMANDS) > 12

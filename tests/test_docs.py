"""README.md and docs/ against the program: commands and options exist, commands run, tables are up to date."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from seqgen.cli.main import app
from typer.main import get_command
from typer.testing import CliRunner

from seqgen.sources.compression import SUFFIXES
from seqgen.sources.formats import FORMATS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "README.ko.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
RUNNABLE = [
    "compression",
    "data",
    "embeddings",
    "evaluation",
    "inspection",
    "korean",
    "labels",
    "notes",
    "run-directory",
    "sampling",
    "training",
]
SMALL = {"--cell": "gru", "--hidden-size": "8", "--max-steps": "1", "--batch-size": "4", "--threads": "1"}
IMPLIED = {"--init-from": {"--cell", "--hidden-size"}, "--plan-from": {"--max-steps", "--threads"}}
"""Options that must not be repeated with these."""
TEXT = "".join(f"The {number}th sailor left the river, and the moon was quiet.\n" for number in range(99))
COURT = "The king and the queen met a man and a woman with a piano in seoul.\n" * 9
TEX = "\\begin{proof}\nLet $x$ be the river, and $y$ the moon.\n\\end{proof}\n\n" * 30
PLAY = "".join(f"{name}:\nThe moon was quiet, {n} times.\n\n" for n in range(40) for name in ("ROMEO", "JULIET"))
LABELED = "".join(
    f"it was {word} number {n}\t{label}\n" for n in range(40) for word, label in (("fun", "good"), ("dull", "bad"))
)
CHAPTERS = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfile full-path="a.opf"/></container>',
    "a.opf": '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/><itemref idref="a"/>',
    "a.xhtml": "<p>Once.</p>",
}


def lines_of(page: Path) -> list[list[str]]:
    """Return the words of each `seqgen ...` and `python -c ...` line in a page's code blocks, without comments."""
    lines = [line for block in page.read_text("utf-8").split("```")[1::2] for line in block.splitlines()]
    lines = [re.sub(r"\s#\s.*", "", line.removeprefix("$ ")) for line in lines]
    return [shlex.split(line) for line in lines if line.startswith(("seqgen ", "python -c "))]


def commands_of(page: Path) -> list[list[str]]:
    """Return the arguments of each `seqgen ...` line of a page."""
    return [words[1:] for words in lines_of(page) if words[0] == "seqgen"]


def write_by_python(words: list[str]) -> None:
    """Run the arguments of a line `python -c CODE > FILE`."""
    *arguments, sign, name = words
    assert sign == ">"
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8", check=True)
    Path(name).write_text(done.stdout, "utf-8")


def inline_commands_of(page: Path) -> list[list[str]]:
    """Return the words of each `seqgen ...` in the sentences of a page."""
    prose = "".join(page.read_text("utf-8").split("```")[::2])
    return [shlex.split(command) for command in re.findall(r"`seqgen\s([^`|]+)`", prose)]


def shell_blocks(page: Path, language: str = "sh") -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)\n```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def zip_of(members: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A working directory with the files that the guides name."""
    midi = b"MThd\x00\x00\x00\x06" + bytes(range(256)) * 9
    rows = "".join(f'{number},"Well, ""it"" was\nthe {number}th time that I read it"\n' for number in range(99))
    files = {
        "letters.txt": TEXT + COURT, "novel.txt": TEXT, "held-out.txt": TEXT, "a.txt": TEXT, "b.txt": TEXT,
        "opening.txt": "The moon", "chapter-9.txt": TEXT, "stories.jsonl": f'{{"text": {json.dumps(TEXT)}}}\n',
        "other.txt": TEXT.replace("moon", "boat"), "prompts.txt": "The moon\n\nA boat\n",
        "names.txt": "".join(f"{line.replace(' ', '_')}\n" for line in TEXT.splitlines()),
        "recipes.txt": TEXT.replace("\n", "\n\n"),
        "korean.txt": "나는 학교에 간다. 하늘이 맑다.\n" * 60,
        "notes/a.txt": TEXT, "notes/b.md": TEXT, "notes/2024/c.md": TEXT, "notes/drafts/d.txt": TEXT,
        "reviews.csv": f"id,review\n{rows}", "chats.jsonl": '{"messages": [{"content": "hi"}, {"content": "yo"}]}\n',
        "scraped.jsonl": '{"text": "one"}\n{"text": null}\n{bad\n', "texts.zip": zip_of({"a.txt": TEXT, "b.md": TEXT}),
        "book.epub": zip_of(CHAPTERS), "old.txt": "나는 학교에 간다.\n".encode("cp949"), "broken.txt": b"a\xffb",
        "reviews.tsv": LABELED, "more.tsv": LABELED, "reviews.txt": "not one dull minute\n\ndull\n",
        "server.log": "".join(f"12:{n % 60:02} INFO web-{n % 5} GET /cart {n * 7 % 90} ms\n" for n in range(300)),
        "tagged.conll": "the D\ncat N\nsleeps V\n\n" * 40,
        "thesis.tex": TEX, "thesis/intro.tex": TEX, "play.txt": PLAY, "chat.txt": PLAY,
        "words.txt": "파리 1 0\n프랑스 1 1\n한국 0 1\n서울 0 0.5\n", "glove.6B.100d.txt": "the" + 100 * " 1",
        "wordsim353.tsv": "king\tman\t9\nking\triver\t1\n", "SimLex-999.txt": "king\tqueen\t8.5\n",
        "questions-words.txt": ": family\nman woman king queen\n",
        "songs/a.mid": midi, "song.mid": midi, "letters.pdf": b"%PDF-1.7\n\xff",
    }  # fmt: skip
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page):
    commands = dict(get_command(app).commands)
    groups = {name: command for name, command in commands.items() if hasattr(command, "commands")}
    for group, members in groups.items():
        commands |= {f"{group} {name}": command for name, command in members.commands.items()}

    for words in commands_of(page) + inline_commands_of(page):
        name = " ".join(words[:2]) if words[0] in groups else words[0]
        options = {one for made in commands[name].params for one in (*made.opts, *made.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options | {"--", "--help", "--version"}, words


def test_the_readme_uses_the_main_commands():
    assert {"train", "sample", "eval"} <= {words[0] for words in commands_of(ROOT / "README.md")}


def shorten(words: list[str], resumed_steps: int = 2) -> list[str]:
    """Return the command with a small model, one step, a few tokens, and without the shell's part."""
    words = [word for word in words if word not in {">", "new.mid", "story.txt"}]
    if "--choices" in words:
        return words
    limits = {"train": ["--max-time", "--max-steps"], "sample": ["--max-new-tokens"]}.get(words[0], [])
    for option in limits:
        at = words.index(option) if option in words else len(words)
        words[at : at + 2] = []
    if words[0] == "sample":
        return [*words, "--max-new-tokens", "5"]
    if words[0] != "train":
        return words
    if "--resume" in words:
        return [*words, "--max-steps", str(resumed_steps)]
    if "--cell ngram" in " ".join(words):  # it takes a moment, and has no sizes
        return words
    given = {*words, *(option for name, options in IMPLIED.items() if name in words for option in options)}
    return [*words, *(item for option, value in SMALL.items() if option not in given for item in (option, value))]


@pytest.mark.slow
@pytest.mark.parametrize("guide", RUNNABLE)
def test_commands_of_the_guide_run(desk, guide):
    """In their order, then those that only its Korean page has, except those that need a download or show an error."""
    lines = lines_of(ROOT / "docs" / f"{guide}.md")
    if (korean := ROOT / "docs" / f"{guide}.ko.md").exists():
        lines += [words for words in lines_of(korean) if words not in lines]
    left_out = ("letters.pdf", "corpus:text8")
    lines = [words for words in lines if not any(word.startswith(left_out) for word in words)]
    # The newest one has all that a guide's commands need, where they name none.
    for name in ("novel-lstm", "novel-gru", "novel-ngram", "corpus-gru", "novel-lstm+ngram"):
        cell = ["--cell", name.partition("-")[2]]
        line = shorten(["train", "novel.txt", *cell, "--tokenizer", "char", "--out", f"runs/{name}"])
        assert CliRunner().invoke(app, line).exit_code == 0

    for number, (program, *words) in enumerate(lines):
        if program == "python":
            write_by_python(words)
            continue
        result = CliRunner().invoke(app, shorten(words, number + 2))

        assert result.exit_code == 0, (words, result.output)
    assert len(lines) >= 2


@pytest.mark.slow
def test_commands_of_the_korean_readme_run(in_tmp):
    """In their order, in a folder with the files that its shell commands make, and a text of one's own."""
    page = ROOT / "README.ko.md"
    text = page.read_text("utf-8")
    for block in shell_blocks(page, "bash"):
        subprocess.run(["bash", "-ec", block], check=True)
    Path("헌법.txt").write_text("모든 국민은 법률이 정하는 바에 의하여 국가의 보호를 받는다.\n" * 60, "utf-8")
    Path("다른글.txt").write_text("모든 국민은 법 앞에 평등하다.\n" * 60, "utf-8")
    inspecting = [words for words in inline_commands_of(page) if any("runs/" in word for word in words)]
    commands = commands_of(page) + [words for words in inspecting if "nsmc" not in " ".join(words)]

    for number, words in enumerate(commands):
        result = CliRunner().invoke(app, shorten(words, number + 2))

        assert result.exit_code == 0, (words, result.output)
        if "--choices" in words and "runs/meals-ngram" in words:  # counts are the same everywhere
            assert all(line.rstrip() in text for line in result.stdout.splitlines()[1:])
    assert len(Path("meals.txt").read_text("utf-8").splitlines()) == 88
    reviews = Path("reviews.txt").read_text("utf-8").splitlines()
    assert Counter(line.split("\t")[2] for line in reviews) == {"label": 1, "0": 12, "1": 12}


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/sampling.md",
        *(pytest.param(page, marks=pytest.mark.slow) for page in ("README.ko.md", "docs/embeddings.md")),
    ],
)
def test_python_of_the_page_runs(desk, page, capsys):
    (desk / "corpus.txt").write_text(TEXT, "utf-8")
    assert CliRunner().invoke(app, shorten(["train", "novel.txt", "--out", "runs/novel-lstm"])).exit_code == 0
    blocks = re.findall(r"```python\n(.+?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    code = "".join(blocks).replace('max_time="60s"', "max_steps=1, hidden_size=8, threads=1")

    exec(code, {})

    assert len(capsys.readouterr().out.splitlines()) >= code.count("print(") >= 1


@pytest.mark.parametrize(("page", "label"), [("notes.md", "Code"), ("notes.ko.md", "코드")])
def test_the_course_names_code_that_exists(page, label):
    """Each linked name is defined in its file, and each other piece of code is in a file of its paragraph."""
    notes = (ROOT / "docs" / page).read_text("utf-8")
    paragraphs = re.findall(rf"^{label}: (.+?)\n\n", notes, re.MULTILINE | re.DOTALL)

    assert len(paragraphs) > 10
    for paragraph in paragraphs:
        link = r"\[`(\w+)`\]\(\.\./(\S+?\.py)\)"
        links = re.findall(link, paragraph)
        files = {path: (ROOT / path).read_text("utf-8") for _, path in links}
        for name, path in links:
            assert re.search(rf"^ *(?:def|class) {name}\b", files[path], re.MULTILINE), (name, path)
        for code in re.findall(r"`([^`]+)`", re.sub(link, "", paragraph)):
            if code.endswith(".py"):
                assert (ROOT / code).is_file(), code
            elif not code.startswith(("seqgen ", "--")):
                assert any(code in content for content in files.values()), code


def parts_of_sections(page: Path) -> list[tuple[list[str], set[str], list[list[str]]]]:
    """Return the blocks of each section, its links and code within lines, and the signs of each formula."""
    parts = []
    for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE):
        blocks = re.findall(r"^```.*?^```", section, re.MULTILINE | re.DOTALL)
        text = re.sub(r"^```.*?^```", "", section, flags=re.MULTILINE | re.DOTALL)
        formulas = [re.findall(r"[=+*/^·²()\[\]|]", line) for line in text.splitlines() if line.startswith("    ")]
        parts.append((blocks, {*re.findall(r"\]\(([^#\s]\S*?)\)", text), *re.findall(r"`([^`]+)`", text)}, formulas))
    return parts


def test_the_korean_course_has_all_of_the_english_one():
    """Section by section: its formulas, and at least its blocks in their order, its links and its code."""
    english, korean = (parts_of_sections(ROOT / "docs" / name) for name in ("notes.md", "notes.ko.md"))

    assert len(korean) == len(english) + 1  # a table of terms
    for (blocks, references, formulas), (blocks_ko, references_ko, formulas_ko) in zip(english, korean, strict=False):
        assert [block for block in blocks_ko if block in blocks] == blocks
        assert references - references_ko <= {"notes.ko.md", "../README.md"}
        assert formulas_ko == formulas


def test_the_data_guide_shows_the_error_for_a_pdf(desk):
    guide = (ROOT / "docs" / "data.md").read_text("utf-8")
    command, answer = re.search(r"\$ seqgen (train letters\.pdf)\n(error: .*)\n", guide).groups()

    assert CliRunner().invoke(app, command.split()).stderr.strip() == answer


def test_the_data_guide_names_every_suffix():
    guide = (ROOT / "docs" / "data.md").read_text("utf-8")

    assert {*FORMATS, *SUFFIXES} <= set(re.findall(r"`(\.\w+)`", guide))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_reliability_names_tests_that_exist():
    table = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    tests = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    named = set()
    for cell in re.findall(r"`test_\w+\.py`: .*?(?=\||; `test_\w+\.py`)", table):
        file, *names = re.findall(r"`(test_[\w.]+)`", cell)
        named |= {(file, name) for name in names}

    assert len(named) > 50
    assert named <= tests, named - tests


def test_benchmark_tables_match_their_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)

    assert results.TABLES.read_text("utf-8") == results.tables()


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_readme_is_short_and_begins_with_the_demo_and_the_tests(name):
    demo, tests, *_ = shell_blocks(ROOT / name)

    assert len((ROOT / name).read_text("utf-8").splitlines()) <= 130
    assert demo.endswith("seqgen demo")
    assert tests.endswith("pytest")


def test_the_readmes_have_the_same_shell_commands_and_name_each_other():
    english, korean = ROOT / "README.md", ROOT / "README.ko.md"

    assert shell_blocks(english) == shell_blocks(korean)
    assert f"]({korean.name})" in english.read_text("utf-8")
    assert f"]({english.name})" in korean.read_text("utf-8")

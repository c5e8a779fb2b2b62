"""`seqgen tokenizer build|encode|decode|show`: round trips, from arguments and through pipes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from seqgen import tokenizers

TEXT = "The old king paints\nthe river.\n"


@pytest.fixture(params=["char", "byte", "word", "unigram", "bpe"])
def built(request, answers, corpus):
    """A tokenizer of each kind, built from the corpus."""
    size = ["--vocab-size", 320] if request.param in {"unigram", "bpe"} else []
    answers("tokenizer", "build", "corpus.txt", "--tokenizer", request.param, *size, "--out", "built")
    return "built"


@pytest.fixture
def char(answers, corpus):
    """A char tokenizer, built from the corpus."""
    answers("tokenizer", "build", "corpus.txt", "--tokenizer", "char", "--out", "built")
    return "built"


def test_decode_inverts_encode(answers, built):
    ids = answers("tokenizer", "encode", TEXT, "--tokenizer", built)

    assert answers("tokenizer", "decode", *ids.split(), "--tokenizer", built) == TEXT
    assert list(map(int, ids.split())) == tokenizers.load(Path(built)).encode(TEXT).tolist()


def test_decode_inverts_encode_through_pipes(answers, built):
    ids = answers("tokenizer", "encode", "--tokenizer", built, stdin=TEXT)
    as_json = answers("tokenizer", "encode", "-", "--tokenizer", built, "--json", stdin=TEXT)

    assert json.loads(as_json) == list(map(int, ids.split()))
    assert answers("tokenizer", "decode", "--tokenizer", built, stdin=ids) == TEXT
    assert answers("tokenizer", "decode", "--tokenizer", built, stdin=as_json) == TEXT
    assert json.loads(answers("tokenizer", "decode", "--tokenizer", built, "--json", stdin=as_json)) == TEXT


def test_encode_refuses_invalid_utf8_with_offset(refuses, built):
    refuses(1, "tokenizer", "encode", "ab\udcff", "--tokenizer", built, words=("at byte 2 (0xff)",))
    for argument in ([], ["-"]):
        refuses(
            1,
            "tokenizer",
            "encode",
            *argument,
            "--tokenizer",
            built,
            stdin=b"abc\xff",
            words=("stdin", "at byte 3 (0xff)"),
        )


def test_encode_drops_byte_order_mark_of_stdin(answers, built):
    ids = answers("tokenizer", "encode", "--tokenizer", built, stdin=b"\xef\xbb\xbfking")

    assert ids == answers("tokenizer", "encode", "king", "--tokenizer", built)


def test_pieces_shows_piece_of_each_id(answers, built):
    text = "The king \xe9\n"
    rows = json.loads(answers("tokenizer", "encode", text, "--tokenizer", built, "--pieces", "--json"))

    assert [row["id"] for row in rows] == json.loads(
        answers("tokenizer", "encode", text, "--tokenizer", built, "--json")
    )
    assert "".join(row["text"] for row in rows) == text
    assert all(row["piece"] == row["text"] for row in rows if row["text"].isascii() and row["text"])
    printed = answers("tokenizer", "encode", text, "--tokenizer", built, "--pieces").splitlines()
    assert printed[0].split() == ["id", "piece", "characters"]
    assert [(int(line.split()[0]), int(line.split()[-1])) for line in printed[1:]] == [
        (row["id"], len(row["text"])) for row in rows
    ]


def test_pieces_marks_unknown_and_escapes_controls(answers, char):
    shown = answers("tokenizer", "encode", "k\x1b[31m[/x]", "--tokenizer", char, "--pieces", terminal=80)

    assert "(unknown) '\\x1b'" in shown
    assert "(unknown) '['" in shown
    assert "'k'" in shown
    assert "\x1b[31m[/x]" not in shown


def test_pieces_shows_byte_as_hex_code(answers, corpus):
    answers("tokenizer", "build", "corpus.txt", "--tokenizer", "byte", "--out", "built")

    lines = answers("tokenizer", "encode", "\xe9", "--tokenizer", "built", "--pieces").splitlines()
    assert [line.split() for line in lines[1:]] == [["196", "'\\xc3'", "0"], ["170", "'\\xa9'", "1"]]
    assert answers("tokenizer", "show", "--tokenizer", "built").splitlines()[196].split() == ["196", "'\\xc3'"]


def test_build_makes_char_tokenizer_by_default(answers, invoke, corpus):
    answers("tokenizer", "build", "corpus.txt", "--out", "built")

    assert tokenizers.load(Path("built")).kind == "char"
    assert invoke("tokenizer", "build", "corpus.txt", "--model-type", "bpe", "--out", "other").exit_code == 2


def test_encode_of_empty_text_is_empty(answers, built):
    assert answers("tokenizer", "encode", "", "--tokenizer", built) == "\n"
    assert json.loads(answers("tokenizer", "encode", "", "--tokenizer", built, "--json")) == []
    assert answers("tokenizer", "decode", "--tokenizer", built, stdin="[]\n") == ""


def test_show_prints_one_id_per_line(answers, built):
    lines = answers("tokenizer", "show", "--tokenizer", built).splitlines()
    content = json.loads(answers("tokenizer", "show", "--tokenizer", built, "--json"))

    assert lines[0].split(maxsplit=1) == ["0", "(document boundary)"]
    assert [int(line.split()[0]) for line in lines] == list(range(content["vocab_size"]))
    assert content.keys() == {"kind", "normalization", "vocab_size", "fingerprint", "unknown_id", "pieces"}
    assert len(content["pieces"]) == content["vocab_size"]
    assert content["fingerprint"] == tokenizers.load(Path(built)).fingerprint
    if content["unknown_id"] is not None:
        assert lines[content["unknown_id"]].endswith("(unknown)")


def test_show_escapes_control_characters(answers, in_tmp):
    Path("text.txt").write_text("[/x][bold]\x1b[31m:smile:\n", "utf-8")
    answers("tokenizer", "build", "text.txt", "--tokenizer", "char", "--out", "built")

    shown = answers("tokenizer", "show", "--tokenizer", "built", terminal=80)

    assert "'['" in shown
    assert "'\\x1b'" in shown
    assert "\x1b[31m" not in shown


def test_tokenizer_of_newest_run_is_the_default(answers, refuses, run):
    ids = answers("tokenizer", "encode", TEXT)

    assert answers("tokenizer", "encode", TEXT, "--run", run) == ids
    assert answers("tokenizer", "decode", *ids.split(), "--run", run) == TEXT
    assert answers("tokenizer", "show").startswith("      0  (document boundary)\n")
    refuses(2, "tokenizer", "show", "--run", run, "--tokenizer", run / "tokenizer", words=("--tokenizer", "--run"))


def test_build_notes_kind_and_fingerprint(invoke, corpus):
    result = invoke("tokenizer", "build", "corpus.txt", "--tokenizer", "char", "--out", "built")

    assert result.stdout == ""
    assert result.stderr.startswith("note: built: char, ")
    assert tokenizers.load(Path("built")).fingerprint[:12] in result.stderr
    quiet = invoke("tokenizer", "build", "corpus.txt", "--tokenizer", "char", "--out", "quiet", "--quiet")
    assert quiet.output == ""


def test_build_reads_several_texts(answers, corpus):
    Path("korean.txt").write_text("왕", "utf-8")

    answers("tokenizer", "build", "corpus.txt", "korean.txt", "--tokenizer", "char", "--out", "built")

    assert "왕" in json.loads(answers("tokenizer", "show", "--tokenizer", "built", "--json"))["pieces"]


@pytest.mark.parametrize("name", ["built", "corpus.txt"])
def test_build_refuses_existing_out(refuses, char, corpus, name):
    before = sorted(Path.cwd().rglob("*"))

    refuses(1, "tokenizer", "build", "corpus.txt", "--tokenizer", "byte", "--out", name, words=(name, "--out"))

    assert sorted(Path.cwd().rglob("*")) == before
    assert tokenizers.load(Path(char)).kind == "char"


def test_build_refuses_impossible_settings_and_texts(refuses, corpus):
    build = ("tokenizer", "build", "corpus.txt", "--out", "built")
    Path("empty.txt").touch()

    refuses(2, *build, "--tokenizer", "char", "--vocab-size", 50, words=("--vocab-size: ",))
    refuses(2, *build, "--tokenizer", "bpe", "--vocab-size", 1, words=("--vocab-size: ",))
    refuses(2, *build, "--tokenizer", "bpe", "--character-coverage", 2, words=("--character-coverage: ",))
    refuses(1, "tokenizer", "build", "gone.txt", "--out", "built", words=("gone.txt",))
    refuses(1, "tokenizer", "build", "empty.txt", "--out", "built", words=("empty.txt",))
    refuses(1, "tokenizer", "build", "corpus.txt", "gone.txt", "--out", "built", words=("gone.txt",))
    refuses(4, *build[:-1], "corpus.txt/built", "--tokenizer", "char", words=("corpus.txt/built",))

    assert not Path("built").exists()


def test_build_refuses_unwritable_out_before_reading_text(refuses, corpus):
    refuses(4, "tokenizer", "build", "gone.txt", "--out", "corpus.txt/built/deep", words=("corpus.txt", "--out"))


@pytest.mark.parametrize("word", ["999", "-1", "1.5", "king", "٣٣٣", "9" * 5000])
def test_decode_refuses_invalid_id(refuses, char, word):
    sentence = refuses(1, "tokenizer", "decode", "--tokenizer", char, stdin=f"3 {word}", words=("0 to",))

    assert len(sentence) < 200


def test_decode_refuses_invalid_utf8(refuses, char):
    refuses(1, "tokenizer", "decode", "--tokenizer", char, stdin=b"3 \xff", words=("0 to",))


def test_decode_escapes_control_characters_on_terminal_only(answers, in_tmp):
    Path("text.txt").write_text("\x1b[31m", "utf-8")
    answers("tokenizer", "build", "text.txt", "--tokenizer", "byte", "--out", "built")
    ids = answers("tokenizer", "encode", "\x1b[31m", "--tokenizer", "built").split()

    assert answers("tokenizer", "decode", *ids, "--tokenizer", "built") == "\x1b[31m"
    assert answers("tokenizer", "decode", *ids, "--tokenizer", "built", terminal=80) == "\\x1b[31m\n"


def test_missing_or_damaged_tokenizer_is_refused(refuses, char, corpus):
    refuses(1, "tokenizer", "show", "--tokenizer", "nowhere", words=("nowhere",))
    refuses(1, "tokenizer", "show", "--tokenizer", corpus, words=("corpus.txt",))
    Path(char, "tokenizer.json").write_text("{", "utf-8")
    refuses(1, "tokenizer", "show", "--tokenizer", char, words=("built", "tokenizer.json"))
    refuses(1, "tokenizer", "show", words=("seqgen train",))


def test_build_notes_replaced_bytes(invoke, in_tmp):
    Path("some.txt").write_bytes(b"some \xff text\n" * 40)

    result = invoke("tokenizer", "build", "some.txt", "--tokenizer", "char", "--errors", "replace", "--out", "built")

    assert re.search(r"40 .*some\.txt .*U\+FFFD", result.stderr)


@pytest.mark.parametrize(("task", "letters"), [("translate", "abxy"), ("classify", "ab")])
def test_tokenizer_of_pairs_has_the_characters_of_both_sides_or_of_documents(answers, in_tmp, task, letters):
    Path("pairs.tsv").write_text("ab\txy\n" * 3, "utf-8")

    answers("tokenizer", "build", "pairs.tsv", "--tokenizer", "char", "--task", task, "--out", "built")

    assert {letter for letter in "abxy\t\n" if not tokenizers.load(Path("built")).unknown(letter)} == set(letters)


def test_tokenizer_of_parallel_files_has_the_characters_of_both(answers, in_tmp):
    for name in ("ab.en", "xy.de"):
        Path(name).write_text(f"{name[:2]}\n", "utf-8")

    answers("tokenizer", "build", "ab.en", "xy.de", "--tokenizer", "char", "--task", "translate", "--out", "built")

    assert not tokenizers.load(Path("built")).unknown("abxy")

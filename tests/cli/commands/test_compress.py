"""`seqgen compress` and `decompress`: the file comes back, in the bits that `seqgen eval` says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import seqgen
from seqgen.utils.text import plural

TEXT = b"A child paints the moon.\r\n\xea\xb0\x80 No one\tforgets\n"


@pytest.fixture
def letter(in_tmp):
    Path("letter.txt").write_bytes(TEXT)
    return "letter.txt"


def test_a_file_comes_back_under_its_own_name(invoke, answers, run, letter):
    packed = invoke("compress", letter)
    size = Path("letter.txt.seqgen").stat().st_size
    Path(letter).unlink()
    unpacked = invoke("decompress", "letter.txt.seqgen")

    assert (packed.exit_code, packed.stdout, unpacked.exit_code, unpacked.stdout) == (0, "", 0, "")
    assert Path(letter).read_bytes() == TEXT
    for line in (packed.stderr, unpacked.stderr):
        assert f"{len(TEXT)} bytes in {size}" in line
        assert f"{8 * size / len(TEXT):.4f} bits per byte" in line
    assert sorted(path.name for path in Path().glob("letter*")) == ["letter.txt", "letter.txt.seqgen"]


def test_compressed_size_matches_sequential_evaluation(answers, run, corpus):
    scored = json.loads(answers("eval", "corpus.txt", "--sequential", "--json"))
    packed = json.loads(answers("compress", "corpus.txt", "--json"))

    expected = scored["bits_per_byte"] * scored["bytes"] / 8
    assert 0 < packed["compressed_bytes"] - expected < 0.001 * expected + 64
    assert packed["compressed_bytes"] == Path("corpus.txt.seqgen").stat().st_size
    assert packed["bits_per_byte"] == 8 * packed["compressed_bytes"] / packed["bytes"]
    assert packed["xz_bits_per_byte"] == scored["xz_bits_per_byte"]
    assert packed["megabytes_per_second"] == pytest.approx(packed["bytes"] / 1e6 / packed["seconds"])
    assert (packed["file"], packed["out"], packed["run"]) == ("corpus.txt", "corpus.txt.seqgen", str(run))


@pytest.mark.slow
def test_lines_are_documents_where_the_run_models_their_ends(answers, in_tmp, corpus):
    small = ("--hidden-size", "16", "--max-steps", "2", "--quiet")
    answers("train", "corpus.txt", "--documents", "line", "--cell", "gru", *small)

    scored = json.loads(answers("eval", "corpus.txt", "--sequential", "--json"))
    packed = json.loads(answers("compress", "corpus.txt", "--json"))
    answers("decompress", "corpus.txt.seqgen", "--out", "again.txt", "--quiet")

    expected = scored["bits_per_byte"] * scored["bytes"] / 8
    assert scored["ends"] > 100
    assert 0 < packed["compressed_bytes"] - expected < 0.001 * expected + 64
    assert Path("again.txt").read_bytes() == corpus.read_bytes()


@pytest.mark.slow
def test_a_run_of_bytes_compresses_any_file(answers, in_tmp):
    content = bytes(range(256)) * 20
    Path("song.mid").write_bytes(content)
    answers("train", "song.mid", "--encoding", "bytes", "--hidden-size", "8", "--max-steps", "1", "--quiet")

    answers("compress", "song.mid", "--out", "a", "--quiet")
    answers("decompress", "a", "-o", "b", "--quiet")

    assert Path("b").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"x", TEXT])
def test_pipes_carry_bytes(invoke, run, content):
    packed = invoke("compress", "-", "--quiet", stdin=content)
    unpacked = invoke("decompress", "-", stdin=packed.stdout_bytes)

    assert (packed.exit_code, unpacked.exit_code) == (0, 0)
    assert unpacked.stdout_bytes == content
    assert packed.stderr == ""
    assert f"{plural(len(content), 'byte')} in {len(packed.stdout_bytes)}" in unpacked.stderr


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [["--dynamic"], ["--dynamic", "weights"]])
def test_dynamic_compression_takes_the_bits_of_dynamic_evaluation(answers, run, corpus, dynamic):
    part = Path("part.txt")
    part.write_bytes(corpus.read_bytes()[:2_000])

    scored = json.loads(answers("eval", part, "--json", "--quiet", *dynamic))["dynamic"]
    packed = json.loads(answers("compress", part, "--json", *dynamic))
    static = json.loads(answers("compress", part, "--json", "-o", "static"))
    answers("decompress", "part.txt.seqgen", "-o", "again.txt", "--quiet")

    expected = scored["bits_per_byte"] * packed["bytes"] / 8
    assert 0 < packed["compressed_bytes"] - expected < 0.001 * expected + 64
    assert packed["compressed_bytes"] < static["compressed_bytes"]
    assert (packed["dynamic"], static["dynamic"]) == (scored["what"], None)
    assert Path("again.txt").read_bytes() == part.read_bytes()


def test_dynamic_ngram_of_a_neural_run_is_refused(refuses, run, letter):
    refuses(2, "compress", letter, "--dynamic", "ngram", words=("--dynamic", "gru"))


def test_figures_of_an_empty_file_are_unknown(answers, run):
    Path("empty.txt").touch()

    figures = json.loads(answers("compress", "empty.txt", "--json"))

    assert (figures["bytes"], figures["bits_per_byte"], figures["xz_bits_per_byte"]) == (0, None, None)


def test_unwritable_output_is_refused_before_reading(refuses, run, letter):
    refuses(1, "compress", "missing.txt", "-o", letter, words=(letter, "--out"))
    refuses(4, "compress", letter, "-o", "nowhere/a", words=("nowhere", "--out"))
    refuses(2, "compress", letter, "-o", "-", "--json", words=("--json", "--out"))
    refuses(2, "decompress", letter, words=(letter, "--out", ".seqgen"))
    refuses(1, "decompress", "a.seqgen", "-o", letter, words=(letter, "--out"))
    assert Path(letter).read_bytes() == TEXT


def test_unreadable_input_is_refused(refuses, run, letter):
    Path("broken.txt").write_bytes(b"ab\xff")

    refuses(1, "compress", "missing.txt", words=("missing.txt",))
    refuses(1, "compress", "runs", words=("runs",))
    refuses(1, "compress", "broken.txt", words=("broken.txt", "byte 2", "--encoding bytes"))
    refuses(1, "decompress", letter, "-o", "a", words=(letter,))
    assert not [*Path().glob("*.seqgen"), *Path().glob("a")]


def test_a_compressed_file_is_not_written_to_a_terminal(invoke, run, letter):
    result = invoke("compress", letter, "-o", "-", terminal=80)

    assert result.exit_code == 2
    assert "terminal" in result.output


def test_a_terminal_shows_the_text_with_its_control_characters_escaped(invoke, run):
    packed = invoke("compress", "-", "--quiet", stdin=b"a\x1b[2J\n").stdout_bytes

    assert "a\\x1b[2J\n" in invoke("decompress", "-", "--quiet", stdin=packed, terminal=80).stdout


def test_damage_and_another_run_write_nothing(answers, refuses, run, letter, corpus):
    answers("compress", letter, "--quiet")
    packed = Path("letter.txt.seqgen")
    content = packed.read_bytes()
    Path(letter).unlink()
    seqgen.train("corpus.txt", out="other", hidden_size=8, max_steps=1, cell="gru").run()

    refuses(1, "decompress", packed, "--run", "other", words=("letter.txt.seqgen", "another run"))
    packed.write_bytes(content[:-1])
    refuses(1, "decompress", packed, words=("letter.txt.seqgen", "damaged"))
    assert not Path(letter).exists()


@pytest.mark.parametrize(
    "size", [pytest.param(9_000, marks=pytest.mark.slow), pytest.param(1_000_000, marks=pytest.mark.campaign)]
)
def test_another_process_restores_the_file(answers, run, corpus, size):
    content = (corpus.read_bytes() * (1 + size // corpus.stat().st_size))[:size]
    Path("long.txt").write_bytes(content)
    answers("compress", "long.txt", "--quiet")

    command = [sys.executable, "-m", "seqgen", "decompress", "long.txt.seqgen", "-o", "again.txt", "--quiet"]
    subprocess.run(command, check=True, timeout=3_000)

    assert Path("again.txt").read_bytes() == content

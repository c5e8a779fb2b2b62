"""Words with vectors, and word2vec's text format."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.embeddings.vectors import MAX_LINE_BYTES, WordVectors, read_text, write_text
from seqgen.errors import SaveError, TextError


def test_text_format_returns_what_was_written(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)

    write_text(tmp_path / "v.txt", WordVectors(["고양이", "don't", "a"], vectors))
    read = read_text(tmp_path / "v.txt")

    assert (tmp_path / "v.txt").read_text("utf-8").startswith("3 5\n고양이 ")
    assert (read.words, read.index["a"], read.size, len(read)) == (["고양이", "don't", "a"], 2, 5, 3)
    np.testing.assert_array_equal(read.vectors, vectors)


@pytest.mark.parametrize(
    "content",
    [
        b"2 2\ncat 1 -0.5 \ndog 2 3e-1 \n",
        b"\xef\xbb\xbf2 2\ncat 1 -0.5\ndog 2 .3\n",
        b"cat 1 -0.5\r\ndog 2 .3",
        b"cat\t1\t-.5\ndog\t2\t.3\n",
    ],
)
def test_read_text_accepts_word2vec_glove_and_tabs(tmp_path, content):
    (tmp_path / "v.txt").write_bytes(content)

    read = read_text(tmp_path / "v.txt")

    assert read.words == ["cat", "dog"]
    np.testing.assert_array_equal(read.vectors, np.array([[1, -0.5], [2, 0.3]], np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1 2\ndog 3\n", "line 2 .* 2 numbers .*line 1"),
        (b"cat 1 2\ndog 3 4 5\n", "line 2 .* 2 numbers .* 4 fields"),
        (b"cat 1 2\nblack 9 dog 3 4\n", "line 2 .* 2 numbers"),
        (b"cat 1 2\ndog  3 4\n", "line 2 .* 2 numbers"),
        (b"a b c d 5 6 7\n", "line 1 .*'b' is not a number"),
        (b"9 6\na b c d 5\n", "line 2 .* 6 numbers"),
        (b"cat 1\ndog\n", "line 2 .* 1 number .* 1 field;"),
        (b"1 2\ncat 1 2 3\n", "line 2 .* 2 numbers"),
        (b"cat 1 2\ndog 3 x\n", "line 2 .*'x' is not a number"),
        (b"cat 1 2\ndog 3 nan\n", "line 2 contains NaN"),
        (b"cat 1 2\ndog 3 1e39\n", "line 2 contains NaN or infinity"),
        (b"2 1\ncat 1\ncat 2\ndog 3\n", "line 1 says 2 words, but 3 "),
        (b"cat 1\ndog 1\ncat 2 3\n", "line 3 .* 1 number"),
        (b"3 1\ncat 1\ndog 2\n", "line 1 says 3 words, but 2 .*cut off"),
        (b"1 1\ncat 1\ndog 2\n", "line 1 says 1 word, but 2 .*correct line 1"),
        (b"cat 1\n\ndog 2\n", "line 2 "),
        (b"ca\xff 1 2\n", "line 1 is not valid UTF-8"),
        (b"", "no words"),
        (b"0 5\n", "no words"),
        (b"cat" + b" 1" * MAX_LINE_BYTES, "line 1 has more than"),
    ],
)  # fmt: skip
def test_read_text_names_the_line_of_a_damaged_file(tmp_path, content, message):
    (tmp_path / "v.txt").write_bytes(content)

    with pytest.raises(TextError, match=message):
        read_text(tmp_path / "v.txt")


@pytest.mark.parametrize("header", [b"", b"5 2\n"])
def test_read_text_keeps_the_first_line_of_each_word_and_notes_how_many_are_left_out(tmp_path, header):
    notes = []
    (tmp_path / "v.txt").write_bytes(header + b"cat 1 2\ndog 3 4\ncat 5 6\ndog 3 4\ncow 7 8\n")

    read = read_text(tmp_path / "v.txt", notes.append)

    assert read.words == ["cat", "dog", "cow"]
    np.testing.assert_array_equal(read.vectors, np.array([[1, 2], [3, 4], [7, 8]], np.float32))
    assert notes == [f"2 lines of {tmp_path / 'v.txt'} are left out, because their words are in earlier lines"]


def test_read_text_accepts_words_with_spaces_after_the_first_line(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"cat 1 2\n. . . 3 4\nat name@domain.com 5 6\n")

    assert read_text(tmp_path / "v.txt").words == ["cat", ". . .", "at name@domain.com"]


def test_read_text_refuses_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(TextError, match=str(path)):
            read_text(path)


@pytest.mark.parametrize("word", ["New York", "", "a\n", "\u3000"])
def test_write_text_refuses_words_with_white_space(tmp_path, word):
    with pytest.raises(SaveError, match=str(tmp_path / "v.txt")):
        write_text(tmp_path / "v.txt", WordVectors([word], np.zeros((1, 2), np.float32)))

    assert not list(tmp_path.iterdir())


def test_word_vectors_need_a_vector_for_every_word():
    with pytest.raises(ValueError, match="2 words"):
        WordVectors(["a", "b"], np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="1 words"):
        WordVectors(["a"], np.zeros((1, 2), np.float32), counts=[1, 2])

"""Token healing."""

from __future__ import annotations

from seqgen.tokenizers.word import WordTokenizer

from .running import texts_of

PIECES = WordTokenizer([" ", "  ", "a", "b", " a", " ab", "\n"])  # like those of a subword tokenizer
A, B, SPACED_A, SPACED_AB = (PIECES.id_to_bytes.index(piece) for piece in (b"a", b"b", b" a", b" ab"))


def test_healing_joins_a_final_space_with_the_next_piece(scripted):
    model = scripted([A, SPACED_AB, A], PIECES.vocab_size)

    assert texts_of(model, PIECES, "a ", max_new_tokens=2) == ["aba"]  # not what follows a lone space
    assert texts_of(model, PIECES, "a", max_new_tokens=2) == [" aba"]


def test_healing_excludes_pieces_without_the_space(scripted):
    model = scripted([A, B, A], PIECES.vocab_size)

    made = texts_of(model, PIECES, "a ", num_samples=50, max_new_tokens=1)

    assert set(made) <= {"", " ", "a", "ab"}
    assert len(set(made)) > 2


def test_healing_accepts_several_spaces_piece_by_piece(scripted):
    space = PIECES.id_to_bytes.index(b" ")
    model = scripted([A, space, SPACED_A, B], PIECES.vocab_size)

    assert texts_of(model, PIECES, "a  ", max_new_tokens=3) == ["ab"]


def test_healing_matches_stops_only_in_new_text(scripted):
    model = scripted([A, SPACED_AB, A], PIECES.vocab_size)

    assert texts_of(model, PIECES, "a ", max_new_tokens=2, stop=(" a",)) == ["aba"]
    assert texts_of(model, PIECES, "a ", max_new_tokens=2, stop=("b",)) == ["a"]


def test_healing_keeps_the_space_where_no_piece_begins_with_one(scripted, tokenizer):
    model = scripted([*tokenizer.encode("a b").tolist(), 4, 4], tokenizer.vocab_size)

    assert texts_of(model, tokenizer, "a ", max_new_tokens=1) == ["b"]

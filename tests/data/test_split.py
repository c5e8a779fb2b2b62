from __future__ import annotations

import tempfile
from collections import Counter
from itertools import chain, zip_longest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.cache.cached_text import CachedText
from seqgen.data.cache.write_text import write_text
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.data.split import BLOCKS, MAX_CHARACTERS, MAX_PAIRS, MIN_CHARACTERS, Split, share_notice, split_text
from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import Reading

from .caching import cache_text


def distinct_text(length: int, line_lengths: tuple[int, ...] = ()) -> str:
    """Characters that all differ, but for the newlines that end lines of these lengths, again and again."""
    characters = [chr(0x10000 + place) for place in range(length)]
    place = -1
    for turn in range(length if line_lengths else 0):
        place += line_lengths[turn % len(line_lengths)]
        if place >= length:
            break
        characters[place] = "\n"
    return "".join(characters)


class Texts:
    """The parts of a text as strings."""

    def __init__(self, split: Split) -> None:
        self.train, self.valid = split.train.documents(), split.valid.documents()


def cut(*documents: str, **settings) -> Texts:
    with tempfile.TemporaryDirectory() as folder:
        return Texts(split_text(cache_text(Path(folder), *documents), DataConfig(**settings)))


def in_order(split: Texts) -> str:
    """The parts put together again, training parts first."""
    return "".join(chain.from_iterable(zip_longest(split.train, split.valid, fillvalue="")))


def test_default_split_withholds_twenty_even_blocks_of_five_percent():
    text = distinct_text(100_000)  # no newline: cut where the arithmetic says

    split = cut(text)

    assert [len(part) for part in split.valid] == [250] * 20
    # The first block begins half a block before the middle of the first twentieth.
    assert [len(part) for part in split.train] == [2_500 - 125, *[4_750] * 19, 2_500 - 125]
    assert in_order(split) == text


def test_blocks_begin_and_end_at_line_starts_where_lines_are_short():
    text = distinct_text(100_000, (7, 13, 2))

    split = cut(text)

    assert len(split.valid) == 20
    assert all(part.endswith("\n") for part in (*split.valid, *split.train[:-1]))
    assert all(237 <= len(part) <= 263 for part in split.valid)  # a cut moves by less than a line
    assert in_order(split) == text


def test_cut_at_a_line_start_stays():
    text = distinct_text(100_000, (125,))  # 2,375 and 2,625 are multiples of 125

    split = cut(text)

    assert [len(part) for part in split.valid] == [250] * 20
    assert len(split.train[0]) == 2_375


@pytest.mark.parametrize(("line_start", "place"), [(2_375, 2_375), (2_376, 2_376), (2_500, 2_500), (2_501, 2_375)])
def test_cut_moves_to_a_line_start_within_half_a_block(line_start, place):
    text = "a" * (line_start - 1) + "\n" + "a" * (100_000 - line_start)

    assert len(cut(text).train[0]) == place


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_parts_begin_and_end_at_lines_of_every_kind(newline):
    text = distinct_text(100_000, (7, 13, 2)).replace("\n", newline)

    split = cut(text)

    parts = (*split.valid, *split.train[:-1])
    assert len(parts) == 40
    assert all(part.endswith(newline) and not part.startswith("\n") for part in parts)
    assert in_order(split) == text


@pytest.mark.parametrize(
    ("carriage_return", "place"), [(2_373, 2_375), (2_374, 2_376), (2_400, 2_402), (2_499, 2_501), (2_500, 2_375)]
)
def test_cut_is_never_within_a_crlf(carriage_return, place):
    text = "a" * carriage_return + "\r\n" + "a" * (100_000 - 2 - carriage_return)

    assert len(cut(text).train[0]) == place


def test_short_text_has_fewer_blocks_of_sufficient_length():
    split = cut(distinct_text(9_000))  # 450 to withhold

    assert [len(part) for part in split.valid] == [225, 225]
    assert [len(part) for part in split.train] == [2138, 4275, 2137]


def test_tail_starts_at_a_line():
    text = distinct_text(10_000, (30,))

    split = cut(text, valid_split="tail")

    assert split.train == (text[:9510],)  # 9,500 is inside a line that ends at 9,510
    assert split.valid == (text[9510:],)


@pytest.mark.parametrize("settings", [{"valid_split": "none"}, {"valid": "valid.txt"}])
def test_split_none_withholds_nothing(settings):
    split = cut("short", **settings)

    assert (split.train, split.valid) == (("short",), ())


@pytest.mark.parametrize("valid_split", ["blocks", "tail"])
def test_short_text_is_refused_with_the_numbers_and_options(valid_split):
    with pytest.raises(TextError) as refusal:
        cut("x" * 3_980, valid_split=valid_split, valid_share=0.05)
    with pytest.raises(TextError, match="5% of 999 characters is 50, too few"):
        cut("x" * 999, valid_split=valid_split)

    message = str(refusal.value)
    assert "5% of 3,980 characters is 199, too few to validate on (at least 200)" in message
    assert "--valid-split none" in message
    assert "--valid FILE" in message


def test_refusal_names_fractional_shares():
    with pytest.raises(TextError, match=r"^0\.5% of 10,000 characters is 50,"):
        cut("x" * 10_000, valid_share=0.005)


@pytest.mark.parametrize("valid_split", ["blocks", "tail"])
@pytest.mark.parametrize("length", [1_000, 3_980, 4_000])
def test_short_text_withholds_the_minimum_unless_a_share_is_given(length, valid_split):
    assert [len(part) for part in cut("x" * length, valid_split=valid_split).valid] == [MIN_CHARACTERS]


@settings(max_examples=60)
@given(
    length=st.integers(4_000, 19_000),
    line_lengths=st.lists(st.integers(1, 3_000) | st.integers(1, 40), max_size=4).map(tuple),
    valid_split=st.sampled_from(["blocks", "tail"]),
    share=st.floats(0.05, 0.499),
)
def test_parts_contain_each_character_once(length, line_lengths, valid_split, share):
    text = distinct_text(length, line_lengths)

    split = cut(text, valid_split=valid_split, valid_share=share)

    assert in_order(split) == text
    assert all((*split.train, *split.valid))
    withheld = round(length * share)
    blocks = 1 if valid_split == "tail" else min(BLOCKS, withheld // MIN_CHARACTERS)
    assert len(split.valid) == blocks
    assert all(withheld // blocks // 2 <= len(part) <= withheld // blocks * 1.5 + 1 for part in split.valid)


def test_no_part_reaches_from_one_document_into_the_next():
    documents = [chr(0x4E00 + number) * (number + 1) for number in range(120)]

    split = cut(*documents)

    assert {part[0] * len(part) for part in (*split.train, *split.valid)} == {*split.train, *split.valid}
    assert sum(map(len, (*split.train, *split.valid))) == sum(map(len, documents))


def test_cut_moves_to_the_start_of_a_document():
    documents = ["a" * 37 for _ in range(300)]

    split = cut(*documents)

    assert {len(part) for part in (*split.train, *split.valid)} == {37}


@pytest.mark.parametrize("valid_split", ["document", "file"])
def test_a_document_or_file_of_each_group_is_withheld(valid_split):
    documents = [f"document {number:03}" * 4 for number in range(100)]

    split = cut(*documents, valid_split=valid_split)

    assert split.valid == tuple(documents[number] for number in (16, 35, 48, 65, 90))
    assert split.train == tuple(document for document in documents if document not in split.valid)


def test_adjacent_documents_can_be_withheld():
    split = cut("a", "c", "b" * 200, valid_split="document", valid_share=0.49)

    assert (split.train, split.valid) == (("a", "c"), ("b" * 200,))


@pytest.mark.parametrize("valid_split", ["document", "file"])
def test_short_withheld_documents_are_refused_with_their_length(valid_split):
    with pytest.raises(TextError, match=rf"the {valid_split}s withheld have 199 characters, .*\(at least 200\)"):
        cut(*["왕" * 99] * 16, "왕" * 100, *["왕" * 99] * 23, valid_split=valid_split)


def test_single_document_cannot_be_withheld():
    with pytest.raises(TextError, match="there is 1 document, so none can be withheld whole"):
        cut("a" * 9_000, valid_split="document")

    assert len(cut("a" * 9_000, "b" * 9_000, valid_split="document").valid) == 1


def test_long_text_withholds_the_maximum_unless_a_share_is_given(monkeypatch):
    monkeypatch.setattr("seqgen.data.split.MAX_CHARACTERS", 4_000)

    assert MAX_CHARACTERS == 1_000_000
    assert sum(map(len, cut("a" * 100_000).valid)) == 4_000
    assert sum(map(len, cut("a" * 100_000, valid_share=0.05).valid)) == 5_000


@pytest.mark.parametrize(
    ("withheld", "rule", "settings", "expected"),
    [
        (
            90,
            "file",
            {"valid_split": "file"},
            "90% of the text is withheld, not 5%: files are withheld whole, however long",
        ),
        (90, "document", {"valid_split": "document", "valid_share": 0.3}, "90% of the text is withheld, not 30%: doc"),
        (90, "document", {}, "90% of the text is withheld, not 5%: documents are withheld whole"),
        (2, "file", {"valid_split": "file"}, "2% of the text is withheld, not 5%"),
        (19, "blocks", {}, "19% of the text is withheld, not 5%: less than 200 characters would say nothing"),
        (10, "file", {"valid_split": "file"}, None),
        (2.5, "file", {"valid_split": "file"}, None),
        (1, "blocks", {}, None),  # of a long text
        (1, "document", {}, None),
        (90, "none", {"valid": "b.txt"}, None),
        (0, "none", {"valid_split": "none"}, None),
    ],
)
def test_share_notice_if_far_from_the_wanted_share(withheld, rule, settings, expected):
    notice = share_notice(DataConfig(**settings), rule, int(withheld * 1_000), 100_000)

    assert notice is expected or notice.startswith(expected)


def test_share_notice_of_documents_of_a_short_text_names_the_minimum():
    notice = share_notice(DataConfig(), "document", 240, 1_000)

    assert notice.startswith(f"24% of the text is withheld, not 5%: less than {MIN_CHARACTERS}")


# --- documents with ends


def split_of(*documents: str, **settings) -> Split:
    with tempfile.TemporaryDirectory() as folder:
        split = split_text(cache_text(Path(folder), *documents), DataConfig(**settings))
        split.valid.documents()
        return split


NAMES = [f"name {number:04}" for number in range(1_000)]


def test_auto_withholds_a_document_of_each_group():
    withheld = [NAMES.index(name) for name in cut(*NAMES).valid]

    assert [number // 20 for number in withheld] == list(range(50))
    assert split_of(*NAMES).rule == "document"


@pytest.mark.parametrize("period", [2, 3, 4, 5, 10])
def test_what_alternates_is_withheld_in_equal_parts(period):
    counts = Counter(NAMES.index(name) % period for name in cut(*NAMES).valid)

    assert len(counts) == period
    assert min(counts.values()) >= 20 / period


@pytest.mark.parametrize(
    ("documents", "rule"),
    [
        (["x" * 250] * 19, "blocks"),
        (["x" * 250] * 20, "document"),
        (["x" * 45] * 100, "document"),
        (["y" * 4_000] + ["x"] * 59, "blocks"),  # three short ones are chosen
        (["x" * 250] * 35 + ["y" * 9_000] + ["x" * 250] * 24, "blocks"),  # the long one is chosen
        (["y" * 800 if number in {16, 35, 48} else "x" * 250 for number in range(60)], "blocks"),  # 14%
        (["y" * 9_000] + ["x" * 250] * 59, "document"),
        (["x" * 9_000], "blocks"),
    ],
)
def test_auto_withholds_documents_only_where_there_are_enough(documents, rule):
    assert split_of(*documents, valid_split="auto").rule == rule


@pytest.mark.slow
def test_auto_withholds_more_of_a_short_text_and_less_of_a_long_one(monkeypatch):
    assert sum(map(len, cut(*["x" * 9] * 200).valid)) == 27 * 9
    assert sum(map(len, cut(*NAMES).valid)) == 50 * 9
    monkeypatch.setattr("seqgen.data.split.MAX_CHARACTERS", 270)
    assert sum(map(len, cut(*NAMES).valid)) == 270
    assert sum(map(len, cut(*NAMES, valid_share=0.05).valid)) == 50 * 9


def test_pieces_have_the_end_of_their_document():
    documents = ["a" * 30_000, "b" * 30_000]
    split = split_of(*documents, valid_split="blocks")

    assert not split.ends(split.valid).any()
    assert split.ends(split.train).sum() == 2
    assert split.ends(split.train)[-1]
    whole = split_of("a" * 60_000)
    assert not whole.has_ends
    assert not whole.ends(whole.train).any()


def test_end_bytes_are_those_of_whole_documents(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{'x' * 97}\n\n\n" for _ in range(100)), "utf-8")
    for unit, size in (("line", 1), ("paragraph", 2), ("file", 0)):
        write_text([str(path)], Reading(documents=unit), tmp_path / unit)
        text = CachedText(tmp_path / unit)
        split = split_text(text, DataConfig(valid_split="tail", documents=unit))

        assert split.has_ends is (unit != "file")
        assert text.manifest.end_bytes == size * (100 if size else 0)
        ended = [int(split.ends(span).sum()) for span in (split.train, split.valid)]
        assert [split.end_bytes(span).sum() for span in (split.train, split.valid)] == [size * count for count in ended]
        assert sum(ended) == text.manifest.end_bytes // max(1, size)


def test_one_line_that_is_a_document_has_an_end(tmp_path):
    (tmp_path / "a.txt").write_text("one line only", "utf-8")
    for unit in ("line", "file"):
        write_text([str(tmp_path / "a.txt")], Reading(documents=unit), tmp_path / unit)

    line, file = CachedText(tmp_path / "line").manifest, CachedText(tmp_path / "file").manifest

    assert (line.has_ends, file.has_ends) == (True, False)
    assert line.sha256 != file.sha256


# --- pairs


def pair_lines(number: int) -> str:
    return "".join(f"source {one}\ttarget {one}\n" for one in range(number))


def cut_pairs(number: int, **settings) -> Texts:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pairs.tsv").write_text(pair_lines(number), "utf-8")
        write_text([str(folder / "pairs.tsv")], Reading(task="translate"), folder / "cached")
        return Texts(split_text(CachedText(folder / "cached"), DataConfig(task="translate", **settings)))


@pytest.mark.parametrize(
    ("number", "share", "withheld"),
    [
        (20, None, [16]),
        (60, None, [16, 35, 48]),
        (40, 0.1, [8, 17, 24, 32]),
        (30, 0.4, [1, 4, 5, 7, 11, 13, 16, 17, 20, 23, 26, 28]),
    ],
)
def test_a_whole_pair_of_each_group_is_withheld(number, share, withheld):
    split = cut_pairs(number, valid_share=share)

    assert list(split.valid) == [f"{side} {one}" for one in withheld for side in ("source", "target")]
    rest = [one for one in range(number) if one not in withheld]
    assert list(split.train) == [f"{side} {one}" for one in rest for side in ("source", "target")]


def test_of_many_pairs_no_more_are_withheld_unless_a_share_is_asked_for(monkeypatch):
    monkeypatch.setattr("seqgen.data.split.MAX_PAIRS", 2)

    assert len(cut_pairs(100).valid) == 2 * 2
    assert len(cut_pairs(100, valid_share=0.05).valid) == 2 * 5
    assert MAX_PAIRS == 2_000


def test_too_few_pairs_to_withhold_some_are_refused():
    with pytest.raises(TextError, match="19 pairs"):
        cut_pairs(19)
    assert cut_pairs(19, valid_split="none").valid == ()


@pytest.mark.parametrize("rule", ["blocks", "tail", "file"])
def test_pairs_are_withheld_by_no_other_rule(rule):
    with pytest.raises(ConfigError, match=f"valid_split.*{rule}"):
        cut_pairs(40, valid_split=rule)


def test_pairs_may_be_withheld_as_documents():
    assert cut_pairs(20, valid_split="document").valid == ("source 16", "target 16")


def test_validation_file_of_pairs_may_be_short(tmp_path):
    for name, number in (("train", 5), ("valid", 1)):
        (tmp_path / f"{name}.tsv").write_text(pair_lines(number), "utf-8")

    texts = read_texts(
        DataConfig.of(text=str(tmp_path / "train.tsv"), valid=str(tmp_path / "valid.tsv"), task="translate")
    )

    assert len(texts.split.train.documents()) == 10
    assert texts.split.valid.documents() == ("source 0", "target 0")


def test_share_of_withheld_pairs_is_never_noticed():
    """Validation is measured in characters of targets, which may be few."""
    config = DataConfig(task="translate", valid_split="document")

    assert share_notice(config, "document", 10, 10_000) is None
    assert share_notice(DataConfig(valid_split="document"), "document", 10, 10_000) is not None

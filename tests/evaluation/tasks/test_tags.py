from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.errors import TextError
from seqgen.evaluation.tasks.counts import Counts
from seqgen.evaluation.tasks.tags import find_spans, mark_spans, report_tags


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-X I-X O", [(0, 2, "X")]),
        ("B-X B-X", [(0, 1, "X"), (1, 2, "X")]),
        ("O I-X I-X", [(1, 3, "X")]),
        ("I-X I-Y", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X I-Y I-Y O I-X", [(0, 1, "X"), (1, 3, "Y"), (4, 5, "X")]),
        ("I-X B-X I-X", [(0, 1, "X"), (1, 3, "X")]),
        ("B-NP-SBJ I-NP-SBJ I-NP", [(0, 2, "NP-SBJ"), (2, 3, "NP")]),
    ],
)
def test_find_spans_by_the_rules_of_conlleval(tags, spans):
    assert list(find_spans(tags.split())) == spans


@pytest.mark.parametrize(
    ("tags", "marks"),
    [
        ("O", True),
        ("B-X I-Y O", True),
        ("B-X I-X-Y", True),
        ("B-X N", False),
        ("B-", False),
        ("I", False),
        ("B-X E-X", False),
        ("B-X S-X", False),
        ("BX", False),
    ],
)
def test_mark_spans_knows_bio_tags(tags, marks):
    assert mark_spans(tags.split()) is marks


REFERENCE = ["B-LOC I-LOC O B-PER", "B-PER I-PER O", "O B-LOC B-LOC I-LOC O B-ORG", "I-PER I-PER O"]
OUTPUT = ["B-LOC I-LOC O I-PER", "B-PER B-PER O", "O B-LOC I-LOC I-LOC I-MISC O", "B-PER I-PER O"]


def test_report_has_the_figures_of_conlleval():
    """conlleval.pl prints for these words: 16 tokens with 7 phrases; found: 7 phrases; correct: 3; accuracy 62.50%."""
    report = report_tags([one.split() for one in REFERENCE], [one.split() for one in OUTPUT])

    assert (report.sentences, report.words, report.accuracy) == (4, 16, 0.625)
    assert report.all_spans == Counts(reference=7, output=7, correct=3)
    assert report.spans == {
        "LOC": Counts(3, 2, 1),
        "MISC": Counts(0, 1, 0),
        "ORG": Counts(1, 0, 0),
        "PER": Counts(3, 4, 2),
    }


def _begins(previous, tag):
    """Return whether conlleval begins a span at a tag after another."""
    kinds = previous[0] + tag[0]
    return tag != "O" and (kinds in {"BB", "IB", "OB", "OI"} or previous[2:] != tag[2:])


def _count_spans(references, outputs):
    """Count spans as conlleval does, word by word, with a flag for a span that is correct until now."""
    reference = output = correct = 0
    matching = False
    stream = [pair for one in zip(references, outputs, strict=True) for pair in [*zip(*one, strict=True), ("O", "O")]]
    last = ("O", "O")
    for tags in stream:
        begins = [_begins(*pair) for pair in zip(last, tags, strict=True)]
        ends = [old != "O" and (new == "O" or begin) for old, new, begin in zip(last, tags, begins, strict=True)]
        correct += matching and all(ends)
        matching = matching and not any(ends)
        matching = matching or (all(begins) and tags[0][2:] == tags[1][2:])
        reference += begins[0]
        output += begins[1]
        last = tags
    return Counts(reference, output, correct)


TAGS = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=6), min_size=1, max_size=4)


@given(SENTENCES)
def test_spans_are_counted_as_by_the_word_by_word_rules(sentences):
    references = [[tag for tag, _ in one] for one in sentences]
    outputs = [[tag for _, tag in one] for one in sentences]

    assert report_tags(references, outputs).all_spans == _count_spans(references, outputs)


def test_spans_end_with_their_sentence():
    report = report_tags([["B-X"], ["I-X"]], [["B-X"], ["I-X"]])

    assert report.all_spans == Counts(2, 2, 2)
    assert report_tags([["B-X", "I-X"]], [["B-X", "I-X"]]).all_spans == Counts(1, 1, 1)


def test_other_tags_have_accuracy_and_macro_f1():
    report = report_tags([["N", "V"], ["N", "N"]], [["N", "N"], ["N", "A"]])

    assert report.spans is None
    assert report.all_spans is None
    assert report.accuracy == 0.5
    assert report.macro_f1 == pytest.approx((2 * 2 / (3 + 3) + 0 + 0) / 3)
    assert list(report.tags.items()) == [("A", Counts(0, 1, 0)), ("N", Counts(3, 3, 2)), ("V", Counts(1, 0, 0))]


def test_an_output_that_is_not_bio_makes_the_report_one_of_plain_tags():
    assert report_tags([["O", "B-X"]], [["O", "N"]]).spans is None


def test_report_when_every_tag_is_wrong():
    report = report_tags([["B-X", "O"]], [["O", "B-X"]])

    assert (report.accuracy, report.macro_f1) == (0, 0)
    assert (report.all_spans.precision, report.all_spans.recall, report.all_spans.f1) == (0, 0, 0)


def test_record_is_json():
    bio = json.loads(json.dumps(report_tags([["B-X", "O"]], [["B-X", "B-Y"]]).as_record()))
    plain = json.loads(json.dumps(report_tags([["N"]], [["V"]]).as_record()))

    assert (bio["sentences"], bio["words"], bio["accuracy"]) == (1, 2, 0.5)
    assert bio["spans"]["f1"] == pytest.approx(2 / 3)
    assert bio["types"]["Y"]["output"] == 1
    assert bio["tags"]["O"]["reference"] == 1
    assert bio["macro_f1"] == pytest.approx(1 / 3)
    assert plain["spans"] is None
    assert plain["types"] == {}


@pytest.mark.parametrize("sentences", [[], [[]]])
def test_no_words_are_refused(sentences):
    with pytest.raises(TextError, match="words"):
        report_tags(sentences, sentences)


@pytest.mark.parametrize("outputs", [[["O"]], [["O"], ["O", "O"]], [["O", "O"], []]])
def test_outputs_that_do_not_fit_the_words_are_refused(outputs):
    with pytest.raises(ValueError, match="tag for each word"):
        report_tags([["O"], ["O"]], outputs)

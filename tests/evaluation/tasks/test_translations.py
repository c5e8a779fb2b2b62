from __future__ import annotations

import json
import math
import sys
from collections import Counter

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.tasks.translations import ComparedTranslation, LengthBin, report_translations

RIGHT, WRONG = ("2024-03-01", "2024-03-01"), ("2024-03-01", "2024-03-02")


def _translations(*lengths_and_pairs):
    return [ComparedTranslation(length, reference, output, "stop") for length, (reference, output) in lengths_and_pairs]


def test_report_counts_what_went_wrong():
    translations = [
        ComparedTranslation(4, "one", "one", "stop"),
        ComparedTranslation(4, "one", "one ", "stop"),
        ComparedTranslation(9, "two", "", "stop", source_cut=True),
        ComparedTranslation(9, "two", " \n", "length", source_cut=True),
        ComparedTranslation(9, "two", "two two two", "length", source_cut=True),
    ]

    report = report_translations(translations, sacrebleu=False)

    assert (report.pairs, report.matches, report.exact_match) == (5, 1, 0.2)
    assert (report.empty, report.truncated, report.sources_cut) == (2, 2, 3)
    assert report.chrf is None
    assert report.bleu is None


def test_exact_matches_are_counted_by_source_length_and_bins_without_sources_left_out():
    translations = _translations((1, RIGHT), (2, WRONG), (3, RIGHT), (4, RIGHT), (20, WRONG))

    report = report_translations(translations, sacrebleu=False)

    assert report.by_source_length == (
        LengthBin(1, 2, matches=1, total=2),
        LengthBin(3, 4, matches=2, total=2),
        LengthBin(19, 20, matches=0, total=1),
    )


@pytest.mark.parametrize(
    ("longest", "width"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 5), (30, 5), (51, 10), (101, 20), (201, 50)]
)
def test_bins_are_the_narrowest_round_ones_that_make_at_most_ten(longest, width):
    report = report_translations(_translations(*((n, RIGHT) for n in range(1, longest + 1))), sacrebleu=False)

    first, *_, last = (*report.by_source_length, report.by_source_length[-1])
    assert (first.shortest, first.longest) == (1, width)
    assert len(report.by_source_length) == math.ceil(longest / width) <= 10
    assert last.shortest <= longest <= last.longest
    assert sum(one.total for one in report.by_source_length) == longest


def test_report_without_pairs_is_refused():
    with pytest.raises(TextError, match="pairs"):
        report_translations([])


def test_record_is_json():
    record = json.loads(json.dumps(report_translations(_translations((2, RIGHT), (3, WRONG))).as_record()))

    assert record["exact_match"] == 0.5
    assert record["by_source_length"][1] == {"shortest": 3, "longest": 3, "matches": 0, "total": 1}


def test_without_sacrebleu_the_report_has_exact_match_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)

    report = report_translations(_translations((2, RIGHT)))

    assert (report.exact_match, report.chrf, report.bleu) == (1, None, None)
    with pytest.raises(ConfigError, match=r"sacrebleu.*pip install.*bleu"):
        report_translations(_translations((2, RIGHT)), sacrebleu=True)


OUTPUTS = ["the cat sat on a mat", "there is no dog here", "한국어 문장 하나"]
REFERENCES = ["the cat sat on the mat", "there is a dog in here", "한국어 문장 둘"]


def _ngrams(sequence, order):
    return Counter(tuple(sequence[place : place + order]) for place in range(len(sequence) - order + 1))


def _totals(outputs, references, order):
    """Return the n-grams of the outputs, of the references, and of both, over the whole text."""
    pairs = [(_ngrams(a, order), _ngrams(b, order)) for a, b in zip(outputs, references, strict=True)]
    return [sum(sum(one.values()) for one in found) for found in zip(*[(a, b, a & b) for a, b in pairs], strict=True)]


def _chrf(outputs, references):
    """Return chrF2 by the paper's formula: mean precision and recall of 1- to 6-grams of characters, F with beta 2."""
    outputs, references = (["".join(text.split()) for text in texts] for texts in (outputs, references))
    totals = [_totals(outputs, references, order) for order in range(1, 7)]
    precision = sum(both / output for output, _, both in totals) / 6
    recall = sum(both / reference for _, reference, both in totals) / 6
    return 100 * 5 * precision * recall / (4 * precision + recall)


def _bleu(outputs, references):
    """Return BLEU by the paper's formula: the geometric mean of precisions of 1- to 4-grams, times brevity."""
    outputs, references = ([text.split() for text in texts] for texts in (outputs, references))
    totals = [_totals(outputs, references, order) for order in range(1, 5)]
    (output, reference, _) = totals[0]
    brevity = math.exp(min(0, 1 - reference / output))
    return 100 * brevity * math.exp(sum(math.log(both / found) for found, _, both in totals) / 4)


def test_chrf_and_bleu_follow_the_papers_and_have_a_signature():
    pytest.importorskip("sacrebleu")
    translations = _translations(*((5, pair) for pair in zip(REFERENCES, OUTPUTS, strict=True)))

    report = report_translations(translations, sacrebleu=True)

    assert report.chrf.score == pytest.approx(_chrf(OUTPUTS, REFERENCES), rel=1e-9)
    assert report.bleu.score == pytest.approx(_bleu(OUTPUTS, REFERENCES), rel=1e-9)
    assert "nc:6|nw:0" in report.chrf.signature
    assert "tok:13a" in report.bleu.signature
    assert report.as_record()["chrf"] == {"score": report.chrf.score, "signature": report.chrf.signature}


def test_scores_of_perfect_and_of_empty_outputs_without_a_warning(caplog):
    """sacrebleu warns about texts with many periods after a space unless it is forced."""
    pytest.importorskip("sacrebleu")
    text = "it is what it is ."
    perfect = report_translations(_translations(*[(5, (text, text))] * 120))
    empty = report_translations(_translations((5, (text, ""))))

    assert (perfect.chrf.score, perfect.bleu.score) == (pytest.approx(100), pytest.approx(100))
    assert (empty.chrf.score, empty.bleu.score) == (0, 0)
    assert not caplog.records


def test_bleu_needs_a_reference_of_four_words():
    short, long = (ComparedTranslation(1, reference, "a b c", "stop") for reference in ("a b c", "a b c d"))

    assert report_translations([short]).bleu is None
    assert report_translations([short, long]).bleu is not None

"""Classify paragraphs of Python's documentation by topic, next to a bag of words.

    python benchmarks/classification.py [--time 60s] [--cell lstm]

The texts are the paragraphs of the largest topics of `pydoc_data.topics`; the label is the topic. Every tenth paragraph
is the test part. The bag of words is scikit-learn's TfidfVectorizer (words and pairs of words) and LogisticRegression,
whose C is the best of four on a part of the training paragraphs.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

import seqgen
from seqgen.runs.pairs.labeler import LabelerRun

TOPICS = 12
SHORTEST = 40
"""Characters of a paragraph that is kept."""
Texts = list[tuple[str, str]]


def read_paragraphs() -> tuple[Texts, Texts]:
    """Return training and test paragraphs with their topics; those that occur under two topics are left out."""
    largest = sorted(topics, key=lambda name: len(topics[name]), reverse=True)
    seen: dict[str, str] = {}
    twice = set()
    for name in largest[:TOPICS]:
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            text = " ".join(paragraph.split())
            if len(text) >= SHORTEST:
                twice |= {text} if seen.setdefault(text, name) != name else set()
    kept = [(text, name) for text, name in seen.items() if text not in twice]
    return [one for place, one in enumerate(kept) if place % 10], kept[::10]


def fit_bag_of_words(train: Texts, test: Texts) -> tuple[float, float]:
    """Return accuracy and macro-F1 of logistic regression on words and pairs of words."""

    def fitted(texts: Texts, strength: float) -> object:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=strength, max_iter=2000)
        )
        return model.fit(*zip(*texts, strict=True))

    inner, held = [one for place, one in enumerate(train) if place % 10], train[::10]
    best = max((1.0, 10.0, 100.0, 1000.0), key=lambda strength: fitted(inner, strength).score(*zip(*held, strict=True)))  # type: ignore[attr-defined]
    texts, labels = zip(*test, strict=True)
    found = fitted(train, best).predict(texts)  # type: ignore[attr-defined]
    return float((found == list(labels)).mean()), float(f1_score(labels, found, average="macro"))


def main() -> None:
    """Train both, and print accuracy and macro-F1."""
    parser = argparse.ArgumentParser(prog="python benchmarks/classification.py", description=__doc__)
    parser.add_argument("--time", default="60s")
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("settings", nargs="*", help="name=value")
    given = parser.parse_args()
    train, test = read_paragraphs()
    print(f"{len(train):,} paragraphs to train on, {len(test):,} to test, {TOPICS} topics", flush=True)
    begun = time.perf_counter()
    accuracy, macro = fit_bag_of_words(train, test)
    print(
        f"bag of words: accuracy {accuracy:.4f}, macro-F1 {macro:.4f}, {time.perf_counter() - begun:.0f} s", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, texts in (("train", train), ("test", test)):
            Path(folder, f"{name}.tsv").write_text("".join(f"{text}\t{topic}\n" for text, topic in texts), "utf-8")
        settings = dict(one.split("=") for one in given.settings)
        out = Path(folder, "run")
        seqgen.train(
            f"{folder}/train.tsv", out=out, task="classify", cell=given.cell, max_time=given.time, **settings
        ).run()
        report = seqgen.load(out).expect(LabelerRun).evaluate_pairs(f"{folder}/test.tsv")
    print(f"{given.cell}: accuracy {report.accuracy:.4f}, macro-F1 {report.macro_f1:.4f}, {given.time}")


if __name__ == "__main__":
    main()

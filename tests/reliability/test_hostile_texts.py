"""Any prompt or text works or raises a SeqgenError, in bounded time and memory."""

from __future__ import annotations

import functools
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqgen
from seqgen import tokenizers
from seqgen.sources.config import Reading
from seqgen.sources.decoding import read_text
from seqgen.sources.source import load_documents
from seqgen.utils.text import without_surrogates

from ..small_runs import PAIRS as SMALL_PAIRS
from ..small_runs import TRANSLATE_RUNS
from .damage import (
    examples,
)

PROMPTS = st.text(st.characters(exclude_categories=()), max_size=80)
"""Any code points, including lone surrogates."""


@examples(25, 3_000)
@given(prompt=PROMPTS, stop=st.lists(PROMPTS.filter(bool), max_size=2))
def test_any_prompt_can_be_continued(specimen, subword_specimen, attempt, prompt, stop):
    for run in loaded(specimen), loaded(subword_specimen):
        written = []
        refusals = attempt(
            lambda run=run, written=written: written.append(run.generate(prompt, max_new_tokens=4, stop=stop)),
            lambda run=run, written=written: written.extend(run.samples(prompt, num_samples=2, max_new_tokens=4)),
        )
        assert refusals == []
        assert all(text.encode() or text == "" for text in written)


@functools.cache
def loaded(specimen):
    return seqgen.load(specimen.run)


ENCODINGS = [
    "utf-8",
    "utf-16",
    "utf-7",
    "utf-32",
    "latin-1",
    "cp949",
    "ascii",
    "utf-8-sig",
    "shift_jis",
    "idna",
    "punycode",
]
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.tuples(st.text(max_size=100), st.sampled_from(ENCODINGS[:8])).map(
        lambda pair: pair[0].encode(pair[1], "ignore")
    ),
)


@examples(75, 18_000)
@given(content=CONTENTS, encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_are_read_or_refused(attempt, tmp_path, content, encoding):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)

    attempt(lambda: read_text(path, encoding))


@examples(8, 1_000)
@pytest.mark.parametrize("kind", tokenizers.KINDS)
@given(content=CONTENTS, encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_are_trained_on_or_refused(attempt, tmp_path, kind, content, encoding):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    out = tmp_path / "run"
    settings = {"cell": "gru", "hidden_size": 2, "max_steps": 1, "precision": "fp32", "valid_split": "none"}

    def learn():
        run = seqgen.train(path, out=out, tokenizer=kind, encoding=encoding, **settings).run()
        text = read_text(path, encoding)
        assert run.tokenizer.unknown_id is not None or run.tokenizer.decode(
            run.tokenizer.encode(text)
        ) == without_surrogates(text)
        run.evaluate(path, encoding=encoding)

    attempt(learn)
    shutil.rmtree(out, ignore_errors=True)


LINES = st.text(st.sampled_from("ab \t\t\n\r\u00a0\u2028\ufeff\U0001f600"), max_size=60).map(str.encode)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["source", "target"]), PROMPTS | st.integers() | st.none()))
PAIRS = st.one_of(
    CONTENTS, LINES, RECORDS.map(lambda records: "".join(json.dumps(one) + "\n" for one in records).encode())
)
FILES = st.sampled_from(["pairs.tsv", "pairs.jsonl", "pairs.conll"])


@examples(60, 10_000)
@given(
    content=PAIRS,
    name=FILES,
    task=st.sampled_from(["translate", "classify", "tag"]),
    bad=st.sampled_from(["refuse", "skip"]),
    errors=st.sampled_from(["strict", "replace", "ignore"]),
)
def test_any_bytes_are_read_as_whole_pairs_or_refused(attempt, tmp_path, content, name, task, bad, errors):
    path = tmp_path / name
    path.write_bytes(content)

    def read():
        found = load_documents([str(path)], Reading(task=task, on_bad_line=bad, errors=errors))
        assert len(found) % 2 == 0
        assert all(text.strip() for text in found)
        assert all(text.encode() for text in found)
        if task == "tag":
            assert [len(text.split(" ")) for text in found[::2]] == [len(text.split(" ")) for text in found[1::2]]

    attempt(read)


@examples(4, 500)
@given(content=PAIRS, name=FILES)
def test_any_pairs_are_learned_from_or_refused(attempt, tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    out = tmp_path / "run"
    settings = {"task": "translate", "cell": "gru", "hidden_size": 2, "max_steps": 1, "precision": "fp32"}

    def learn():
        run = seqgen.train(path, out=out, valid_split="none", on_bad_line="skip", **settings).run()
        run.evaluate_pairs(path, on_bad_line="skip", max_length=3)

    attempt(learn)
    shutil.rmtree(out, ignore_errors=True)


@examples(15, 1_000)
@given(source=PROMPTS)
def test_any_source_is_translated(translator, attempt, source):
    run = loaded_from(translator)
    written = []

    refusals = attempt(lambda: written.extend(run.translations([source], max_length=4, beam=2, n_best=2)))

    assert refusals == []
    assert all(one.text.encode() or one.text == "" for one in written[0])


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    """A small encoder-decoder, made once."""
    folder = tmp_path_factory.mktemp("translator")
    (folder / "pairs.tsv").write_text(SMALL_PAIRS, "utf-8")
    return seqgen.train(folder / "pairs.tsv", out=folder / "run", **TRANSLATE_RUNS["lstm-translate"]).run().path


@functools.cache
def loaded_from(path):
    return seqgen.load(path)

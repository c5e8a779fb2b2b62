"""Any prompt or text works or raises a SeqgenError, in bounded time and memory."""

from __future__ import annotations

import functools
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqgen
from seqgen import tokenizers
from seqgen.sources.decoding import read_text
from seqgen.utils.text import without_surrogates

from .damage import (
    examples,
)

pytestmark = pytest.mark.usefixtures("_quick")


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

"""ARPA files against the model, by a reader of the format, and by KenLM where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqgen.export.arpa import BEGIN, arpa_lines, bytes_of, words_of
from seqgen.models.ngram.fit import fit_tables
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig

TEXTS = ["a rose is a rose is a rose\n", "100% <s> is\ta rose</s>\u3000is <unk> \x1b\n", "a\n"]


class Arpa:
    """A reader of ARPA files that backs off as the format says."""

    def __init__(self, lines: list[str]) -> None:
        self.logs: dict[tuple[str, ...], float] = {}
        self.weights: dict[tuple[str, ...], float] = {}
        self.sizes: dict[int, int] = {}
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            if line.startswith("ngram "):
                order, size = line.removeprefix("ngram ").split("=")
                self.sizes[int(order)] = int(size)
            elif len(fields) > 1:
                gram = tuple(fields[1].split(" "))
                assert gram not in self.logs
                self.logs[gram] = float(fields[0])
                self.weights[gram] = float(fields[2]) if len(fields) > 2 else 0.0

    def log10(self, context: tuple[str, ...], word: str) -> float:
        """Return log10 p(word | context)."""
        if (*context, word) in self.logs:
            return self.logs[*context, word]
        return self.weights.get(context, 0.0) + self.log10(context[1:], word)


@pytest.fixture(
    params=[(1, True, 1), (3, True, 1), (4, False, 1), (4, True, 2)],
    ids=["unigrams", "order 3 with ends", "order 4", "order 4 without n-grams that occur once"],
)
def model(request):
    order, ends, min_count = request.param
    tokenizer = CharTokenizer.train(TEXTS, TokenizerConfig())
    encoded = [tokenizer.encode(text) for text in TEXTS]
    starts = np.cumsum([0, *map(len, encoded)])
    has_end = np.full(len(TEXTS), ends)
    ids = np.concatenate(encoded)
    documents, size = (ids, starts, has_end), tokenizer.vocab_size
    tables = fit_tables(documents, size, order, models_ends=ends, min_count=min_count)
    whole = fit_tables(documents, size, order, models_ends=ends)
    assert all(
        (left < all_of) == (min_count > 1) for left, all_of in zip(tables.sizes[1:], whole.sizes[1:], strict=True)
    )
    return tables, tokenizer


def queries(tables, tokenizer):
    """Yield contexts as words, the next word, and its log10 p by the model: along texts that it was not fitted to."""
    words = words_of(tokenizer)
    for text in ("a nose is 100%\n", "\u3000is rose <s>\n", "zz"):
        ids = tokenizer.encode(text).tolist()
        contexts = np.full((1, tables.order - 1), -1)
        seen = [BEGIN]
        for before, token in zip([0, *ids], [*ids, *([0] if tables.ends else [])], strict=False):
            contexts = tables.read(contexts, np.array([before]))
            log = math.log10(tables.distributions(contexts)[0, token])
            yield tuple(seen[len(seen) - min(len(seen), tables.order - 1) :]), words[token], log
            seen.append(words[token])


def test_a_reader_of_the_format_finds_the_probabilities_of_the_model(model):
    arpa = Arpa(list(arpa_lines(*model)))

    assert arpa.sizes == {k: sum(len(gram) == k for gram in arpa.logs) for k in arpa.sizes}
    for context, word, log in queries(*model):
        assert arpa.log10(context, word) == pytest.approx(log, abs=1e-7)


def test_kenlm_finds_the_probabilities_of_the_model(model, tmp_path):
    kenlm = pytest.importorskip("kenlm")
    if model[0].order == 1:
        pytest.skip("KenLM does not read models of unigrams alone")
    path = tmp_path / "model.arpa"
    path.write_text("".join(arpa_lines(*model)), encoding="utf-8", newline="\n")
    loaded = kenlm.Model(str(path))
    for context, word, log in queries(*model):
        state, after = kenlm.State(), kenlm.State()
        loaded.NullContextWrite(state)
        if context[0] == BEGIN:
            loaded.BeginSentenceWrite(state)
        for known in context[context[0] == BEGIN :]:
            loaded.BaseScore(state, known, after)
            state, after = after, state
        assert loaded.BaseScore(state, word, after) == pytest.approx(log, abs=1e-4)


@pytest.mark.parametrize(
    "tokenizer", [CharTokenizer.train(TEXTS, TokenizerConfig()), ByteTokenizer()], ids=["char", "byte"]
)
def test_words_are_different_and_name_their_bytes(tokenizer):
    words = words_of(tokenizer)

    assert len(set(words)) == len(words)
    for token in range(1 if tokenizer.unknown_id is None else 2, tokenizer.vocab_size):
        assert bytes_of(words[token]) == tokenizer.id_to_bytes[token]
        assert words[token] == words[token].strip() != ""
        assert len(words[token].split()) == 1

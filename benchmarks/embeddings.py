"""Word vectors: seqgen next to gensim's Word2Vec on the same words, with the same settings.

Words per second are those of the vocabulary, passes times the length of the text, of the training alone. Without numba
they are measured on the first 25 steps, next to gensim on the whole text.

WordSim-353 and SimLex-999 are judged by Spearman's correlation with the scores of people, analogies such as king - man
+ woman = queen by the share that is answered right among 30,000 words (Mikolov et al., 2013); gensim's package has the
three sets. `covered` is the share of the pairs, or of the 19,544 questions, whose words are all in the vocabulary. Both
figures are means over seeds; their difference is in standard deviations of gensim over its seeds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gensim.models import KeyedVectors, Word2Vec
from gensim.test.utils import datapath
from measuring import Row

from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.embeddings.config import RATES, EmbeddingModelConfig, EmbeddingTrainingConfig
from seqgen.embeddings.corpus import WordCorpus, read_corpus
from seqgen.embeddings.state import first_state
from seqgen.embeddings.trainer import EmbeddingTrainer
from seqgen.runs.embeddings.config import WORDS
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.text import plural

EPOCHS = 5
SIZE, WINDOW, NEGATIVE, SAMPLE, MIN_COUNT = 100, 5, 5, 1e-3, 5
SEEDS = 5
TORCH_STEPS = 25
"""Steps of 20,000 words that measure the speed without numba, where a whole text would take long."""


def rows(text: Path, threads: int) -> Iterator[Row]:
    """Yield the speeds of each method and number of threads, then the qualities of each method."""
    corpus = _read(text)
    sentences = _sentences(corpus)
    yield {
        "measured": "text", "what": f"{text.name}: {len(corpus.rows):,} words, {len(corpus.vocabulary):,} different"
    }  # fmt: skip
    for method in ("skipgram", "cbow"):
        for workers in sorted({1, threads}):
            yield _speeds(corpus, sentences, method, workers, "numba")
        yield _speeds(corpus, sentences, method, 1, "torch")
    for method in ("skipgram", "cbow"):
        gensim = [_judge(_train_gensim(sentences, method, threads, seed)[0]) for seed in range(1, SEEDS + 1)]
        ours = [_judge(_train_ours(corpus, method, threads, seed)[0]) for seed in range(SEEDS)]
        yield from _compare(method, gensim, ours)


def _read(text: Path) -> WordCorpus:
    texts = read_texts(DataConfig(text=(str(text),), valid_split="none"))
    tokenizer = texts.tokenizer(TokenizerConfig(kind="word", vocab_size=WORDS))
    return read_corpus(tokenizer, texts.ids(tokenizer).train, EmbeddingModelConfig(min_count=MIN_COUNT, lowercase=True))


def _sentences(corpus: WordCorpus) -> list[list[str]]:
    """Return the blocks as lists of words, of at most 10,000, as gensim takes them."""
    words = np.array(corpus.vocabulary.words, dtype=object)
    bounds = zip(corpus.starts[:-1], corpus.starts[1:], strict=True)
    return [words[corpus.rows[begin:end]].tolist() for begin, end in bounds]


def _train_ours(
    corpus: WordCorpus,
    method: Any,
    threads: int,
    seed: int,
    epochs: int = EPOCHS,
    engine: Literal["numba", "torch"] = "numba",
    most_steps: int = sys.maxsize,
) -> tuple[Any, float]:
    """Return the vectors, and the words per second of the training."""
    model = EmbeddingModelConfig(
        method=method, vector_size=SIZE, window=WINDOW, negative=NEGATIVE, min_count=MIN_COUNT, lowercase=True
    )
    training = EmbeddingTrainingConfig(epochs=epochs, lr=RATES[method], sample=SAMPLE, seed=seed, threads=threads)
    state = first_state(len(corpus.vocabulary), SIZE, seed)
    trainer = EmbeddingTrainer(corpus, model, training, state, engine)
    began = time.perf_counter()
    words = sum(trainer.take(step).words for step in range(min(trainer.total_steps or 0, most_steps)))
    seconds = time.perf_counter() - began
    keyed = KeyedVectors(SIZE)
    keyed.add_vectors(list(corpus.vocabulary.words), state.vectors)
    return keyed, words / seconds


def _train_gensim(
    sentences: list[list[str]], method: str, threads: int, seed: int, epochs: int = EPOCHS
) -> tuple[Any, float]:
    model = Word2Vec(
        vector_size=SIZE, window=WINDOW, negative=NEGATIVE, sample=SAMPLE, min_count=MIN_COUNT, workers=threads,
        sg=int(method == "skipgram"), seed=seed, epochs=epochs,
    )  # fmt: skip
    model.build_vocab(sentences)
    words = sum(map(len, sentences))
    began = time.perf_counter()
    model.train(sentences, total_words=words, epochs=epochs)
    return model.wv, words * epochs / (time.perf_counter() - began)


def _speeds(
    corpus: WordCorpus, sentences: list[list[str]], method: str, threads: int, engine: Literal["numba", "torch"]
) -> Row:
    """Let both take turns, three times, over one pass each; without numba over a part of it."""
    most_steps = TORCH_STEPS if engine == "torch" else sys.maxsize
    if engine == "numba":
        _train_ours(corpus, method, threads, 0, epochs=1)  # compiles
    turns = [
        (
            _train_ours(corpus, method, threads, 0, 1, engine, most_steps)[1],
            _train_gensim(sentences, method, threads, 1, epochs=1)[1],
        )
        for _ in range(3)
    ]
    ours, theirs = (statistics.median(one) for one in zip(*turns, strict=True))
    ratio = statistics.median(own / other for own, other in turns)
    what = f"{method}, {plural(threads, 'thread')}" + (", without numba" if engine == "torch" else "")
    return {
        "measured": "words/s", "what": what, "seqgen": f"{ours:,.0f}", "gensim": f"{theirs:,.0f}",
        "ratio": round(ratio, 2),
    }  # fmt: skip


def _judge(keyed: Any) -> dict[str, tuple[float, float]]:
    """Return each quality, and the share of its set that the vocabulary covers."""
    found = {}
    for name, file in (("WordSim-353", "wordsim353.tsv"), ("SimLex-999", "simlex999.txt")):
        _, spearman, missing = keyed.evaluate_word_pairs(datapath(file))
        found[name] = (float(spearman.statistic), 1 - missing / 100)
    accuracy, sections = keyed.evaluate_word_analogies(datapath("questions-words.txt"), restrict_vocab=30_000)
    asked = len(sections[-1]["correct"]) + len(sections[-1]["incorrect"])
    found["analogies"] = (float(accuracy), asked / 19_544)
    return found


def _compare(method: str, gensim: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[Row]:
    for name, (_, covered) in gensim[0].items():
        theirs, own = ([one[name][0] for one in several] for several in (gensim, ours))
        mean, deviation = statistics.mean(theirs), statistics.stdev(theirs)
        yield {
            "measured": name, "what": f"{method}, {covered:.0%} covered", "seqgen": f"{statistics.mean(own):.4f}",
            "gensim": f"{mean:.4f} ± {deviation:.4f}",
            "ratio": f"{(statistics.mean(own) - mean) / deviation:+.1f} sd",
        }  # fmt: skip

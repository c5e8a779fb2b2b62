"""Compare continuations of one prompt: the probability of each as a whole word, and its share among them.

    P(choice | prompt) = P(the tokens of the choice | prompt) P(a word end | prompt, choice)

The word end makes `book` and `books` comparable: without it, the first would get what all words that begin with it get.
It is the sum over all next tokens that cannot continue the word, computed from the distribution:

- char: characters other than letters, numbers, marks, joiners and `_`;
- unigram, bpe: pieces that begin with such a character, most of them with a space;
- byte: such characters of ASCII; a byte of another character counts as a part of the word;
- word: every token, since a word is one token: its end costs nothing;
- and the end of the document.

A choice that ends in a sign, such as `books.`, has ended: its end costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.data.documents import Documents
from seqgen.device import StepperPrecision
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.scoring import nats_by_document, plan_segments, score, score_any
from seqgen.evaluation.token_scores import TokenScores
from seqgen.models.base import LanguageModel
from seqgen.tokenizers.base import Tokenizer
from seqgen.utils.text import is_in_word, without_surrogates


@dataclass(frozen=True)
class Choice:
    """A continuation of a prompt, with its cost."""

    text: str
    """The choice."""
    continuation: str
    """What was scored after the prompt: the choice, with a space before it where one was added."""
    tokens: int
    """How many tokens were scored; the first may have characters of the prompt, as ` st|udents` after `the st`."""
    token_nats: float
    """-ln p of these tokens; `<unk>` with the cost of its spelling."""
    end_nats: float
    """-ln p of a word end after them."""
    share: float
    """p of this choice, divided by the sum over all choices."""

    @property
    def nats(self) -> float:
        """-ln p of the continuation and of a word end after it."""
        return self.token_nats + self.end_nats

    @property
    def nats_per_token(self) -> float:
        """The mean nats of its tokens, without the word end."""
        return self.token_nats / self.tokens


def compare_choices(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    choices: Sequence[str],
    *,
    space: bool = True,
    precision: StepperPrecision = "fp32",
) -> list[Choice]:
    """Return the cost and the share of each choice; arguments and errors as of `TextRun.choices`.

    Args:
        model: any family that continues a text.
        tokenizer: of the model.
        prompt: what every choice continues.
        choices: what may follow.
        space: whether to add a space where none is between prompt and choice.
        precision: of matrix products.
    """
    check_choices(choices, tokenizer, space=space)
    continuations = [" " * (space and _lacks_space(prompt, choice, tokenizer)) + choice for choice in choices]
    texts = [prompt + continuation for continuation in continuations]
    documents = Documents.of([tokenizer.encode(text) for text in texts])
    nats, end_nats = _score(model, tokenizer, documents, precision)
    scores = [TokenScores.of(text, tokenizer, own) for text, own in zip(texts, nats, strict=True)]
    first = _first_token(prompt, scores, tokenizer)
    costs = [float(one.nats[first:].sum() + one.unk_cost[first:].sum()) for one in scores]
    word_ends = [
        nats if _ends_in_word(one.text, tokenizer) else 0.0 for one, nats in zip(scores, end_nats, strict=True)
    ]
    totals = np.add(costs, word_ends)
    weights = np.exp(totals.min() - totals)
    shares = weights / weights.sum()
    return [
        Choice(text, continuation, len(one.ids) - first, cost, end, share)
        for text, continuation, one, cost, end, share in zip(
            choices, continuations, scores, costs, word_ends, shares.tolist(), strict=True
        )
    ]


def check_choices(choices: Sequence[str], tokenizer: Tokenizer, *, space: bool) -> None:
    """Refuse choices that cannot be compared, before the work; `space` as in `compare_choices`.

    Raises:
        ConfigError: no choice is given, one is empty, two are the same, or they are with the space that may be added.
    """
    if not choices:
        raise ConfigError("choices: there are none; give one or more")
    seen: dict[str, str] = {}
    for number, choice in enumerate(choices, 1):
        if not choice.strip():
            raise ConfigError(f"choices: number {number} of {len(choices)} is empty or white space; leave it out")
        written = tokenizer.written(choice)
        if space:
            written = written.removeprefix(" ")
        if other := seen.get(written):
            what = "is given twice" if other == choice else f"is {other!r} but for the space, which may be added"
            raise ConfigError(f"choices: {choice!r} {what}; leave one out")
        seen[written] = choice


def _lacks_space(prompt: str, choice: str, tokenizer: Tokenizer) -> bool:
    """Return whether neither the end of the prompt, if it has one, nor the beginning of the choice is white space."""
    before, after = _as_text(prompt, tokenizer), _as_text(choice, tokenizer)
    return before != "" and not before[-1].isspace() and not after[0].isspace()


def _score(
    model: LanguageModel, tokenizer: Tokenizer, documents: Documents, precision: StepperPrecision
) -> tuple[list[npt.NDArray[np.float64]], list[float]]:
    """Return the nats of every token of each document, and of a word end after its last token.

    Raises:
        TextError: a document is longer than the model's positions.
    """
    # With an end, a document has one target more, after its last token: there the word end is scored.
    ended = Documents(documents.ids, documents.starts, np.ones(len(documents.lengths), bool))
    limit = model.max_positions
    if limit is not None and (longest := int(documents.lengths.max()) + 1) > limit:
        raise TextError(
            f"prompt: with a choice it has {longest:,} positions, and this model has {limit:,}; shorten the prompt"
        )
    config = EvaluationConfig(sequential=True)
    segments, _ = plan_segments(model, documents, config)
    nats = nats_by_document(documents, score(model, documents, segments, precision))
    segments, _ = plan_segments(model, ended, config)
    after = nats_by_document(ended, score_any(model, ended, segments, tokenizer.word_ends(), precision))
    return nats, [max(0.0, float(every[-1])) for every in after]


def _first_token(prompt: str, scores: Sequence[TokenScores], tokenizer: Tokenizer) -> int:
    """Return the number of tokens of the prompt that all texts begin with: what is scored comes after them.

    A token may reach from the prompt into the choice; all choices are compared from the same place on.
    """
    stop = len("".join(tokenizer.token_texts(prompt)))
    shared = min(_tokens_within(one, stop) for one in scores)
    ids = np.stack([one.ids[:shared] for one in scores])
    different = np.flatnonzero((ids != ids[0]).any(axis=0))
    return int(different[0]) if len(different) else shared


def _tokens_within(scores: TokenScores, stop: int) -> int:
    """Return how many tokens complete the characters before `stop`, and nothing after it."""
    start, end = scores.spans.T
    within = np.flatnonzero((start < end) & (end <= stop))
    return int(within[-1]) + 1 if len(within) else 0


def _ends_in_word(text: str, tokenizer: Tokenizer) -> bool:
    """Return whether a text ends inside a word, or at its last character."""
    return is_in_word(_as_text(text, tokenizer)[-1])


def _as_text(text: str, tokenizer: Tokenizer) -> str:
    """Return a text as it reads: where a character is a byte of a file, the bytes as UTF-8."""
    return without_surrogates(text).encode(tokenizer.text_encoding).decode("utf-8", "replace")

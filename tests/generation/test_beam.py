"""Beam search, compared with an exhaustive search and with a plain beam search of one row, both written as loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.errors import ConfigError, RunError
from seqgen.generation.beam import Hypothesis, search
from seqgen.generation.config import BeamConfig
from seqgen.models.base import LanguageModel, Stepper
from seqgen.models.state import State
from seqgen.tokenizers.base import BOUNDARY

from ..conftest import build_model

VOCAB = 4
ALL = 1 + 3 + 9 + 27 + 81 + 243
"""All texts of up to 5 tokens of a vocabulary of 4, one of which is the end."""
INF = math.inf

Text = tuple[int, ...]
LogProbs = Callable[[Text], list[float]]
Coverage = Callable[[int], float]


@dataclass(frozen=True)
class Node(State):
    """Which table each row reads, the number of its text so far, and the steps taken, int64 [B] each."""

    table: Tensor
    text: Tensor
    steps: Tensor


@dataclass(frozen=True)
class Attending(Node):
    """A state with the attention [B, S] of the newest step, and the lengths [B] of the sources."""

    attention: Tensor
    lengths: Tensor


class TableStepper(Stepper):
    """Has random logits for each text of each row: `tables` [B, texts, V]. Records the sizes of its batches."""

    def __init__(self, tables: Tensor, attention: Tensor | None = None, lengths: Sequence[int] = ()) -> None:
        self.tables, self.attention, self.lengths = tables, attention, torch.tensor(lengths)
        self.batch_sizes: list[int] = []

    def state(self, rows: Sequence[int] | None = None) -> State:
        """Return the state of these rows, or of all, before the first token."""
        table = torch.arange(len(self.tables)) if rows is None else torch.tensor(rows)
        node = (table, torch.zeros_like(table), torch.zeros_like(table))
        if self.attention is None:
            return Node(*node)
        return Attending(*node, torch.zeros(len(table), self.attention.shape[2]), self.lengths[table])

    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        assert isinstance(state, Node)
        assert (token == BOUNDARY).tolist() == (state.steps == 0).tolist()
        assert starts is None or starts.tolist() == (token == BOUNDARY).tolist()
        self.batch_sizes.append(len(token))
        node = (state.table, state.text * self.tables.shape[2] + token, state.steps + 1)
        logits = self.tables[state.table, node[1] % self.tables.shape[1]]
        if not isinstance(state, Attending):
            return logits, Node(*node)
        return logits, Attending(*node, self.attend(token, state), state.lengths)

    def attend(self, token: Tensor, state: Attending) -> Tensor:
        """Return the attention [B, S] of a step."""
        return self.attention[state.table, state.steps]

    def log_probs(self, row: int) -> LogProbs:
        """Return the function from a text of a row to ln p of the tokens after it."""

        def of(text: Text) -> list[float]:
            number = 0
            for token in text:
                number = number * self.tables.shape[2] + token
            return self.tables[row, number % self.tables.shape[1]].log_softmax(-1).tolist()

        return of

    def coverage(self, row: int) -> Coverage:
        """Return the function from a number of steps to the coverage of a row, which does not depend on the text."""

        def of(steps: int) -> float:
            total = 0.0
            for position in range(int(self.lengths[row])):
                received = sum(float(self.attention[row, step, position]) for step in range(steps))
                total += math.log(min(1.0, received))
            return total

        return of


def tables(rows: int, seed: int = 0, vocab_size: int = VOCAB, texts: int = 1021) -> Tensor:
    """Return random logits of some rows; texts whose numbers differ by a multiple of `texts` share theirs."""
    return 1.5 * torch.randn(rows, texts, vocab_size, generator=torch.Generator().manual_seed(seed))


def score(nats: float, steps: int, config: BeamConfig, coverage: Coverage | None) -> float:
    divided = -nats / ((5 + steps) / 6) ** config.length_penalty
    return divided + (config.coverage_penalty * coverage(steps) if coverage else 0.0)


def allowed(text: Text, log_probs: LogProbs, config: BeamConfig, forbidden: Sequence[int] = ()) -> list[float]:
    """Return ln p of the tokens after a text, -inf for those that the settings exclude."""
    n = config.no_repeat_ngram
    values = log_probs(text)
    for token in range(len(values)):
        longer = (*text, token)
        earlier = [longer[begin : begin + n] for begin in range(len(longer) - n)] if n and token else []
        if longer[-n:] in earlier or token in forbidden or (token == BOUNDARY and len(text) < config.min_length):
            values[token] = -INF
    return values


def texts_of(
    log_probs: LogProbs, config: BeamConfig, max_length: int, coverage: Coverage | None = None
) -> list[Hypothesis]:
    """Return all possible hypotheses, the best first."""

    def follow(text: Text, nats: float) -> Iterator[Hypothesis]:
        values = allowed(text, log_probs, config) if len(text) < max_length else [-INF]
        if max(values) == -INF:
            steps = len(text) + (len(text) < max_length)
            divided = score(nats, len(text), config, None)
            added = config.coverage_penalty * coverage(steps) if coverage else 0.0
            yield Hypothesis(list(text), nats, divided + added, "length")
        for token, value in enumerate(values):
            if value == -INF:
                continue
            if token == BOUNDARY:
                after = nats - value
                yield Hypothesis(list(text), after, score(after, len(text) + 1, config, coverage), "stop")
            else:
                yield from follow((*text, token), nats - value)

    return sorted(follow((), 0.0), key=lambda one: -one.score)


def plain_search(
    log_probs: LogProbs, config: BeamConfig, max_length: int, coverage: Coverage | None = None
) -> list[Hypothesis]:
    """Search one row without ever ending it early."""
    live: list[tuple[float, Text]] = [(0.0, ())]
    found: list[Hypothesis] = []
    for steps in range(1, max_length + 1):
        ranked = sorted(
            (nats - value, rank, token)
            for rank, (nats, text) in enumerate(live)
            for token, value in enumerate(allowed(text, log_probs, config))
            if value > -INF
        )
        following = []
        for place, (nats, rank, token) in enumerate(ranked):
            text = live[rank][1]
            if token == BOUNDARY or steps == max_length:
                ended = token == BOUNDARY
                if place < config.beam:
                    ids, reason = list(text if ended else (*text, token)), "stop" if ended else "length"
                    found.append(Hypothesis(ids, nats, score(nats, steps, config, coverage), reason))
            else:
                following.append((nats, (*text, token)))
        live = following[: config.beam]
        if config.beam == 1 and found:
            break
    return sorted(found, key=lambda one: -one.score)[: config.n_best]


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [(one.ids, one.finish_reason) for one in found] == [(one.ids, one.finish_reason) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.nats == pytest.approx(other.nats, abs=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)


def forward_of(model: LanguageModel) -> LogProbs:
    def of(text: Text) -> list[float]:
        read = torch.tensor([[BOUNDARY, *text]])
        with torch.no_grad():
            log_probs, _ = model.log_probs(read, model.initial_state(1, read.shape[1]), read == 0)
        return log_probs[0, -1].tolist()

    return of


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_search_with_a_wide_beam_is_exhaustive(length_penalty, seed):
    stepper = TableStepper(tables(3, seed))
    config = BeamConfig(beam=ALL, n_best=7, length_penalty=length_penalty)
    max_lengths = [5, 3, 4]

    found = search(stepper, stepper.state(), config, max_lengths)

    for row, max_length in enumerate(max_lengths):
        assert_same(found[row], texts_of(stepper.log_probs(row), config, max_length)[:7])


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_search_of_a_model_with_a_wide_beam_is_exhaustive(cell):
    model = build_model(cell, vocab_size=VOCAB)
    config = BeamConfig(beam=ALL, n_best=5)

    (found,) = search(model.stepper(), model.initial_state(1, 5), config, [5])

    assert_same(found, texts_of(forward_of(model), config, 5)[:5])


def test_search_returns_all_texts_if_asked():
    stepper = TableStepper(tables(1))
    config = BeamConfig(beam=ALL, n_best=ALL)

    (found,) = search(stepper, stepper.state(), config, [5])

    assert len(found) == ALL
    assert sum(math.exp(-one.nats) for one in found) == pytest.approx(1.0, abs=1e-5)
    assert_same(found, texts_of(stepper.log_probs(0), config, 5))


SETTINGS = [
    {"beam": 2, "length_penalty": 0.0},
    {"beam": 2, "length_penalty": 2.0},
    {"beam": 3, "n_best": 3},
    {"beam": 5, "n_best": 2, "length_penalty": 1.0, "min_length": 3},
    {"beam": 4, "n_best": 4, "no_repeat_ngram": 2, "min_length": 4},
    {"beam": 3, "n_best": 2, "no_repeat_ngram": 1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_search_agrees_with_a_plain_beam_search(settings):
    stepper = TableStepper(tables(12, seed=3, vocab_size=6))
    config = BeamConfig(**settings)
    max_lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    if config.no_repeat_ngram == 1:
        max_lengths = [min(length, 5) for length in max_lengths]

    found = search(stepper, stepper.state(), config, max_lengths)

    for row, max_length in enumerate(max_lengths):
        assert_same(found[row], plain_search(stepper.log_probs(row), config, max_length))
    assert {one.finish_reason for row in found for one in row} == {"stop", "length"}


@pytest.mark.parametrize("settings", [*SETTINGS, {"beam": 1}], ids=str)
def test_search_of_a_row_alone_finds_the_same_as_in_a_batch(settings):
    stepper = TableStepper(tables(6, seed=5, vocab_size=6))
    config = BeamConfig(**settings)
    max_lengths = [9, 4, 12, 1, 7, 12]

    found = search(stepper, stepper.state(), config, max_lengths)

    for row, max_length in enumerate(max_lengths):
        alone = TableStepper(stepper.tables)
        assert_same(found[row], search(alone, alone.state([row]), config, [max_length])[0])


def test_search_of_a_model_in_a_batch_finds_the_same_as_alone(model):
    config = BeamConfig(beam=3, n_best=3)
    max_lengths = [9, 3, 6]

    found = search(model.stepper(), model.initial_state(3, 9), config, max_lengths)

    for row, max_length in enumerate(max_lengths):
        assert_same(found[row], search(model.stepper(), model.initial_state(1, 9), config, [max_length])[0])


def test_search_with_a_beam_of_1_is_the_argmax_of_each_step(model):
    """Whatever the length penalty is, the first end is the last token."""
    log_probs, ids, nats = forward_of(model), [], 0.0
    while len(ids) < 12:
        values = log_probs(tuple(ids))
        nats -= max(values)
        if values.index(max(values)) == BOUNDARY:
            break
        ids.append(values.index(max(values)))

    for length_penalty in (0.0, 3.0):
        config = BeamConfig(length_penalty=length_penalty)
        ((found,),) = search(model.stepper(), model.initial_state(1, 12), config, [12])

        assert found.ids == ids
        assert found.nats == pytest.approx(nats, abs=1e-4)


def test_search_with_a_beam_of_1_stops_at_the_first_end():
    stepper = TableStepper(tables(20, seed=2))
    config = BeamConfig(length_penalty=3.0)

    found = search(stepper, stepper.state(), config, [8] * 20)

    for row in range(20):
        assert_same(found[row], plain_search(stepper.log_probs(row), config, 8))
    assert {one.finish_reason for (one,) in found} == {"stop", "length"}


def test_search_orders_hypotheses_by_score_and_not_by_nats():
    stepper = TableStepper(tables(1, seed=1))

    (found,) = search(stepper, stepper.state(), BeamConfig(beam=8, n_best=8, length_penalty=2.0), [6])

    scores, nats = [one.score for one in found], [one.nats for one in found]
    assert scores == sorted(scores, reverse=True)
    assert nats != sorted(nats)
    assert len({tuple(one.ids) for one in found}) == 8


def test_search_orders_exact_ties_by_token():
    stepper = TableStepper(torch.zeros(2, 1, 50))
    config = BeamConfig(beam=4, n_best=4, min_length=2)

    found = search(stepper, stepper.state(), config, [2, 2])

    assert [one.ids for one in found[0]] == [[1, 1], [1, 2], [1, 3], [1, 4]]
    assert found[0] == found[1]


def test_search_breaks_ties_of_the_last_token_that_continues():
    """The end is the most likely token of each row, then two others, then two equal ones, of which one continues."""
    logits = torch.zeros(20, 1, 50)
    for row in logits[:, 0]:
        row[1 + torch.randperm(49)[:4]] = torch.tensor([3.0, 2.9, 2.8, 2.8])
        row[BOUNDARY] = 4.0
    logits[19, 0] = torch.randn(50)
    stepper = TableStepper(logits)
    config = BeamConfig(beam=3, n_best=3, length_penalty=10.0)

    found = search(stepper, stepper.state(), config, [2] * 20)

    for row in range(20):
        assert_same(found[row], plain_search(stepper.log_probs(row), config, 2))
    for row, (*_, third) in enumerate(found[:19]):
        assert third.ids == [int((logits[row, 0] == 2.8).nonzero()[0])]


def test_search_ends_a_row_when_no_hypothesis_can_reach_its_best():
    """The text 1 ends with p = 0.99; what continues has ln p < -4.6, which no length up to 100 makes better."""
    logits = torch.full((2, 1 + 4, VOCAB), -50.0)
    logits[:, 0, 1] = 0.0
    logits[:, 1] = torch.tensor([99.0, 1.0, 1e-9, 1e-9]).log()
    logits[:, 2:] = torch.tensor([1e-9, 1.0, 1.0, 1.0]).log()
    stepper = TableStepper(logits)

    found = search(stepper, stepper.state(), BeamConfig(beam=3, length_penalty=0.0), [100, 1])

    assert [one.ids for (one,) in found] == [[1], [1]]
    assert [one.finish_reason for (one,) in found] == ["stop", "length"]
    assert stepper.batch_sizes == [2, 1]  # the second row and the unlikely texts have left


def test_search_continues_while_a_longer_text_may_score_higher():
    stepper = TableStepper(torch.tensor([0.5, 0.3, 0.1, 0.1]).log().expand(1, 1, 4))

    short = search(stepper, stepper.state(), BeamConfig(beam=2, length_penalty=0.0), [6])
    first_steps, stepper.batch_sizes = len(stepper.batch_sizes), []
    long = search(stepper, stepper.state(), BeamConfig(beam=2, length_penalty=5.0), [6])

    assert (short[0][0].ids, first_steps) == ([], 1)
    assert (long[0][0].ids, len(stepper.batch_sizes)) == ([1] * 5, 6)


def test_search_reads_one_row_for_each_hypothesis_that_continues():
    stepper = TableStepper(tables(2, seed=4, vocab_size=6))

    search(stepper, stepper.state(), BeamConfig(beam=3, n_best=3, min_length=3), [4, 2])

    assert stepper.batch_sizes == [2, 6, 3, 3]


def test_search_keeps_lengths_within_their_bounds():
    stepper = TableStepper(tables(8, seed=6))
    max_lengths = [3, 4, 5, 6, 7, 8, 9, 9]

    found = search(stepper, stepper.state(), BeamConfig(beam=4, n_best=4, min_length=2), max_lengths)

    for row, max_length in zip(found, max_lengths, strict=True):
        assert len(row) == 4
        for one in row:
            assert 2 <= len(one.ids) <= max_length
            assert BOUNDARY not in one.ids
            assert (one.finish_reason == "length") == (len(one.ids) == max_length)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_search_never_repeats_an_ngram(n):
    stepper = TableStepper(tables(4, seed=7))
    config = BeamConfig(beam=ALL, n_best=10, no_repeat_ngram=n, min_length=2)

    found = search(stepper, stepper.state(), config, [5] * 4)

    for row, hypotheses in enumerate(found):
        assert_same(hypotheses, texts_of(stepper.log_probs(row), config, 5)[:10])
        for one in hypotheses:
            ngrams = [tuple(one.ids[begin : begin + n]) for begin in range(len(one.ids) - n + 1)]
            assert len(ngrams) == len(set(ngrams))


def test_search_never_chooses_forbidden_tokens():
    """Those with logits of -inf, and those that are named, which still count in the distribution."""
    logits = tables(2, seed=8, vocab_size=5)
    logits[:, :, 4] = -torch.inf
    stepper = TableStepper(logits)

    found = search(stepper, stepper.state(), BeamConfig(beam=40, n_best=40), [4, 4], forbidden=[2])

    for row, hypotheses in enumerate(found):
        assert {token for one in hypotheses for token in one.ids} == {1, 3}
        for one in hypotheses:
            read = [*one.ids, BOUNDARY] if one.finish_reason == "stop" else one.ids
            values = [stepper.log_probs(row)(tuple(read[:place]))[token] for place, token in enumerate(read)]
            assert one.nats == pytest.approx(-sum(values), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_search_ends_a_text_that_nothing_may_follow(beam):
    logits = torch.full((3, 1 + 3 * 4, 4), -torch.inf)
    logits[0, 0, 1] = 0.0  # then nothing
    logits[1, 0, [1, 2]] = torch.tensor([1.0, 0.0])
    logits[1, 2, 0] = 0.0
    stepper = TableStepper(logits)

    found = search(stepper, stepper.state(), BeamConfig(beam=beam, n_best=beam, length_penalty=0.0), [9, 9, 9])

    assert [(one.ids, one.nats, one.finish_reason) for one in found[0]] == [([1], 0.0, "length")]
    assert [(one.ids, one.finish_reason) for one in found[1]] == [([1], "length"), ([2], "stop")][:beam]
    assert [(one.ids, one.score, one.finish_reason) for one in found[2]] == [([], 0.0, "length")]
    assert len(stepper.batch_sizes) == 2


def test_search_divides_the_score_of_a_text_that_nothing_may_follow_by_its_own_length():
    logits = torch.full((1, 13, 4), -torch.inf)
    logits[0, 0, 1:] = 0.0
    logits[0, 1, 2] = 0.0
    stepper = TableStepper(logits)

    (found,) = search(stepper, stepper.state(), BeamConfig(beam=3, n_best=3, length_penalty=1.0), [9])

    assert [one.ids for one in found] == [[1, 2], [2], [3]]
    assert [one.score for one in found] == pytest.approx([-math.log(3) / (7 / 6), -math.log(3), -math.log(3)])


def attending(rows: int) -> TableStepper:
    """Return tables whose rows attend to sources of different lengths, and to their padding, which must not count."""
    attention = torch.rand(rows, 12, 4, generator=torch.Generator().manual_seed(1)).softmax(-1)
    return TableStepper(tables(rows, seed=9), attention, [1 + row % 4 for row in range(rows)])


@pytest.mark.parametrize("settings", [{"beam": ALL, "n_best": 9}, {"beam": 3, "n_best": 3}], ids=str)
def test_search_subtracts_the_coverage_penalty(settings):
    stepper = attending(6)
    config = BeamConfig(coverage_penalty=1.5, no_repeat_ngram=2, **settings)

    found = search(stepper, stepper.state(), config, [5, 5, 5, 5, 3, 4])

    for row, max_length in enumerate([5, 5, 5, 5, 3, 4]):
        if config.beam == ALL:
            expected = texts_of(stepper.log_probs(row), config, max_length, stepper.coverage(row))[:9]
        else:
            expected = plain_search(stepper.log_probs(row), config, max_length, stepper.coverage(row))
        assert_same(found[row], expected)
    free = search(other := attending(6), other.state(), config.model_copy(update={"coverage_penalty": 0.0}), [5] * 6)
    assert [one.ids for row in free for one in row] != [one.ids for row in found for one in row]


def test_search_gives_each_hypothesis_the_attention_of_its_own_text():
    """The attention is on the position of the newest token: a text of 1, 2 and 3 attends to the whole source."""

    class Newest(TableStepper):
        def attend(self, token: Tensor, state: Attending) -> Tensor:
            return F.one_hot(token, VOCAB).float()

    stepper = Newest(torch.zeros(1, 1, VOCAB), torch.zeros(1, 1, VOCAB), [VOCAB])

    config = BeamConfig(beam=ALL, n_best=4 * 6, length_penalty=0.0, coverage_penalty=1.0)

    (found,) = search(stepper, stepper.state(), config, [4])

    assert {tuple(one.ids[:3]) for one in found} == set(permutations([1, 2, 3]))
    assert all(one.score == pytest.approx(4 * math.log(1 / 4), abs=1e-6) for one in found)


def test_search_gives_a_finite_penalty_to_a_source_without_attention():
    stepper = TableStepper(tables(1), torch.zeros(1, 3, 2), [2])

    ((found,),) = search(stepper, stepper.state(), BeamConfig(coverage_penalty=1.0), [3])

    assert -200 < found.score < -100


def test_search_refuses_a_coverage_penalty_without_attention():
    stepper = TableStepper(tables(1))

    with pytest.raises(ConfigError, match="coverage_penalty"):
        search(stepper, stepper.state(), BeamConfig(coverage_penalty=0.1), [3])


@pytest.mark.parametrize("max_lengths", [[3, 0], [3], [3, 3, 3]])
def test_search_refuses_maximum_lengths_that_do_not_fit(max_lengths):
    stepper = TableStepper(tables(2))

    with pytest.raises(ConfigError, match="max_lengths"):
        search(stepper, stepper.state(), BeamConfig(), max_lengths)


def test_search_of_no_rows_finds_nothing():
    model = build_model("transformer")

    assert search(model.stepper(), model.initial_state(0, 4), BeamConfig(beam=2), []) == []


@pytest.mark.parametrize("value", [math.nan, INF])
def test_search_refuses_weights_with_nan_or_infinity(value):
    logits = tables(2)
    logits[1, 0, 2] = value
    stepper = TableStepper(logits)

    with pytest.raises(RunError, match="NaN or infinity"):
        search(stepper, stepper.state(), BeamConfig(beam=2), [3, 3])


@pytest.mark.parametrize("model", ["gru", "transformer"], indirect=True)
def test_search_does_not_change_the_state_it_receives(model):
    state = model.initial_state(2, 6)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}

    search(model.stepper(), state, BeamConfig(beam=3), [6, 4])

    assert all(torch.equal(tensor, before[name]) for name, tensor in state.tensors().items())

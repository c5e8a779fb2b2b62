"""Reading prompts: several at once, from the end where that suffices, and progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from seqgen.generation import prompt as prompt_module
from seqgen.generation.prompt import PREFILL, PromptReader
from seqgen.models.base import LanguageModel
from seqgen.models.state import State


def whole(model, tokens):
    """Return the logits after all of `tokens`, read in one call."""
    with torch.no_grad():
        logits, _ = model(read := torch.tensor([tokens]), model.initial_state(1, len(tokens)), read == 0)
    return logits[0, -1]


def read(model, tokens, capacity, progress=None):
    """Read one prompt; return logits and state."""
    reader = PromptReader(model)
    reader.add(None, tokens, model.initial_state(1, capacity), capacity, progress)
    while len(reader):
        found = reader.step()
    ((_, logits, state),) = found
    return logits, state


@pytest.fixture
def short_reach(monkeypatch):
    """Make prompts of 200 tokens long ones."""
    monkeypatch.setattr(prompt_module, "REACH", 64)
    monkeypatch.setattr(prompt_module, "PREFILL", 32)


@pytest.fixture
def tokens():
    """Return a prompt of 3,100 ids."""
    return [0, *np.random.default_rng(0).integers(2, 11, 3100).tolist()]


@pytest.mark.parametrize("model", ["lstm", "transformer"], indirect=True)
def test_read_prompt_from_the_end_equals_reading_all(model, tokens, short_reach):
    model.burn_in = 16
    expected, reports = whole(model, tokens), []

    logits, state = read(model, tokens, len(tokens) + 5, lambda done, total: reports.append((done, total)))

    assert torch.allclose(logits[0], expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert max(total for _, total in reports) < len(tokens)
    assert reports[-1][0] == reports[-1][1] >= 64
    follow, _ = model(torch.tensor([[3]]), state)
    assert torch.allclose(follow[0, -1], whole(model, [*tokens, 3]), atol=1e-4, rtol=0)


def test_read_prompt_reads_all_when_the_beginning_matters(scripted, tokens, short_reach):
    model = scripted([*tokens, 5], 11)  # depends on every token
    model.burn_in = 16
    expected, reports = whole(model, tokens), []

    logits, _ = read(model, tokens, len(tokens) + 5, lambda done, total: reports.append((done, total)))

    assert torch.equal(logits[0], expected)
    assert reports[-1] == (len(tokens), len(tokens))


@dataclass(frozen=True)
class Age(State):
    age: torch.Tensor


class FadingModel(LanguageModel):
    """Forgets its beginning: the logits tell how many tokens were read, up to `fades` of them."""

    def __init__(self, fades, burn_in):
        super().__init__()
        self.vocab_size, self.fades, self.burn_in = 11, fades, burn_in
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def initial_state(self, batch_size, capacity):
        return Age(torch.zeros(batch_size, dtype=torch.int64))

    def forward(self, tokens, state=None, starts=None):
        ages = state.age[:, None] + torch.arange(tokens.shape[1])
        return ages.clamp(max=self.fades)[:, :, None] * torch.arange(11.0), Age(state.age + tokens.shape[1])


def tokens_per_reading(model, length):
    """Return the number of tokens of each reading of a prompt, the last one being the one that counted."""
    reports = []
    read(model, [1] * length, length, lambda done, total: reports.append(total))
    return list(dict.fromkeys(reports))


@pytest.mark.parametrize(
    ("burn_in", "length", "expected"),
    [
        (16, 192, [192]),  # 3 times the reach of 64
        (16, 193, [64]),
        (20, 240, [240]),  # 4 times the burn-in is more
        (20, 241, [80]),
    ],
)
def test_read_prompt_reads_only_the_end_of_more_than_three_times_its_reach(short_reach, burn_in, length, expected):
    assert tokens_per_reading(FadingModel(10, burn_in), length) == expected


@pytest.mark.parametrize(
    ("fades", "expected"), [(30, [64]), (40, [64, 256]), (200, [64, 256, 1024]), (9999, [64, 256, 1024, 3100])]
)
def test_read_prompt_reads_four_times_as_much_until_the_second_half_agrees(short_reach, fades, expected):
    assert tokens_per_reading(FadingModel(fades, 16), 3100) == expected


@pytest.mark.parametrize("model", ["rnn"], indirect=True)
def test_read_prompt_reports_progress_per_call(model):
    reports: list[tuple[int, int]] = []
    length = 2 * PREFILL + 1

    read(model, [0, *[3] * (length - 1)], length, lambda done, total: reports.append((done, total)))

    assert reports == [(PREFILL, length), (2 * PREFILL, length), (length, length)]


def test_prompts_of_different_lengths_are_read_as_each_alone(model, monkeypatch):
    monkeypatch.setattr(prompt_module, "PREFILL", 8)
    monkeypatch.setattr(prompt_module, "ROWS", 4)
    random = np.random.default_rng(0)
    prompts = [[0, *random.integers(2, 11, length).tolist()] for length in (0, 20, 7, 8, 3, 30, 7)]
    reader, found = PromptReader(model), {}
    for place, prompt in enumerate(prompts):
        capacity = len(prompt) + 1 + 3 * place
        reader.add(place, prompt, model.initial_state(1, capacity), capacity)

    while len(reader):
        found |= {key: (logits, state) for key, logits, state in reader.step()}

    assert list(found) == [0, 2, 4, 6, 3, 1, 5]  # in two turns of four and three, then the rest
    for place, prompt in enumerate(prompts):
        logits, state = found[place]
        assert state.batch_size == 1
        torch.testing.assert_close(logits[0], whole(model, prompt).float(), rtol=0, atol=1e-5)
        follow, _ = model(torch.tensor([[3]]), state)
        torch.testing.assert_close(follow[0, -1], whole(model, [*prompt, 3]), rtol=0, atol=1e-5)


def test_cancelled_prompts_are_not_read(model):
    reader = PromptReader(model)
    for key in ("a", "b"):
        reader.add(key, [0, 3], model.initial_state(1, 5), 5)

    reader.cancel("a")

    assert [found.key for found in reader.step()] == ["b"]
    assert len(reader) == 0

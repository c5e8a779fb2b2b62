"""Reading a prompt: from its end where that suffices, token healing, and progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from seqgen.generation import prompt as prompt_module
from seqgen.generation.config import SamplingConfig
from seqgen.generation.generate import generate
from seqgen.generation.prompt import PREFILL, read_prompt
from seqgen.models.base import LanguageModel
from seqgen.models.state import State
from seqgen.tokenizers.word import WordTokenizer

PIECES = WordTokenizer([" ", "  ", "a", "b", " a", " ab", "\n"])  # like those of a subword tokenizer
A, B, SPACED_A, SPACED_AB = (PIECES.id_to_bytes.index(piece) for piece in (b"a", b"b", b" a", b" ab"))


def whole(model, tokens):
    """Return the logits after all of `tokens`, read in one call."""
    with torch.no_grad():
        logits, _ = model(read := torch.tensor([tokens]), model.initial_state(1, len(tokens)), read == 0)
    return logits[0, -1]


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
    expected, read = whole(model, tokens), []

    logits, state = read_prompt(model, tokens, len(tokens) + 5, lambda done, total: read.append((done, total)))

    assert torch.allclose(logits[0], expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert max(total for _, total in read) < len(tokens)
    assert read[-1][0] == read[-1][1] >= 64
    follow, _ = model(torch.tensor([[3]]), state)
    assert torch.allclose(follow[0, -1], whole(model, [*tokens, 3]), atol=1e-4, rtol=0)


def test_read_prompt_reads_all_when_the_beginning_matters(scripted, tokens, short_reach):
    model = scripted([*tokens, 5], 11)  # depends on every token
    model.burn_in = 16
    expected, read = whole(model, tokens), []

    logits, _ = read_prompt(model, tokens, len(tokens) + 5, lambda done, total: read.append((done, total)))

    assert torch.equal(logits[0], expected)
    assert read[-1] == (len(tokens), len(tokens))


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

    def stepper(self, precision="fp32"):
        raise NotImplementedError


def tokens_per_reading(model, length):
    """Return the number of tokens of each reading of a prompt, the last one being the one that counted."""
    reports = []
    read_prompt(model, [1] * length, length, lambda done, total: reports.append(total))
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
def test_read_prompt_reports_progress_per_call(model, tokenizer):
    reports: list[tuple[int, int]] = []
    length = 2 * PREFILL + 1

    list(generate(model, model.stepper(), tokenizer, "a" * (length - 1), SamplingConfig(max_new_tokens=1),
                  progress=lambda done, total: reports.append((done, total))))  # fmt: skip

    assert reports == [(PREFILL, length), (2 * PREFILL, length), (length, length)]


def texts(model, prompt, num_samples=1, **sampling):
    steps = generate(model, model.stepper(), PIECES, prompt, SamplingConfig(**sampling), num_samples)
    return ["".join(pieces) for pieces in zip(*steps, strict=True)]


def test_healing_joins_a_final_space_with_the_next_piece(scripted):
    model = scripted([A, SPACED_AB, A], PIECES.vocab_size)

    assert texts(model, "a ", max_new_tokens=2) == ["aba"]  # not what follows a lone space
    assert texts(model, "a", max_new_tokens=2) == [" aba"]


def test_healing_excludes_pieces_without_the_space(scripted):
    model = scripted([A, B, A], PIECES.vocab_size)

    made = texts(model, "a ", num_samples=50, max_new_tokens=1)

    assert set(made) <= {"", " ", "a", "ab"}
    assert len(set(made)) > 2


def test_healing_accepts_several_spaces_piece_by_piece(scripted):
    space = PIECES.id_to_bytes.index(b" ")
    model = scripted([A, space, SPACED_A, B], PIECES.vocab_size)

    assert texts(model, "a  ", max_new_tokens=3) == ["ab"]


def test_healing_matches_stops_only_in_new_text(scripted):
    model = scripted([A, SPACED_AB, A], PIECES.vocab_size)

    assert texts(model, "a ", max_new_tokens=2, stop=(" a",)) == ["aba"]
    assert texts(model, "a ", max_new_tokens=2, stop=("b",)) == ["a"]


def test_healing_keeps_the_space_where_no_piece_begins_with_one(scripted, tokenizer):
    model = scripted([*tokenizer.encode("a b").tolist(), 4, 4], tokenizer.vocab_size)
    steps = generate(model, model.stepper(), tokenizer, "a ", SamplingConfig(max_new_tokens=1))

    assert list(steps) == [["b"]]

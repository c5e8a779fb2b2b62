"""The laws of the model contract, for every family."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqgen.models.base import LanguageModel, parameter_count
from seqgen.models.state import State

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
LENGTH = 30


@pytest.fixture
def tokens() -> Tensor:
    """Return three rows of 30 tokens that begin with the boundary; the middle row has a second document at 12."""
    tokens = torch.randint(1, 11, (3, LENGTH))
    tokens[:, 0] = 0
    tokens[1, 12] = 0
    return tokens


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def run(model: LanguageModel, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    return model(tokens, model.initial_state(len(tokens), 64) if state is None else state)


@pytest.mark.parametrize("cut", [1, 7, 8, 12, 13, 29])
def test_forward_in_two_parts_equals_forward_at_once(model, tokens, cut):
    whole, end = run(model, tokens)

    first, state = run(model, tokens[:, :cut])
    second, state = run(model, tokens[:, cut:], state)

    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **TOLERANCE)
    for member, expected in zip(state.tensors().values(), end.tensors().values(), strict=True):
        torch.testing.assert_close(member, expected, **TOLERANCE)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.25), ("int8", 0.5)])
def test_stepper_agrees_with_the_forward(model, tokens, precision, tolerance):
    whole, _ = run(model, tokens)
    _, state = run(model, tokens[:, :13])
    stepper = model.stepper(precision)

    for column in range(13, LENGTH):
        logits, state = stepper.step(tokens[:, column], state)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(logits, whole[:, column], rtol=0, atol=tolerance * float(whole.std()))


def test_stepper_is_a_snapshot(model, tokens):
    stepper = model.stepper()
    _, state = run(model, tokens[:, :5])
    before, _ = stepper.step(tokens[:, 5], state.select(torch.arange(3)))

    for parameter in model.parameters():
        parameter.add_(1.0)

    after, _ = stepper.step(tokens[:, 5], state)
    assert torch.equal(before, after)


def test_tokens_before_a_document_do_not_affect_it(model, tokens):
    whole, _ = run(model, tokens)

    alone, _ = run(model, tokens[1:2, 12:])

    torch.testing.assert_close(whole[1:2, 12:], alone, **TOLERANCE)


def test_every_token_within_reach_affects_the_outputs(model, tokens):
    """The converse of the law above: the model does read its past."""
    changed = tokens.clone()
    changed[0, 5] = changed[0, 5] % 10 + 1

    logits, _ = run(model, tokens)
    others, _ = run(model, changed)

    assert torch.equal(logits[:, :5], others[:, :5])
    assert (logits[0, 5:9] != others[0, 5:9]).any(dim=-1).all()


def test_forward_without_a_state_starts_fresh(model, tokens):
    logits, _ = model(tokens[:, :8])

    torch.testing.assert_close(logits, run(model, tokens[:, :8])[0], **TOLERANCE)


def test_state_is_batch_first_in_full_precision(model, tokens):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = run(model, tokens)

    assert {len(member) for member in state.tensors().values()} == {3}
    assert {member.dtype for member in state.tensors().values()} <= {torch.float32, torch.int64}


def test_select_copies_rows(model, tokens):
    _, state = run(model, tokens)

    twins = state.select(torch.tensor([2, 2, 0]))
    logits, _ = model.stepper().step(torch.tensor([4, 4, 4]), twins)

    torch.testing.assert_close(logits[0], logits[1], **TOLERANCE)
    assert not torch.allclose(logits[0], logits[2], **TOLERANCE)


def test_stepper_select_copies_rows(model, tokens):
    stepper, index, token = model.stepper(), torch.tensor([2, 0]), torch.tensor([4, 5])
    _, state = run(model, tokens)

    selected = stepper.select(state, index)
    logits, _ = stepper.step(token, selected)

    expected, _ = stepper.step(token, state.select(index))
    torch.testing.assert_close(logits, expected, **TOLERANCE)
    assert not torch.allclose(logits[0], logits[1], **TOLERANCE)


def test_rows_of_concatenated_states_behave_as_alone(model, tokens):
    """The second state has a larger capacity, and has read another number of tokens."""
    states = [
        model(tokens[:2, :6], model.initial_state(2, 10))[1],
        model(tokens[2:, :4], model.initial_state(1, 20))[1],
    ]
    both = State.concat([state.select(torch.arange(state.batch_size)) for state in states])

    logits, _ = model(tokens[:, 6:8], both)

    alone = [model(part, state)[0] for part, state in zip(tokens[:, 6:8].split([2, 1]), states, strict=True)]
    torch.testing.assert_close(logits, torch.cat(alone), **TOLERANCE)


def test_detach_cuts_the_gradient(model, tokens):
    with torch.enable_grad():
        _, state = model(tokens[:, :8])
        assert all(member.grad_fn is None for member in state.detach().tensors().values())


def test_parameter_count_counts_a_tied_head_once(model):
    head, embedding = model.get_submodule("head"), model.get_submodule("embedding")
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    twice = embedding.weight.numel() if head.weight is embedding.weight else 0

    assert parameter_count(model) == numbers - twice

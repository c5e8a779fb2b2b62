"""The laws of labelers, for every family and form."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seqgen.models.base import IGNORED, plain_path
from seqgen.models.stepper import DefaultStepper

from .conftest import LABELS, VOCAB_SIZE, build_labeler, config_of, label, tokens_for
from .oracle import oracle_logits


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_row_alone_has_the_logits_that_it_has_in_a_batch(labeler, source, lengths):
    together = label(labeler, source, lengths)

    for row, length in enumerate(lengths.tolist()):
        alone = label(labeler, source[row : row + 1, :length], lengths[row : row + 1])
        close(alone, together[row : row + 1, : alone.shape[1]])


def test_fillers_do_not_change_logits(labeler, source, lengths):
    filled = torch.where(torch.arange(12) < lengths[:, None], F.pad(source, (0, 3)), 5)

    found, expected = label(labeler, filled, lengths), label(labeler, source, lengths)

    for row, length in enumerate(lengths.tolist()):
        close(found[row, : length + 1][: expected.shape[1]], expected[row, : length + 1])


def test_forward_in_two_parts_equals_forward_at_once(labeler, source, lengths):
    tokens = tokens_for(labeler, source)
    tokens = tokens if tokens.shape[1] > 1 else F.pad(tokens, (0, 3), value=4)
    starts = tokens == 0
    whole, _ = labeler(tokens, labeler.encode(source, lengths, 8), starts)

    first, state = labeler(tokens[:, :3], labeler.encode(source, lengths, 8), starts[:, :3])
    second, _ = labeler(tokens[:, 3:], state, starts[:, 3:])

    close(torch.cat([first, second], 1), whole)


@pytest.mark.parametrize("default", [False, True])
def test_stepper_agrees_with_forward(labeler, source, lengths, default):
    model = labeler.float()
    tokens = tokens_for(model, source)
    expected = label(model, source, lengths)
    stepper = DefaultStepper(model, "fp32") if default else model.stepper()
    state = model.encode(source, lengths, tokens.shape[1])

    made = []
    for column in tokens.unbind(1):
        logits, state = stepper.step(column, state, column == 0)
        made.append(logits)

    torch.testing.assert_close(torch.stack(made, 1), expected, rtol=0, atol=2e-5)


def test_trace_agrees_with_forward(labeler, source, lengths):
    tokens = tokens_for(labeler, source)

    trace = labeler.trace(tokens, labeler.encode(source, lengths, tokens.shape[1]), tokens == 0)

    close(trace["logits"], label(labeler, source, lengths))
    close(labeler.head(trace["hidden"]), trace["logits"])


def test_plain_path_agrees_with_fast_path(labeler, source, lengths):
    expected = label(labeler, source, lengths)

    with plain_path(labeler):
        close(label(labeler, source, lengths), expected)


def test_rows_of_selected_and_concatenated_states_behave_as_alone(labeler, source, lengths):
    tokens = tokens_for(labeler, source)
    long, short = labeler.encode(source[:2], lengths[:2], 8), labeler.encode(source[1:2, :4], lengths[1:2], 8)

    state = type(long).concat([long, short]).select(torch.tensor([2, 0]))

    found, _ = labeler(tokens[[1, 0]], state, tokens[[1, 0]] == 0)
    expected = label(labeler, source, lengths)
    close(found[0, :5], expected[1, :5])
    close(found[1], expected[0])


def test_labels_decide_the_size_of_the_logits(labeler, source, lengths, name):
    assert label(labeler, source, lengths).shape[2] == len(config_of(name).labels)


def test_heads_of_recurrent_labelers_have_a_bias(labeler, name):
    assert (labeler.head.bias is None) == name.startswith("transformer")


def test_temperature_is_stored_and_not_trained(labeler):
    assert "temperature" in labeler.stored_tensors()
    assert "temperature" not in dict(labeler.named_parameters())
    assert float(labeler.temperature) == 1.0


def test_nothing_after_a_word_changes_what_a_one_way_tagger_says_of_it():
    model = build_labeler("lstm-tag-one-way")
    source = torch.tensor([[3, 4, 5, 6]])

    found = label(model, torch.tensor([[3, 4, 9, 9]]), torch.tensor([4]))

    close(found[:, :3], label(model, source, torch.tensor([4]))[:, :3])
    assert (found[:, 3:] - label(model, source, torch.tensor([4]))[:, 3:]).abs().min() > 1e-6


def test_a_two_way_tagger_sees_what_comes_after_a_word():
    model = build_labeler("lstm-tag")

    found, other = (label(model, torch.tensor([[3, 4, last]]), torch.tensor([3])) for last in (5, 6))

    assert (found[:, 1] - other[:, 1]).abs().max() > 1e-4


def test_bf16_nats_are_within_half_a_percent(name):
    """Of a label of 64 texts, or of a tag of each of their tokens."""
    model = build_labeler(name, torch.float32)
    torch.manual_seed(3)
    source, lengths = torch.randint(1, VOCAB_SIZE, (64, 7)), torch.full((64,), 7)
    targets = torch.randint(len(LABELS), tokens_for(model, source).shape)
    if targets.shape[1] > 1:
        targets[:, 0] = IGNORED

    def nats() -> float:
        logits = label(model, source, lengths).float()
        return float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED))

    exact = nats()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = nats()

    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.005)


def test_logits_and_gradients_are_those_of_a_model_written_as_loops(labeler, source, lengths):
    """Gradients: of the sum of the nats of some labels, for every parameter."""
    tagger = labeler.config.cell.endswith("-tag")
    targets = torch.full(tokens_for(labeler, source).shape, IGNORED)
    torch.set_grad_enabled(True)
    expected_nats, logits = [], label(labeler, source, lengths)
    for row, length in enumerate(lengths.tolist()):
        for place, wanted in enumerate(oracle_logits(labeler, source[row, :length].tolist())):
            column, target = place + tagger, (row + place) % len(LABELS)
            torch.testing.assert_close(logits[row, column], wanted, rtol=0, atol=1e-9)
            targets[row, column] = target
            expected_nats.append(-wanted.log_softmax(0)[target])
    parameters = dict(labeler.named_parameters())

    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum").backward()

    expected = torch.autograd.grad(sum(expected_nats), list(parameters.values()), allow_unused=True)
    for parameter, gradient in zip(parameters.values(), expected, strict=True):
        found, wanted = (torch.zeros_like(parameter) if one is None else one for one in (parameter.grad, gradient))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)

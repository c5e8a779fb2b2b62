"""The laws of encoder-decoders: how a source acts on its target, and on no other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.models.base import IGNORED, plain_path
from seqgen.models.source import source_mask
from seqgen.models.state import State
from seqgen.models.translation.base import Translator

from ...conftest import TRANSLATORS, build_model
from .pairs import SOURCES, TARGETS, batch

SLOW = pytest.mark.slow
"""For forms whose code the others run, in tests that take a second each."""


@pytest.fixture(params=TRANSLATORS)
def model(request) -> Translator:
    return build_model(request.param)


def logits_of(model: Translator, source: Tensor, lengths: Tensor, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return model(inputs, model.encode(source, lengths, inputs.shape[1]))[0]


@pytest.mark.parametrize("filler", [1, 7])
def test_padding_changes_nothing(model, filler):
    model, made = model.double(), batch()
    source = F.pad(made.source.where(source_mask(made.lengths, 7), filler), (0, 4), value=filler)

    together = logits_of(model, source, made.lengths, made.inputs)

    for row, (one, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone = logits_of(model, torch.tensor([one]), torch.tensor([len(one)]), torch.tensor([[0, *target]]))
        torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, rtol=0, atol=1e-9)


def test_source_of_one_token_may_be_padded(model):
    model, inputs = model.double(), torch.tensor([[0, 4]])

    padded = logits_of(model, torch.tensor([[5, 1]]), torch.tensor([1]), inputs)

    torch.testing.assert_close(padded, logits_of(model, torch.tensor([[5]]), torch.tensor([1]), inputs))


def test_every_source_token_and_their_order_affect_the_target(model):
    source, lengths, inputs = torch.tensor([SOURCES[0]]), torch.tensor([5]), torch.tensor([[0, 4]])
    whole = logits_of(model, source, lengths, inputs)

    for column in range(5):
        changed = source.clone()
        changed[0, column] = 8
        assert not torch.allclose(logits_of(model, changed, lengths, inputs), whole, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(logits_of(model, source.flip(1), lengths, inputs), whole, rtol=1e-6, atol=1e-6)


def test_every_weight_has_a_gradient(model):
    made = batch()

    logits, _ = model(made.inputs, made.state(model))
    F.cross_entropy(logits.flatten(0, 1), made.targets.flatten(), ignore_index=IGNORED).backward()

    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_state_keeps_the_lengths_of_concatenated_sources(model):
    states = [model.encode(torch.tensor([one]), torch.tensor([len(one)]), 6) for one in SOURCES]

    both = State.concat(states)

    assert both.lengths.tolist() == [5, 2, 7]
    assert both.attention.shape == (3, 7)


def test_initial_state_is_that_of_a_source_of_one_boundary(model):
    inputs = torch.tensor([[0, 4, 5]])

    with torch.no_grad():
        fresh, _ = model(inputs)

    assert torch.equal(fresh, logits_of(model, torch.tensor([[0]]), torch.tensor([1]), inputs))


@pytest.mark.parametrize(
    "model",
    [
        name if name in {"gru-translate", "transformer-translate"} else pytest.param(name, marks=SLOW)
        for name in TRANSLATORS
    ],
    indirect=True,
)
def test_gradients_of_each_pair_by_vmap_equal_those_of_each_alone(model):
    """On the plain path, through encoder and decoder."""

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, source: Tensor, length: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            logits, _ = self.model(inputs[None], self.model.encode(source[None], length[None], len(inputs)))
            return F.cross_entropy(logits[0], targets, ignore_index=IGNORED, reduction="sum")

    whole, made = Loss(), batch()
    weights, rows = dict(whole.named_parameters()), (made.source, made.lengths, made.inputs, made.targets)

    def loss(weights: dict[str, Tensor], *row: Tensor) -> Tensor:
        return torch.func.functional_call(whole, weights, row)

    with plain_path(model):
        together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0, 0))(weights, *rows)
        for index, row in enumerate(zip(*rows, strict=True)):
            for name, gradient in torch.func.grad(loss)(weights, *row).items():
                torch.testing.assert_close(together[name][index], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm-translate", "gru-translate", "transformer-translate"], indirect=True)
def test_encoder_exports(model):
    made = batch()

    class Encode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.model.encode(source, lengths, 8).tensors().values())

    with plain_path(model), torch.no_grad():
        exported = torch.export.export(Encode(), (made.source, made.lengths)).module()
        found, expected = exported(made.source, made.lengths), Encode()(made.source, made.lengths)

    for one, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(one, wanted)


def test_bf16_nats_are_within_half_a_percent(model):
    made = batch()
    with torch.no_grad():
        exact, _ = model.nats(made.inputs, made.targets, made.state(model))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            state = made.state(model)
            nats, _ = model.nats(made.inputs, made.targets, state)

    assert {member.dtype for member in state.tensors().values()} == {torch.float32, torch.int64}
    assert float(nats.sum()) == pytest.approx(float(exact.sum()), rel=0.005)

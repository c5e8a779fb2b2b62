"""The laws of the model contract, for every family."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen.errors import ConfigError
from seqgen.models.base import IGNORED, LanguageModel, NeuralModel, parameter_count, plain_path
from seqgen.models.registry import FAMILIES
from seqgen.models.state import State
from seqgen.models.stepper import DefaultStepper
from seqgen.models.translation.base import Translator

from ..conftest import CONFIGS, MODELS, TRANSLATORS, build_model, some_by_default
from ..conftest import trained as neural

FORMS = CONFIGS | TRANSLATORS

LENGTH = 30
SOURCES = torch.tensor([[3, 1, 4, 1, 5, 0, 0], [9, 2, 0, 0, 0, 0, 0], [6, 5, 3, 5, 8, 9, 7]])
SOURCE_LENGTHS = torch.tensor([5, 2, 7])
"""What encoder-decoders read before the three rows of tokens."""
without_source = pytest.mark.parametrize("model", CONFIGS, indirect=True)
"""Only families that continue a text."""
EXPORTED = {"gru", "transformer", "gru-translate", "transformer-translate"}
"""Models that torch.export traces by default; all take seconds."""
PRECISIONS = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Tolerances relative to the scale of the logits."""


@pytest.fixture(params=some_by_default(MODELS, FORMS))
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """Return a small model of each family, encoder-decoders included."""
    return build_model(request.param)


@pytest.fixture
def tokens(model) -> Tensor:
    """Return three rows of 30 tokens that begin with the boundary; the middle row has a second document at 12.

    The targets of encoder-decoders are one document each.
    """
    tokens = torch.randint(1, 11, (3, LENGTH))
    tokens[:, 0] = 0
    if not isinstance(model, Translator):
        tokens[1, 12] = 0
    return tokens


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def begin(model: NeuralModel, rows: int, capacity: int, first: int = 0) -> State:
    """Return the state before the first token; of an encoder-decoder, after it has read sources from `first` on."""
    if not isinstance(model, Translator):
        return model.initial_state(rows, capacity)
    lengths = SOURCE_LENGTHS[first : first + rows]
    return model.encode(SOURCES[first : first + rows, : int(lengths.max())], lengths, capacity)


def run(model: NeuralModel, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    return model(tokens, begin(model, len(tokens), 64) if state is None else state, tokens == 0)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    tolerance = PRECISIONS[expected.dtype] * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def assert_same_state(found: State, expected: State) -> None:
    """Compare all but the attention of the newest token, which a transformer computes on the plain path only."""
    assert found.tensors().keys() == expected.tensors().keys()
    for (name, member), wanted in zip(found.tensors().items(), expected.tensors().values(), strict=True):
        if name != "weights":
            torch.testing.assert_close(member, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cut", "dtype"), [*((cut, torch.float64) for cut in (1, 7, 8, 12, 13, 29)), (12, torch.float32)]
)
def test_forward_in_two_parts_equals_forward_at_once(model, tokens, cut, dtype):
    model = model.to(dtype)
    whole, end = run(model, tokens)

    first, state = run(model, tokens[:, :cut])
    second, state = run(model, tokens[:, cut:], state)

    assert_close(torch.cat([first, second], dim=1), whole)
    assert_same_state(state, end)


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.25), ("int8", 0.5)])
def test_stepper_agrees_with_the_forward(model, tokens, precision, tolerance, default):
    """From a fresh state on: the steps read boundaries too."""
    whole, _ = run(model, tokens)
    stepper = DefaultStepper(model, precision) if default else model.stepper(precision)
    state = stepper.select(begin(model, 3, 64), torch.arange(3))

    for column in range(LENGTH):
        starts = tokens[:, column] == 0
        logits, state = stepper.step(tokens[:, column], state, starts if starts.any() else None)
        assert logits.dtype == torch.float32
        atol = tolerance * (max(1.0, float(whole.abs().max())) if precision == "fp32" else float(whole.std()))
        torch.testing.assert_close(logits, whole[:, column].float(), rtol=0, atol=atol)


def test_stepper_continues_the_state_of_the_forward(model, tokens):
    whole, _ = run(model, tokens)
    _, state = run(model, tokens[:, :13])
    stepper = model.stepper()

    for column in range(13, LENGTH):
        logits, state = stepper.step(tokens[:, column], state)
        assert_close(logits, whole[:, column].float())


@pytest.mark.parametrize("default", [False, True])
def test_stepper_is_a_snapshot(model, tokens, default):
    stepper = DefaultStepper(model, "fp32") if default else model.stepper()
    _, state = run(model, tokens[:, :5])
    before, _ = stepper.step(tokens[:, 5], state.select(torch.arange(3)))

    for parameter in model.parameters():
        parameter.add_(1.0)

    after, _ = stepper.step(tokens[:, 5], state)
    assert torch.equal(before, after)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_plain_path_agrees_with_the_forward(model, tokens, dtype):
    model = model.to(dtype)
    whole, end = run(model, tokens)

    with plain_path(model):
        plain, state = run(model, tokens)

    assert_close(plain, whole)
    assert_same_state(state, end)
    assert not model.plain


@neural
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_trace_agrees_with_the_forward_and_changes_no_state(model, tokens, dtype):
    model = model.to(dtype)
    _, state = run(model, tokens[:, :5])
    before = state.select(torch.arange(3))
    later = tokens[:, 5:]

    trace = model.trace(later, state, later == 0)

    assert_same_state(state, before)
    hidden, _ = model.features(later, state.select(torch.arange(3)), later == 0)
    assert_close(trace["hidden"], hidden)
    assert_close(trace["logits"], run(model, later, state)[0])
    assert {tensor.shape[:2] for tensor in trace.values()} == {later.shape}


@neural
def test_forward_agrees_with_features_and_head(model, tokens):
    hidden, _ = model.features(tokens, begin(model, 3, 64), tokens == 0)

    assert torch.equal(model.head(hidden), run(model, tokens)[0])


def test_nats_and_log_probs_are_those_of_the_logits(model, tokens):
    logits, end = run(model, tokens)
    targets = tokens.roll(-1, 1)
    targets[0, 3] = IGNORED

    nats, state = model.nats(tokens, targets, begin(model, 3, 64), tokens == 0)
    log_probs, _ = model.log_probs(tokens, begin(model, 3, 64), tokens == 0)

    assert_close(log_probs, logits.log_softmax(-1))
    expected = -log_probs.gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0]
    assert_close(nats, expected.where(targets != IGNORED, 0.0))
    assert_same_state(state, end)


@without_source
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_tokens_before_a_document_do_not_affect_it(model, tokens, dtype):
    model = model.to(dtype)
    whole, _ = run(model, tokens)

    alone, _ = run(model, tokens[1:2, 12:])

    assert_close(whole[1:2, 12:], alone)


def test_every_token_within_reach_affects_the_outputs(model, tokens):
    """The converse of the law above: the model does read its past."""
    changed = tokens.clone()
    changed[0, 5] = changed[0, 5] % 10 + 1

    logits, _ = run(model, tokens)
    others, _ = run(model, changed)

    assert torch.equal(logits[:, :5], others[:, :5])
    reach = 1 if FAMILIES[model.config.cell].fit else 3  # an n-gram model may not know the longer n-grams
    assert (logits[0, 5 : 5 + reach] != others[0, 5 : 5 + reach]).any(dim=-1).all()


def test_forward_without_a_state_starts_fresh(model, tokens):
    logits, _ = model(tokens[:, :8], None, tokens[:, :8] == 0)

    assert_close(logits, run(model, tokens[:, :8], model.initial_state(3, 8))[0])


def test_forward_without_starts_agrees_where_there_are_none(model, tokens):
    inside = tokens[:, 1:9]

    logits, state = model(inside, begin(model, 3, 64))

    expected, end = run(model, inside)
    assert_close(logits, expected)
    assert_same_state(state, end)


def test_state_is_batch_first_in_full_precision(model, tokens):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = run(model, tokens)

    assert {len(member) for member in state.tensors().values()} == {3}
    assert {member.dtype for member in state.tensors().values()} <= {torch.float32, torch.int64}


def test_bf16_nats_are_within_half_a_percent(model, tokens):
    targets = tokens.roll(-1, 1)
    exact, _ = model.nats(tokens, targets, begin(model, 3, 64), tokens == 0)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        nats, _ = model.nats(tokens, targets, begin(model, 3, 64), tokens == 0)

    assert float(nats.sum()) == pytest.approx(float(exact.sum()), rel=0.005)


def test_select_copies_rows(model, tokens):
    _, state = run(model, tokens)

    twins = state.select(torch.tensor([2, 2, 0]))
    logits, _ = model.stepper().step(torch.tensor([4, 4, 4]), twins)

    assert_close(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2], rtol=1e-4, atol=1e-5)


def test_stepper_select_copies_rows(model, tokens):
    stepper, index, token = model.stepper(), torch.tensor([2, 0]), torch.tensor([4, 5])
    _, state = run(model, tokens)

    selected = stepper.select(state, index)
    logits, _ = stepper.step(token, selected)

    expected, _ = stepper.step(token, state.select(index))
    assert_close(logits, expected)
    assert not torch.allclose(logits[0], logits[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_rows_of_concatenated_states_behave_as_alone(model, tokens, dtype):
    """The second state has a larger capacity, and has read another number of tokens."""
    model = model.to(dtype)
    states = [run(model, tokens[:2, :6], begin(model, 2, 10))[1]]
    states += [run(model, tokens[2:, :4], begin(model, 1, 20, first=2))[1]]
    both = State.concat([state.select(torch.arange(state.batch_size)) for state in states])

    logits, _ = run(model, tokens[:, 6:8], both)

    alone = [run(model, part, state)[0] for part, state in zip(tokens[:, 6:8].split([2, 1]), states, strict=True)]
    assert_close(logits, torch.cat(alone))


def test_state_is_not_written_while_gradients_are_on(model, tokens):
    _, state = run(model, tokens[:, :5])
    before = state.select(torch.arange(3))

    with torch.enable_grad():
        run(model, tokens[:, 5:9], state)

    assert all(map(torch.equal, state.tensors().values(), before.tensors().values()))


def test_detach_cuts_the_gradient(model, tokens):
    with torch.enable_grad():
        _, state = run(model, tokens[:, :8], begin(model, 3, 8))
        assert all(member.grad_fn is None for member in state.detach().tensors().values())


@neural
def test_parameter_count_counts_a_tied_head_once(model):
    head, embedding = model.get_submodule("head"), model.get_submodule("embedding")
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    twice = embedding.weight.numel() if head.weight is embedding.weight else 0

    assert parameter_count(model) == numbers - twice


# --- the plain path


@neural
def test_hooks_fire_on_every_layer_of_the_forward_and_of_a_plain_stepper(model, tokens):
    layers = {name: module for name, module in model.named_modules() if name}
    seen: list[str] = []
    for name, module in layers.items():
        if not isinstance(module, torch.nn.ModuleList):
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    expected = {name for name, module in layers.items() if not isinstance(module, torch.nn.ModuleList)}

    run(model, tokens)
    assert set(seen) == expected
    seen.clear()
    with plain_path(model):
        model.stepper().step(tokens[:, 1], begin(model, 3, 64))
    assert set(seen) == expected


@neural
def test_hooks_that_are_methods_act_on_their_own_object(model, tokens):
    class Collector:
        calls = 0

        def count(self, *_):
            self.calls += 1

    collector = Collector()
    model.head.register_forward_hook(collector.count)

    with plain_path(model):
        model.stepper().step(tokens[:, 1], begin(model, 3, 64))

    assert collector.calls == 1


@pytest.mark.parametrize(("precision", "engine"), [("int8", "torch"), ("bf16", "torch"), ("fp32", "numba")])
def test_stepper_on_the_plain_path_refuses_fast_forms(model, precision, engine):
    with plain_path(model), pytest.raises(ConfigError, match="plain path"):
        model.stepper(precision, engine)


def test_plain_path_is_of_one_model_and_ends_with_an_error(model):
    other = copy.deepcopy(model)

    def fail_inside():
        with plain_path(model):
            assert model.plain
            assert not other.plain
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert not model.plain


def test_last_logits_are_those_of_the_forward(model, tokens):
    whole, end = run(model, tokens)

    logits, state = model.last_logits(tokens, begin(model, 3, 64), tokens == 0)

    assert_close(logits, whole[:, -1])
    assert_same_state(state, end)


@neural
def test_stepper_refuses_to_skip_hooks(model):
    model.head.register_forward_hook(lambda *_: None)

    with pytest.raises(ConfigError, match="hooks"):
        model.stepper()


def loss_of(model: NeuralModel, tokens: Tensor) -> Tensor:
    logits, _ = run(model, tokens, begin(model, len(tokens), tokens.shape[1]))
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@neural
def test_second_derivatives_exist_on_the_plain_path(model, tokens):
    """The derivative of the gradient's norm along a direction, against a difference quotient, with a start inside."""
    model, text = model.double(), tokens[:2, 8:20]
    parameters = list(model.parameters())

    def squared_gradient() -> Tensor:
        gradients = torch.autograd.grad(loss_of(model, text), parameters, create_graph=True, allow_unused=True)
        return sum((gradient.square().sum() for gradient in gradients if gradient is not None), torch.zeros(()))

    with torch.enable_grad(), plain_path(model):
        second = torch.autograd.grad(squared_gradient(), parameters, allow_unused=True)
        second = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, second, strict=True)]
        norm = torch.stack([gradient.norm() for gradient in second]).norm()
        direction = [gradient / norm for gradient in second]
        values = []
        for step in (1e-5, -1e-5):
            for parameter, along in zip(parameters, direction, strict=True):
                parameter.data.add_(along, alpha=step)
            values.append(squared_gradient().item())
            for parameter, along in zip(parameters, direction, strict=True):
                parameter.data.sub_(along, alpha=step)

    assert (values[0] - values[1]) / 2e-5 == pytest.approx(norm.item(), rel=1e-5)


@neural
def test_functional_transforms_work_on_the_plain_path(model, tokens):
    """Gradients per row by `vmap` of `grad` equal those of each row alone."""
    text = tokens[:, 8:20]
    weights = dict(model.named_parameters())

    def loss(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        state = begin(model, 1, len(row))
        logits, _ = torch.func.functional_call(model, weights, (row[None], state, row[None] == 0))
        return F.cross_entropy(logits[0, :-1], row[1:])

    with torch.enable_grad(), plain_path(model):
        together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, text)
        for index, row in enumerate(text):
            alone = torch.func.grad(loss)(weights, row)
            for name, gradient in alone.items():
                torch.testing.assert_close(together[name][index], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    some_by_default((name for name, config in FORMS.items() if FAMILIES[config.cell].neural), EXPORTED),
    indirect=True,
)
def test_plain_step_exports(model, tokens):
    """The exported program gives the logits and the state of the model, starts included."""
    state = begin(model, 3, 64)
    example = (tokens[:, :1], state, tokens[:, :1] == 0)
    with plain_path(model):
        program = torch.export.export(copy.deepcopy(model), example)
    step = program.module()
    whole, end = run(model, tokens, begin(model, 3, 64))

    for column in range(LENGTH):
        token = tokens[:, column : column + 1]
        logits, state = step(token, state, token == 0)
        assert_close(logits[:, 0], whole[:, column])
    assert_same_state(state, end)

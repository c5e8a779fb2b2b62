from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.pairs import score_pairs
from seqgen.evaluation.report import TextSize
from seqgen.evaluation.scoring import evaluate
from seqgen.models.base import IGNORED

from ..conftest import some_by_default
from .conftest import SMALL, TRANSLATORS

HELLO = "hello"
WITHOUT_CONTEXT = 1.0397  # nats per transition: the entropy of e, l, l, o
WITH_ONE_CHARACTER = 0.3466  # ln 2 / 2: after l comes l or o


@pytest.mark.parametrize("name", SMALL)
def test_every_cell_remembers_more_than_one_character(make_learner, name):
    """h->e, e->l, l->l, l->o: after one l comes l, after two comes o. One character of context is not enough."""
    learner, corpus = make_learner(name, HELLO, valid_split="none", max_steps=150, lr=0.02, dropout=0.0)
    ids = torch.from_numpy(corpus.train[0].astype(np.int64))
    for step in range(150):
        learner.step(step)

    with torch.no_grad():
        logits, _ = learner.model(read := torch.cat([torch.tensor([0]), ids[:-1]])[None], None, read == 0)
    transitions = F.cross_entropy(logits[0, 1:], ids[1:], reduction="none")

    assert corpus.tokenizer.decode(ids.tolist()) == HELLO
    assert len(set(ids.tolist())) == 4
    assert transitions.mean() < 0.5 * WITH_ONE_CHARACTER < WITHOUT_CONTEXT
    assert max(transitions[2:].tolist()) < WITH_ONE_CHARACTER


ADAMW, MUON = {"optimizer": "adamw", "lr": 0.01}, {"optimizer": "muon", "lr": 0.03}


@pytest.mark.parametrize("name", some_by_default(SMALL, {"lstm", "transformer"}))
def test_every_cell_memorizes_a_tiny_text(make_learner, name):
    optimizer = ADAMW if name in {"lstm", "gru-before"} else MUON
    text = "the quick brown fox jumps over the lazy dog, and then it rests. "
    settings = {"max_steps": 200, "dropout": 0.0, "batch_size": 2, **optimizer}
    learner, corpus = make_learner(name, text, valid_split="none", **settings)

    def nats_per_token() -> float:
        size = TextSize(len(text), len(text), unknown=0, unk_cost=0.0)
        return evaluate(learner.model, corpus.train, size, EvaluationConfig(sequential=True)).nats_per_token

    assert nats_per_token() > 2.5
    for step in range(200):
        learner.step(step)
    assert nats_per_token() < 0.05


def test_grad_accum_equals_one_large_batch(make_learner):
    """Two batches of two windows give the gradient of one batch of four."""
    results = []
    for settings in ({"batch_size": 4}, {"batch_size": 2, "grad_accum": 2}):
        learner, _ = make_learner("transformer", dropout=0.0, **settings)
        loss, norm, _ = learner.step(0)
        results.append((loss, norm, learner.model.head.weight.detach().clone()))

    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-4)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "per_batch"), [("gru", 4 * 16), ("transformer", 4 * 16)])
def test_tokens_per_step_counts_all_batches_of_a_step(make_learner, name, per_batch):
    assert make_learner(name)[0].tokens_per_step == per_batch
    assert make_learner(name, grad_accum=3)[0].tokens_per_step == 3 * per_batch


def test_step_with_grad_accum_reads_the_next_batches(make_learner, monkeypatch):
    learner, _ = make_learner("gru", grad_accum=3)
    read = []
    batch_at = learner.stream.batch_at
    monkeypatch.setattr(learner.stream, "batch_at", lambda number: read.append(number) or batch_at(number))

    for step in (0, 1, 5):
        learner.step(step)

    assert read == [0, 1, 2, 3, 4, 5, 15, 16, 17]


def test_state_is_carried_between_batches_and_detached(make_learner):
    learner, _ = make_learner("lstm", dropout=0.0)
    learner.step(0)
    carried = learner.carried.map(torch.Tensor.clone)

    assert all(member.abs().sum() > 0 and member.grad_fn is None for member in carried.tensors().values())
    batch = learner.stream.batch_at(1)
    with torch.no_grad():
        _, expected = learner.model(batch.inputs, carried, batch.starts)
    learner.step(1)
    for member, wanted in zip(learner.carried.tensors().values(), expected.tensors().values(), strict=True):
        torch.testing.assert_close(member, wanted)


def test_step_clips_the_gradient_and_returns_the_norm_before(make_learner):
    learner, _ = make_learner("gru", clip_grad_norm=1e-3)

    norm = learner.step(0).grad_norm

    clipped = torch.stack([parameter.grad.norm() for parameter in learner.model.parameters()]).norm()
    assert norm > 0.1
    assert clipped.item() == pytest.approx(1e-3, rel=1e-2)


def test_step_restores_training_mode_and_random_state(make_learner):
    learner, _ = make_learner("lstm", dropout=0.5)
    before = torch.get_rng_state()

    learner.step(0)

    assert not learner.model.training
    assert torch.equal(torch.get_rng_state(), before)


def break_the_loss(learner, kind):
    """Make the loss NaN, or only the gradient infinite, from now on."""
    if kind == "loss":
        return learner.model.head.register_forward_hook(lambda module, inputs, logits: logits * float("nan"))
    return learner.model.head.weight.register_hook(lambda gradient: gradient * float("inf"))


@pytest.mark.parametrize(("name", "kind"), [("lstm", "loss"), ("transformer", "loss"), ("lstm", "gradient")])
def test_step_with_nan_or_infinity_changes_nothing(make_learner, name, kind):
    learner, _ = make_learner(name)
    learner.step(0)
    before = [tensor.clone() for tensor in tensors_of(learner)]

    hook = break_the_loss(learner, kind)
    result = learner.step(1)
    hook.remove()

    assert not result.taken
    assert not (math.isfinite(result.nats_per_token) and math.isfinite(result.grad_norm))
    assert all(torch.equal(*pair) for pair in zip(tensors_of(learner), before, strict=True))
    assert learner.step(2).taken


def tensors_of(learner):
    moments = [tensor for state in learner.optimizer.state.values() for tensor in state.values()]
    return [*learner.model.parameters(), *moments, *(learner.carried.tensors().values() if learner.carried else ())]


@pytest.mark.parametrize(("name", "precision"), [("lstm", "bf16"), ("transformer", "fp32")])
def test_callers_autocast_and_no_grad_do_not_change_a_step(make_learner, name, precision):
    settings = {"dropout": 0.3, "grad_accum": 2, "precision": precision}
    alone, _ = make_learner(name, **settings)
    expected = [alone.step(step) for step in range(3)]

    within, _ = make_learner(name, **settings)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = [within.step(step) for step in range(3)]
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")

    assert found == expected
    assert torch.equal(within.model.head.weight, alone.model.head.weight)


def test_failed_step_leaves_training_mode(make_learner):
    learner, _ = make_learner("lstm")
    learner.model.head.register_forward_hook(lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        learner.step(0)

    assert not any(module.training for module in learner.model.modules())


@pytest.mark.parametrize("name", some_by_default(TRANSLATORS, {"gru-translate", "transformer-translate"}))
def test_every_encoder_decoder_memorizes_a_few_pairs(make_learner, name):
    """Targets that differ only by the source: what they cost falls below what is possible without it."""
    text = "".join(f"{source}{source}\t{target}\n" for source, target in zip("abcd", "wxyz", strict=True))
    settings = {"max_steps": 120, "dropout": 0.0, "lr": 0.02, "valid_split": "none"}
    learner, corpus = make_learner(name, text, **settings)

    for step in range(120):
        learner.step(step)

    nats = score_pairs(learner.model, corpus.pairs)
    assert corpus.pairs.tokens == 8
    assert float(nats.max()) < 0.5 * math.log(4)


def test_loss_of_label_smoothing_is_that_of_cross_entropy(make_learner):
    """A step without dropout reports the smoothed loss of its batch, per target."""
    settings = {"dropout": 0.0, "label_smoothing": 0.2, "valid_split": "none"}
    learner, _ = make_learner("lstm-translate", **settings)
    batch = learner.stream.batch_at(0)
    with torch.no_grad():
        logits, _ = learner.model(batch.inputs, batch.state(learner.model))
    expected = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, label_smoothing=0.2)

    found = learner.step(0)

    assert found.nats_per_token == pytest.approx(float(expected), rel=1e-5)

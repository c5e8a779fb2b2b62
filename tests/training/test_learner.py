from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqgen.evaluation.scoring import score, stream_lanes

FAMILIES = ["rnn", "lstm", "gru", "gru-before", "transformer"]

HELLO = "hello"
WITHOUT_CONTEXT = 1.0397  # nats a transition: the entropy of e, l, l, o
WITH_ONE_CHARACTER = 0.3466  # ln 2 / 2: after l comes l or o


@pytest.mark.parametrize("name", FAMILIES)
def test_hello_every_cell_remembers_more_than_one_character(make_learner, name):
    """h->e, e->l, l->l, l->o: after one l comes l, after two comes o. Who sees one character cannot tell them apart."""
    learner, corpus = make_learner(name, HELLO, valid_split="none", max_steps=150, lr=0.02, dropout=0.0)
    ids = torch.from_numpy(corpus.train[0].astype(np.int64))
    for step in range(150):
        learner.step(step)

    with torch.no_grad():
        logits, _ = learner.model(torch.cat([torch.tensor([0]), ids[:-1]])[None])
    transitions = F.cross_entropy(logits[0, 1:], ids[1:], reduction="none")

    assert corpus.tokenizer.decode(ids.tolist()) == HELLO
    assert len(set(ids.tolist())) == 4
    assert transitions.mean() < 0.5 * WITH_ONE_CHARACTER < WITHOUT_CONTEXT
    assert max(transitions[2:].tolist()) < WITH_ONE_CHARACTER


@pytest.mark.parametrize("optimizer", [{"optimizer": "adamw", "lr": 0.01}, {"optimizer": "muon", "lr": 0.03}], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_text_is_learnt_by_heart(make_learner, name, optimizer):
    text = "the quick brown fox jumps over the lazy dog, and then it rests. "
    settings = {"max_steps": 200, "dropout": 0.0, "batch_size": 2, **optimizer}
    learner, corpus = make_learner(name, text, valid_split="none", **settings)

    def nats_per_token() -> float:
        return score(learner.model, corpus.train, stream_lanes([len(text)], 0, lanes=1)) / len(text)

    assert nats_per_token() > 2.5
    for step in range(200):
        learner.step(step)
    assert nats_per_token() < 0.05


def test_accumulated_batches_are_one_large_batch(make_learner):
    """Two batches of two windows give the gradient of one batch of four."""
    results = []
    for settings in ({"batch_size": 4}, {"batch_size": 2, "grad_accum": 2}):
        learner, _ = make_learner("transformer", dropout=0.0, **settings)
        loss, norm, _ = learner.step(0)
        results.append((loss, norm, learner.model.head.weight.detach().clone()))

    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-4)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-3, atol=1e-5)


def test_the_state_is_carried_from_batch_to_batch_and_its_history_cut(make_learner):
    learner, _ = make_learner("lstm", dropout=0.0)
    learner.step(0)
    carried = tuple(member.clone() for member in learner.carried)

    assert all(member.abs().sum() > 0 and member.grad_fn is None for member in carried)
    batch = learner.stream.batch_at(1)
    with torch.no_grad():
        _, expected = learner.model(batch.inputs, carried)
    learner.step(1)
    for member, wanted in zip(learner.carried, expected, strict=True):
        torch.testing.assert_close(member, wanted)


def test_the_gradient_is_clipped_by_its_norm_and_the_norm_before_is_told(make_learner):
    learner, _ = make_learner("gru", clip_grad_norm=1e-3)

    norm = learner.step(0).grad_norm

    clipped = torch.stack([parameter.grad.norm() for parameter in learner.model.parameters()]).norm()
    assert norm > 0.1
    assert clipped.item() == pytest.approx(1e-3, rel=1e-2)


def test_a_step_leaves_neither_training_mode_nor_the_random_state_behind(make_learner):
    learner, _ = make_learner("lstm", dropout=0.5)
    before = torch.get_rng_state()

    learner.step(0)

    assert not learner.model.training
    assert torch.equal(torch.get_rng_state(), before)


def break_the_loss(learner, kind):
    """From now on the loss, or the gradient alone, is no finite number."""
    if kind == "loss":
        return learner.model.head.register_forward_hook(lambda module, inputs, logits: logits * float("nan"))
    return learner.model.head.weight.register_hook(lambda gradient: gradient * float("inf"))


@pytest.mark.parametrize("kind", ["loss", "gradient"])
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_step_whose_numbers_go_wrong_changes_nothing(make_learner, name, kind):
    learner, _ = make_learner(name)
    learner.step(0)
    before = [tensor.clone() for tensor in everything_in(learner)]

    hook = break_the_loss(learner, kind)
    result = learner.step(1)
    hook.remove()

    assert not result.taken
    assert not (math.isfinite(result.nats_per_token) and math.isfinite(result.grad_norm))
    assert all(torch.equal(*pair) for pair in zip(everything_in(learner), before, strict=True))
    assert learner.step(2).taken


def everything_in(learner):
    moments = [tensor for state in learner.optimizer.state.values() for tensor in state.values()]
    return [*learner.model.parameters(), *moments, *(learner.carried or ())]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_what_the_caller_has_switched_on_or_off_changes_no_step(make_learner, name, precision):
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


def test_a_step_that_fails_leaves_training_mode_too(make_learner):
    learner, _ = make_learner("lstm")
    learner.model.head.register_forward_hook(lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        learner.step(0)

    assert not any(module.training for module in learner.model.modules())

"""The laws of the models on a CUDA device; skipped without one."""

from __future__ import annotations

import pytest
import torch

import seqgen

from .small_runs import SMALL, SMALL_RUNS, TRANSLATE_RUNS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_cuda_forward_agrees_with_the_cpu(model):
    tokens = torch.randint(1, 11, (3, 30))
    with torch.no_grad():
        expected, _ = model(tokens, model.initial_state(3, 64), tokens == 0)
        model.to("cuda")
        found, _ = model(tokens.cuda(), model.initial_state(3, 64), tokens.cuda() == 0)

    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.1), ("int8", 0.3)])
def test_stepper_agrees_with_the_forward(model, precision, tolerance):
    model.to("cuda")
    tokens = torch.randint(1, 11, (3, 20), device="cuda")
    with torch.no_grad():
        expected, _ = model(tokens, model.initial_state(3, 64), tokens == 0)
        _, state = model(tokens[:, :1], model.initial_state(3, 64), tokens[:, :1] == 0)
        stepper = model.stepper(precision)
        for column in range(1, 20):
            logits, state = stepper.step(tokens[:, column], state.select(torch.arange(3, device="cuda")))
            torch.testing.assert_close(logits, expected[:, column], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", SMALL_RUNS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_run_trains_resumes_and_loads_on_the_cpu(corpus, tmp_path, family, precision):
    settings = {**SMALL, **SMALL_RUNS[family], "device": "cuda", "precision": precision}
    polls = iter([False] * 5 + [True])
    stopped = seqgen.train(corpus, out=tmp_path / "run", stop=lambda: next(polls), **settings)
    assert list(stopped)[-1].reason == "stopped"

    run = seqgen.train(out=tmp_path / "run", resume=True).run()

    assert run.model.device.type == "cuda"
    here = seqgen.load(tmp_path / "run", device="cpu")
    assert here.evaluate(corpus).nats_per_token == pytest.approx(run.evaluate(corpus).nats_per_token, rel=1e-2)
    assert len(run.samples(num_samples=3, max_new_tokens=20)) == 3


@pytest.mark.parametrize("name", TRANSLATE_RUNS)
def test_cuda_run_translates_as_on_the_cpu(pairs, tmp_path, name):
    settings = {**TRANSLATE_RUNS[name], "device": "cuda", "precision": "fp32"}

    run = seqgen.train(pairs, out=tmp_path / "run", **settings).run()

    here = seqgen.load(tmp_path / "run", device="cpu")
    costs = [one.evaluate_pairs(pairs, sacrebleu=False).cost.nats_per_token for one in (run, here)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-2)
    assert len(next(run.translations(["123"], beam=3, n_best=3))) == 3
    assert len(list(run.samples("123", num_samples=3))) == 3
    if run.config.model.name != "rnn":
        found, expected = (one.attention("123", "4").weights for one in (run, here))
        assert found == pytest.approx(expected, abs=1e-2)

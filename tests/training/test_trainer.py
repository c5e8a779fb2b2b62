"""The training loop: its events, the files it writes, and golden loss curves."""

from __future__ import annotations

import math

import pytest
import torch

from seqgen.errors import SaveError, TrainingError
from seqgen.models.weights import load_weights
from seqgen.training.checkpoint import TrainingProgress, newest_checkpoint, publish_best, save_checkpoint
from seqgen.training.events import (
    Evaluated,
    Finished,
    Norms,
    Sampled,
    Saved,
    SaveFailed,
    Skipped,
    Step,
    VanishingGradient,
)
from seqgen.training.metrics import MetricsLog, read_metrics
from seqgen.training.overfitting import OverfittingDetector
from seqgen.training.trainer import Trainer

GOLDEN = {
    ("transformer", "adamw"): [3.4723, 2.3407, 1.642, 1.8163, 1.6238],
    ("gru-before", "adamw"): [3.4959, 2.9278, 2.584, 2.1274, 2.336],
    ("gru", "adamw"): [3.4951, 2.9319, 2.5878, 2.1261, 2.3232],
    ("lstm", "adamw"): [3.5224, 3.0416, 2.8255, 2.4083, 2.6995],
    ("rnn", "adamw"): [3.5803, 2.7226, 2.2256, 2.0085, 2.1471],
    ("lstm", "muon"): [3.5224, 3.1395, 2.9117, 2.7593, 2.9745],
    ("rnn", "muon"): [3.5803, 2.9077, 2.5076, 2.2742, 2.4295],
    ("transformer", "muon"): [3.4723, 2.3215, 1.6765, 1.8616, 1.6789],
    ("gru", "muon"): [3.4951, 3.1458, 2.8335, 2.574, 2.74],
    ("gru-before", "muon"): [3.4959, 3.1336, 2.8287, 2.5731, 2.7476],
    ("window", "adamw"): [3.7177, 2.2788, 1.8657, 1.4436, 1.5424],
    ("window", "muon"): [3.7177, 2.971, 2.4895, 2.1017, 2.1809],
    ("rnn-translate", "adamw"): [2.8313, 2.3275, 2.3091, 1.8999, 2.0441],
    ("lstm-translate", "adamw"): [2.4859, 2.1942, 2.0545, 2.028, 1.8585],
    ("gru-translate", "adamw"): [2.4588, 2.3007, 2.0943, 1.9973, 1.8657],
    ("transformer-translate", "adamw"): [2.5013, 2.392, 2.2576, 2.1145, 2.1106],
    ("rnn-classify", "adamw"): [0.6625, 0.4971, 0.2103, 0.1772, 0.1079],
    ("lstm-classify", "adamw"): [0.7236, 0.5112, 0.3197, 0.2353, 0.2295],
    ("gru-classify", "adamw"): [0.7829, 0.401, 0.4375, 0.2925, 0.1643],
    ("transformer-classify", "adamw"): [0.7125, 0.5227, 0.2652, 0.0378, 0.0225],
    ("rnn-tag", "adamw"): [1.2379, 0.4206, 0.2549, 0.1077, 0.0856],
    ("lstm-tag", "adamw"): [1.1753, 0.9751, 0.8766, 0.5569, 0.5836],
    ("gru-tag", "adamw"): [1.0363, 0.3616, 0.2088, 0.0256, 0.0247],
    ("transformer-tag", "adamw"): [1.0902, 0.5886, 0.143, 0.0448, 0.0437],
}
"""Training loss at steps 1, 10, 20 and 40, then the validation loss at the end: nats per token or label, in fp32."""


def first_checkpoint(learner, setup):
    """Save the first checkpoint of a run."""
    return save_checkpoint(
        setup.checkpoints, learner, TrainingProgress(step=0, seconds=0.0, metrics_bytes=0), setup.config, setup.identity
    )


def events_of(learner, setup, tmp_path, *, stop=lambda: False):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        return list(Trainer(learner, setup, first_checkpoint(learner, setup), log).train(stop))


def test_train_yields_steps_evaluation_sample_save_and_finished(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=5, max_steps=7)

    events = events_of(learner, make_setup(corpus), tmp_path)

    kinds = [type(event) for event in events]
    pause = [Norms, Evaluated, Sampled, Saved]
    assert kinds == [Step] * 5 + pause + [Step] * 2 + pause + [Finished]
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6, 7]
    assert events[-1].reason == "complete"
    assert [line["event"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [k.__name__.lower() for k in kinds]


def test_step_events_hold_the_figures_of_the_step(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=3, max_steps=3, grad_accum=2, warmup_steps=0)
    setup = make_setup(corpus)

    steps = [event for event in events_of(learner, setup, tmp_path) if isinstance(event, Step)]

    assert [event.tokens for event in steps] == [128, 256, 384]  # 2 batches of 4 rows of 16 tokens
    batches = learner.stream.batches_per_epoch
    assert [event.epoch for event in steps] == [round(2 * step / batches, 4) for step in (1, 2, 3)]
    assert [event.lr for event in steps] == pytest.approx([0.008, 0.008 * 2 / 3, 0.008 / 3])
    assert {event.total_steps for event in steps} == {3}
    for event in steps:
        expected = event.nats_per_token / math.log(2) / setup.characters_per_token
        assert event.bits_per_character == pytest.approx(expected)


def test_without_validation_the_last_weights_are_kept(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", max_steps=3, valid_split="none")

    events = events_of(learner, make_setup(corpus), tmp_path)

    assert not any(isinstance(event, Evaluated) for event in events)
    assert events[-1].best_step is None
    fresh, _ = make_learner("gru", valid_split="none")
    load_weights(fresh.model, tmp_path / "model.safetensors", "a run")
    with learner.averaged():
        assert torch.equal(fresh.model.head.weight, learner.model.head.weight)


def test_best_weights_are_kept_not_the_last(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=4, max_steps=12, lr=0.01)
    best: dict[str, torch.Tensor] = {}
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        setup = make_setup(corpus)
        for event in Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False):
            if isinstance(event, Evaluated) and event.step == 4:
                with learner.averaged():
                    best = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
                assert event.is_best
                with torch.no_grad():  # from here on it is worse
                    learner.model.head.bias.add_(torch.linspace(0, 30, len(learner.model.head.bias)))
            elif isinstance(event, Evaluated):
                assert not event.is_best

    fresh, _ = make_learner("gru")
    load_weights(fresh.model, tmp_path / "model.safetensors", "a run")
    assert all(torch.equal(tensor, best[name]) for name, tensor in fresh.model.state_dict().items())


def test_evaluation_sample_and_published_weights_are_those_of_the_average(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=20, max_steps=40, lr=0.02)
    setup = make_setup(corpus)
    seen = {}
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for event in Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False):
            seen[type(event)] = event
            if isinstance(event, Saved):
                break

    def results():
        nats = corpus.validation.evaluate(learner.model, "fp32").nats_per_token
        return nats, corpus.write_sample(learner.model, 0)

    latest = results()
    with learner.averaged():
        assert (seen[Evaluated].nats_per_token, seen[Sampled].text) == results()
        assert latest[0] != results()[0]
        assert latest[1] != results()[1]
        weights = learner.model.head.weight.detach().clone()
    fresh, _ = make_learner("gru")
    load_weights(fresh.model, setup.weights, "a run")
    assert torch.equal(fresh.model.head.weight, weights)


def test_patience_ends_a_run_without_improvement(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner(
        "gru", eval_every=5, max_steps=50, patience=2, lr=1e-14
    )  # too small to change anything

    events = events_of(learner, make_setup(corpus), tmp_path)

    assert [event.is_best for event in events if isinstance(event, Evaluated)] == [True, False, False]
    assert (events[-1].reason, events[-1].step, events[-1].best_step) == ("patience", 15, 5)


def test_overfitting_is_reported_once(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru")
    losses = OverfittingDetector()
    for step, (training, validation) in enumerate([(2.0, 2.0), (1.0, 2.1), (0.5, 2.2)], 1):
        losses = losses.after_step(training).after_evaluation(step, validation)
    setup = make_setup(corpus)
    checkpoint = first_checkpoint(learner, setup)

    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        trainer = Trainer(learner, setup, checkpoint, log)
        trainer.progress = trainer.progress.model_copy(update={"step": 1000, "overfitting": losses})
        reports = [list(trainer.warn_if_overfitting()) for _ in range(2)]

    assert reports == [[losses.detect(9.0)], []]


def test_norms_are_measured_every_so_many_steps_and_before_evaluations(make_learner, make_setup, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.trainer.MEASURED_EVERY", 3)
    learner, corpus = make_learner("gru", eval_every=4, max_steps=10)

    events = events_of(learner, make_setup(corpus), tmp_path)

    assert [event.step for event in events if isinstance(event, Norms)] == [3, 4, 6, 8, 9, 10]
    norms = {event.step: math.hypot(*event.gradient.values()) for event in events if isinstance(event, Norms)}
    steps = {event.step: event.grad_norm for event in events if isinstance(event, Step)}
    assert norms == {step: pytest.approx(steps[step], rel=1e-4) for step in norms}


def test_vanishing_gradient_is_reported_once(make_learner, make_setup, tmp_path, monkeypatch):
    monkeypatch.setattr("seqgen.training.norms.SETTLED", 4)
    learner, corpus = make_learner("lstm", eval_every=2, max_steps=10)
    with torch.no_grad():  # the input gates are closed
        learner.model.layers[0].bias_ih_l0[:24] = -30.0

    events = events_of(learner, make_setup(corpus), tmp_path)

    (found,) = [event for event in events if isinstance(event, VanishingGradient)]
    assert found.step == 6
    assert newest_checkpoint(tmp_path / "checkpoints").progress.gradients.reported


def test_validation_loss_of_nan_is_never_the_best(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=5, max_steps=10)
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        setup = make_setup(corpus)
        events = Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False)
        for event in events:
            if isinstance(event, Norms):
                break
        with torch.no_grad(), learner.averaged():
            learner.model.head.bias[0] = float("nan")

        with pytest.raises(TrainingError, match=r"validation loss is nan at step 5.*smaller --lr"):
            next(events)

    assert not (tmp_path / "model.safetensors").exists()


def test_stop_saves_a_checkpoint(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=20, max_steps=50)
    polls = iter([False, False, False, True])

    events = events_of(learner, make_setup(corpus), tmp_path, stop=lambda: next(polls))

    assert [type(event) for event in events] == [Step] * 3 + [Saved, Finished]
    assert events[-1].reason == "stopped"
    assert (tmp_path / "checkpoints" / "step-000003" / "state.json").is_file()
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize(("name", "optimizer"), GOLDEN)
def test_the_golden_curve(make_learner, make_setup, tmp_path, name, optimizer):
    """A change that is not meant to change numbers leaves these unchanged; the tolerance is for other processors."""
    learner, corpus = make_learner(name, eval_every=40, max_steps=40, optimizer=optimizer, lr=0.01, dropout=0.1)

    events = events_of(learner, make_setup(corpus), tmp_path)

    losses = {event.step: event.nats_per_token for event in events if isinstance(event, Step)}
    (evaluated,) = (event for event in events if isinstance(event, Evaluated))
    found = [losses[step] for step in (1, 10, 20, 40)] + [evaluated.nats_per_token]
    assert found == pytest.approx(GOLDEN[name, optimizer], rel=0.01)


def test_weights_with_nan_or_infinity_are_not_saved(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", max_steps=1, valid_split="none")
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        setup = make_setup(corpus)
        events = Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False)
        assert [type(next(events)) for _ in range(3)] == [Step, Norms, Sampled]
        with torch.no_grad():
            learner.model.embedding.weight[3, 0] = float("inf")

        with pytest.raises(
            TrainingError, match=r"embedding\.weight contains NaN .* at step 1.*smaller --lr.*step-000000"
        ):
            next(events)

    assert not (tmp_path / "model.safetensors").exists()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000"]


@pytest.fixture
def make_nan(monkeypatch):
    """Make the loss of these steps (counted from 1) NaN."""

    def patch(learner, steps):
        step = learner.step

        def broken(index):
            if index + 1 not in steps:
                return step(index)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(learner, "_backward", lambda batch, tokens: torch.tensor(float("nan")))
                return step(index)

        monkeypatch.setattr(learner, "step", broken)

    return patch


def test_step_with_nan_is_skipped_and_counted(make_learner, make_setup, tmp_path, make_nan):
    learner, corpus = make_learner("gru", eval_every=8, max_steps=8)
    make_nan(learner, {2, 5, 6})

    events = events_of(learner, make_setup(corpus), tmp_path)

    skipped = [event for event in events if isinstance(event, Skipped)]
    assert [(event.step, event.in_a_row) for event in skipped] == [(2, 1), (5, 1), (6, 2)]
    assert [event.step for event in events if isinstance(event, Step)] == [1, 3, 4, 7, 8]
    assert (events[-1].reason, events[-1].skipped) == ("complete", 3)
    assert newest_checkpoint(tmp_path / "checkpoints").progress.skipped == 3
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if line["event"] == "skipped"]
    assert [(line["step"], line["nats_per_token"]) for line in lines] == [(2, None), (5, None), (6, None)]


def test_five_skipped_steps_in_a_row_end_the_run(make_learner, make_setup, tmp_path, make_nan):
    learner, corpus = make_learner("gru", eval_every=5, max_steps=50)
    make_nan(learner, {3, *range(7, 50)})
    setup = make_setup(corpus)
    events = []

    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        running = Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False)
        with pytest.raises(TrainingError, match=r"5 times in a row at step 11: .*smaller --lr.*step-000010$"):
            events += running

    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert (checkpoint.progress.step, checkpoint.progress.skipped, checkpoint.progress.skipped_in_a_row) == (10, 5, 4)
    load_weights(learner.model, checkpoint.best, "a run")


def test_save_every_saves_between_evaluations(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=2, max_steps=3, save_every=1e-9)
    events = events_of(learner, make_setup(corpus), tmp_path)
    kinds = [type(event) for event in events]
    assert kinds == [Step, Saved, *[Step, Norms, Evaluated, Sampled, Saved] * 2, Finished]

    learner, corpus = make_learner("gru", eval_every=2, max_steps=3)
    events = events_of(learner, make_setup(corpus), tmp_path)
    assert [event.step for event in events if isinstance(event, Saved)] == [2, 3]


def test_save_between_evaluations_keeps_the_best_weights(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=2, max_steps=4, save_every=1e-9)
    best = None
    setup = make_setup(corpus)
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for event in Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False):
            if isinstance(event, Saved) and event.step == 2:
                best = (tmp_path / "model.safetensors").read_bytes()
            elif isinstance(event, Saved) and event.step == 3:
                break

    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert (checkpoint.progress.step, checkpoint.progress.best_step) == (3, 2)
    assert checkpoint.best.read_bytes() == (tmp_path / "model.safetensors").read_bytes() == best
    assert (checkpoint.path / "weights.safetensors").read_bytes() != best


def test_publish_best_writes_weights_that_differ(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru", eval_every=2, max_steps=2)
    setup = make_setup(corpus)
    events_of(learner, setup, tmp_path)
    checkpoint = newest_checkpoint(setup.checkpoints)
    whole = setup.weights.read_bytes()

    assert not publish_best(checkpoint, setup.weights)
    for content in (None, whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        setup.weights.unlink() if content is None else setup.weights.write_bytes(content)
        assert publish_best(checkpoint, setup.weights)
        assert setup.weights.read_bytes() == whole


def test_best_weights_are_published_later_after_a_failure(make_learner, make_setup, tmp_path, monkeypatch):
    learner, corpus = make_learner("gru", eval_every=4, max_steps=4)
    setup = make_setup(corpus)
    fails = iter([True, False])

    def publish(checkpoint, weights):
        if next(fails):
            raise SaveError("no room")
        return publish_best(checkpoint, weights)

    monkeypatch.setattr("seqgen.training.trainer.publish_best", publish)
    before = None
    events = []
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for event in Trainer(learner, setup, first_checkpoint(learner, setup), log).train(lambda: False):
            events.append(type(event))
            if isinstance(event, SaveFailed):
                before = (setup.checkpoints / "step-000004").stat().st_ino

    assert events == [Step] * 4 + [Norms, Evaluated, Sampled, SaveFailed, Saved, Finished]
    assert (setup.checkpoints / "step-000004").stat().st_ino == before  # not written again
    assert setup.weights.is_file()


def test_stop_before_the_first_step_saves_nothing(make_learner, make_setup, tmp_path):
    learner, corpus = make_learner("gru")

    events = events_of(learner, make_setup(corpus), tmp_path, stop=lambda: True)

    assert [type(event) for event in events] == [Finished]
    assert (tmp_path / "checkpoints" / "step-000000" / "state.json").is_file()
    assert not (tmp_path / "model.safetensors").exists()

"""The average of the weights: its length, its exchange with the weights, and when it is the better one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from seqgen.training.optimizers.average import WeightAverage


def average_of(values: list[float], rates: list[float], share: float) -> float:
    """Return the average of a parameter that has these values after its steps, at these shares of the peak rate."""
    parameter = Parameter(torch.tensor([100.0], dtype=torch.float64))
    average = WeightAverage([parameter], share)
    for step, (value, rate) in enumerate(zip(values, rates, strict=True)):
        parameter.data.fill_(value)
        average.update(step, rate)
    return average.by_parameter[parameter].item()


def test_the_first_step_replaces_the_initial_weights():
    assert average_of([3.0], [1.0], share=0.5) == 3.0


def test_without_a_rate_the_average_is_the_latest_weights():
    assert average_of([1.0, 2.0, 7.0], [1.0, 1.0, 0.0], share=0.5) == 7.0


def test_at_share_1_the_average_is_the_mean_of_all_steps():
    assert average_of([1.0, 2.0, 6.0, 3.0], [1.0] * 4, share=1.0) == pytest.approx(3.0)


@pytest.mark.parametrize(("share", "rate"), [(0.3, 1.0), (0.3, 0.5), (0.1, 1.0)])
def test_the_average_lags_behind_by_its_length(share, rate):
    steps = 2000  # weights that grow by 1: an average of length L of the last n steps lags L / (1 + L / n) behind
    lag = steps - 1 - average_of([float(step) for step in range(steps)], [rate] * steps, share)
    length = share * rate
    assert lag == pytest.approx(steps * length / (1 + length), rel=0.01)


def test_in_model_exchanges_weights_and_average_and_back():
    parameters = [Parameter(torch.randn(2, 3)), Parameter(torch.randn(4))]
    average = WeightAverage(parameters, 0.5)
    initial = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1.0)
    latest = [parameter.detach().clone() for parameter in parameters]

    with average.in_model():
        assert all(map(torch.equal, parameters, initial))
    assert all(map(torch.equal, parameters, latest))


def test_steps_are_the_same_with_and_without_an_average(make_learner):
    learner, _ = make_learner("lstm", average=0.4)
    plain, _ = make_learner("lstm", average=0.0)

    assert [learner.step(step) for step in range(5)] == [plain.step(step) for step in range(5)]

    latest = learner.model.head.weight.detach().clone()
    with plain.averaged():
        assert torch.equal(plain.model.head.weight, latest)
    with learner.averaged():
        assert not torch.equal(learner.model.head.weight, latest)


def test_at_a_high_constant_rate_the_average_is_better_than_the_latest_weights():
    """Least squares with noise: the last weights vary by about the rate, their mean by its share of a long average."""
    generator = torch.Generator().manual_seed(0)
    parameter = Parameter(torch.zeros(50, dtype=torch.float64))
    average = WeightAverage([parameter], 0.5)
    for step in range(500):
        noise = torch.randn(50, generator=generator, dtype=torch.float64)
        parameter.data -= 0.2 * (parameter.data - 1.0 + noise)
        average.update(step, 1.0)

    (averaged,) = average.by_parameter.values()
    assert (averaged - 1).square().mean() < (parameter.data - 1).square().mean() / 10

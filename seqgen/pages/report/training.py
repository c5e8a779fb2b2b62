"""The sections of a report about the training: result, settings, curves, samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqgen.pages.chart import Chart, Curve, chart_data
from seqgen.pages.report.blocks import Block, Section, figure, printable_sample, table_block
from seqgen.pages.report.defaults import nondefault_settings
from seqgen.runs.config import RunConfig
from seqgen.runs.history import History, thin
from seqgen.runs.mixtures.record import MixtureRecord
from seqgen.runs.summary import Summary
from seqgen.sources.config import LABELING_TASKS

CURVE_POINTS = 400
"""Points of a curve: steps in a row are averaged."""
MOST_SAMPLES = 12
"""Samples on a page, evenly spaced over the run."""


def result_section(
    summary: Summary,
    config: RunConfig,
    best: Mapping[str, Any] | None,
    xz: float | None,
    mixture: MixtureRecord | None = None,
) -> Section:
    """Show the figures of the best evaluation, next to xz, and the run's size and time.

    Args:
        summary: of the run.
        config: of the run.
        best: the event of the best evaluation, or of a mixture of its weights; None before there is one.
        xz: bits per byte of `xz -9` for the same text, if they are known.
        mixture: the weights of a mixture.
    """
    best = best or {}
    nats = best.get("nats_per_token")
    unit = "label" if config.labels is not None else "token"
    perplexity = None if nats is None or nats > 700 else math.exp(nats)
    figures = [
        figure("bits per byte", best.get("bits_per_byte"), "{:.4f}"),
        figure("xz -9, bits per byte", xz, "{:.4f}"),
        figure("bits per character", best.get("bits_per_character"), "{:.4f}"),
        figure("accuracy", best.get("accuracy"), "{:.2%}"),
        figure(f"nats per {unit}", nats, "{:.4f}"),
        figure("perplexity", perplexity, "{:,.3f}"),
        figure("parameters", summary.parameters, "{:,}"),
        figure("vocabulary", summary.vocab_size, "{:,}"),
        figure("training time", summary.seconds, "{:,.0f} s"),
        figure("steps", summary.steps, f"{{:,}} of {summary.total_steps:,}"),
        figure("best step", summary.best_step, "{:,}"),
    ]
    measured = "best evaluation" if mixture is None else "validation part, which set the weights too"
    about = (
        f"{config.model.name} {config.model.shape} on {config.data.name}; {summary.state}. The losses are those of the "
        f"{measured}."
    )
    blocks: list[Block] = [{"kind": "figures", "figures": [one for one in figures if one["value"] is not None]}]
    if mixture is not None:
        rows = [
            [name, f"{one.weight:.3f}", f"{one.nats_per_token:.4f}", f"{one.bits_per_byte:.4f}"]
            for name, one in mixture.members.items()
        ]
        blocks.append(table_block(["member", "weight", "nats per token", "bits per byte"], rows))
    return Section("Result", about, blocks)


def settings_section(config: RunConfig) -> Section:
    """Show the settings that differ from the defaults, and folded all others."""
    changed = nondefault_settings(config)
    rows = [[name, _shown(value), _shown(usual)] for name, (value, usual) in changed.items()]
    everything = _flat(config.model_dump(mode="json"))
    blocks = [table_block(["setting", "value", "default"], rows, words=3)] if rows else []
    blocks.append(
        table_block(
            ["setting", "value"],
            [[name, _shown(value)] for name, value in everything.items()],
            folded="All settings, versions and fingerprints (config.json)",
            words=2,
        )
    )
    about = "These settings differ from the defaults of the cell and the training time." if rows else (
        "Every setting has the default of the cell and the training time."
    )  # fmt: skip
    return Section("Settings", about, blocks)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)


def curves_section(histories: Mapping[str, History], config: RunConfig) -> Section:
    """Show losses, learning rate, and norms of gradients and updates against the step, of each member of a mixture."""
    unit = "nats per label" if config.data.task in LABELING_TASKS else "nats per token"
    blocks: list[Block] = []
    for name, history in histories.items():
        if not len(history.steps):
            continue
        charts = history_charts(history, unit, f"{name}: " if name else "")
        blocks.append({"kind": "charts", "charts": [chart_data(chart) for chart in charts]})
        if history.warnings:
            rows = [[f"{event['step']:,}", describe_warning(event)] for event in history.warnings[:MOST_SAMPLES]]
            blocks.append(table_block(["step", "what happened"], rows, words=2))
    about = (
        "The training loss is the mean of the steps between two points; its band reaches from the least to the "
        "greatest. Norms of gradients are those before clipping; an update is the norm of a step's change of the "
        "weights, divided by the norm of the weights; both are measured every 50 steps and before evaluations."
    )
    return Section("Curves", about, blocks)


def history_charts(history: History, unit: str, prefix: str = "") -> list[Chart]:
    """Return the charts of a run that was trained step by step."""
    steps, mean, least, greatest = thin(history.steps, history.training_nats, CURVE_POINTS)
    losses = [Curve("training", steps, mean, least, greatest)]
    if history.evaluations:
        evaluated = [[event["step"], event["nats_per_token"]] for event in history.evaluations]
        x, y = np.array(evaluated, np.float64).T
        losses.append(Curve("validation", x, y))
    at, rate, *_ = thin(history.steps, history.learning_rates, CURVE_POINTS)
    charts = [
        Chart(f"{prefix}Loss", "step", unit, losses),
        Chart(f"{prefix}Learning rate", "step", "learning rate", [Curve("learning rate", at, rate)]),
    ]
    layers = list(dict.fromkeys(map(layer_of, history.groups)))
    for kind, label in (("gradient", "norm of the gradient"), ("update", "update / weights")):
        curves = [
            Curve(
                group,
                *history.norms_of(kind, group),
                dashed=group.endswith("hidden-hidden"),
                color=layers.index(layer_of(group)),
            )
            for group in history.groups
        ]
        if curves:
            charts.append(Chart(f"{prefix}{label[0].upper()}{label[1:]}, by layer", "step", label, curves, log_y=True))
    return charts


def layer_of(group: str) -> str:
    """Return the layer of a group of parameters: `layers.0.hidden-hidden` -> `layers.0`."""
    return group.removesuffix(".hidden-hidden").removesuffix(".input-hidden")


def describe_warning(event: Mapping[str, Any]) -> str:
    """Say in words what went wrong at a step."""
    match event["event"]:
        case "vanishing_gradient":
            return (
                f"vanishing gradient: the norm of {event['group']} is {event['gradient']:.3g}, that of the head "
                f"{event['head_gradient']:.3g}"
            )
        case "exploding_gradient":
            return f"exploding gradient: its norm is {event['grad_norm']:,.0f}, largest in {event['group']}"
        case "overfitting":
            return (
                f"overfitting: the validation loss is {event['nats_per_token']:.3f}, and was "
                f"{event['best_nats_per_token']:.3f} at step {event['best_step']:,}"
            )
        case "skipped":
            return "the step was skipped: its loss or gradient was NaN or infinite"
        case _:
            return f"the checkpoint was not saved: {event.get('reason')}"


def samples_section(histories: Mapping[str, History], *, raw: bool = False) -> Section:
    """Show the samples that were drawn during training, all with the same random numbers; of `raw` text, bytes."""
    texts, drawn = [], 0
    for name, history in histories.items():
        losses = {event["step"]: event["nats_per_token"] for event in (*history.evaluations, *history.mixed)}
        drawn += len(history.samples)
        kept = np.linspace(0, len(history.samples) - 1, min(MOST_SAMPLES, len(history.samples))).round().astype(int)
        for sample in (history.samples[number] for number in kept.tolist()):
            loss = losses.get(sample["step"])
            title = (
                f"{name or 'mixture'}, step {sample['step']:,}" if len(histories) > 1 else f"step {sample['step']:,}"
            )
            note = "" if loss is None else f"validation loss {loss:.3f}"
            texts.append({"title": title, "note": note, "text": printable_sample(sample["text"], raw=raw)})
    some = f" Here are {len(texts)} of {drawn}." if len(texts) < drawn else ""
    about = f"Samples that were drawn at the evaluations, from the same random numbers each time.{some}"
    return Section("Samples through time", about, [{"kind": "texts", "texts": texts}])

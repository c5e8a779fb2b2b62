"""The lines of the training screen that stay: what is trained, evaluations, samples, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rich.table import Table
from rich.text import Text
from seqgen.cli.output import clock, printable, printable_bytes, tokenizer_name

from seqgen.sources.config import EXAMPLES
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.cli.training_bar import TrainingBar

    from seqgen.runs.training_run import TrainingRun
    from seqgen.training.config import TrainingConfig
    from seqgen.training.events import (
        Evaluated,
        ExplodingGradient,
        Finished,
        Fitted,
        Overfitting,
        Sampled,
        VanishingGradient,
    )

SAMPLE_LINES = 4


def describe_run(run: TrainingRun) -> list[str]:
    """Describe a run in two lines: the model, and the data and training; in a third where it continues."""
    from seqgen.models.base import parameter_count

    config = run.config
    model, text, tokenizer = config.model, config.text, config.tokenizer
    parameters = 0 if run.model is None else parameter_count(run.model)
    size = f"{model.shape}, {plural(parameters, 'parameter')}" if parameters else model.shape
    vocabulary = f"{tokenizer_name(tokenizer.kind, tokenizer.normalization)} vocabulary of {tokenizer.vocab_size:,}"
    trained, withheld = text.train_pairs, text.valid_pairs
    example = f"training {EXAMPLES[config.data.task]}"
    amount = plural(text.train_tokens, "training token") if trained is None else plural(trained, example)
    tokens = f"{amount}, {text.valid_tokens if withheld is None else withheld:,} for validation"
    lines = [f"{run.path}: {model.name} {size}, {vocabulary}", f"{tokens}; {_describe_training(run)}"]
    return lines + ([f"continuing from step {run.first_step:,}"] if run.first_step else [])


def _describe_training(run: TrainingRun) -> str:
    """Say how a run is trained: by gradients, in one pass, or its members in turn."""
    from seqgen.models.registry import FAMILIES

    config, plan = run.config, run.plan
    training, environment, family = config.training, config.environment, FAMILIES[config.model.cell]
    if family.is_mixture:
        time = "" if training.max_time is None else f" in {clock(training.max_time)}"
        return f"{plural(len(config.members), 'model')}{time}, then mixed"
    if not family.neural or plan is None:
        return "fitted in one pass"
    steps = plural(run.total_steps, "step")
    length = steps if training.max_time is None else f"about {steps} in {clock(training.max_time)}"
    optimizer, threads = cast("TrainingConfig", training).optimizer, plural(plan.current.threads, "thread")
    return f"{length} with {optimizer} on {environment['device']} in {environment['precision']}, {threads}"


def step_of(step: int, figures: TrainingBar) -> Text:
    """Return the step of the run, and its training loss in bits per character."""
    total = figures.latest.total_steps if figures.latest is not None else step
    about = "~" if figures.is_timed and step < total else ""
    return Text(f"step {step:,}/{about}{total:,}".ljust(18) + f"loss {figures.loss:.3f}  ")


def evaluation_line(event: Evaluated, figures: TrainingBar, *, steps: bool = True) -> Text:
    """Return the line of an evaluation; without `steps`, of a run that is not trained step by step."""
    line = step_of(event.step, figures) if steps else Text()
    style, time = "bold green" if event.is_best else "", clock(event.seconds)
    if event.accuracy is not None:
        line.append(f"validation {event.nats_per_token:.3f} nats/label, accuracy {event.accuracy:.1%}", style=style)
        return line.append(f"  {time}")
    line.append(f"validation {event.bits_per_character:.3f} bits/char", style=style)
    return line.append(f"  {event.bits_per_byte:.3f} bits/byte  {time}")


def fitted_line(event: Fitted) -> str:
    """Say how large a fitted model is."""
    sizes = ", ".join(f"{size:,}" for size in event.sizes)
    return f"{plural(sum(event.sizes), 'n-gram')} of order 1 to {len(event.sizes)}: {sizes}; {clock(event.seconds)}"


def mixed_table(members: Mapping[str, Any], bits_per_byte: float, nats_per_token: float) -> Table:
    """Return the weights of a mixture's members, and what each and the mixture need for the text that set them."""
    table = Table("", "weight", "nats/token", "bits/byte", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in members.items():
        table.add_row(name, f"{one['weight']:.3f}", f"{one['nats_per_token']:.4f}", f"{one['bits_per_byte']:.3f}")
    table.add_row("mixed", "", f"{nats_per_token:.4f}", f"{bits_per_byte:.3f}", style="bold green")
    return table


def overfitting_line(event: Overfitting) -> str:
    """Say how far training and validation loss have diverged, and what to do."""
    rise = event.nats_per_token / event.best_nats_per_token - 1
    fall = 1 - event.training_nats_per_token / event.best_training_nats_per_token
    return (
        f"the model is overfitting: the validation loss was best at step {event.best_step:,} and is {rise:.1%} "
        f"higher now, while the training loss fell by {fall:.1%}; the best weights are kept; for a new run, try more "
        "--dropout, a smaller --hidden-size, or --patience 2"
    )


def vanishing_line(event: VanishingGradient) -> str:
    """Say which layer has stopped learning, and what to do."""
    share = f"1/{event.head_gradient / event.gradient:,.0f} of that of the head" if event.gradient else "0"
    return (
        f"vanishing gradient: at step {event.step:,} the gradient of {event.group} is {share}, so {event.group} hardly "
        "learns; for a new run, try a smaller --lr, fewer --layers, or --cell lstm or gru instead of rnn"
    )


def exploding_line(event: ExplodingGradient) -> str:
    """Say how large the gradient has become, and what to do."""
    return (
        f"exploding gradient: at step {event.step:,} its norm is {event.grad_norm:,.0f} before clipping, largest in "
        f"{event.group}, and the loss of {event.nats_per_token:,.1f} nats is worse than that of guessing, "
        f"{event.guessing_nats_per_token:.1f}; for a new run, try a smaller --lr or more --warmup-steps"
    )


def render_sample(event: Sampled, width: int, *, raw: bool = False) -> Text:
    """Return the first lines of a sample, each cut to `width` cells; of raw text each character is a byte."""
    text = printable_bytes(event.text) if raw else printable(event.text)
    lines = [line for line in text.split("\n") if line.strip()][:SAMPLE_LINES]
    return Text("\n").join(Text("  │ ", style="dim") + _cut(Text(line, style="dim"), width - 4) for line in lines)


def _cut(line: Text, width: int) -> Text:
    line.expand_tabs(4)  # by cells, of which a Hangul syllable takes two
    line.truncate(width, overflow="ellipsis")
    return line


def finished_line(event: Finished, *, steps: bool = True) -> str:
    """Say how the run ended; without `steps`, of a run that was not trained step by step."""
    total, time, bits = plural(event.total_steps, "step"), clock(event.seconds), event.best_bits_per_byte
    if not steps:
        ended = f"done in {time}" if event.reason == "complete" else f"stopped after {time}"
        return ended if bits is None else f"{ended}: {bits:.3f} bits/byte"
    ended = {
        "complete": f"done: {plural(event.step, 'step')} in {time}",
        "patience": f"stopped early, without improvement: {event.step:,} of {total}",
        "stopped": f"stopped after {event.step:,} of {total}, and saved",
    }[event.reason]
    if event.skipped:
        ended += f", {event.skipped:,} of them skipped"
    if event.best_step is None or (bits is None and event.best_accuracy is None):
        return ended
    best = f"accuracy {event.best_accuracy:.1%}" if event.best_accuracy is not None else f"{bits:.3f} bits/byte"
    return f"{ended}; best at step {event.best_step:,}: {best}"

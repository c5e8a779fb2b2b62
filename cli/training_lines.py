"""The lines of the training screen that stay: what is trained, evaluations, samples, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from seqgen.cli.output import clock, printable, printable_bytes, tokenizer_name

from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.cli.training_bar import TrainingBar

    from seqgen.runs.train import TrainingRun
    from seqgen.training.events import Evaluated, Finished, Overfitting, Sampled

SAMPLE_LINES = 4


def describe_run(run: TrainingRun) -> list[str]:
    """Describe a run in two lines: the model, and the data and training; in a third where it continues."""
    from seqgen.models.base import parameter_count

    config = run.config
    model, text, environment = config.model, config.text, config.environment
    model_line = (
        f"{run.path}: {model.cell} {model.shape}, "
        f"{plural(parameter_count(run.model), 'parameter')}, "
        f"{tokenizer_name(config.tokenizer.kind, config.tokenizer.normalization)} vocabulary of "
        f"{config.tokenizer.vocab_size:,}"
    )
    steps, max_time = plural(run.total_steps, "step"), config.training.max_time
    data_line = (
        f"{plural(text.train_tokens, 'training token')}, {text.valid_tokens:,} for validation; "
        f"{steps if max_time is None else f'about {steps} in {clock(max_time)}'} with {config.training.optimizer} on "
        f"{environment['device']} in {environment['precision']}, {plural(run.plan.current.threads, 'thread')}"
    )
    return [model_line, data_line] + ([f"continuing from step {run.first_step:,}"] if run.first_step else [])


def step_of(step: int, figures: TrainingBar) -> Text:
    """Return the step of the run, and its training loss in bits per character."""
    total = figures.latest.total_steps if figures.latest is not None else step
    about = "~" if figures.is_timed and step < total else ""
    return Text(f"step {step:,}/{about}{total:,}".ljust(18) + f"loss {figures.loss:.3f}  ")


def evaluation_line(event: Evaluated, figures: TrainingBar) -> Text:
    """Return the line of an evaluation."""
    line = step_of(event.step, figures)
    line.append(f"validation {event.bits_per_character:.3f} bits/char", style="bold green" if event.is_best else "")
    line.append(f"  {event.bits_per_byte:.3f} bits/byte  {clock(event.seconds)}")
    return line


def overfitting_line(event: Overfitting) -> str:
    """Say how far training and validation loss have diverged, and what to do."""
    rise = event.nats_per_token / event.best_nats_per_token - 1
    fall = 1 - event.training_nats_per_token / event.best_training_nats_per_token
    return (
        f"the model is overfitting: the validation loss was best at step {event.best_step:,} and is {rise:.1%} "
        f"higher now, while the training loss fell by {fall:.1%}; the best weights are kept; for a new run, try more "
        "--dropout, a smaller --hidden-size, or --patience 2"
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


def finished_line(event: Finished) -> str:
    """Say how the run ended."""
    total = plural(event.total_steps, "step")
    ended = {
        "complete": f"done: {plural(event.step, 'step')} in {clock(event.seconds)}",
        "patience": f"stopped early, without improvement: {event.step:,} of {total}",
        "stopped": f"stopped after {event.step:,} of {total}, and saved",
    }[event.reason]
    if event.skipped:
        ended += f", {event.skipped:,} of them skipped"
    if event.best_step is None or event.best_bits_per_byte is None:
        return ended
    return f"{ended}; best at step {event.best_step:,}: {event.best_bits_per_byte:.3f} bits/byte"

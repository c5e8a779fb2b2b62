"""The training screen, on stderr: on a terminal a live bar with its figures, elsewhere plain lines.

One line and one sample per evaluation stay on the screen (`training_lines.py`); the bar, the figures and the curve move
below them (`training_bar.py`).
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.text import Text
from seqgen.cli.bars import PhaseBar
from seqgen.cli.cpu_contention import CpuContention
from seqgen.cli.output import print_line, printable, stderr
from seqgen.cli.training_bar import TrainingBar, loss_of
from seqgen.cli.training_lines import (
    describe_run,
    evaluation_line,
    exploding_line,
    finished_line,
    fitted_line,
    mixed_table,
    overfitting_line,
    render_sample,
    step_of,
    vanishing_line,
)

if TYPE_CHECKING:
    from seqgen.runs.training_run import TrainingRun
    from seqgen.training.events import Event


class TrainingScreen:
    """Draws a training run from its events; with `quiet` only failed saves."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = stderr()
        self._phases = PhaseBar(self._console)
        self._live: Live | None = None
        self._figures = TrainingBar()
        self._evaluated = 0
        self._contention: CpuContention | None = None
        self._raw = False
        self._whole: TrainingRun | None = None
        self._takes_steps = True
        """Whether the run that ends next was trained step by step."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._phases.stop()
        if self._live is not None:
            self._live.stop()

    def prepare(self, message: str, done: int = 0, total: int = 0) -> None:
        """Show a phase of the preparation, and of long work how many of its bytes are done."""
        if not self._quiet:
            self._phases.show(message, done, total)

    def begin(self, run: TrainingRun) -> None:
        """Show the run before its first step."""
        self._whole = run
        self._start(run)

    def _start(self, run: TrainingRun) -> None:
        """Show a run, or a member of it, before its first step."""
        self._takes_steps = run.plan is not None
        self._phases.stop()
        self._raw = run.config.data.is_raw
        if self._quiet:
            return
        self._figures, self._contention = TrainingBar(), None  # a mixture shows each member anew
        for line in describe_run(run):
            print_line(self._console, Text(printable(line)))
        for message in run.notices:
            self._notice(message)
        if run.plan is None:
            return
        self._figures.start(run)
        if run.config.training.max_time is None and run.config.environment["device"] == "cpu":
            self._contention = CpuContention(run.plan.current.threads, run.path)
        if self._console.is_terminal:
            self._live = Live(self._figures, console=self._console, transient=True, refresh_per_second=8)
            self._live.start()

    def show(self, event: Event) -> None:
        """Draw one event."""
        from seqgen.training.events import Evaluated, Finished, Overfitting, Sampled, SaveFailed, Step

        if self._quiet and not isinstance(event, SaveFailed):  # an error, if not yet the end
            return
        if self._contention is not None and not isinstance(event, Step):
            self._contention.interrupt()
        match event:
            case Step():
                self._figures.step(event)
                if self._contention is not None and (message := self._contention.after_step(event.step)) is not None:
                    self._notice(message)
            case Evaluated():
                self._evaluated = event.step
                self._figures.best = loss_of(event) if event.is_best else self._figures.best
                print_line(self._console, evaluation_line(event, self._figures, steps=self._takes_steps))
            case Overfitting():
                self._notice(overfitting_line(event))
            case Sampled():
                if self._evaluated != event.step and self._takes_steps:  # there is no validation part
                    self._console.print(step_of(event.step, self._figures))
                self._console.print(render_sample(event, self._console.width, raw=self._raw))
            case SaveFailed():
                self._notice(f"step {event.step:,}: {event.reason}; training continues, and saves again later")
            case Finished():
                if self._live is not None:
                    self._live.stop()
                    self._live = None
                print_line(self._console, Text(finished_line(event, steps=self._takes_steps), style="bold"))
            case _:
                self._show_rare(event)

    def _show_rare(self, event: Event) -> None:
        """Draw a problem of a step, or an event of a model that is fitted, or of a mixture."""
        from seqgen.training.events import (
            ExplodingGradient,
            Fitted,
            MemberStarted,
            Mixed,
            NotMixed,
            Skipped,
            VanishingGradient,
        )

        self._phases.stop()
        match event:
            case Skipped():
                self._notice(
                    f"step {event.step:,} is skipped: its loss is {event.nats_per_token:g}, its gradient norm "
                    f"{event.grad_norm:g}"
                )
            case VanishingGradient():
                self._notice(vanishing_line(event))
            case ExplodingGradient():
                self._notice(exploding_line(event))
            case Fitted():
                print_line(self._console, Text(fitted_line(event)))
                for message in event.notices:
                    self._notice(message)
            case MemberStarted():
                print_line(self._console, Text(f"\n{event.name}", style="bold cyan"))
                if self._whole is not None and (member := self._whole.member) is not None:
                    self._start(member)
            case Mixed():
                self._figures, self._takes_steps = TrainingBar(), False
                self._console.print(mixed_table(event.members, event.bits_per_byte, event.nats_per_token))
            case NotMixed():
                self._takes_steps = False
                self._notice(f"without weights of {', '.join(event.missing)} there is nothing to mix yet")

    def _notice(self, message: str) -> None:
        print_line(self._console, Text(f"note: {printable(message)}", style="yellow"))

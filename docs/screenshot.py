"""Draw docs/terminal.svg: a real short training run and a sample, as a terminal shows them.

    python docs/screenshot.py [TEXT] [--max-time 60s]

The run is `seqgen train` in a pseudo-terminal. The picture shows its live display shortly before the end, then its
last lines and a sample. Rich draws it; it needs no font and no network.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).with_name("terminal.svg")
COLUMNS = 92
LIVE = "tokens/s"
"""Is only in the live display, which the end of the run removes."""
DONE = "100%"
EVALUATIONS = 1
"""How many of the run's evaluations the picture shows, the last one aside."""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<title>seqgen train and seqgen sample in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def watch(command: str, folder: str) -> tuple[list[str], list[str]]:
    """Run a command in a pseudo-terminal; return the screen shortly before the run's end, and the last screen."""
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS)}
    script = Path(sys.executable).parent / command.split(maxsplit=1)[0]
    with subprocess.Popen(
        [script, *shlex.split(command)[1:]], cwd=folder, env=environment, stdin=child, stdout=child, stderr=child
    ) as process:
        os.close(child)
        output = b"".join(_read_all(parent))
    os.close(parent)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}\n{output.decode()[-2000:]}")
    return screens(output.decode())


def _read_all(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            content = os.read(terminal, 1 << 16)
        except OSError:  # Linux reports the end of a pseudo-terminal as an error
            return
        if not content:
            return
        yield content


def screens(output: str) -> tuple[list[str], list[str]]:
    """Follow the cursor of rich's live display: up a line, erase a line, back to its begin."""
    lines, row, live = [""], 0, [""]
    for part in re.split(r"(\r\n|\r|\x1b\[\d*A|\x1b\[2K|\x1b\[\?25[lh])", output):
        if part == "\r\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part.endswith("A") and part.startswith("\x1b["):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            if any(LIVE in line for line in lines) and lines[-1] and not any(DONE in line for line in lines):
                live = lines.copy()
            lines[row] = ""
        elif part != "\r" and not part.startswith("\x1b[?"):
            lines[row] += part
    return live, lines


def show(console: Console, commands: tuple[str, str], live: list[str], final: list[str], written: list[str]) -> None:
    """Print the live display of a run, its end, and a sample."""

    def prompt(command: str) -> None:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))

    shown = [line for line in final if line.strip()]
    steps = [index for index, line in enumerate(shown) if line.startswith("step ")]
    prompt(commands[0])
    moving = next(index for index, line in enumerate(live) if LIVE in line) - 1
    cut = steps[max(0, len(steps) - 1 - EVALUATIONS)]
    for line in [*shown[: steps[0]], "\x1b[2m...\x1b[0m", *shown[cut : steps[-1]], *live[moving:]]:
        console.print(Text.from_ansi(line), no_wrap=True)
    console.print()
    for line in shown[steps[-1] :]:
        console.print(Text.from_ansi(line), no_wrap=True)
    console.print()
    prompt(commands[1])
    for line in written:
        console.print(Text.from_ansi(line))


def main() -> None:
    """Train, sample, and write the picture."""
    parser = argparse.ArgumentParser(prog="python docs/screenshot.py", description="Draw docs/terminal.svg.")
    parser.add_argument("text", nargs="?", default="corpus:pydoc")
    parser.add_argument("--max-time", default="60s")
    parser.add_argument("--prompt", default="The ")
    given = parser.parse_args()
    text = given.text if given.text.startswith("corpus:") else str(Path(given.text).resolve())
    name = Path(text).name
    with tempfile.TemporaryDirectory() as folder:
        if name != text:
            Path(folder, name).symlink_to(text)
        train = f"seqgen train {name} --max-time {given.max_time}"
        sample = f"seqgen sample --prompt {shlex.quote(given.prompt)} --temperature 0.8 --max-new-tokens 240 --seed 1"
        live, final = watch(train, folder)
        _, written = watch(sample, folder)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    show(console, (train, sample), live, final, written)
    console.save_svg(str(PICTURE), title="seqgen", theme=MONOKAI, code_format=SVG, unique_id="seqgen")
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

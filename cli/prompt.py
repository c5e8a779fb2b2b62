"""Prompts and stop strings of `sample`, read and with their escapes interpreted; notes of what a vocabulary lacks."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from seqgen.cli.options import as_text, read_stdin
from seqgen.cli.output import notice

from seqgen.errors import ConfigError, TextError
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.run import Run
    from seqgen.runs.text import TextRun

_LINE_END = re.compile(r"(?:\r\n|\n|\r)\Z")
_ESCAPE = re.compile(
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # the two halves of a character beyond U+FFFF
    | \\(?:[\\nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})""",
    re.VERBOSE,
)
_TYPED_JAMO = re.compile("[\u3131-\u318e]")
"""Compatibility jamo, as a keyboard types them."""
MUCH_UNKNOWN = 0.05
"""The share of `<unk>` in a text from which it is noted."""
READ_AS_UNK = "it is read as <unk>"


def read_prompt(prompt: str, prompt_file: str | None, encoding: str) -> str:
    """Return the prompt from the option, a file or stdin; of the latter two without the final line end.

    Raises:
        ConfigError: a prompt and a file are given.
        TextError: the prompt cannot be read, or is not text in `encoding`.
    """
    from seqgen.sources.config import BYTES
    from seqgen.sources.content import bytes_as_characters
    from seqgen.sources.decoding import read_text

    if prompt_file is not None:
        if prompt:
            raise ConfigError("prompt_file: give a prompt or a file with one, not both")
        content = read_text(prompt_file, encoding)
    elif prompt == "-":
        content = read_stdin(encoding, "the prompt from stdin")
    else:
        return bytes_as_characters(prompt) if encoding == BYTES else as_text(prompt, "the prompt")
    return content if encoding == BYTES else _LINE_END.sub("", content)


def read_prompts(path: str, encoding: str) -> list[tuple[int, str]]:
    """Return the prompts of a file, each with the number of its line.

    A line is a prompt; in a .jsonl file it is a string, or an object with `prompt`.
    Lines end at LF, CRLF or CR. An empty line is an empty prompt, except in a .jsonl file, where it is skipped.

    Raises:
        TextError: the file cannot be read, has no prompts, or has a line that is not a prompt.
    """
    from seqgen.sources.config import BYTES
    from seqgen.sources.content import bytes_as_characters
    from seqgen.sources.decoding import read_text
    from seqgen.sources.lines import split_lines

    if path.lower().endswith((".jsonl", ".ndjson")):
        content = read_text(path, "utf-8" if encoding == BYTES else encoding)
        prompts = [
            (number, _json_prompt(line, f"{path}, line {number}"))
            for number, line in enumerate(split_lines(content), 1)
            if line.strip()
        ]
        if encoding == BYTES:
            prompts = [(number, bytes_as_characters(prompt)) for number, prompt in prompts]
    else:
        content = read_text(path, encoding)
        lines = split_lines(content)
        prompts = list(enumerate(lines if lines[-1] else lines[:-1], 1))
    if not prompts:
        raise TextError(f"{path} has no prompts; write one in each line")
    return prompts


def _json_prompt(line: str, where: str) -> str:
    """Return the prompt of a line of JSON."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{where} is not valid JSON: {error}") from error
    prompt = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(prompt, str):
        raise TextError(f'{where} is not a prompt; write a string, or an object such as {{"prompt": "Once upon"}}')
    return prompt


def interpret_escapes(text: str, option: str) -> str:
    r"""Replace the escapes `\n`, `\t`, `\r`, `\\`, `\xHH` and `\uHHHH` by their characters; keep other backslashes.

    Raises:
        ConfigError: an escape is half of a character; the message names `option`.
    """

    def character(match: re.Match[str]) -> str:
        units = codecs.decode(match[0], "unicode_escape").encode("utf-16-le", "surrogatepass")
        try:
            return units.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{option}: {match[0]} is half of a character; write both, as in \\ud83d\\ude00"
            ) from error

    return _ESCAPE.sub(character, text)


class UnknownPieces:
    """The characters or words of texts that are not in the vocabulary of a run."""

    def __init__(self, run: Run, as_read: Callable[[str], str] = str) -> None:
        """Take the vocabulary of a run, which reads `as_read(text)` of a text."""
        self._tokenizer, self._as_read = run.tokenizer, as_read
        self.found: Counter[str] = Counter()

    def count(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield each text, and count its unknown pieces."""
        for text in texts:
            self.found.update(self._tokenizer.unknown(self._as_read(text)))
            yield text

    def describe(self, text: str) -> str:
        """Name the unknown pieces; `text` names the text that has them."""
        shown = list(self.found)[:10]
        names = ", ".join(map(repr, shown)) + (" ..." if len(self.found) > 10 else "")
        if self._tokenizer.normalization == "nfd" and any(map(_TYPED_JAMO.search, shown)):
            names += " (a jamo typed alone is another character than that of a syllable)"
        return f"{text} has what is not in the {self._tokenizer.kind} vocabulary of this model: {names}"

    def note(self, text: str, effect: str = READ_AS_UNK, *, quiet: bool) -> None:
        """Print a notice if there are any, and what follows from it."""
        if self.found:
            notice(f"{self.describe(text)}; {effect}", quiet=quiet)


def note_unknown(name: str, unknown: int, tokens: int, run: Run, advice: str = "", *, quiet: bool) -> None:
    """Note that many of the tokens of the text `name` are `<unk>`."""
    if unknown and unknown >= MUCH_UNKNOWN * tokens:
        notice(
            f"{name}: {unknown / tokens:.0%} of its {plural(tokens, 'token')} are <unk>, because they are not in the "
            f"vocabulary of {run.path}{advice}",
            quiet=quiet,
        )


def check_vocabulary(
    texts: Sequence[str],
    run: Run,
    name: str,
    *,
    effect: str = READ_AS_UNK,
    strict: bool = False,
    quiet: bool,
) -> None:
    """Note which characters or words of texts are not in the vocabulary.

    Args:
        texts: what is read.
        run: whose vocabulary.
        name: what the texts are called, such as `the prompt`.
        effect: what follows from unknown ones.
        strict: refuse them.
        quiet: whether to leave out the notice.

    Raises:
        TextError: there are some, and `strict` is set.
    """
    unknown = UnknownPieces(run)
    deque(unknown.count(texts), maxlen=0)
    if strict and unknown.found:
        raise TextError(f"{unknown.describe(name)}; remove it, or drop --strict")
    unknown.note(name, effect, quiet=quiet)


def check_stops(stops: Sequence[str], run: TextRun, *, quiet: bool) -> None:
    r"""Note the stop strings that cannot occur: those with unknown characters, or with `\n` as two characters."""
    from seqgen.tokenizers.normalization import normalize

    form = run.tokenizer.normalization
    known = None if run.tokenizer.unknown_id is None else set(b"".join(run.tokenizer.id_to_bytes).decode())
    for stop in stops:
        foreign = set() if known is None else set(normalize(run.tokenizer.written(stop), form)) - known
        if _ESCAPE.search(stop):
            notice(f"--stop '{stop}' has a backslash and a letter; --escapes reads them as one character", quiet=quiet)
        elif foreign:
            names = ", ".join(map(repr, sorted(foreign)))
            notice(f"--stop {stop!r} stops nothing: {names} not in the vocabulary of this model", quiet=quiet)

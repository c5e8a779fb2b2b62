"""Probes: what a unit may track, a number for each character of a text, computed from the text alone.

The number of a character is what holds after that character was read, as a unit's value is. So an opening quote is
inside its quotes, and the closing one is not. A probe may look ahead: quotes that are never closed are not quotes.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import regex

from seqgen.errors import ConfigError
from seqgen.sources.lines import lines_with_ends

Values = npt.NDArray[np.float32]
"""A number for each character, [N]."""

SECONDS = 10.0
"""The most time that a pattern of the user may take for one document."""
TAB = 8
"""Columns from one tab stop to the next."""
BRACKETS = {")": "(", "]": "[", "}": "{"}
_BLANK_LINE = r"[ \t]*\r?\n"
_QUOTES_AND_COMMENTS = re.compile(
    rf"""
    (?P<comment> (?<!\S) (?: \#(?!\w) | // ) [^\r\n]* )
    # A triple quote before a word opens. So in a text that begins inside such a string, the first one is not taken
    # for an opening quote, which would turn inside and outside around.
  | (?: \"{{3}} (?P<double3> [^"\\]*+ (?: (?: \\. | "(?!"") ) [^"\\]*+ )*+ ) (?: \"{{3}}(?!\w) ) )
  | (?: \"{{3}} (?= \w ) (?P<double_end> [^"\\]*+ (?: (?: \\. | "(?!"") ) [^"\\]*+ )*+ ) \Z )
  | (?: '{{3}} (?P<single3> [^'\\]*+ (?: (?: \\. | '(?!'') ) [^'\\]*+ )*+ ) (?: '{{3}}(?!\w) ) )
  | (?: '{{3}} (?= \w ) (?P<single_end> [^'\\]*+ (?: (?: \\. | '(?!'') ) [^'\\]*+ )*+ ) \Z )
  | \"{{3}} | '{{3}}
    # Double quotes may reach over line ends, but not over a blank line.
  | (?: " (?P<double> (?: [^"\\\n] | \\. | \n(?!{_BLANK_LINE}) )*+ ) " )
    # An apostrophe inside or after a word is not a quote, except after a prefix of strings in code.
  | (?: (?: (?<!\w) | (?<=\b[bBfFrRuU]) | (?<=\b[bBfFrR][bBfFrR]) )
        ' (?P<single> (?: [^'\\\r\n] | \\. | '(?=\w) )*+ ) ' )
  | (?: “ (?P<curly> (?: [^“”\n] | \n(?!{_BLANK_LINE}) )*+ ) ” )
  | (?: « (?P<angle> (?: [^«»\n] | \n(?!{_BLANK_LINE}) )*+ ) » )
  | (?: 「 (?P<corner> (?: [^「」\n] | \n(?!{_BLANK_LINE}) )*+ ) 」 )
    """,
    re.VERBOSE | re.DOTALL,
)


def line_position(text: str) -> Values:
    """Return how many characters of its line were read; 0 after a line end."""
    return _count_since(np.array([char in "\r\n" for char in text], bool))


def word_position(text: str) -> Values:
    """Return how many characters of its word were read; 0 outside of words, which are letters, digits and _."""
    return _count_since(np.array([not (char.isalnum() or char == "_") for char in text], bool))


def indentation(text: str) -> Values:
    """Return the columns of white space at the start of the line; a blank line has those of the line before."""
    widths: list[int] = []
    lengths = []
    for line in lines_with_ends([text]):
        content = line.lstrip(" \t")
        width = len(line[: len(line) - len(content)].expandtabs(TAB))
        widths.append(width if content.strip() else widths[-1] if widths else 0)
        lengths.append(len(line))
    return np.repeat(np.array(widths, np.float32), lengths)


def inside_quotes(text: str) -> Values:
    """Return 1 inside quotes and 0 elsewhere: '...', double and triple quotes, “...”, «...», 「...」.

    Single quotes end in their line, others before a blank line, and triple quotes anywhere. Quotes in comments do not
    count. The quotes of a string inside another string are part of it.
    """
    return _cover(text, (span for name, span in _quotes_and_comments(text) if name != "comment"))


def inside_comments(text: str) -> Values:
    """Return 1 inside comments and 0 elsewhere: from # or // after white space to the end of the line.

    A # before a letter, as of #include or #hashtag, begins no comment.
    """
    return _cover(text, (span for name, span in _quotes_and_comments(text) if name == "comment"))


def inside_prose(text: str) -> Values:
    """Return 1 inside quotes or comments, which in code are its natural language, and 0 elsewhere."""
    return np.maximum(inside_quotes(text), inside_comments(text))


def bracket_depth(text: str) -> Values:
    """Return how many of ( [ { are open, of those that are closed later.

    Brackets inside quotes or a comment match only those in the same quotes or comment.
    """
    part = np.zeros(len(text), np.int64)
    for number, (_, (start, stop)) in enumerate(_quotes_and_comments(text), start=1):
        part[start:stop] = number
    change = np.zeros(len(text), np.float32)
    opened: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    count: Counter[tuple[int, str]] = Counter()
    for match in re.finditer(r"[()\[\]{}]", text):
        place, bracket = match.start(), match[0]
        inside = int(part[place])
        stack = opened[inside]
        if bracket not in BRACKETS:
            stack.append((bracket, place))
            count[inside, bracket] += 1
        elif count[inside, BRACKETS[bracket]]:
            last = ""
            while last != BRACKETS[bracket]:  # brackets that are never closed do not count
                last, start = stack.pop()
                count[inside, last] -= 1
            change[start] += 1
            change[place] -= 1
    return np.cumsum(change, dtype=np.float32)


def upper_case(text: str) -> Values:
    """Return 1 at upper-case letters and 0 elsewhere."""
    return np.array([char.isupper() for char in text], np.float32)


def digits(text: str) -> Values:
    """Return 1 at digits and 0 elsewhere."""
    return np.array([char.isdigit() for char in text], np.float32)


PROBES: dict[str, Callable[[str], Values]] = {
    "indentation": indentation,
    "brackets": bracket_depth,
    "quotes": inside_quotes,
    "comments": inside_comments,
    "quotes or comments": inside_prose,
    "line position": line_position,
    "word position": word_position,
    "upper case": upper_case,
    "digits": digits,
}
"""The probes of every text, by name."""


def inside_matches(text: str, pattern: str) -> Values:
    """Return 1 inside the matches of a regular expression and 0 elsewhere; ^ and $ are the ends of lines.

    Raises:
        ConfigError: the pattern is invalid, or takes too long.
    """
    try:
        matches = regex.finditer(pattern, text, regex.MULTILINE, timeout=SECONDS)
        return _cover(text, (match.span() for match in matches))
    except regex.error as error:
        raise ConfigError(f"probe: {pattern} is not a valid regular expression: {error}") from error
    except TimeoutError as error:
        raise ConfigError(
            f"probe: {pattern} takes more than {SECONDS:g} seconds; write it without nested repetitions such as (a+)+"
        ) from error


def probe_tokens(documents: Sequence[Sequence[str]], patterns: Sequence[str] = ()) -> dict[str, Values]:
    """Return the probes of `PROBES` and of patterns by name, a number for each token of documents.

    A token has the number of its last character; a token without characters has that of the token before, or 0.

    Args:
        documents: the characters of the tokens of each document. No probe reaches over the end of a document.
        patterns: regular expressions; the name of the probe of `TODO` is `/TODO/`.

    Raises:
        ConfigError: as of `inside_matches`.
    """
    probes = PROBES | {f"/{pattern}/": partial(inside_matches, pattern=pattern) for pattern in patterns}
    found: dict[str, list[Values]] = {name: [] for name in probes}
    for tokens in documents:
        text = "".join(tokens)
        ends = np.cumsum([len(token) for token in tokens], dtype=np.int64)
        for name, probe in probes.items():
            found[name].append(np.concatenate([np.zeros(1, np.float32), probe(text)])[ends])
    return {name: np.concatenate(values) for name, values in found.items()}


def _quotes_and_comments(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the kind and the span of all quotes and comments.

    The span of quotes begins with the opening quote and ends before the last character of the closing one.
    """
    for match in _QUOTES_AND_COMMENTS.finditer(text):
        if (name := match.lastgroup) is None:  # a triple quote that neither opens nor closes
            continue
        start, stop = match.span(name)
        if name == "comment":
            yield name, (start, stop)
        else:
            yield name, (match.start(), stop if match.end() == stop else match.end() - 1)


def _cover(text: str, spans: Iterator[tuple[int, int]]) -> Values:
    """Return 1 inside the spans and 0 elsewhere."""
    values = np.zeros(len(text), np.float32)
    for start, stop in spans:
        values[start:stop] = 1
    return values


def _count_since(stops: npt.NDArray[np.bool_]) -> Values:
    """Return how many characters were read since the last stop, which counts as none."""
    places = np.arange(len(stops))
    last = np.maximum.accumulate(np.where(stops, places, -1))
    return (places - last).astype(np.float32)

"""Every kind of tokenizer is built from any text, and gives back any text."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqgen.tokenizers import KINDS, build
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.word import WordTokenizer, split_words

SUBWORDS = ("unigram", "bpe")


def _drawn(alphabet: str, length: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


CHINESE = _drawn(
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后", 20_000
)
"""20,000 characters, as `character_coverage` counts them: what occurs 10 times or less is left out."""


def _spaced(text: str, spaces: int) -> str:
    step = len(text) // (spaces + 1)
    return " ".join(text[place : place + step] for place in range(0, step * (spaces + 1), step))


SCRIPTS: dict[str, str] = {
    "names, one a line": "anna\nberta\nclara\ndora\n" * 9,
    "words without spaces": "Donaudampfschiff\nfahrtsgesellschaft\nKapitän\n" * 9,
    "dna": "".join(f"{_drawn('ACGT', 60, line)}\n" for line in range(20)),
    "protein": "".join(f"{_drawn('ACDEFGHIKLMNPQRSTVWY', 80, line)}\n" for line in range(20)),
    "chinese": "我爱学习语言模型。\n今天天气很好。\n" * 9,
    "japanese": "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n" * 9,
    "thai": "ภาษาไทยไม่มีช่องว่างระหว่างคำ\n" * 9,
    "korean": "나는오늘학교에간다\n학교는멀다\n" * 9,
    "tabs": "a\tb\tc\n1\t2\t3\n" * 9,
    "only tabs": "\t\t\t\n" * 9,
    "no-break spaces": "le\u00a0chat\u00a0dort\n" * 9,
    "ideographic spaces": "東京\u3000大阪\u3000京都\n" * 9,
    "only ideographic spaces": "\u3000" * 99,
    "only spaces": " " * 99,
    "only newlines": "\n" * 99,
    "only carriage returns": "\r" * 99,
    "only NUL": "\x00" * 99,
    "only U+2581": "\u2581" * 99,
    "only U+2585": "\u2585\n" * 99,
    "only byte pieces' names": "<0x41><0x00>\n",
    "one character": "x",
    "one line": "abcab" * 500,
    "one space in 20,000": _spaced("".join(f"{_drawn('abcdefgh', 99, line)}\n" for line in range(200)), 1),
    "chinese, 9 spaces": _spaced(CHINESE, 9),
    "chinese, 30 spaces": _spaced(CHINESE, 30),
}
HELD_OUT = " a  b\u2581\u2581c \u2585\n\n\r\n\t\x00\u00a0\u3000\u2028 <unk> \u2581<0x41> ÄÖ한국어 漢字 e\u0301 👩‍👩‍👧 "
"""What one script or another lacks."""


def _round_trip(tokenizer: Tokenizer, text: str) -> str:
    """What should come back: what a char or word vocabulary does not hold is U+FFFD."""
    unknown = tokenizer.unknown(text)
    pieces = split_words(text) if isinstance(tokenizer, WordTokenizer) else text
    return "".join("\ufffd" if piece in unknown else piece for piece in pieces)


def _streamed(tokenizer: Tokenizer, text: str) -> str:
    decoder = tokenizer.stream_decoder()
    return "".join(map(decoder.push, tokenizer.encode(text).tolist())) + decoder.flush()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_tokenizer_of_any_script_round_trips_any_text(tmp_path, script, kind):
    from seqgen.tokenizers import load

    config = TokenizerConfig(kind=kind, vocab_size=400 if kind in SUBWORDS else None)
    built = build([SCRIPTS[script]], config)
    built.save(tmp_path)

    tokenizer = load(tmp_path, built.fingerprint)  # which refuses a model that changes text
    for text in (SCRIPTS[script], HELD_OUT, " ", "", "\u2581", "\n"):
        expected = _round_trip(tokenizer, text)
        assert tokenizer.decode(tokenizer.encode(text)) == _streamed(tokenizer, text) == expected
        assert expected == text or tokenizer.unknown_id is not None
    if kind == "char":
        assert _round_trip(tokenizer, SCRIPTS[script]) == SCRIPTS[script]


@pytest.mark.parametrize("kind", SUBWORDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_space_is_one_id(script, kind):
    tokenizer = build([SCRIPTS[script]], TokenizerConfig(kind=kind, vocab_size=400))

    assert [tokenizer.id_to_bytes[token] for token in tokenizer.encode("~ ~")] == [b"~", b" ", b"~"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_tokenizer_of_any_text_round_trips_any_text(texts: Callable[[], str], kind, data):
    text = data.draw(texts.filter(bool))
    coverage = data.draw(st.sampled_from([0.98, 0.9995, 1.0]))
    size = data.draw(st.sampled_from([None, "auto"])) if kind in {"word", *SUBWORDS} else None
    tokenizer = build([text], TokenizerConfig(kind=kind, character_coverage=coverage, vocab_size=size))

    for other in (text, data.draw(texts)):
        assert tokenizer.decode(tokenizer.encode(other)) == _round_trip(tokenizer, other)
    assert isinstance(tokenizer, WordTokenizer) or _round_trip(tokenizer, text) == text
    assert not isinstance(tokenizer, CharTokenizer) or not tokenizer.unknown(text)

"""Files of every kind come back byte for byte, or are refused; and they take the bits that evaluation says."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqgen.compression import codec as codec_module
from seqgen.compression.codec import Codec
from seqgen.compression.header import CompressedFile
from seqgen.data.documents import Documents
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.adaptation.config import AdaptationConfig
from seqgen.evaluation.adaptation.stream import evaluate_dynamic
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import TextSize
from seqgen.evaluation.scoring import evaluate
from seqgen.models.config import NgramConfig
from seqgen.models.mixture import MixtureModel
from seqgen.models.ngram.model import fit
from seqgen.models.registry import MixtureConfig
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.subword import BpeTokenizer, UnigramTokenizer
from seqgen.tokenizers.word import WordTokenizer

from ..conftest import VOCAB_SIZE, build_model

CHARACTERS = CharTokenizer("\n abcdefg")
"""As many ids as the models of the fixture have."""
FILES = {
    "empty": b"",
    "one byte": b"a",
    "NUL": b"\0",
    "no line end": b"a bad cab",
    "CRLF": b"a bad\r\ncab\r\n",
    "CR": b"a bad\rcab\r",
    "mixed line ends": b"a\r\nb\nc\rd\n\n\r\r\n",
    "byte order mark": "\ufeffbad\n".encode(),
    "unknown scripts": "나는 е́ \U0001f642 a\u0301 \u2028\x0b\x1c\ufffd\ud7ff\ue000\U0010ffff".encode(),
    "blank lines": b"\n\n \na\n\n\n\nb\n \n\n",
    "spaces": b"  \t \n",
}
RAW = bytes(range(256)) + b"\xff\xfe\r\n\0"


def codec_of(model, tokenizer=CHARACTERS, *, identity="run", unit=None):
    return Codec(model, tokenizer, identity, unit)


def random_text(length, seed=0):
    return "".join(random.Random(seed).choices("\n abcdefgxé", k=length))


def compare_bits(model, tokenizer, documents, compressed, *, ends):
    """Check that a compressed file takes at most the bits of evaluation, 0.1% and 64 bytes."""
    ids = Documents.of(map(tokenizer.encode, documents), ends=ends)
    size = TextSize.total(documents, tokenizer)
    sequential = model.max_positions is None
    scored = evaluate(model, ids, size, EvaluationConfig(sequential=sequential))
    expected = scored.bits_per_byte * scored.size.bytes / 8
    assert expected * 0.999 - 8 < len(compressed) <= expected * 1.001 + 64


def test_a_text_comes_back_in_the_bits_of_evaluation(model):
    text = random_text(400) if model.max_positions is None else random_text(60)
    codec = codec_of(model)

    compressed = codec.compress(text.encode())

    assert codec.decompress(compressed) == text.encode()
    compare_bits(model, CHARACTERS, [text], compressed, ends=False)


@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
def test_documents_come_back_in_the_bits_of_evaluation(unit):
    apart = {"line": "\n", "paragraph": "\n\n", "file": ""}[unit]
    documents = [random_text(30, seed).replace("\n", "a") for seed in range(9 if apart else 1)]
    content = "".join(document + apart for document in documents).encode()
    model = build_model("gru")
    codec = codec_of(model, unit=unit)

    compressed = codec.compress(content)

    assert codec.decompress(compressed) == content
    compare_bits(model, CHARACTERS, documents, compressed, ends=True)


@pytest.mark.parametrize("unit", [None, "line", "paragraph"])
@pytest.mark.parametrize("name", FILES)
def test_any_text_comes_back(name, unit):
    codec = codec_of(build_model("gru"), unit=unit)

    assert codec.decompress(codec.compress(FILES[name])) == FILES[name]


def test_a_text_longer_than_the_positions_comes_back():
    codec = codec_of(build_model("transformer-sinusoidal"))
    content = random_text(300).encode()

    assert codec.decompress(codec.compress(content)) == content


def test_dynamic_refuses_a_document_longer_than_the_positions_only_where_ends_are_modeled():
    """A cut would teach the model a false end of a document."""
    model = build_model("transformer-sinusoidal")
    longest, longer = b"a" * 63 + b"\n", b"a" * 64 + b"\n"

    lines = codec_of(model, unit="line")
    assert lines.decompress(lines.compress(longest, dynamic="weights")) == longest
    with pytest.raises(ConfigError, match=r"a\.txt .*65.*64"):
        lines.compress(longer, "a.txt", dynamic="weights")
    assert lines.decompress(lines.compress(longer)) == longer
    whole = codec_of(model)
    assert whole.decompress(whole.compress(longer, dynamic="weights")) == longer


def test_a_model_of_bytes_compresses_any_file():
    codec = codec_of(build_model("gru", vocab_size=257), ByteTokenizer(raw=True))

    assert codec.decompress(codec.compress(RAW)) == RAW


@pytest.mark.parametrize("kind", [ByteTokenizer, WordTokenizer, UnigramTokenizer, BpeTokenizer])
def test_every_tokenizer_compresses_unknown_scripts(kind):
    tokenizer = kind.train(["The king paints the rain. The king.\n" * 9], TokenizerConfig(kind=kind.kind))
    codec = codec_of(build_model("rnn", vocab_size=tokenizer.vocab_size), tokenizer)
    content = "The king said:\n\n 나는 비를 그린다. \U0001f642\u2581 </s><unk>\r\n".encode()

    assert codec.decompress(codec.compress(content)) == content


def test_bytes_that_are_not_text_are_refused():
    with pytest.raises(TextError, match=r"a\.bin .*byte 255 .*--encoding bytes"):
        codec_of(build_model("gru")).compress(b"a" * 255 + b"\xff", "a.bin")


@pytest.mark.parametrize("normalization", ["nfc", "nfd"])
def test_a_text_that_normalization_changes_is_refused(normalization):
    tokenizer = CharTokenizer("\n abcdefg", normalization)
    codec = codec_of(build_model("gru"), tokenizer)
    composed = "caf\u00e9 \ud55c\u1112".encode()

    assert codec.decompress(codec.compress(composed)) == composed
    with pytest.raises(TextError, match=r"a\.txt .*NFC"):
        codec.compress("cafe\u0301".encode(), "a.txt")


def test_damage_is_an_error_wherever_it_is():
    codec, content = codec_of(build_model("gru")), random_text(90).encode()
    compressed = codec.compress(content)

    for place in range(len(compressed)):
        with pytest.raises(TextError):
            codec.decompress(compressed[:place] + bytes([compressed[place] ^ 1]) + compressed[place + 1 :])
        with pytest.raises(TextError):
            codec.decompress(compressed[:place])


def test_a_changed_code_with_a_valid_checksum_is_an_error():
    """As from a machine that rounds in another way than its first predictions show."""
    codec = codec_of(build_model("gru"))
    file = CompressedFile.from_bytes(codec.compress(random_text(90).encode()), "")

    with pytest.raises(RunError, match="SHA-256"):
        codec.decompress(replace(file, code=b"\x80" + file.code[1:]).to_bytes())


def test_decompress_refuses_more_tokens_than_the_code_has():
    codec = codec_of(build_model("gru"))
    file = CompressedFile.from_bytes(codec.compress(random_text(90).encode()), "")

    with pytest.raises(RunError, match=r"a\.seqgen .*SHA-256"):
        codec.decompress(replace(file, tokens=1 << 60).to_bytes(), "a.seqgen")


def test_another_run_and_other_weights_are_refused():
    compressed = codec_of(build_model("gru")).compress(b"abc")

    with pytest.raises(RunError, match="another run"):
        codec_of(build_model("gru"), identity="other").decompress(compressed)
    with pytest.raises(RunError, match="other weights"):
        codec_of(build_model("gru", seed=1)).decompress(compressed)


def test_a_machine_that_rounds_in_another_way_is_refused(monkeypatch):
    codec = codec_of(build_model("gru"))
    compressed = codec.compress(b"abc")
    exact = codec_module.StaticPredictor.log_probs

    monkeypatch.setattr(
        codec_module.StaticPredictor, "log_probs", lambda self: np.nextafter(exact(self), 0.0, dtype=np.float64)
    )
    with pytest.raises(RunError, match="this machine rounds"):
        codec.decompress(compressed)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("torch.__version__", "torch"),
        ("np.__version__", "numpy"),
        ("__version__", "seqgen"),
        ("torch.backends.cpu.get_cpu_capability", "processor"),
    ],
)
def test_another_environment_is_refused(monkeypatch, place, words):
    codec = codec_of(build_model("gru"))
    compressed = codec.compress(b"abc")

    monkeypatch.setattr(f"seqgen.compression.codec.{place}", Other("9.9.9"))
    with pytest.raises(RunError, match=rf"{words} .*9\.9\.9"):
        codec.decompress(compressed)


class Other(str):
    """A version, or a function that returns one."""

    def __call__(self):
        return self


def test_threads_autocast_and_mode_of_the_caller_change_nothing():
    model = build_model("lstm-tied")
    content, codec = random_text(200).encode(), codec_of(model)
    compressed = codec.compress(content)

    torch.set_num_threads(2)
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert codec.compress(content) == compressed

    assert torch.get_num_threads() == 2
    assert model.training


def test_the_progress_ends_with_all_tokens():
    codec, content = codec_of(build_model("gru")), random_text(600).encode()
    seen, again = [], []

    compressed = codec.compress(content, progress=lambda *done: seen.append(done))
    codec.decompress(compressed, progress=lambda *done: again.append(done))

    assert seen == again == [(256, 600), (512, 600), (600, 600)]


def test_weights_with_nan_are_refused():
    model = build_model("gru")
    model.head.bias.data[3] = torch.nan

    with pytest.raises(RunError, match="NaN"):
        codec_of(model).compress(b"abc")


def test_a_model_on_another_device_is_refused():
    with pytest.raises(ConfigError, match="meta"):
        codec_of(build_model("gru").to("meta"))


def test_the_vocabulary_of_this_file_fits_the_models():
    assert CHARACTERS.vocab_size == VOCAB_SIZE


@pytest.fixture
def lstm_and_ngram():
    """A mixture of a neural model and a fitted n-gram model."""
    ids = [CHARACTERS.encode(random_text(300, 7))]
    documents = Documents.of(ids, ends=True)
    members = {"lstm": build_model("lstm-tied"), "ngram": fitted(documents)}
    config = MixtureConfig(members={name: member.config for name, member in members.items()})
    return MixtureModel(config, VOCAB_SIZE, members).eval()


def fitted(documents, order=3, min_count=1):
    config = NgramConfig(order=order, min_count=min_count)
    arrays = (documents.ids, documents.starts, documents.ends)
    return fit(config, arrays, VOCAB_SIZE, tokenizer="char", models_ends=True)


@pytest.mark.parametrize(
    "dynamic", [pytest.param("weights", marks=pytest.mark.slow), pytest.param("ngram", marks=pytest.mark.slow), "all"]
)
def test_a_model_that_learns_restores_the_file_in_the_bits_of_dynamic_evaluation(lstm_and_ngram, dynamic):
    lines = [random_text(60, seed).replace("\n", "a") for seed in range(5)] * 2
    content = "".join(f"{line}\n" for line in lines).encode()
    codec = codec_of(lstm_and_ngram, unit="line")

    compressed = codec.compress(content, dynamic=dynamic)

    assert codec.decompress(compressed) == content
    ids, size = Documents.of(map(CHARACTERS.encode, lines), ends=True), TextSize.total(lines, CHARACTERS)
    learned = evaluate_dynamic(lstm_and_ngram, ids, size, AdaptationConfig(dynamic=dynamic)).dynamic
    expected = learned.bits_per_byte * size.bytes / 8
    assert expected * 0.999 - 8 < len(compressed) <= expected * 1.001 + 64
    assert len(compressed) < len(codec.compress(content))


def test_counts_of_an_ngram_model_are_weights_too(lstm_and_ngram):
    compressed = codec_of(lstm_and_ngram, unit="line").compress(b"abc")

    other = fitted(Documents.of([CHARACTERS.encode(random_text(300, 8))], ends=True))
    lstm_and_ngram.members["ngram"].tables = other.tables
    with pytest.raises(RunError, match="other weights"):
        codec_of(lstm_and_ngram, unit="line").decompress(compressed)


def test_shares_of_a_mixture_are_weights_too(lstm_and_ngram):
    compressed = codec_of(lstm_and_ngram, unit="line").compress(b"abc")

    lstm_and_ngram.weights.copy_(torch.tensor([0.25, 0.75]))
    with pytest.raises(RunError, match="other weights"):
        codec_of(lstm_and_ngram, unit="line").decompress(compressed)


def test_what_the_model_has_not_cannot_learn():
    with pytest.raises(ConfigError, match="dynamic"):
        codec_of(build_model("gru")).compress(b"abc", dynamic="ngram")


def test_ngrams_of_which_none_is_left_compress_too():
    codec = codec_of(fitted(Documents.of([CHARACTERS.encode(random_text(300, 7))], ends=True), min_count=10_000))
    content = random_text(50, 8).encode()

    assert codec.decompress(codec.compress(content)) == content

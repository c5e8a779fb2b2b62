"""From a request to a learner: which part builds the vocabulary, how a text is known again, what a seed fixes."""

from __future__ import annotations

import pytest
import torch

from seqgen import tokenizers
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.errors import ConfigError, RunError
from seqgen.runs import setup as preparation
from seqgen.runs.config import TextRecord, compose
from seqgen.runs.setup import build_learner, check_same_text, encode_corpus
from seqgen.sources.config import absolute
from seqgen.tokenizers.config import TokenizerConfig


@pytest.fixture
def data(corpus):
    """The settings of the corpus."""
    return DataConfig(text=str(corpus))


def test_the_vocabulary_is_built_from_the_training_part_alone(corpus, data):
    text = corpus.read_text("utf-8")
    corpus.write_text(text[:-3] + "왕\n", "utf-8")  # in the withheld tail

    prepared = encode_corpus(read_texts(data.model_copy(update={"valid_split": "tail"})), TokenizerConfig())

    assert prepared.tokenizer.unknown("왕") == {"왕": 1}
    assert prepared.validation.size.unknown == 1


def test_the_record_counts_what_is_learnt_from_and_what_is_withheld(corpus, data):
    texts = read_texts(data)

    prepared = encode_corpus(texts, TokenizerConfig(kind="byte"))

    record = prepared.record
    assert record.characters == len(corpus.read_text("utf-8"))
    assert record.train_tokens == prepared.train.tokens == texts.split.train.bytes
    assert record.valid_tokens == sum(map(len, prepared.validation.documents))
    assert prepared.characters_per_token == 1.0


def test_characters_per_token_are_the_training_parts(corpus, data):
    corpus.write_text("왕" * 8000, "utf-8")

    assert encode_corpus(read_texts(data), TokenizerConfig(kind="byte")).characters_per_token == pytest.approx(1 / 3)


def test_a_tokenizer_that_is_there_is_taken_as_it_is(data):
    tokenizer = tokenizers.build(["only these"], TokenizerConfig())

    assert encode_corpus(read_texts(data), tokenizer).tokenizer is tokenizer


def test_without_a_validation_part_there_is_none(data):
    prepared = encode_corpus(read_texts(data.model_copy(update={"valid_split": "none"})), TokenizerConfig())

    assert prepared.validation is None
    assert prepared.record.valid_tokens == 0


def test_a_text_is_known_again(corpus, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("No one paints.\n" * 14, "utf-8")
    data = DataConfig.of(text=str(corpus), valid=str(valid))
    texts = read_texts(data)
    record = encode_corpus(texts, TokenizerConfig()).record

    check_same_text(texts, record, data)
    with pytest.raises(RunError, match=r"corpus\.txt is not the text that this run was started on"):
        check_same_text(texts, record.model_copy(update={"sha256": "0" * 64}), data)
    with pytest.raises(RunError, match=r"valid\.txt is not the text that this run was started on"):
        check_same_text(texts, record.model_copy(update={"valid_sha256": "0" * 64}), data)


@pytest.mark.parametrize("field", ["text", "valid"])
@pytest.mark.parametrize("valid_sha256", ["0" * 64, None])
def test_a_file_that_is_not_the_runs_leaves_no_copy_in_the_store(corpus, tmp_path, monkeypatch, field, valid_sha256):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache"))
    record = encode_corpus(read_texts(DataConfig(text=str(corpus))), TokenizerConfig()).record
    (tmp_path / "secret.txt").write_text("nobody else's business", "utf-8")
    forged = DataConfig.of(**{"text": str(corpus), field: str(tmp_path / "secret.txt")})

    with pytest.raises(RunError, match=r"secret\.txt is not the text that this run was started on \(SHA-256 \w{12}"):
        read_texts(forged, record=record.model_copy(update={"valid_sha256": valid_sha256}))

    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"business" in path.read_bytes() for path in kept)


@pytest.mark.parametrize(("errors", "said"), [("strict", "read as U+FFFD"), ("ignore", "left out")])
def test_half_characters_that_json_spells_are_said(tmp_path, errors, said):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud800' + "b" * 9_000 + '"}', "utf-8")

    (notice,) = read_texts(DataConfig(text=str(tmp_path / "a.jsonl"), errors=errors)).notices

    assert notice.endswith(f"has 1 stretch of bytes that is no utf-8, which is {said}")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_training_text_that_is_its_own_validation_text_is_a_notice(tmp_path, newline):
    names = newline.join(f"{a}{b}{c}ra" for c in "dfgk" for a in ("Na", "Be", "Jo") for b in ("la", "ro", "ti"))
    (tmp_path / "names.txt").write_text(names, "utf-8", newline="")
    (tmp_path / "others.txt").write_text(names.replace("ra", "mo"), "utf-8", newline="")
    name = str(tmp_path / "names.txt")

    (notice,) = encode_corpus(read_texts(DataConfig.of(text=name, valid=name)), TokenizerConfig()).notices

    assert notice.startswith("100% of the validation text also occurs in the training text")
    other = DataConfig.of(text=name, valid=str(tmp_path / "others.txt"))
    assert encode_corpus(read_texts(other), TokenizerConfig()).notices == []


@pytest.fixture
def unwritable(monkeypatch, tmp_path):
    """Make the cache one in which nothing can be made any more, though all that is there can be read."""

    def close():
        (tmp_path / "file").touch()
        monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "file" / "cache"))

    return close


@pytest.mark.parametrize("name", ["corpus.txt", "corpus:pydoc"])
def test_what_a_run_needs_is_found_where_nothing_can_be_written(corpus, tmp_path, monkeypatch, unwritable, name):
    monkeypatch.chdir(tmp_path)
    data = DataConfig(text=name, cache_dir=str(tmp_path / "kept"))
    before = encode_corpus(read_texts(data), TokenizerConfig())
    unwritable()

    texts = read_texts(data.model_copy(update={"text": (absolute(name),)}), record=before.record)

    check_same_text(texts, before.record, data)
    assert encode_corpus(texts, before.tokenizer).record == before.record


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "transformer"])
def test_the_seed_draws_the_weights_and_nothing_else_does(data, cell):
    prepared = encode_corpus(read_texts(data), TokenizerConfig())

    def weights(seed):
        request = compose({"cell": cell, "hidden_size": 16, "seed": seed, "max_steps": 1})
        return build_learner(request.model, request.training, prepared).model.state_dict()

    first = weights(0)
    before = torch.get_rng_state()
    torch.rand(3)
    second, other = weights(0), weights(1)

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    torch.set_rng_state(before)
    weights(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_cell_decides_how_it_reads(data):
    prepared = encode_corpus(read_texts(data), TokenizerConfig())

    def stream(**settings):
        request = compose({"hidden_size": 16, "max_steps": 1, "batch_size": 4, **settings})
        return build_learner(request.model, request.training, prepared).stream

    assert stream(cell="gru", bptt=32).carries_state
    assert stream(cell="gru", bptt=32).length == 32
    assert not stream(cell="transformer", heads=2, block_size=24).carries_state
    assert stream(cell="transformer", heads=2, block_size=24).length == 24


def test_a_model_that_cannot_fit_into_memory_is_refused_before_it_takes_any(corpus):
    request = compose({"text": str(corpus), "hidden_size": 65_536, "layers": 200})
    prepared = encode_corpus(read_texts(request.data), request.tokenizer)

    with pytest.raises(ConfigError, match=r"hidden_size: 200 layers of 65536 .* GiB"):
        build_learner(request.model, request.training, prepared)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"cell": "transformer", "block_size": 128, "hidden_size": 32, "layers": 1}, "--block-size"),
        ({"cell": "gru", "bptt": 128, "hidden_size": 32}, "--bptt"),
    ],
)
def test_a_batch_that_cannot_fit_into_memory_is_refused_with_what_to_lower(data, monkeypatch, settings, other):
    prepared = encode_corpus(read_texts(data), TokenizerConfig())
    large, small = (compose({**settings, "batch_size": rows, "max_steps": 1}) for rows in (32, 1))

    monkeypatch.setattr(preparation, "memory_of", lambda device: 1 << 20)

    with pytest.raises(ConfigError, match=rf"batch_size: .* \d+ rows of 128 tokens .* lower --batch-size .* {other}"):
        build_learner(large.model, large.training, prepared)
    build_learner(small.model, small.training, prepared)


def test_a_mask_that_cannot_fit_into_memory_is_counted_where_documents_begin_within_windows(
    corpus, tmp_path, monkeypatch
):
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(f'{{"text": "{line}"}}\n' for line in corpus.read_text("utf-8").splitlines()), "utf-8")
    texts = [read_texts(DataConfig.of(text=str(path), valid_split="none")) for path in (corpus, lines)]
    one, several = (encode_corpus(text, TokenizerConfig()) for text in texts)
    window = {"block_size": 512, "batch_size": 1, "precision": "fp32"}
    request = compose({"cell": "transformer", "hidden_size": 8, "heads": 1, "max_steps": 1, **window})

    monkeypatch.setattr(preparation, "memory_of", lambda device: 3 << 20)

    build_learner(request.model, request.training, one)
    with pytest.raises(ConfigError, match=r"batch_size: .* 1 rows of 512 tokens"):
        build_learner(request.model, request.training, several)


@pytest.mark.parametrize("sha256", ["../../elsewhere", "0" * 63, "A" * 64])
def test_a_recorded_hash_is_a_hash(sha256):
    with pytest.raises(ConfigError, match="sha256"):
        TextRecord.of(sha256=sha256, characters=1, train_tokens=1, valid_tokens=0)


@pytest.mark.parametrize(
    ("text", "line_end"),
    [
        ("one.\ntwo.\nthree!\nfour.\n", ".\n"),
        ("one.\r\ntwo.\r\nthree!\r\nfour.\r\n", ".\r\n"),
        ("one.\rtwo.\rthree!\rfour.\r", ".\r"),
        ("one line alone, however long\n", ""),
    ],
)
def test_the_record_says_how_lines_end(corpus, data, text, line_end):
    corpus.write_bytes(text.encode())
    texts = read_texts(data.model_copy(update={"valid_split": "none"}))

    assert encode_corpus(texts, TokenizerConfig()).record.line_end == line_end


def test_what_a_tokenizer_cannot_read_is_left_out_of_how_lines_end(corpus, data):
    corpus.write_text("a b\nb a\na b\nb a\n", "utf-8")
    texts = read_texts(data.model_copy(update={"valid_split": "none"}))

    recorded = [
        encode_corpus(texts, tokenizers.build([known], TokenizerConfig())).record.line_end
        for known in ("ab\n", "\n", "a")
    ]

    assert recorded == ["b\n", "\n", ""]


def test_of_several_documents_no_line_end_is_read_first(corpus, data):
    other = corpus.with_name("other.txt")
    other.write_bytes(corpus.read_bytes())
    texts = read_texts(data.model_copy(update={"text": (str(corpus), str(other))}))

    assert encode_corpus(texts, TokenizerConfig()).record.line_end == ""

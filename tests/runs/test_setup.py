"""Setting up a run: encoding the texts, recognizing a text, building the learner."""

from __future__ import annotations

import pytest
import torch

from seqgen import tokenizers
from seqgen.data.config import DataConfig
from seqgen.data.pipeline import read_texts
from seqgen.errors import ConfigError, RunError
from seqgen.models.base import parameter_count
from seqgen.models.memory import activation_bytes
from seqgen.runs import setup as run_setup
from seqgen.runs.config import TextRecord, resolve_settings
from seqgen.runs.setup import build_learner, check_same_sizes, check_same_text, encode_corpus
from seqgen.sources.config import absolute
from seqgen.tokenizers.config import TokenizerConfig

from ..small_runs import NEURAL, TRANSLATE_RUNS


@pytest.fixture
def data(corpus):
    """The data settings of the corpus."""
    return DataConfig(text=str(corpus))


def test_vocabulary_is_built_from_the_training_part(corpus, data):
    text = corpus.read_text("utf-8")
    corpus.write_text(text[:-3] + "왕\n", "utf-8")  # in the validation part

    encoded = encode_corpus(read_texts(data.model_copy(update={"valid_split": "tail"})), TokenizerConfig())

    assert encoded.tokenizer.unknown("왕") == {"왕": 1}
    assert encoded.validation.size.unknown == 1


def test_text_record_counts_both_parts(corpus, data):
    texts = read_texts(data)

    encoded = encode_corpus(texts, TokenizerConfig(kind="byte"))

    record = encoded.record
    assert record.characters == len(corpus.read_text("utf-8"))
    assert record.train_tokens == encoded.train.tokens == texts.split.train.bytes
    assert record.valid_tokens == sum(map(len, encoded.validation.documents))
    assert encoded.characters_per_token == 1.0


def test_characters_per_token_of_the_training_part(corpus, data):
    corpus.write_text("왕" * 8000, "utf-8")

    assert encode_corpus(read_texts(data), TokenizerConfig(kind="byte")).characters_per_token == pytest.approx(1 / 3)


def test_existing_tokenizer_is_used(data):
    tokenizer = tokenizers.build(["only these"], TokenizerConfig())

    assert encode_corpus(read_texts(data), tokenizer).tokenizer is tokenizer


def test_without_validation_part_validation_is_none(data):
    encoded = encode_corpus(read_texts(data.model_copy(update={"valid_split": "none"})), TokenizerConfig())

    assert encoded.validation is None
    assert encoded.record.valid_tokens == 0


def test_check_same_text_refuses_changed_texts(corpus, tmp_path):
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
def test_refused_file_leaves_no_copy_in_the_cache(corpus, tmp_path, monkeypatch, field, valid_sha256):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "cache_dir"))
    record = encode_corpus(read_texts(DataConfig(text=str(corpus))), TokenizerConfig()).record
    (tmp_path / "secret.txt").write_text("nobody else's business", "utf-8")
    forged = DataConfig.of(**{"text": str(corpus), field: str(tmp_path / "secret.txt")})

    with pytest.raises(RunError, match=r"secret\.txt is not the text that this run was started on \(SHA-256 \w{12}"):
        read_texts(forged, record=record.model_copy(update={"valid_sha256": valid_sha256}))

    kept = [path for path in (tmp_path / "cache_dir").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"business" in path.read_bytes() for path in kept)


@pytest.mark.parametrize(("errors", "words"), [("strict", "U+FFFD"), ("ignore", "left out")])
def test_lone_surrogates_in_json_are_reported(tmp_path, errors, words):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud800' + "b" * 9_000 + '"}', "utf-8")

    (notice,) = read_texts(DataConfig(text=str(tmp_path / "a.jsonl"), errors=errors)).notices

    assert "a.jsonl" in notice
    assert words in notice


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_identical_training_and_validation_text_is_reported(tmp_path, newline):
    names = newline.join(f"{a}{b}{c}ra" for c in "dfgk" for a in ("Na", "Be", "Jo") for b in ("la", "ro", "ti"))
    (tmp_path / "names.txt").write_text(names, "utf-8", newline="")
    (tmp_path / "others.txt").write_text(names.replace("ra", "mo"), "utf-8", newline="")
    name = str(tmp_path / "names.txt")

    (notice,) = encode_corpus(read_texts(DataConfig.of(text=name, valid=name)), TokenizerConfig()).notices

    assert notice.startswith("100% of the validation text also occurs in the training text")
    other = DataConfig.of(text=name, valid=str(tmp_path / "others.txt"))
    assert encode_corpus(read_texts(other), TokenizerConfig()).notices == []


@pytest.mark.parametrize("name", ["corpus.txt", "corpus:pydoc"])
def test_recorded_cache_dir_is_used(corpus, tmp_path, monkeypatch, name):
    """The default cache need not be writable."""
    monkeypatch.chdir(tmp_path)
    data = DataConfig(text=name, cache_dir=str(tmp_path / "kept"))
    before = encode_corpus(read_texts(data), TokenizerConfig())
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path / "file" / "cache"))

    texts = read_texts(data.model_copy(update={"text": (absolute(name),)}), record=before.record)

    check_same_text(texts, before.record, data)
    assert encode_corpus(texts, before.tokenizer).record == before.record


@pytest.mark.parametrize("cell", NEURAL)
def test_initial_weights_depend_only_on_the_seed(data, cell):
    encoded = encode_corpus(read_texts(data), TokenizerConfig())

    def weights(seed):
        resolved = resolve_settings({"cell": cell, "hidden_size": 16, "seed": seed, "max_steps": 1})
        return build_learner(resolved.model, resolved.training, encoded).model.state_dict()

    first = weights(0)
    before = torch.get_rng_state()
    torch.rand(3)
    second, other = weights(0), weights(1)

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    torch.set_rng_state(before)
    weights(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_cell_determines_the_batch_stream(data):
    encoded = encode_corpus(read_texts(data), TokenizerConfig())

    def stream(**settings):
        resolved = resolve_settings({"hidden_size": 16, "max_steps": 1, "batch_size": 4, **settings})
        return build_learner(resolved.model, resolved.training, encoded).stream

    assert stream(cell="gru", bptt=32).carries_state
    assert stream(cell="gru", bptt=32).length == 32
    assert not stream(cell="transformer", heads=2, block_size=24).carries_state
    assert stream(cell="transformer", heads=2, block_size=24).length == 24


def test_model_larger_than_memory_is_refused(corpus):
    resolved = resolve_settings({"text": str(corpus), "hidden_size": 65_536, "layers": 200})
    encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)

    with pytest.raises(ConfigError, match=r"hidden_size: .* GiB .*--layers"):
        build_learner(resolved.model, resolved.training, encoded)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"cell": "transformer", "block_size": 128, "hidden_size": 32, "layers": 1}, "--block-size"),
        ({"cell": "gru", "bptt": 128, "hidden_size": 32}, "--bptt"),
    ],
)
def test_batch_larger_than_memory_is_refused(data, monkeypatch, settings, other):
    encoded = encode_corpus(read_texts(data), TokenizerConfig())
    large, small = (resolve_settings({**settings, "batch_size": rows, "max_steps": 1}) for rows in (32, 1))

    monkeypatch.setattr(run_setup, "total_memory", lambda device: 1 << 20)

    with pytest.raises(ConfigError, match=rf"batch_size: .* \d+ rows of 128 tokens .* lower --batch-size .* {other}"):
        build_learner(large.model, large.training, encoded)
    build_learner(small.model, small.training, encoded)


def test_weights_gradients_and_a_moment_must_fit_in_memory(data, monkeypatch):
    encoded = encode_corpus(read_texts(data), TokenizerConfig())
    settings = {"cell": "gru", "hidden_size": 256, "batch_size": 1, "bptt": 2, "max_steps": 1}
    resolved = resolve_settings(settings)
    parameters = parameter_count(build_learner(resolved.model, resolved.training, encoded).model)

    monkeypatch.setattr(run_setup, "total_memory", lambda device: 12 * parameters)
    build_learner(resolved.model, resolved.training, encoded)
    monkeypatch.setattr(run_setup, "total_memory", lambda device: 12 * parameters - 1)
    with pytest.raises(ConfigError, match=rf"hidden_size: .* {parameters:,} parameters"):
        build_learner(resolved.model, resolved.training, encoded)


def test_weights_gradients_and_activations_must_fit_in_memory(data, monkeypatch):
    encoded = encode_corpus(read_texts(data), TokenizerConfig())
    settings = {"cell": "gru", "hidden_size": 32, "batch_size": 32, "bptt": 128, "max_steps": 1}
    resolved = resolve_settings(settings)
    learner = build_learner(resolved.model, resolved.training, encoded)
    tokens = learner.stream.batch_size * learner.stream.length
    needed = 8 * parameter_count(learner.model) + activation_bytes(learner.model, tokens, learner.precision)

    monkeypatch.setattr(run_setup, "total_memory", lambda device: needed)
    build_learner(resolved.model, resolved.training, encoded)
    monkeypatch.setattr(run_setup, "total_memory", lambda device: needed - 1)
    with pytest.raises(ConfigError, match="batch_size: "):
        build_learner(resolved.model, resolved.training, encoded)


@pytest.mark.parametrize("sha256", ["../../elsewhere", "0" * 63, "A" * 64])
def test_text_record_refuses_an_invalid_hash(sha256):
    with pytest.raises(ConfigError, match="sha256"):
        TextRecord.of(sha256=sha256, characters=1, train_tokens=1, valid_tokens=0, ends=False, split="none")


@pytest.mark.parametrize(
    ("text", "line_end"),
    [
        ("one.\ntwo.\nthree!\nfour.\n", ".\n"),
        ("one.\r\ntwo.\r\nthree!\r\nfour.\r\n", ".\r\n"),
        ("one.\rtwo.\rthree!\rfour.\r", ".\r"),
        ("one line alone, however long\n", ""),
    ],
)
def test_text_record_holds_the_line_end(corpus, data, text, line_end):
    corpus.write_bytes(text.encode())
    texts = read_texts(data.model_copy(update={"valid_split": "none"}))

    assert encode_corpus(texts, TokenizerConfig()).record.line_end == line_end


def test_line_end_omits_unknown_characters(corpus, data):
    corpus.write_text("a b\nb a\na b\nb a\n", "utf-8")
    texts = read_texts(data.model_copy(update={"valid_split": "none"}))

    recorded = [
        encode_corpus(texts, tokenizers.build([known], TokenizerConfig())).record.line_end
        for known in ("ab\n", "\n", "a")
    ]

    assert recorded == ["b\n", "\n", ""]


def test_line_end_is_empty_for_several_documents(corpus, data):
    other = corpus.with_name("other.txt")
    other.write_bytes(corpus.read_bytes())
    texts = read_texts(data.model_copy(update={"text": (str(corpus), str(other))}))

    assert encode_corpus(texts, TokenizerConfig()).record.line_end == ""


# --- documents with ends


@pytest.fixture
def names(corpus):
    """The data settings of 400 names, a line each, and one blank line."""
    corpus.write_text("".join(f"name {number:03}\n" for number in range(400)) + "\n", "utf-8")
    return DataConfig(text=str(corpus), documents="line")


def test_text_record_says_whether_documents_end(corpus, data, names):
    several = encode_corpus(read_texts(names), TokenizerConfig())
    one = encode_corpus(read_texts(data.model_copy(update={"text": (str(corpus),)})), TokenizerConfig())

    assert (several.record.ends, several.record.split, several.record.line_end) == (True, "document", "")
    assert (one.record.ends, one.record.split) == (False, "blocks")
    assert several.train.ends.all()
    assert several.validation.documents.ends.all()
    assert not one.train.ends.any()


def test_lines_as_documents_have_the_tokens_and_bytes_of_their_file(names):
    encoded = encode_corpus(read_texts(names), TokenizerConfig())

    size = 400 * len("name 000\n")
    record, validation = encoded.record, encoded.validation
    assert record.train_tokens + record.valid_tokens == record.characters == size
    assert validation.size.bytes == validation.size.characters == record.valid_tokens == validation.documents.tokens
    assert encoded.characters_per_token == 1
    assert sum("1 empty line" in notice for notice in encoded.notices) == len(encoded.notices) == 1


def test_validation_file_has_ends_where_the_training_text_has(names, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("one line\n" * 30, "utf-8")

    both = {"text": names.text, "valid": str(valid)}
    line = encode_corpus(read_texts(DataConfig.of(**both, documents="line")), TokenizerConfig())
    single = encode_corpus(read_texts(DataConfig.of(**both)), TokenizerConfig())

    assert (len(line.validation.documents), line.validation.size.bytes) == (30, 270)
    assert line.validation.documents.ends.all()
    assert not single.validation.documents.ends.any()


def test_prose_in_lines_has_one_notice(corpus, data):
    corpus.write_text("He said that the rain, which he had painted,\nwould stay on the wall.\n\n" * 200, "utf-8")
    settings = {"text": (str(corpus),), "documents": "line", "valid_split": "none"}

    (notice,) = encode_corpus(read_texts(data.model_copy(update=settings)), TokenizerConfig()).notices

    assert "--documents line" in notice
    assert str(corpus) in notice


@pytest.mark.parametrize("change", [{"split": "blocks"}, {"ends": False}])
def test_check_same_text_refuses_another_split(names, change):
    texts = read_texts(names)
    record = encode_corpus(texts, TokenizerConfig()).record

    check_same_text(texts, record, names)
    with pytest.raises(RunError, match="split by document"):
        check_same_text(texts, record.model_copy(update=change), names)


@pytest.mark.parametrize("name", ["train_tokens", "valid_tokens"])
def test_check_same_sizes_refuses_other_numbers_of_tokens(names, name):
    corpus = encode_corpus(read_texts(names), TokenizerConfig())

    check_same_sizes(corpus, corpus.record, names)
    with pytest.raises(RunError, match=f"{getattr(corpus.record, name):,} {name.replace('_', ' ')} now, and gave 7"):
        check_same_sizes(corpus, corpus.record.model_copy(update={name: 7}), names)


def test_memory_of_a_batch_of_pairs_names_their_settings(pairs, monkeypatch):
    resolved = resolve_settings({"text": str(pairs), "max_steps": 1, **TRANSLATE_RUNS["lstm-translate"]})
    encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)
    learner = build_learner(resolved.model, resolved.training, encoded)
    tokens = learner.stream.batch_size * learner.stream.longest
    needed = 8 * parameter_count(learner.model) + activation_bytes(learner.model, tokens, learner.precision)

    monkeypatch.setattr(run_setup, "total_memory", lambda device: needed)
    build_learner(resolved.model, resolved.training, encoded)
    monkeypatch.setattr(run_setup, "total_memory", lambda device: needed - 1)
    with pytest.raises(ConfigError, match=r"batch_size: .*--max-source-length"):
        build_learner(resolved.model, resolved.training, encoded)


def test_sizes_of_a_corpus_of_pairs_are_those_of_its_targets(pairs):
    resolved = resolve_settings({"text": str(pairs), "max_steps": 1, **TRANSLATE_RUNS["lstm-translate"]})

    encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)

    assert (len(encoded.pairs), encoded.record.train_pairs, encoded.record.valid_pairs) == (106, 106, 6)
    assert (encoded.validation.size.characters, encoded.validation.pairs.tokens) == (6 * 3, 6 * 4)
    assert encoded.record.train_tokens == 106 * 2 * 4


@pytest.mark.parametrize(("settings", "sampled"), [({}, 6), ({"valid_split": "none"}, 112)])
def test_samples_have_the_sources_of_validation_or_without_it_of_training(pairs, settings, sampled):
    resolved = resolve_settings({"text": str(pairs), "max_steps": 1, **TRANSLATE_RUNS["lstm-translate"], **settings})

    encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)

    assert len(encoded.sampled) == sampled


def test_batches_of_pairs_have_sources_that_the_model_reads(pairs):
    settings = {"text": str(pairs), **TRANSLATE_RUNS["lstm-translate"], "max_steps": 1, "max_source_length": 2}
    resolved = resolve_settings(settings)
    encoded = encode_corpus(read_texts(resolved.data), resolved.tokenizer)

    stream = build_learner(resolved.model, resolved.training, encoded).stream

    assert stream.batch_at(0).source.shape == (8, 2)
    assert stream.batch_at(0).inputs.shape == (8, 4)

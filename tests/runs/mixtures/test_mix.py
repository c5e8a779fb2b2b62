"""Mixing trained runs: which are refused, what is copied, and what the weights are."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError, SaveError, TextError
from seqgen.evaluation.mixture_weights import fit_mixture_weights
from seqgen.runs.directory import RunDirectory
from seqgen.runs.summary import summarize

from ...comparing import config_of, contents_of, files_of
from ...conftest import TEXT
from ...small_runs import GRU, SMALL

SETTINGS = {"gru": GRU, "lstm": {**SMALL, "cell": "lstm"}, "ngram": {"cell": "ngram", "order": 3}}
OTHER = "".join(sorted(TEXT.splitlines(keepends=True), key=lambda line: line[::-1])) + "The rain paints the bread.\n"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "corpus.txt").write_text(TEXT, "utf-8", newline="")
    return folder


@pytest.fixture
def trained(workshop):
    """Return a run, trained once with these settings; not to be changed."""

    def train(cell, **settings):
        path = workshop / "-".join([cell, *(f"{name}-{value}".replace("/", "-") for name, value in settings.items())])
        if not path.exists():
            seqgen.train(workshop / "corpus.txt", out=path, **{**SETTINGS[cell], **settings}).run()
        return path

    return train


def test_mixture_has_the_best_weights_and_the_members_figures(trained, tmp_path):
    runs = [trained("gru"), trained("ngram")]

    run = seqgen.mix(runs, out=tmp_path / "mixture")

    record = RunDirectory(run.path).read_mixture()
    loaded = [seqgen.load(path) for path in runs]
    alone = [one.evaluate_documents(one.validation_texts()) for one in loaded]
    for member, report in zip(record.members.values(), alone, strict=True):
        assert member.nats_per_token == pytest.approx(report.nats_per_token, rel=1e-5)
        assert member.bits_per_byte == pytest.approx(report.bits_per_byte, rel=1e-5)
    texts = loaded[0].validation_texts()
    nats = np.array([np.concatenate([one.score(text).nats for text in texts]) for one in loaded])
    weights = fit_mixture_weights(nats.astype(np.float64))
    assert [member.weight for member in record.members.values()] == pytest.approx(weights, abs=0.02)
    assert record.nats_per_token <= min(report.nats_per_token for report in alone) + 1e-9
    assert record.tokens == run.config.text.valid_tokens == len(nats[0])


def test_loaded_mixture_is_the_mixture(trained, tmp_path):
    made = seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture")

    run = seqgen.load(made.path)

    assert list(run.config.model.members) == ["gru", "ngram"]
    for name, tensor in made.model.stored_tensors().items():
        assert torch.equal(run.model.stored_tensors()[name], tensor), name
    report = run.evaluate_documents(run.validation_texts())
    record = RunDirectory(run.path).read_mixture()
    assert report.nats_per_token == pytest.approx(record.nats_per_token, rel=1e-6)
    assert report.bits_per_byte == pytest.approx(record.bits_per_byte, rel=1e-6)
    assert run.generate("The ", max_new_tokens=30, seed=1) == made.generate("The ", max_new_tokens=30, seed=1)
    assert run.memorization("The old king watches").longest_copy
    assert run.is_training_text(TEXT)


def test_summary_of_a_mixture(trained, tmp_path):
    run = seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture")

    summary = summarize(RunDirectory(run.path), run.config)

    assert (summary.cell, summary.shape, summary.state) == ("gru+ngram", "1x16, order 3", "complete")
    assert (summary.steps, summary.total_steps) == (9, 9)
    assert summary.best_bits_per_byte == RunDirectory(run.path).read_mixture().bits_per_byte
    parts = [RunDirectory(path) for path in (trained("gru"), trained("ngram"))]
    assert summary.parameters == sum(summarize(one, one.read_config()).parameters for one in parts)


def test_members_are_copies_without_checkpoints_and_links(trained, tmp_path):
    runs = [trained("gru"), tmp_path / "linked"]
    shutil.copytree(trained("ngram"), runs[1])
    for name in ("model.safetensors", "tokenizer"):
        (runs[1] / name).rename(tmp_path / name)
        (runs[1] / name).symlink_to(tmp_path / name)
    before = contents_of(trained("gru"))

    path = seqgen.mix(runs, out=tmp_path / "mixture").path
    shutil.rmtree(runs[1])
    (tmp_path / "model.safetensors").unlink()

    assert not any(file.is_symlink() for file in path.rglob("*"))
    expected = {"config.json", "model.safetensors", "tokenizer/tokenizer.json"}
    assert {name for name in files_of(path / "members" / "ngram") if "tokenizer/" not in name} <= expected
    assert not (path / "members" / "gru" / "checkpoints").exists()
    assert contents_of(trained("gru")) == before
    assert seqgen.load(path).generate(max_new_tokens=5)
    assert seqgen.load(path / "members" / "gru").config.model.cell == "gru"


def test_weights_are_those_of_the_copies_while_a_run_is_trained(trained, tmp_path):
    """The file of the run is replaced as soon as the members are scored."""
    source = tmp_path / "gru"
    shutil.copytree(trained("gru"), source)

    def replace(message, *_):
        if message == "scoring the members":
            shutil.copy(trained("gru", seed=1) / "model.safetensors", source / "model.safetensors")

    run = seqgen.mix([source, trained("ngram")], out=tmp_path / "mixture", report=replace)

    expected = seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "expected")
    assert (run.path / "mixture.json").read_bytes() == (expected.path / "mixture.json").read_bytes()
    assert seqgen.load(run.path).generate(max_new_tokens=5)


def test_member_whose_scores_are_nan_is_refused_by_name(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "seqgen.runs.mixtures.mix.score", lambda model, documents, segments: np.full(documents.tokens, np.nan)
    )
    monkeypatch.setattr("seqgen.runs.mixtures.mix.nats_by_document", lambda documents, nats: [nats])

    with pytest.raises(RunError, match="member gru "):
        seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture")
    assert not (tmp_path / "mixture").exists()


def test_seeds_of_one_cell_are_an_ensemble(trained, tmp_path):
    run = seqgen.mix([trained("gru"), trained("gru", seed=1)], out=tmp_path / "mixture")

    record = RunDirectory(run.path).read_mixture()
    assert list(record.members) == ["gru", "gru-2"]
    assert run.config.model.name == "gru+gru"


def test_new_directory_is_named_by_text_and_cells(trained, in_tmp):
    assert str(seqgen.mix([trained("gru"), trained("ngram")]).path) == "runs/corpus-gru+ngram"


# --- no member may have learned from the text that sets the weights


@pytest.mark.parametrize("settings", [{"valid_split": "tail"}, {"valid_share": 0.1}])
def test_runs_with_other_splits_need_a_validation_file(trained, tmp_path, settings):
    with pytest.raises(ConfigError, match=r"^valid: .*--valid FILE"):
        seqgen.mix([trained("gru"), trained("ngram", **settings)], out=tmp_path / "mixture")
    assert not (tmp_path / "mixture").exists()


def test_run_that_learned_from_the_whole_text_is_refused_by_name(trained, tmp_path):
    whole = trained("ngram", valid_split="none")

    with pytest.raises(ConfigError, match=rf"^valid: {whole} .*--valid-split none.*--valid FILE"):
        seqgen.mix([trained("gru"), whole], out=tmp_path / "mixture")


def test_validation_file_sets_the_weights(trained, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("Every child watches letters in the quiet seventh garden.\n" * 9, "utf-8")

    run = seqgen.mix([trained("gru"), trained("ngram", valid_split="none")], out=tmp_path / "mixture", valid=valid)

    record, config = RunDirectory(run.path).read_mixture(), config_of(run.path)
    assert record.split == config["text"]["split"] == "none"
    assert record.text_sha256 == config["text"]["valid_sha256"]
    assert config["data"]["valid"] == str(valid)
    assert record.tokens == len(valid.read_text("utf-8"))
    assert seqgen.load(run.path).validation_texts() == (valid.read_text("utf-8"),)


@pytest.mark.parametrize("part", ["all", "most"])
def test_validation_file_that_a_member_learned_is_refused(trained, tmp_path, part):
    valid = tmp_path / "valid.txt"
    valid.write_text(TEXT if part == "all" else TEXT[500:3_000], "utf-8", newline="")

    with pytest.raises(ConfigError, match=r"^valid: .*valid\.txt.*(gru|ngram)"):
        seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture", valid=valid)
    assert not (tmp_path / "mixture").exists()


def test_runs_with_one_validation_file_are_mixed_on_it(trained, tmp_path, workshop):
    valid = workshop / "valid.txt"
    valid.write_text("Every child watches letters in the quiet seventh garden.\n" * 9, "utf-8")
    runs = [trained(cell, valid=str(valid)) for cell in ("gru", "ngram")]

    run = seqgen.mix(runs, out=tmp_path / "mixture")

    assert RunDirectory(run.path).read_mixture().text_sha256 == run.config.text.valid_sha256


def test_runs_with_one_validation_file_that_one_has_learned_are_refused(trained, tmp_path, workshop):
    """The same --valid FILE, but the training text of the second contains it."""
    valid, whole = workshop / "shared.txt", tmp_path / "whole.txt"
    valid.write_text("Every child watches letters in the quiet seventh garden, by day and by night.\n" * 9, "utf-8")
    whole.write_text(TEXT + valid.read_text("utf-8"), "utf-8", newline="")
    first = trained("gru", valid=str(valid))
    tokenizer = str(first / "tokenizer")
    second = seqgen.train(whole, out=tmp_path / "second", valid=valid, tokenizer=tokenizer, **SETTINGS["ngram"]).run()

    with pytest.raises(ConfigError, match=rf"^valid: .*shared\.txt.*{second.path}"):
        seqgen.mix([first, second.path], out=tmp_path / "mixture")
    assert not (tmp_path / "mixture").exists()


def test_run_started_from_one_that_learned_the_whole_text_is_refused(trained, tmp_path, workshop):
    parent = tmp_path / "parent"
    shutil.copytree(trained("gru", valid_split="none"), parent)
    settings = {name: SETTINGS["gru"][name] for name in ("max_steps", "eval_every", "batch_size", "precision")}
    child = seqgen.train(workshop / "corpus.txt", out=tmp_path / "child", init_from=parent, **settings).run().path

    with pytest.raises(ConfigError, match=rf"^valid: {child} .*{parent}.*--valid FILE"):
        seqgen.mix([trained("ngram"), child], out=tmp_path / "mixture")
    valid = tmp_path / "valid.txt"
    valid.write_text("Every child watches letters in the quiet seventh garden.\n" * 9, "utf-8")
    assert seqgen.mix([trained("ngram"), child], out=tmp_path / "mixture", valid=valid).path
    valid.write_text(TEXT[500:3_000], "utf-8", newline="")
    with pytest.raises(ConfigError, match=r"^valid: .*valid\.txt"):
        seqgen.mix([trained("ngram"), child], out=tmp_path / "other", valid=valid)
    shutil.rmtree(parent)
    with pytest.raises(ConfigError, match=rf"^valid: {child} .*{parent}.*--valid FILE"):
        seqgen.mix([trained("ngram"), child], out=tmp_path / "other")


def test_run_started_from_one_with_the_same_validation_part_is_mixed(trained, tmp_path, workshop):
    settings = {name: SETTINGS["gru"][name] for name in ("max_steps", "eval_every", "batch_size", "precision")}
    child = seqgen.train(workshop / "corpus.txt", out=tmp_path / "child", init_from=trained("gru"), **settings).run()

    assert seqgen.mix([trained("ngram"), child.path], out=tmp_path / "mixture").path


def test_changed_or_missing_text_is_refused(tmp_path, trained, workshop):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(TEXT + "The end of it all.\n", "utf-8", newline="")
    runs = [tmp_path / "gru", tmp_path / "ngram"]
    for path in runs:
        seqgen.train(corpus, out=path, **SETTINGS[path.name]).run()
    corpus.write_text(OTHER, "utf-8", newline="")

    with pytest.raises(RunError, match=r"corpus\.txt is not the text"):
        seqgen.mix(runs, out=tmp_path / "mixture")
    with pytest.raises(TextError, match="gone"):
        seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture", valid=tmp_path / "gone.txt")


# --- what else is refused


def test_one_run_is_no_mixture(trained):
    with pytest.raises(ConfigError, match="two runs"):
        seqgen.mix([trained("gru")])


def test_run_mixed_with_itself_is_refused(trained):
    with pytest.raises(ConfigError, match="named twice"):
        seqgen.mix([trained("gru"), trained("ngram"), trained("gru") / ".." / trained("gru").name])


def test_mixture_inside_a_run_is_refused(trained):
    with pytest.raises(ConfigError, match="inside the run"):
        seqgen.mix([trained("gru"), trained("ngram")], out=trained("gru") / "mixture")


def test_other_tokenizers_are_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match="different tokenizers"):
        seqgen.mix([trained("gru"), trained("ngram", tokenizer="byte")], out=tmp_path / "mixture")


def test_runs_with_and_without_ends_are_refused(trained, tmp_path):
    lines = trained("ngram", documents="line", tokenizer=str(trained("gru") / "tokenizer"))

    with pytest.raises(ConfigError, match=f"{lines} models the ends of documents and {trained('gru')} does not"):
        seqgen.mix([trained("gru"), lines], out=tmp_path / "mixture")


def test_mixture_of_mixtures_is_refused(trained, tmp_path):
    inner = seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "inner")

    with pytest.raises(ConfigError, match=f"{inner.path} is a mixture itself; .*members"):
        seqgen.mix([trained("gru"), inner.path], out=tmp_path / "outer")


def test_run_without_weights_and_no_run_are_refused(trained, tmp_path):
    shutil.copytree(trained("gru"), tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))

    for path, words in ((tmp_path / "empty", "has no weights yet"), (tmp_path / "nowhere", "no such run")):
        with pytest.raises(RunError, match=words):
            seqgen.mix([trained("gru"), path], out=tmp_path / "mixture")


def test_existing_directory_is_not_overwritten(trained, tmp_path):
    with pytest.raises(RunError, match="exists"):
        seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path)


def test_failed_write_leaves_nothing(trained, tmp_path, monkeypatch):
    def fail(path, content):
        raise SaveError(f"{path} could not be written")

    monkeypatch.setattr("seqgen.runs.mixtures.mix.write_atomically", fail)

    with pytest.raises(SaveError, match=r"mixture\.json"):
        seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture")
    assert not (tmp_path / "mixture").exists()


# --- what loading checks


@pytest.fixture
def mixture(trained, tmp_path):
    return RunDirectory(seqgen.mix([trained("gru"), trained("ngram")], out=tmp_path / "mixture").path)


def test_changed_member_is_refused(mixture, trained):
    shutil.copy(trained("gru", seed=1) / "model.safetensors", mixture.member("gru").weights)
    with pytest.raises(RunError, match=r"gru/model\.safetensors has changed"):
        seqgen.load(mixture.path)

    shutil.copy(trained("gru", seed=1) / "config.json", mixture.member("ngram").config)
    shutil.copy(trained("gru") / "model.safetensors", mixture.member("gru").weights)
    with pytest.raises(RunError, match=r"ngram/config\.json is not the member"):
        seqgen.load(mixture.path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record["members"]["gru"].update(weight=0.99), "weights should sum to 1"),
        (lambda record: record["members"]["gru"].update(weight=-0.1), "weight"),
        (lambda record: record["members"].update(other=record["members"].pop("gru")), "different members"),
        (lambda record: record.update(wings=2), "wings"),
    ],
)
def test_edited_weights_are_refused(mixture, change, words):
    record = json.loads(mixture.mixture.read_text("utf-8"))
    change(record)
    mixture.mixture.write_text(json.dumps(record), "utf-8")

    with pytest.raises(RunError, match=rf"mixture\.json.*{words}"):
        seqgen.load(mixture.path)


def test_config_with_settings_of_other_members_is_refused(mixture):
    config = json.loads(mixture.config.read_text("utf-8"))
    config["training"]["members"]["other"] = config["training"]["members"].pop("gru")
    mixture.config.write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError, match=r"config\.json.*members"):
        seqgen.load(mixture.path)


def test_missing_weights_name_the_way_on(mixture):
    mixture.mixture.unlink()

    with pytest.raises(RunError, match=r"mixture\.json is missing.*--resume"):
        seqgen.load(mixture.path)


def test_mixture_of_runs_cannot_be_trained_further(mixture):
    before = contents_of(mixture.path)

    for changes in ({"max_steps": 20}, {"max_time": 30.0}):
        with pytest.raises(RunError, match="members/gru is a copy without checkpoints"):
            seqgen.train(out=mixture.path, resume=True, **changes)

    with pytest.raises(RunError, match="complete") as caught:
        seqgen.train(out=mixture.path, resume=True)
    assert "--max-steps" not in str(caught.value)
    assert contents_of(mixture.path) == before


def test_mixture_of_runs_is_complete_until_its_weights_are_lost(mixture):
    before = mixture.mixture.read_bytes()
    with pytest.raises(RunError, match="complete"):
        seqgen.train(out=mixture.path, resume=True)
    mixture.mixture.unlink()

    events = list(seqgen.train(out=mixture.path, resume=True))

    assert [type(event).__name__ for event in events] == ["Mixed", "Sampled", "Finished"]
    assert mixture.mixture.read_bytes() == before

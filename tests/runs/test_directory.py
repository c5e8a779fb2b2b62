"""A run's config and its directory: settings sorted into configs, names, and which run is the newest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.runs.config import RunConfig, compose
from seqgen.runs.directory import RunDirectory, check_free, create_run, find_run, find_runs
from seqgen.training.presets import DEFAULT_TIME, LONG_PRESETS, PRESETS

CONFIG = RunConfig.of(
    seqgen="0.1.0",
    created="2026-01-01T00:00:00+00:00",
    **{name: getattr(compose({"max_steps": 5}), name) for name in ("model", "data", "training")},
    tokenizer={"kind": "char", "vocab_size": 32, "fingerprint": "0" * 64},
    text={"sha256": "0" * 64, "characters": 1000, "train_tokens": 950, "valid_tokens": 50},
    environment={"python": "3.11", "threads": 2},
)


@pytest.fixture
def make_run(in_tmp):
    """Make a run directory under runs/, created in the given year; with weights, as far as names go."""

    def make(name, year=2026, *, weights=True):
        path = Path("runs", name)
        path.mkdir(parents=True)
        directory = RunDirectory(path)
        directory.write_config(CONFIG.model_copy(update={"created": f"{year}-01-01T00:00:00+00:00"}))
        if weights:
            directory.weights.touch()
        return directory

    return make


# --- compose


def test_settings_are_sorted_into_the_configs_they_belong_to():
    request = compose({
        "cell": "gru", "hidden_size": 64, "gru_reset": "before", "tokenizer": "bpe", "vocab_size": 1000,
        "text": "corpus.txt", "valid_split": "tail", "max_time": "1m30s", "lr": 0.1,
    })  # fmt: skip

    assert (request.model.cell, request.model.hidden_size, request.model.gru_reset) == ("gru", 64, "before")
    assert (request.tokenizer.kind, request.tokenizer.vocab_size) == ("bpe", 1000)
    assert (request.data.text, request.data.valid_split) == (("corpus.txt",), "tail")
    assert (request.training.max_time, request.training.lr) == (90.0, 0.1)


def test_without_settings_there_is_a_good_default_of_a_stated_time():
    request = compose({})

    assert (request.model.cell, request.tokenizer.kind, request.data.text) == ("lstm", "char", ("corpus:pydoc",))
    assert request.training.max_time == DEFAULT_TIME
    assert request.tokenizer_from is None


@pytest.mark.parametrize("length", [{"max_steps": 3}, {"max_epochs": 1.0}, {"max_time": "9s"}])
def test_the_default_time_is_for_those_who_name_no_length(length):
    training = compose(length).training

    assert training.max_time == (9.0 if "max_time" in length else None)


def test_the_long_recipe_is_of_the_model_too_and_a_setting_goes_before_it():
    request = compose({"max_time": "10m", "dropout": 0.2, "lr": 0.001})

    long = LONG_PRESETS["lstm"]["muon"]
    assert (request.model.hidden_size, request.model.layers) == (long["hidden_size"], long["layers"])
    assert (request.model.dropout, request.training.lr) == (0.2, 0.001)
    assert request.training.bptt == long["bptt"]
    assert compose({"max_time": "10m"}, sized=True).training.lr == PRESETS["lstm"]["muon"]["lr"]


@pytest.mark.parametrize("cell", PRESETS)
def test_each_cell_has_its_recipe_and_a_setting_goes_before_it(cell):
    for optimizer, recipe in PRESETS[cell].items():
        chosen = compose({"cell": cell, "optimizer": optimizer}).training
        assert (chosen.optimizer, chosen.lr, chosen.batch_size) == (optimizer, recipe["lr"], recipe["batch_size"])
        assert compose({"cell": cell, "optimizer": optimizer, "lr": 0.5}).training.lr == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell": "gnu"}, "cell: there is no 'gnu'; choose from rnn, lstm, gru, transformer"),
        ({"hiden_size": 3}, "hiden_size: there is no such setting; did you mean hidden_size?"),
        ({"learning": 3}, "learning: there is no such setting"),
        ({"heads": 3}, "heads: lstm has no such setting; it belongs to transformer"),
        ({"cell": "transformer", "gru_reset": "after"}, "gru_reset: transformer has no such setting; .* to gru"),
        ({"cell": "transformer", "bptt": 3}, "bptt: a transformer learns in windows"),
        ({"tokenizer": "byte", "character_coverage": 0.99}, "character_coverage: it counts for unigram and bpe alone"),
        ({"valid_split": "none", "valid_share": 0.1}, "valid_share: nothing of the text is withheld, so"),
        ({"valid_split": "none", "patience": 3}, "patience: nothing is withheld to measure gain on, so"),
        ({"hidden_size": "64"}, "hidden_size: .*not '64'"),
        ({"hidden_size": 1.5}, "hidden_size"),
        ({"seed": True}, "seed"),
        ({"tokenizer": "wordpiece"}, "tokenizer: 'wordpiece' is neither a kind .* nor a directory"),
        ({"max_time": "soon"}, "max_time: 'soon' is no duration"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        compose(settings)


def test_compose_leaves_what_it_was_given_as_it_was():
    settings = {"cell": "gru", "tokenizer": "byte", "lr": 0.1}

    compose(settings)

    assert settings == {"cell": "gru", "tokenizer": "byte", "lr": 0.1}


def test_a_directory_is_a_tokenizer_whose_settings_are_made(tmp_path):
    assert compose({"tokenizer": str(tmp_path)}).tokenizer_from == str(tmp_path)
    with pytest.raises(ConfigError, match="character_coverage, vocab_size cannot be chosen"):
        compose({"tokenizer": str(tmp_path), "vocab_size": 300, "character_coverage": 0.99})


# --- config.json


def test_a_config_is_written_and_read_as_it_is(make_run):
    directory = make_run("one")

    assert directory.read_config() == CONFIG
    content = json.loads(directory.config.read_text("utf-8"))
    assert next(iter(content)) == "format_version"
    assert content["model"]["cell"] == "lstm"


def test_a_config_of_every_cell_survives_the_disk(make_run):
    directory = make_run("one")
    for cell in PRESETS:
        request = compose({"cell": cell, "valid": "valid.txt", "max_time": "9s"})
        config = CONFIG.model_copy(update={"model": request.model, "data": request.data, "training": request.training})
        directory.write_config(config)
        assert directory.read_config() == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(wings=2), "wings: there is no such setting"),
        (lambda content: content["training"].update(wings=2), "training.wings: there is no such setting"),
        (lambda content: content["training"].update(lr="0.1"), "training.lr"),
        (lambda content: content["model"].update(cell="gnu"), "model"),
        (lambda content: content["model"].update(hidden_size=10**9), "model.lstm.hidden_size"),
        (lambda content: content["tokenizer"].update(kind="pickle"), "tokenizer.kind"),
        (lambda content: content.update(format_version=2), "format_version"),
        (lambda content: content.pop("text"), "text"),
    ],
)
def test_a_config_that_was_changed_is_refused_by_the_name_of_the_field(make_run, change, words):
    directory = make_run("one")
    content = json.loads(directory.config.read_text("utf-8"))
    change(content)
    directory.config.write_text(json.dumps(content), "utf-8")

    with pytest.raises(RunError, match=words) as caught:
        directory.read_config()

    assert str(directory.config) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"a": NaN}'])
def test_what_is_no_config_is_refused(make_run, content):
    directory = make_run("one")
    directory.config.write_bytes(content)

    with pytest.raises(RunError, match=r"config\.json"):
        directory.read_config()


def test_what_is_no_run_is_told_from_what_is_not_there(in_tmp):
    Path("folder").mkdir()
    Path("file").touch()

    with pytest.raises(RunError, match=r"nowhere: there is no such run; `seqgen runs` lists"):
        RunDirectory(Path("nowhere")).read_config()
    with pytest.raises(RunError, match=r"folder is not a run: it has no config\.json"):
        RunDirectory(Path("folder")).read_config()
    with pytest.raises(RunError, match="file"):
        RunDirectory(Path("file")).read_config()
    with pytest.raises(RunError, match="cannot be read"):
        RunDirectory(Path("x" * 300)).read_config()


def test_a_directory_in_the_place_of_the_lock_is_named(make_run):
    run = make_run("one")
    run.lock.mkdir()

    with pytest.raises(RunError, match=r"^runs/one/\.lock is a directory, .*: remove it$"):
        run.hold()


# --- directories


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("corpus.txt", "corpus-gru"),
        ("/some/where/king lear.v2.txt", "king lear.v2-gru"),
        ("corpus:pydoc", "pydoc-gru"),
        ("한글.txt", "한글-gru"),
        (".hidden", ".hidden-gru"),
        ("corpus:", "text-gru"),
    ],
)
def test_a_run_is_named_after_its_text_and_numbered(in_tmp, text, name):
    paths = [create_run(None, text, "gru").path for _ in range(3)]

    assert paths == [Path("runs", name), Path("runs", f"{name}-2"), Path("runs", f"{name}-3")]
    assert all(path.is_dir() for path in paths)


def test_a_named_directory_is_made_with_its_parents_and_never_taken(in_tmp):
    assert create_run("deep/er/run", "corpus.txt", "gru").path == Path("deep/er/run")
    with pytest.raises(RunError, match="deep/er/run is already there"):
        create_run(Path("deep/er/run"), "corpus.txt", "gru")
    with pytest.raises(RunError, match="deep is already there"):
        check_free("deep")
    check_free(None)
    Path("file").touch()
    with pytest.raises(SaveError, match="cannot be made"):
        create_run("file/run", "corpus.txt", "gru")
    with pytest.raises(SaveError, match="cannot be made"):
        create_run("x" * 300, "corpus.txt", "gru")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n\udcff", "x" * 300])
def test_a_name_that_no_directory_can_have_is_refused(in_tmp, name):
    with pytest.raises(SaveError, match=r"cannot be made: .*; choose another --out"):
        check_free(name)


def test_a_name_that_is_taken_meanwhile_is_passed_over(in_tmp, monkeypatch):
    for name in ("corpus-gru", "corpus-gru-2"):
        Path("runs", name).mkdir(parents=True)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as it was a moment ago

    assert create_run(None, "corpus.txt", "gru").path == Path("runs/corpus-gru-3")
    with pytest.raises(RunError, match="runs/corpus-gru is already there"):
        create_run("runs/corpus-gru", "corpus.txt", "gru")


def test_the_newest_run_is_the_one_created_last_among_those_with_weights(make_run):
    make_run("a", 2024)
    make_run("b", 2026)
    make_run("c", 2025)
    make_run("d", 2027, weights=False)
    broken = make_run("e", 2028)
    broken.config.write_text("{", "utf-8")

    assert find_run(None).path == Path("runs/b")
    assert find_run(None, trained=False).path == Path("runs/d")
    assert find_run("runs/a").path == Path("runs/a")


def test_every_run_is_found_in_its_order_and_the_broken_last(make_run):
    for name, year in (("a", 2026), ("b", 2024), ("c", 2025)):
        make_run(name, year)
    make_run("0").config.write_text("{", "utf-8")
    Path("runs/no-run").mkdir()
    Path("runs/file").touch()

    found = find_runs()

    assert [run.path.name for run, _ in found] == ["b", "c", "a", "0"]
    assert [type(config) for _, config in found] == [RunConfig] * 3 + [RunError]


def test_without_runs_nothing_is_found(in_tmp):
    assert find_runs() == []
    with pytest.raises(RunError, match="no trained run under runs/ here; train one with `seqgen train FILE`"):
        find_run(None)
    Path("runs").touch()
    assert find_runs() == []


def test_a_run_that_has_lost_its_config_is_listed(make_run):
    make_run("lost").config.unlink()

    ((run, error),) = find_runs()

    assert run.path.name == "lost"
    assert isinstance(error, RunError)
    assert "copy the one from its newest checkpoint back" in str(error)


def test_what_changes_no_weight_changes_no_identity():
    same = {"max_steps": 9, "precision": "fp32", "device": "cuda", "save_every": 1.0, "on_save_error": "stop"}
    assert CONFIG.model_copy(update={"training": CONFIG.training.model_copy(update=same)}).identity == CONFIG.identity
    assert CONFIG.model_copy(update={"created": "then", "seqgen": "0"}).identity == CONFIG.identity

    for part, change in {"training": {"seed": 1}, "model": {"dropout": 0.5}, "text": {"sha256": "1" * 64}}.items():
        changed = CONFIG.model_copy(update={part: getattr(CONFIG, part).model_copy(update=change)})
        assert changed.identity != CONFIG.identity


def test_a_directory_in_which_another_process_begins_a_run_is_not_to_be_removed(tmp_path):
    (tmp_path / "run").mkdir()
    lock = RunDirectory(tmp_path / "run").hold()
    try:
        with pytest.raises(RunError, match="another process is beginning or training"):
            check_free(tmp_path / "run")
    finally:
        lock.release()

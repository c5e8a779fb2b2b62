"""Runs that label: trained, resumed, loaded, asked and measured."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

import seqgen
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.tasks.labels import LabelReport
from seqgen.evaluation.tasks.tags import TagReport
from seqgen.models.base import parameter_count
from seqgen.runs.directory import RunDirectory
from seqgen.runs.pairs.labeler import LabelerRun
from seqgen.runs.summary import summarize
from seqgen.runs.text import TextRun

from ... import small_runs
from ...small_runs import LABEL_RUNS, labeled_texts, tagged_sentences

SLOW = pytest.mark.slow
SMALL = {**small_runs.SMALL, "precision": "fp32"}


def write_texts(path, *, texts=300):
    path.write_text(labeled_texts(texts), encoding="utf-8")
    return path


def write_sentences(path):
    path.write_text(tagged_sentences(), encoding="utf-8")
    return path


@pytest.fixture(params=LABEL_RUNS)
def form(request, tmp_path):
    """The text and the settings of a small run of each family."""
    settings = {"valid_share": 0.2, **LABEL_RUNS[request.param]}
    write = write_texts if settings["task"] == "classify" else write_sentences
    return write(tmp_path / "pairs.tsv"), settings


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    settings = {**SMALL, "task": "classify", "cell": "lstm", "lr": 0.02, "max_steps": 120, "eval_every": 40}
    return seqgen.train(write_texts(folder / "texts.tsv", texts=400), out=folder / "run", **settings).run()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    settings = {**SMALL, "task": "tag", "cell": "gru", "two_way": False, "lr": 0.02, "max_steps": 60, "eval_every": 60}
    return seqgen.train(write_sentences(folder / "sentences.tsv"), out=folder / "run", **settings).run()


def test_each_family_trains_evaluates_and_labels(form, tmp_path):
    path, settings = form
    training = seqgen.train(path, out=tmp_path / "run", **settings)

    samples = [event.text for event in training if isinstance(event, seqgen.Sampled)]

    run = seqgen.load(tmp_path / "run")
    assert isinstance(run, LabelerRun)
    (found, _) = run.predict(["aab cat", "b"])
    report = run.evaluate_pairs()
    if settings["task"] == "classify":
        assert run.labels == ("a", "b")
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert isinstance(report, LabelReport)
        shown = [line.rsplit(" -> ", 1) for line in samples[-1].split("\n")]
    else:
        assert run.labels == ("N", "O", "V")
        assert [word.word for word in found.words] == ["aab", "cat"]
        assert isinstance(report, TagReport)
        shown = [word.rsplit("/", 1) for word in samples[-1].split()]
    for text, label in shown:
        assert text in path.read_text("utf-8")
        assert label in run.labels


@pytest.mark.parametrize(
    "form",
    [
        name
        if name in {"lstm-classify", "rnn-classify", "gru-tag", "transformer-tag"}
        else pytest.param(name, marks=SLOW)
        for name in LABEL_RUNS
    ],
    indirect=True,
)
def test_a_resumed_run_has_the_weights_and_the_temperature_of_one_without_a_pause(form, tmp_path):
    path, settings = form
    list(seqgen.train(path, out=tmp_path / "whole", **settings))
    polls = iter([False] * 5 + [True])
    list(seqgen.train(path, out=tmp_path / "parts", stop=lambda: next(polls), **settings))

    list(seqgen.train(out=tmp_path / "parts", resume=True))

    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert parts == whole
    assert seqgen.load(tmp_path / "whole").temperature != 1.0


def test_events_have_accuracy_and_no_bits(tmp_path):
    path = write_texts(tmp_path / "texts.tsv")

    events = list(seqgen.train(path, out=tmp_path / "run", **SMALL, task="classify", cell="rnn"))

    evaluated = [event for event in events if type(event).__name__ == "Evaluated"]
    assert all(0 <= event.accuracy <= 1 for event in evaluated)
    assert [event.bits_per_byte for event in evaluated] == [None, None]
    assert events[-1].best_accuracy in {event.accuracy for event in evaluated}
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert {record["bits_per_character"] for record in records if record["event"] == "step"} == {None}
    assert any("accuracy" in record for record in records)


def test_classifier_learns_which_letter_is_more_frequent(classifier):
    report = classifier.evaluate_pairs()

    assert report.accuracy > 0.9
    assert report.majority_share < 0.75
    assert next(classifier.predict(["bbabb"])).label == "b"
    assert next(classifier.predict(["aaaba"])).label == "a"


def test_tagger_learns_the_tags_of_words_of_several_bytes(tagger):
    report = tagger.evaluate_pairs()

    assert report.accuracy > 0.99
    (found,) = tagger.predict(["고양이  sees\tcafé ."])
    assert [(word.word, word.tag) for word in found.words] == [
        ("고양이", "N"),
        ("sees", "V"),
        ("café", "N"),
        (".", "O"),
    ]
    assert found.line == "N V N O"


def test_probabilities_are_those_of_the_logits_divided_by_the_temperature(classifier):
    (before,) = classifier.predict(["abbab"])
    fitted = classifier.temperature
    classifier.model.temperature.fill_(2 * fitted)

    (after,) = classifier.predict(["abbab"])

    classifier.model.temperature.fill_(fitted)
    logit = {label: np.log(share) for label, share in before.probabilities.items()}
    expected = (logit["a"] - logit["b"]) / 2
    assert np.log(after.probabilities["a"]) - np.log(after.probabilities["b"]) == pytest.approx(expected, rel=1e-4)


def test_predictions_do_not_depend_on_the_rows_of_a_batch(classifier, tagger):
    for run, texts in ((classifier, ["a", "bbb", "", "ababbab"]), (tagger, ["cat", "", "cat sees café 본다"])):
        one, many = ([found.line for found in run.predict(texts, rows=rows)] for rows in (1, 64))
        assert one == many


def test_a_blank_text_has_no_label_and_no_tags(classifier, tagger):
    empty, labeled, blank = classifier.predict(["", "ab", " \t"])
    assert (empty.label, empty.probabilities, blank.label, blank.line) == (None, {}, None, "")
    assert labeled.label in classifier.labels
    assert [found.words for found in tagger.predict(["", "   "])] == [(), ()]


def test_a_text_of_unknown_characters_has_a_label(classifier, tagger):
    assert next(classifier.predict(["한글 👩‍👩‍👧"])).label in {"a", "b"}
    (found,) = tagger.predict(["👩‍👩‍👧 xyz 🎈"])
    assert [word.word for word in found.words] == ["👩‍👩‍👧", "xyz", "🎈"]


def test_predictions_come_as_the_texts_come(tagger):
    read = []

    def lines():
        for line in ("cat", "sees"):
            read.append(line)
            yield line

    found = tagger.predict(lines(), rows=1)

    assert next(found).line == "N"
    assert read == ["cat"]


def test_evaluation_of_a_file_agrees_with_predictions(classifier, tmp_path):
    path = write_texts(tmp_path / "other.tsv", texts=50)
    pairs = [line.split("\t") for line in path.read_text("utf-8").splitlines()]

    report = classifier.evaluate_pairs(path)

    made = [found.label for found in classifier.predict(text for text, _ in pairs)]
    right = sum(label == wanted for label, (_, wanted) in zip(made, pairs, strict=True))
    assert (report.documents, report.accuracy) == (50, right / 50)
    assert report.temperature == classifier.temperature


def test_evaluation_reports_its_progress_in_tokens(classifier, tmp_path):
    path = write_texts(tmp_path / "other.tsv", texts=50)
    shown = []

    classifier.evaluate_pairs(path, progress=lambda *one: shown.append(one))

    characters = sum(len(line.split("\t")[0]) for line in path.read_text("utf-8").splitlines())
    assert shown[-1] == (characters, characters)


def test_a_file_with_a_label_that_training_lacks_is_refused_by_its_line_or_counted(classifier, tmp_path):
    path = tmp_path / "other.tsv"
    path.write_text("ab\ta\nba\tstrange\nbb\tb\n", encoding="utf-8")
    notes = []

    with pytest.raises(TextError, match=r"line 2 of .*other\.tsv has 'strange'"):
        classifier.evaluate_pairs(path)
    report = classifier.evaluate_pairs(path, note=notes.append, on_bad_line="skip")

    assert report.documents == 2
    assert any("1 text" in note and "line 2" in note for note in notes)


def test_on_bad_line_of_the_training_is_only_that_of_its_validation_part(tmp_path):
    path, valid = write_texts(tmp_path / "texts.tsv"), tmp_path / "valid.tsv"
    valid.write_text("ab\ta\nba\tstrange\nbb\tb\n", encoding="utf-8")
    settings = {**SMALL, "task": "classify", "cell": "rnn", "valid": valid, "on_bad_line": "skip"}
    run = seqgen.train(path, out=tmp_path / "run", **settings).run()

    assert run.evaluate_pairs().documents == 2
    with pytest.raises(TextError, match="strange"):
        run.evaluate_pairs(valid)
    with pytest.raises(TextError, match="strange"):
        run.evaluate_pairs(valid, on_bad_line="refuse")


def test_texts_longer_than_the_model_reads_are_counted(tmp_path):
    path = write_texts(tmp_path / "texts.tsv")
    settings = {**SMALL, "task": "classify", "cell": "rnn", "max_source_length": 4}
    run = seqgen.train(path, out=tmp_path / "run", **settings).run()
    notes = []

    run.evaluate_pairs(path, note=notes.append)

    longer = sum(len(line.split("\t")[0]) > 4 for line in path.read_text("utf-8").splitlines())
    assert any(note.startswith(f"{longer} texts") for note in notes)
    assert [found.source_cut for found in run.predict(["aaaa", "aaaab"])] == [False, True]


def test_expect_refuses_a_labeler_and_names_predict(classifier):
    assert classifier.expect(LabelerRun) is classifier
    with pytest.raises(ConfigError, match="predict"):
        classifier.expect(TextRun)


def test_without_a_validation_part_the_temperature_is_one(tmp_path):
    path = write_texts(tmp_path / "texts.tsv")

    run = seqgen.train(path, out=tmp_path / "run", **SMALL, task="classify", cell="rnn", valid_split="none").run()

    assert run.temperature == 1.0


def test_without_a_validation_part_weights_of_another_run_have_temperature_one(tmp_path):
    path, small = write_texts(tmp_path / "texts.tsv"), {**SMALL, "task": "classify", "cell": "rnn"}
    other = seqgen.train(path, out=tmp_path / "other", valid_share=0.2, **small).run()
    settings = {"init_from": other.path, "task": "classify", "max_steps": 2, "valid_split": "none"}

    run = seqgen.train(path, out=tmp_path / "run", **settings).run()

    assert other.temperature != 1.0
    assert run.temperature == 1.0


def test_weights_of_another_run_start_with_its_labels(classifier, tmp_path):
    path = write_texts(tmp_path / "texts.tsv")

    run = seqgen.train(path, out=tmp_path / "run", init_from=classifier.path, task="classify", max_steps=2).run()

    assert run.labels == classifier.labels


def test_a_label_that_the_other_run_lacks_is_refused_by_its_line(classifier, tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("ab\ta\n" * 30 + "ab\tnew\n", encoding="utf-8")

    with pytest.raises(TextError, match=r"line 31 .*new"):
        seqgen.train(path, out=tmp_path / "run", init_from=classifier.path, task="classify", max_steps=2)


@pytest.mark.parametrize("labels", [["b", "a"], ["a", "b", "c"], [], "ab", [1, 2], None, {"a": 1}])
def test_changed_labels_in_the_config_are_refused(classifier, tmp_path, labels):
    copied = tmp_path / "copy"
    shutil.copytree(classifier.path, copied)
    config = json.loads((copied / "config.json").read_text("utf-8"))
    config["model"]["labels"] = labels
    (copied / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError):
        seqgen.load(copied)


def test_a_resumed_run_keeps_the_labels_of_the_run_that_it_started_from(classifier, tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{'b' * (1 + number % 4)}\tb\n" for number in range(60)), encoding="utf-8")
    settings = {"init_from": classifier.path, "task": "classify", "max_steps": 6, "eval_every": 3}
    seqgen.train(path, out=tmp_path / "whole", **settings).run()
    polls = iter([False] * 3 + [True])
    list(seqgen.train(path, out=tmp_path / "parts", stop=lambda: next(polls), **settings))

    run = seqgen.train(out=tmp_path / "parts", resume=True).run()

    assert run.labels == ("a", "b")
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert parts == whole


def test_a_run_that_stops_before_its_first_evaluation_has_temperature_one(tmp_path):
    path = write_texts(tmp_path / "texts.tsv")
    polls = iter([False] * 2 + [True])
    settings = {**SMALL, "task": "classify", "cell": "rnn"}

    list(seqgen.train(path, out=tmp_path / "run", stop=lambda: next(polls), **settings))

    assert seqgen.load(tmp_path / "run").temperature == 1.0


def test_summary_has_the_accuracy_and_the_parameters_that_are_trained(classifier):
    directory = RunDirectory(classifier.path)

    summary = summarize(directory, directory.read_config())

    assert 0.5 < summary.best_accuracy <= 1
    assert summary.best_bits_per_byte is None
    assert summary.parameters == parameter_count(classifier.model)


def test_runs_that_label_cannot_be_mixed(classifier, tagger, tmp_path):
    with pytest.raises(ConfigError, match="--task classify"):
        seqgen.mix([classifier.path, tagger.path], out=tmp_path / "mixed")


@pytest.mark.slow
def test_parity_is_learned(tmp_path):
    """The label depends on every bit, so a classifier that loses one is at 50%."""
    draw, path = random.Random(0), tmp_path / "parity.tsv"
    bits = ["".join(draw.choices("01", k=draw.randint(1, 12))) for _ in range(4000)]
    path.write_text("".join(f"{one}\t{one.count('1') % 2}\n" for one in bits), encoding="utf-8")
    settings = {"hidden_size": 32, "max_steps": 350, "eval_every": 350, "precision": "fp32"}

    run = seqgen.train(path, out=tmp_path / "run", task="classify", cell="lstm", **settings).run()

    assert run.evaluate_pairs().accuracy > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("two_way", [True, False])
def test_ambiguous_words_are_tagged_by_what_stands_around_them(tmp_path, two_way):
    """After "the" a walk is a noun, after "they" a verb; only "fast" needs the word after it."""
    draw, path, lines = random.Random(0), tmp_path / "sentences.tsv", []
    for _ in range(1500):
        word = draw.choice(["walk", "run", "play"])
        lines.append(
            draw.choice([f"the {word} ends\tD N V", f"they {word} here\tP V A", "fast walk\tJ N", "fast here\tA A"])
        )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings = {"hidden_size": 32, "max_steps": 150, "eval_every": 150, "precision": "fp32", "two_way": two_way}

    run = seqgen.train(path, out=tmp_path / "run", task="tag", cell="gru", **settings).run()

    assert [found.line for found in run.predict(["the run ends", "they run here"])] == ["D N V", "P V A"]
    if two_way:
        assert run.evaluate_pairs().accuracy == 1.0
        assert [found.line for found in run.predict(["fast walk", "fast here"])] == ["J N", "A A"]
    else:
        assert run.evaluate_pairs().accuracy < 1.0

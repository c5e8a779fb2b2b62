"""From the settings to a split, a tokenizer and ids."""

from __future__ import annotations

import hashlib

import pytest

from seqgen.data.config import DataConfig
from seqgen.data.leakage import PairLeakage
from seqgen.data.pipeline import read_texts
from seqgen.errors import RunError, TextError
from seqgen.runs.config import TextRecord
from seqgen.tokenizers.config import TokenizerConfig


@pytest.fixture
def data(corpus):
    """The settings of the corpus."""
    return DataConfig(text=str(corpus))


def test_split_together_is_the_text(corpus, data):
    texts = read_texts(data)

    both = texts.split.train.documents() + texts.split.valid.documents()
    assert sum(map(len, both)) == len(corpus.read_text("utf-8"))
    assert texts.text.manifest.sha256 == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert texts.valid is None


def test_validation_text_is_used_whole(corpus, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("No one paints.\n" * 14, "utf-8")

    texts = read_texts(DataConfig.of(text=str(corpus), valid=str(valid)))

    assert texts.split.train.documents() == (corpus.read_text("utf-8"),)
    assert texts.split.valid.documents() == ("No one paints.\n" * 14,)
    assert texts.valid.manifest.sha256 == hashlib.sha256(valid.read_bytes()).hexdigest()


@pytest.mark.parametrize("characters", [1, 199])
def test_short_validation_text_is_refused_with_its_length(corpus, tmp_path, characters):
    valid = tmp_path / "valid.txt"
    valid.write_text("왕" * characters, "utf-8")

    with pytest.raises(
        TextError, match=rf"valid\.txt has {characters} characters?, too few .* \(at least 200\).*--valid"
    ):
        read_texts(DataConfig.of(text=str(corpus), valid=str(valid)))
    valid.write_text("왕" * 200, "utf-8")
    assert read_texts(DataConfig.of(text=str(corpus), valid=str(valid))).valid.manifest.characters == 200


@pytest.mark.parametrize("content", ["a", "a short text"])
def test_short_text_is_refused_by_name(corpus, data, content):
    corpus.write_text(content, "utf-8")

    with pytest.raises(TextError, match=r"corpus\.txt.*\d+ char"):
        read_texts(data)


def test_two_characters_suffice_without_validation(corpus, data):
    corpus.write_text("ab", "utf-8")

    assert read_texts(data.model_copy(update={"valid_split": "none"})).split.train.documents() == ("ab",)


def test_recorded_cache_directory_is_used_where_it_still_exists(corpus, data, tmp_path):
    sha256 = hashlib.sha256(corpus.read_bytes()).hexdigest()
    record = TextRecord(sha256=sha256, characters=1, train_tokens=1, valid_tokens=0, ends=False, split="none")
    (tmp_path / "kept").mkdir()

    for name in ("kept", "gone"):
        read_texts(data.model_copy(update={"cache_dir": str(tmp_path / name)}), record=record)

    assert (tmp_path / "kept" / "texts").is_dir()
    assert not (tmp_path / "gone").exists()


def test_single_character_is_refused(corpus, data):
    corpus.write_text("a", "utf-8")

    with pytest.raises(TextError, match="1 character"):
        read_texts(data.model_copy(update={"valid_split": "none"}))


def test_ids_decode_to_the_split(data):
    texts = read_texts(data)

    tokenizer = texts.tokenizer(TokenizerConfig())
    ids = texts.ids(tokenizer)

    for documents, span in ((ids.train, texts.split.train), (ids.valid, texts.split.valid)):
        assert tuple(map(tokenizer.decode, documents)) == span.documents()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (("A sentence of some words.\n" * 200).encode("utf-16-le"), "--encoding utf-16-le"),
        (("Größe und Übermut.\n" * 200).encode().decode("latin-1").encode(), "UTF-8 read as Latin-1"),
        (b'{"text": "a sentence of some words"}\n' * 200, "JSON"),
        (b"<p>A sentence of <b>some</b> words.</p>\n" * 200, "HTML"),
        ("".join(f"{row},a sentence,of some words\n" for row in range(200)).encode(), "3 columns"),
        (
            "".join(f"{a}{b}{c}{d}a\n" for a in "BDF" for b in "aeiou" for c in "bdfgk" for d in "aeiou").encode(),
            "sorted",
        ),
    ],
)
def test_misread_text_is_one_notice(corpus, data, content, words):
    corpus.write_bytes(content)

    (notice,) = read_texts(data).notices

    assert notice.startswith(f"{corpus} looks like ")
    assert words in notice
    assert "\n" not in notice


def test_ordinary_text_has_no_notices(data):
    assert read_texts(data).notices == []


def test_validation_text_is_checked_but_may_be_sorted(corpus, data, tmp_path):
    valid = tmp_path / "valid.txt"
    names = "".join(f"{a}{b}{c}a\n" for a in "BDF" for b in "aeiou" for c in "bdfgk")
    for content, number in ((names, 0), ("<p>a <b>tag</b></p>\n" * 20, 1)):
        valid.write_text(content, "utf-8")
        assert len(read_texts(DataConfig.of(text=str(corpus), valid=str(valid))).notices) == number
    corpus.write_text(names, "utf-8")
    assert read_texts(data.model_copy(update={"valid_split": "none"})).notices == []


def test_stdin_of_a_resumed_run_is_found_by_its_hash_or_refused(data):
    record = TextRecord(sha256="1" * 64, characters=1, train_tokens=1, valid_tokens=0, ends=False, split="none")

    with pytest.raises(RunError, match=r"started on stdin.* cache in .*"):
        read_texts(data.model_copy(update={"text": ("-",)}), record=record)


def test_same_file_read_by_other_fields_is_another_text(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"en": "one", "de": "eins"}\n' * 2, "utf-8")
    fields = [("en", "de"), ("de", "en")]

    found = [
        read_texts(
            DataConfig.of(text=str(path), task="translate", valid_split="none", source_field=one, target_field=other)
        ).split.train.documents()
        for one, other in fields
    ]

    assert found == [("one", "eins") * 2, ("eins", "one") * 2]


def test_statistics_of_pairs_have_the_mean_length_of_a_side(pairs, data):
    assert read_texts(DataConfig.of(text=str(pairs), task="translate")).statistics.pair_length == 3
    assert read_texts(data).statistics.pair_length is None


def test_empty_and_skipped_lines_of_pairs_are_noticed(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\n\nno tab\n", "utf-8")

    texts = read_texts(DataConfig.of(text=str(path), task="translate", valid_split="none", on_bad_line="skip"))

    assert any("line 3" in notice for notice in texts.notices)
    assert any(notice.startswith("1 empty") for notice in texts.notices)


def test_manifest_has_the_leakage_of_pairs_labels_included(tmp_path):
    path, other = tmp_path / "texts.tsv", tmp_path / "valid.tsv"
    path.write_text("aab\ta\nabb\tb\n", "utf-8")
    other.write_text("aab\ta\nabb\ta\n", "utf-8")

    for task in ("translate", "classify"):
        texts = read_texts(DataConfig.of(text=str(path), valid=str(other), task=task))
        found = texts.ids(texts.tokenizer(TokenizerConfig())).manifest.leakage

        assert found == PairLeakage(task=task, pairs=2, whole=1, sources=2)


def test_two_parallel_files_are_one_text_of_pairs(tmp_path):
    for name, content in (("a.en", "one\ntwo\n"), ("a.de", "eins\nzwei\n")):
        (tmp_path / name).write_text(content, "utf-8")
    names = tuple(str(tmp_path / name) for name in ("a.en", "a.de"))

    texts = read_texts(DataConfig.of(text=names, task="translate", valid_split="none"))

    assert texts.split.train.documents() == ("one", "eins", "two", "zwei")


@pytest.mark.parametrize("folders", [("all",), ("one", "two")])
def test_files_of_folders_are_tables_of_pairs(tmp_path, folders):
    for number, name in enumerate(("a.txt", "b.txt")):
        folder = tmp_path / folders[number % len(folders)]
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"{number}\tx\n", "utf-8")
    names = tuple(str(tmp_path / name) for name in folders)

    texts = read_texts(DataConfig.of(text=names, task="translate", valid_split="none"))

    assert texts.split.train.documents() == ("0", "x", "1", "x")


def test_files_of_a_folder_and_the_same_files_named_are_different_texts(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name}\tx\n", "utf-8")
    named = tuple(str(tmp_path / name) for name in ("a.txt", "b.txt"))

    found = [
        read_texts(DataConfig.of(text=text, task="translate", valid_split="none")).split.train.documents()
        for text in (str(tmp_path), named)
    ]

    assert found == [("a.txt", "x", "b.txt", "x"), ("a.txt\tx", "b.txt\tx")]

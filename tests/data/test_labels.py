"""Labels and tags as targets: where they are, which they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import tokenizers
from seqgen.data.config import DataConfig
from seqgen.data.labels import Labels, Tags, label_texts, labels_of, last_ids, read_pairs
from seqgen.data.pairs import PairBatches, Sequences
from seqgen.data.pipeline import read_texts
from seqgen.errors import TextError
from seqgen.models.base import IGNORED
from seqgen.sources.config import Reading
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.normalization import normalize

CORPUS = "나는 학교에 간다 . the cat don't e\u0301at Ångström 👩‍👩‍👧 👩‍👩‍👧 42 ▁ of <unk> cat cat\n" * 20
CONFIGS = [
    {"kind": "char"},
    {"kind": "byte"},
    {"kind": "word", "vocab_size": 8},
    {"kind": "bpe", "vocab_size": 310},
    {"kind": "unigram", "vocab_size": 310},
    {"kind": "char", "normalization": "nfd"},
    {"kind": "unigram", "vocab_size": 310, "normalization": "nfc"},
]
TRAPS = [
    "cat", "the", "가방", "e\u0301", "\u1112\u1161\u11ab", "👩‍👩‍👧", "\u2581", "don't", "\ufeff", "x\u0301\u0323"
]  # fmt: skip
WORDS = st.lists(
    st.one_of(
        st.sampled_from(TRAPS),
        st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=6).filter(
            lambda word: not any(map(str.isspace, word))
        ),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: "-".join(map(str, config.values())))
def tokenizer(request):
    return tokenizers.build([CORPUS], TokenizerConfig.of(**request.param))


@settings(max_examples=60)
@given(words=WORDS)
def test_last_ids_are_those_whose_bytes_reach_the_end_of_each_word(tokenizer, words):
    text = " ".join(words)
    ids = tokenizer.encode(text).tolist()
    if tokenizer.unknown_id in ids:
        return  # unknown words have no bytes; below they are placed by hand
    read = np.cumsum([len(tokenizer.id_to_bytes[one]) for one in ids])
    prefixes = [" ".join(words[: number + 1]) for number in range(len(words))]
    ends = [len(normalize(prefix, tokenizer.normalization).encode()) for prefix in prefixes]

    places = last_ids(text, tokenizer)

    assert places.tolist() == [int(np.argmax(read >= end)) for end in ends]


@pytest.mark.parametrize(
    ("config", "text", "places"),
    [
        ({"kind": "char"}, "the 가가 z", [2, 5, 7]),
        ({"kind": "byte"}, "a 가 é", [0, 4, 7]),
        ({"kind": "word", "vocab_size": 5}, "unseen cat don't e.g.", [0, 2, 4, 9]),
        ({"kind": "char"}, "👩‍👩‍👧 cat", [4, 8]),
    ],
)
def test_last_ids_of_known_and_unknown_words(config, text, places):
    made = tokenizers.build([CORPUS], TokenizerConfig.of(**config))

    assert last_ids(text, made).tolist() == places


def test_tags_are_at_the_last_id_of_their_words_and_nowhere_else():
    pairs = Tags(
        Sequences.of([np.array([5, 6, 7]), np.array([8])]),
        Sequences.of([np.array([IGNORED, 0, 1]), np.array([2])]),
    )

    batch = pairs.batch()

    assert batch.inputs.tolist() == [[0, 5, 6, 7], [0, 8, 1, 1]]
    assert batch.targets.tolist() == [[IGNORED, IGNORED, 0, 1], [IGNORED, 2, IGNORED, IGNORED]]
    assert batch.source.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch.lengths.tolist() == [3, 1]
    assert batch.starts.tolist() == [[True, False, False, False]] * 2
    assert pairs.tokens == 3


def test_labels_have_one_target_and_no_end():
    pairs = Labels(Sequences.of([np.array([5, 6, 7]), np.array([8])]), Sequences.of([np.array([2]), np.array([0])]))

    batch = pairs.batch()

    assert batch.inputs.tolist() == [[0], [0]]
    assert batch.targets.tolist() == [[2], [0]]
    assert batch.source.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert pairs.tokens == 2


def test_batches_of_labels_hold_each_text_once_an_epoch():
    pairs = Labels(
        Sequences.of(np.full(1 + number % 3, 2 + number) for number in range(10)),
        Sequences.of(np.array([number]) for number in range(10)),
    )
    stream = PairBatches(pairs, 4, seed=1)

    batches = [stream.batch_at(step) for step in range(3)]

    assert sorted(target for batch in batches for (target,) in batch.targets.tolist()) == list(range(10))
    for batch in batches:  # a text keeps its label
        assert (batch.source[:, 0] - 2).tolist() == batch.targets[:, 0].tolist()


def test_labels_of_a_tag_task_are_the_tags_sorted():
    assert labels_of("tag", ["B-X O", "I-X O"]) == ("B-X", "I-X", "O")
    assert labels_of("classify", ["very good", "bad"]) == ("bad", "very good")


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def labeled(path, task="classify", **settings):
    texts = read_texts(DataConfig.of(text=path, task=task, **settings))
    tokenizer = texts.tokenizer(TokenizerConfig(kind="char"))
    return label_texts(texts, texts.ids(tokenizer), tokenizer)


def test_label_texts_gives_each_part_its_labels(tmp_path):
    path = write(tmp_path / "a.tsv", *(f"text {number}\t{'odd' if number % 2 else 'even'}" for number in range(40)))

    found = labeled(path)

    assert found.labels == ("even", "odd")
    assert len(found.train) == 38
    assert len(found.valid) == 2
    assert sorted(found.train.targets.ids.tolist()) == [0] * 19 + [1] * 19  # 16 and 35 are withheld


def test_only_sources_are_encoded(tmp_path):
    path = write(tmp_path / "a.tsv", *(f"aab\t{'여' if number % 2 else '남'}" for number in range(40)))

    texts = read_texts(DataConfig.of(text=path, task="classify"))
    tokenizer = texts.tokenizer(TokenizerConfig(kind="char"))
    ids = texts.ids(tokenizer)

    assert tokenizer.vocab_size == 4  # the boundary, <unk>, a and b
    assert ids.manifest.train.unknown == 0
    assert (len(ids.train), ids.manifest.train.characters) == (38, 3 * 38)


@pytest.mark.parametrize("header", [True, False])
def test_a_label_that_only_the_first_text_has_may_be_a_header(tmp_path, header):
    lines = [f"text {number}\t{'odd' if number % 2 else 'even'}" for number in range(40)]

    notices = labeled(write(tmp_path / "a.tsv", *["review\tparity"] * header, *lines)).notices

    assert any("'parity'" in notice and "header" in notice for notice in notices) is header


@pytest.mark.parametrize("blank", [0, 3])
def test_label_of_the_validation_part_that_training_lacks_is_refused_by_its_line(tmp_path, blank):
    lines = [f"text {number}\t{'odd' if number % 2 else 'even'}" for number in range(40)]
    lines[16] = "text 16\tstrange"  # withheld, of the first of two groups of 20 pairs
    path = write(tmp_path / "a.tsv", *[""] * blank, *lines)

    with pytest.raises(TextError, match=rf"line {17 + blank} of .*a\.tsv has 'strange'.*--on-bad-line skip"):
        labeled(path)


def test_on_bad_line_skip_leaves_out_labels_that_training_lacks_and_counts_them(tmp_path):
    lines = [f"text {number}\t{'odd' if number % 2 else 'even'}" for number in range(40)]
    lines[16] = "text 16\tstrange"

    found = labeled(write(tmp_path / "a.tsv", *lines), on_bad_line="skip")

    assert (len(found.train), len(found.valid)) == (38, 1)
    assert any("1 text" in notice and "strange" in notice for notice in found.notices)


def test_tag_of_a_validation_file_that_training_lacks_is_refused_by_its_line(tmp_path):
    train = write(tmp_path / "a.tsv", *["the cat\tD N"] * 5)
    valid = tmp_path / "b.conll"
    valid.write_text("the D\ncat N\n\na D\nred ADJ\n", encoding="utf-8")

    with pytest.raises(TextError, match=r"line 4 of .*b\.conll has 'ADJ'"):
        labeled(train, "tag", valid=str(valid))


def test_a_single_label_is_refused(tmp_path):
    with pytest.raises(TextError, match="same"):
        labeled(write(tmp_path / "a.tsv", *(f"text {number}\tsame" for number in range(30))))


def test_texts_in_place_of_labels_are_refused(tmp_path):
    path = write(tmp_path / "a.tsv", *(f"text\t{number} {'x' * 40_000}" for number in range(30)))

    with pytest.raises(TextError, match="--task translate"):
        labeled(path)


@pytest.mark.parametrize(("labels", "texts", "is_refused"), [(20, 38, True), (19, 38, False), (15, 19, False)])
def test_labels_of_more_than_half_of_the_texts_are_refused(tmp_path, labels, texts, is_refused):
    lines = [f"text {number}\t{number % labels}" for number in range(texts)]
    path = write(tmp_path / "a.tsv", *lines)

    def read():
        return labeled(path, valid_split="none").labels

    if is_refused:
        with pytest.raises(TextError, match=rf"{labels} .*{texts} texts.*--task translate"):
            read()
    else:
        assert len(read()) == labels


def test_read_pairs_yields_pairs_with_their_lines(tmp_path):
    path = write(tmp_path / "nsmc.txt", "id\tdocument\tlabel", "1\t좋다\t1", "2\t\t0", "3\t나쁘다\t0")
    notes = []

    found = list(read_pairs([path], Reading.of(task="classify"), notes.append))

    assert [(pair.source, pair.target) for pair in found] == [("좋다", "1"), ("나쁘다", "0")]
    assert "line 4" in found[1].place
    assert any("1 empty" in note for note in notes)

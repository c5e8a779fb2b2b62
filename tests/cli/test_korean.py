"""Korean through all commands: jamo in, syllables out."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len

import seqgen

# Written for this test; the same sentences over and over, so that a small model learns them in a second.
TEXT = "".join(
    f"{subject} {time} {thing} {verb}.\n"
    for subject in ("나는", "동생이", "할머니께서는", "옆집 고양이가", "아무도")
    for time in ("아침마다", "비 오는 날에", "몰래")
    for thing in ("창문을", "오래된 책을", "따뜻한 빵을", "빈 상자를")
    for verb in ("찾는다", "바라본다", "좋아한다ㅋㅋ", "잊는다")
)
SYLLABLE, LONE_JAMO = re.compile("[가-힣]"), re.compile("[\u1100-\u11ff]")


@pytest.fixture(scope="session")
def _jamo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jamo")
    (folder / "한국어.txt").write_text(TEXT, "utf-8")
    settings = {
        "cell": "gru",
        "hidden_size": 64,
        "max_steps": 60,
        "batch_size": 16,
        "bptt": 32,
        "lr": 0.02,
        "precision": "fp32",
    }
    seqgen.train(folder / "한국어.txt", out=folder / "run", normalization="nfd", **settings).run()
    return folder


@pytest.fixture
def jamo(_jamo, in_tmp):
    """A char model of jamo, where the commands find it by themselves, and its training text."""
    shutil.copy(_jamo / "한국어.txt", in_tmp)
    return Path(shutil.copytree(_jamo / "run", "runs/한국어-gru"))


def test_nfd_model_samples_syllables(answers, jamo):
    config = json.loads((jamo / "config.json").read_text("utf-8"))
    assert (config["tokenizer"]["kind"], config["tokenizer"]["normalization"]) == ("char", "nfd")
    assert config["tokenizer"]["vocab_size"] < 50  # a char vocabulary of the same text has over 60

    text = answers("sample", "--max-new-tokens", 400)

    assert unicodedata.is_normalized("NFC", text)
    syllables = len(SYLLABLE.findall(text))
    assert syllables > 100
    assert len(LONE_JAMO.findall(text)) < syllables / 10
    words = re.findall("[가-힣]+", text)
    assert sum(word in TEXT for word in words) > len(words) / 2


@pytest.mark.slow
def test_streamed_text_equals_json_text(answers, jamo):
    sampling = ("--max-new-tokens", 200, "--temperature", 1, "--seed", 3, "--prompt", "나는 ")

    text = json.loads(answers("sample", *sampling, "--json"))["text"]

    assert answers("sample", *sampling) == f"나는 {text}\n"
    assert answers("sample", *sampling, "-n", 1) == answers("sample", *sampling)


def test_continuation_joins_last_syllable_of_prompt(answers, jamo):
    """A prompt may end within a syllable: its last vowel here takes a final consonant."""
    sampling = ("--max-new-tokens", 30, "--temperature", 0)
    decomposed = unicodedata.normalize("NFD", "할머니께서느")

    assert answers("sample", *sampling, "--prompt", "할머니께서느").startswith("할머니께서는 ")
    assert answers("sample", *sampling, "--prompt", decomposed).startswith("할머니께서는 ")
    assert answers("sample", *sampling, "--prompt", decomposed, "-n", 2).startswith("--- 1 ---\n할머니께서는 ")


def test_stop_is_found_in_nfc_and_nfd(answers, jamo):
    sampling = ("sample", "--max-new-tokens", 60, "--temperature", 0, "--prompt", "할머니께서는 ")
    whole = answers(*sampling)
    stop = whole[9:11]

    for form in ("NFC", "NFD"):
        assert answers(*sampling, "--stop", unicodedata.normalize(form, stop)) == whole[: whole.index(stop, 7)] + "\n"


def test_stop_that_can_occur_is_not_noted(invoke, jamo):
    """The vocabulary has jamo, the stop string has syllables."""
    sampling = ("sample", "--max-new-tokens", 5)

    assert "--stop" not in invoke(*sampling, "--stop", "는다.").stderr
    assert "\u11b2" in invoke(*sampling, "--stop", "밟").stderr


def test_prompt_of_a_jamo_typed_alone_is_noted(invoke, jamo):
    """A keyboard types U+3134 where the vocabulary has U+1102 and U+11AB."""
    sampling = ("sample", "--max-new-tokens", 5, "--prompt")

    assert "'ㄴ' (" in invoke(*sampling, "나ㄴ").stderr
    assert "'A';" in invoke(*sampling, "A").stderr


def test_bits_do_not_depend_on_encoding(answers, jamo):
    Path("cp949.txt").write_bytes(TEXT.encode("cp949"))
    Path("utf-8.txt").write_text(TEXT, "utf-8")

    legacy = json.loads(answers("eval", "cp949.txt", "--encoding", "cp949", "--json"))
    figures = json.loads(answers("eval", "utf-8.txt", "--json"))

    assert {**legacy, "text": ""} == {**figures, "text": ""}
    assert (figures["characters"], figures["bytes"]) == (len(TEXT), len(TEXT.encode()))
    assert figures["tokens"] == len(unicodedata.normalize("NFD", TEXT))
    assert figures["changed_characters"] == 0
    assert figures["bits_per_character"] * len(TEXT) == pytest.approx(figures["bits_per_byte"] * len(TEXT.encode()))


def test_eval_of_nfd_text_has_same_bits_and_a_note(invoke, jamo):
    Path("nfc.txt").write_text(TEXT, "utf-8")
    Path("nfd.txt").write_text(unicodedata.normalize("NFD", TEXT), "utf-8")

    result = invoke("eval", "nfc.txt", "nfd.txt", "--json")

    nfc, nfd = json.loads(result.stdout)["files"]
    assert nfd["nats_per_token"] == nfc["nats_per_token"]
    assert nfd["bits_per_byte"] * nfd["bytes"] == pytest.approx(nfc["bits_per_byte"] * nfc["bytes"])
    assert nfd["bytes"] > nfc["bytes"]
    assert 0 == nfc["changed_characters"] < nfd["changed_characters"] < nfd["characters"]
    assert f"note: nfd.txt: {nfd['changed_characters']:,} of its" in result.stderr
    assert "nfc.txt: " not in result.stderr
    assert f"{nfd['changed_characters']:,}" in invoke("eval", "nfd.txt").stdout
    assert invoke("eval", "nfd.txt", "--quiet").stderr == ""


def test_training_on_nfd_text_is_noted(invoke, in_tmp):
    Path("nfd.txt").write_text(unicodedata.normalize("NFD", TEXT), "utf-8")
    small = ("--max-steps", 1, "--hidden-size", 8, "--cell", "gru")

    assert "characters are not in NFC" in invoke("train", "nfd.txt", "--normalization", "nfc", *small).stderr
    assert "NFC" not in invoke("train", "nfd.txt", *small).stderr


def test_runs_and_info_show_normalization(answers, jamo):
    assert "char/nfd" in answers("runs")
    assert "normalization" in answers("info")
    assert json.loads(answers("runs", "--json"))[0]["normalization"] == "nfd"
    assert "gru, char/nfd;" in answers("eval", "한국어.txt")


def test_nfd_tokenizer_is_built_and_shown(invoke, answers, jamo):
    built = invoke("tokenizer", "build", "한국어.txt", "--tokenizer", "char", "--normalization", "nfd", "--out", "jamo")
    shown = invoke("tokenizer", "show", "--tokenizer", "jamo")

    assert built.stderr.startswith("note: jamo: char/nfd, ")
    assert shown.stderr == built.stderr.replace("jamo: ", "")
    assert re.search(r"^ +\d+  '\\u1161'  HANGUL JUNGSEONG A$", shown.stdout, re.MULTILINE)
    assert re.search(r"^ +\d+  'ㅋ'$", shown.stdout, re.MULTILINE)
    ids = answers("tokenizer", "encode", "나는", "--tokenizer", "jamo").split()
    assert len(ids) == 5
    assert answers("tokenizer", "decode", *ids, "--tokenizer", "jamo") == "나는"


def test_table_columns_are_aligned_by_cells(answers, jamo):
    shutil.copytree(jamo, "runs/👩‍👩‍👧 가나다")
    shutil.copytree(jamo, "runs/plain")

    lines = answers("runs", terminal=120).splitlines()

    assert len({cell_len(line[: line.index("gru 1x64")]) for line in lines[1:]}) == 1
    assert len({cell_len(line.rstrip()) for line in lines[1:]}) == 1
    shutil.copy("한국어.txt", "가.txt")
    table = answers("eval", "한국어.txt", "가.txt").splitlines()[1:]
    assert len({cell_len(line) for line in table}) == 1
    narrow = re.sub("\x1b\\[[0-9;]*m", "", answers("runs", terminal=70))
    assert max(map(cell_len, narrow.splitlines())) <= 70

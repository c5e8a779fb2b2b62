"""`--encoding bytes`: from a binary file to a model of its bytes, and out again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import seqgen

NOISE = bytes((7 * number * number + number) % 256 for number in range(3000))
MIDI = b"MThd\x00\x00\x00\x06" + NOISE
SMALL = {"cell": "gru", "hidden_size": 8, "max_steps": 2, "eval_every": 2, "batch_size": 4, "precision": "fp32"}


@pytest.fixture
def raw_run(_workshop, in_tmp):
    """A run on a binary file, made once; and the file."""
    made = _workshop / "raw"
    Path("a.mid").write_bytes(MIDI)
    if not made.exists():
        (_workshop / "a.mid").write_bytes(MIDI)
        seqgen.train(_workshop / "a.mid", encoding="bytes", out=made, **SMALL).run()
    return Path(shutil.copytree(made, "runs/raw"))


def test_model_of_bytes_has_byte_tokenizer(raw_run):
    config = json.loads((raw_run / "config.json").read_text("utf-8"))

    assert config["tokenizer"]["kind"] == "byte"
    assert config["data"]["encoding"] == "bytes"
    assert config["text"]["train_tokens"] + config["text"]["valid_tokens"] == len(MIDI)


def test_prompts_file_for_a_model_of_bytes_has_the_usual_line_ends(answers, raw_run):
    Path("prompts.txt").write_bytes(b"a\xff\r\n\rb\n")

    made = answers("sample", "--json", "--max-new-tokens", 2, "--prompts-file", "prompts.txt").splitlines()

    assert [json.loads(line)["prompt"] for line in made] == ["a\xff", "", "b"]


def test_samples_of_bytes_are_raw_in_pipe_and_escaped_on_terminal(invoke, raw_run):
    piped = invoke("sample", "--max-new-tokens", 60, "--prompt-file", "a.mid").stdout_bytes
    shown = invoke("sample", "--max-new-tokens", 60, "--prompt-file", "a.mid", terminal=80).stdout
    expected = seqgen.load(raw_run).generate(MIDI.decode("latin-1"), max_new_tokens=60)

    assert piped == MIDI + expected.encode("latin-1")
    assert shown.isascii()
    assert shown.replace("\n", "").isprintable()
    assert shown.startswith("MThd\\x00\\x00\\x00\\x06")


def test_prompt_is_read_as_bytes(answers, raw_run):
    typed = answers("sample", "--prompt", "é\udcff", "--max-new-tokens", 1, "--json")
    piped = answers("sample", "--prompt", "-", "--max-new-tokens", 1, "--json", stdin=b"\xc3\xa9\xff")

    assert json.loads(typed)["prompt"] == "\xc3\xa9\xff"
    assert json.loads(typed)["text"] == json.loads(piped)["text"]


def test_several_samples_of_bytes_need_json_or_terminal(refuses, answers, raw_run):
    refuses(2, "sample", "-n", 2, words=("--num-samples", "--json"))
    assert answers("sample", "-n", 2, "--max-new-tokens", 3, "--json").count("\n") == 2
    assert "--- 2 ---\n" in answers("sample", "-n", 2, "--max-new-tokens", 3, terminal=80)


def test_bits_per_byte_count_bytes_of_file(answers, raw_run):
    report = json.loads(answers("eval", "a.mid", "--json"))

    assert (report["bytes"], report["characters"], report["tokens"]) == (len(MIDI),) * 3
    assert report["bits_per_byte"] == report["bits_per_character"]
    assert 6 < report["order0_bits_per_byte"] <= 8
    assert seqgen.load(raw_run).evaluate("a.mid").bits_per_byte == pytest.approx(report["bits_per_byte"])


def test_text_and_bytes_are_not_mixed(refuses, raw_run, finished):
    refuses(2, "eval", "a.mid", "--encoding", "utf-8", words=("--encoding", "bytes"))
    refuses(2, "eval", "a.mid", "--encoding", "bytes", "--run", finished, words=("--encoding", "text"))
    refuses(2, "train", "a.mid", "--encoding", "bytes", "--tokenizer", "bpe", words=("--tokenizer", "byte", "bpe"))
    refuses(2, "train", "a.mid", "--encoding", "bytes", "--tokenizer", finished / "tokenizer", "--max-steps", 1,
            words=("--encoding", "char"))  # fmt: skip
    Path("t.txt").write_text("text " * 500, "utf-8")
    refuses(2, "train", "t.txt", "--tokenizer", raw_run / "tokenizer", "--max-steps", 1, words=("--encoding bytes",))
    refuses(1, "train", "a.mid", words=("a.mid is a MIDI file", "--encoding bytes"))


def test_byte_tokenizer_round_trips_binary_file(invoke, answers, raw_run):
    assert invoke("tokenizer", "build", "a.mid", "--encoding", "bytes", "--out", "tok").exit_code == 0
    ids = answers("tokenizer", "encode", "--tokenizer", "tok", stdin=MIDI)

    assert list(map(int, ids.split())) == [byte + 1 for byte in MIDI]
    assert invoke("tokenizer", "decode", "--tokenizer", "tok", stdin=ids).stdout_bytes == MIDI


def test_pieces_of_bytes_are_bytes(answers, raw_run):
    content = b"\xff\xc3\xa9\x00A"

    pieces = answers("tokenizer", "encode", "--tokenizer", raw_run / "tokenizer", "--pieces", "--json", stdin=content)

    assert "".join(entry["text"] for entry in json.loads(pieces)) == content.decode("latin-1")


def test_corpus_encode_and_stats_of_bytes(answers, raw_run):
    encoded = json.loads(answers("corpus", "encode", "a.mid", "--encoding", "bytes", "--json"))
    measured = json.loads(answers("corpus", "stats", "a.mid", "--encoding", "bytes", "--json"))

    assert (encoded["bytes"], encoded["tokenizer"], encoded["vocab_size"]) == (len(MIDI), "byte", 257)
    assert (measured["bytes"], measured["characters"], measured["findings"]) == (len(MIDI), len(MIDI), [])

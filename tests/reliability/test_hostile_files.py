"""Whatever stands in a file or a prompt: success or a SeqgenError, in bounded time and memory, and nothing executed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pickle
import shutil
import struct
import tracemalloc
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqgen.cli.main import app
from typer.testing import CliRunner

import seqgen
from seqgen import models, tokenizers
from seqgen.data.text import read_text
from seqgen.errors import RunError
from seqgen.models.weights import load_weights, to_bytes
from seqgen.run import RunDirectory, find_runs
from seqgen.run_summary import count_parameters, summarize
from seqgen.tokenizers.base import without_surrogates
from seqgen.training.checkpoint import newest_checkpoint
from seqgen.training.metrics import read_metrics


def examples(ordinary, campaign):
    """So many inputs each run of the tests, so many in the campaign."""
    count = campaign if settings.get_current_profile_name() == "campaign" else ordinary
    fixtures = HealthCheck.function_scoped_fixture  # the specimen is healed and used again
    return settings(max_examples=count, suppress_health_check=[fixtures, HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """What is tried here is not whether the disk keeps it."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


# --- ways to damage


PLACES = st.integers(0, (1 << 16) - 1)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("delete"), PLACES, st.integers(1, 64)),
        st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=16)),
        st.tuples(st.just("copy"), PLACES, st.integers(1, 64)),
        st.tuples(st.just("cut"), PLACES, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def edited(content, edits):
    """`content` with bits flipped, and bytes deleted, inserted, doubled or cut off."""
    for kind, place, what in edits:
        at = place * len(content) >> 16
        match kind:
            case "flip" if content:
                content = content[:at] + bytes([content[at] ^ (1 << what)]) + content[at + 1 :]
            case "delete":
                content = content[:at] + content[at + what :]
            case "insert":
                content = content[:at] + what + content[at:]
            case "copy":
                content = content[:at] + content[at : at + what] + content[at:]
            case "cut":
                content = content[:at]
    return content


INTEGERS = st.one_of(
    st.integers(-2, 70),
    st.integers(0, 70).map(lambda power: 2**power),
    st.sampled_from([-1, 2**31 - 1, 2**63 - 1, 2**63, 10**30, 10**400]),
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
"""As text; `json.dumps` writes NaN and Infinity, which are none."""
NASTY = st.sampled_from([
    "1" + "0" * 5_000, "-" * 9, "1e999", "-1e999", "1e-999", "NaN", '"\\ud800"', '"\\u0000"', '"\ud800"', "",
    "[" * 2_000, "[" * 300 + "]" * 300, '{"a":' * 2_000, '{"a": 1, "a": 2}', "0.1", "1.0", "true", '"auto"', '"cpu"',
    '"cpu:99999999999999999999"', '"cuda:7"', '"meta"', '"gru"', '"bpe"', '"bf16"', '"undefined"', '"utf-7"',
    '"!!python/object/apply:os.system"', '{"__class__": "os.system"}', "step", "'",
])  # fmt: skip
VALUES = st.one_of(JSON, NASTY)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["replace", "delete", "repeat", "add"]), PLACES, VALUES), min_size=1, max_size=2
)
_HOLE = "\x00hole\x00"


def paths_in(content, path=()):
    """The way to every value in parsed JSON."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in items:
        yield from paths_in(value, (*path, name))


def restructured(text, changes):
    """JSON with values replaced, deleted, given twice or added."""
    content, holes = json.loads(text), []
    for kind, place, value in changes:
        paths = [path for path in paths_in(content) if path] or [()]
        *parents, name = paths[place % len(paths)] or [None]
        if name is None:
            break
        inner = content
        for parent in parents:
            inner = inner[parent]
        if kind == "delete":
            del inner[name]
        elif kind == "add" and isinstance(inner, dict):
            inner["auto_map"] = _HOLE
            holes.append(value)
        else:
            twice = kind == "repeat" and isinstance(inner, dict)
            holes.append(f"{json.dumps(inner[name])}, {json.dumps(name)}: {value}" if twice else value)
            inner[name] = _HOLE
    head, *rest = json.dumps(content).split(json.dumps(_HOLE))
    return (head + "".join(value + part for value, part in zip(holes, rest, strict=False))).encode(
        "utf-8", "surrogatepass"
    )


def both(content):
    """A strategy: `content`, which is JSON, damaged as bytes or as JSON."""
    return st.one_of(
        EDITS.map(lambda edits: edited(content, edits)), CHANGES.map(lambda changes: restructured(content, changes))
    )


# --- ways to read


def read_run(specimen):
    """The cheap ways to read a run: what `seqgen runs` and `seqgen info` do."""

    def shown():
        for directory, config in find_runs(specimen.root):
            if isinstance(config, RunError):
                raise config
            summary = summarize(directory, config)
            json.dumps([summary.model_dump(), config.model_dump()])
            str([*summary.model_dump().values(), *config.model_dump().values()])

    return RunDirectory(specimen.run).read_config, shown


def use_run(specimen, steps=0):
    """The dear ways: load and write, resume and take some steps."""

    def sample():
        assert isinstance(seqgen.load(specimen.run).generate("the", max_new_tokens=3), str)

    def resume():
        training = seqgen.train(out=specimen.run, resume=True)
        for _ in islice(training, steps):
            pass
        training.close()

    return sample, resume


@pytest.fixture
def damaged(specimen, attempt):
    """Try `content` in place of a file, and heal the run."""

    def damaged(path, content, *calls, forge=False):
        try:
            path.write_bytes(content)
            if forge:
                specimen.sign()
            return attempt(*calls)
        finally:
            specimen.heal()

    return damaged


# --- JSON


@examples(150, 12_000)
@given(data=st.data())
def test_config_is_read_or_refused(specimen, damaged, data):
    path = specimen.run / "config.json"

    damaged(path, data.draw(both(specimen.whole[path])), *read_run(specimen))


@examples(60, 3_000)
@given(data=st.data())
def test_a_run_with_a_damaged_config_is_used_or_refused(specimen, damaged, data):
    path = specimen.run / "config.json"

    damaged(path, data.draw(both(specimen.whole[path])), *use_run(specimen))


@examples(60, 3_000)
@given(changes=CHANGES)
def test_a_forged_config_is_used_or_refused(specimen, damaged, changes):
    path = specimen.run / "config.json"
    content = restructured(specimen.whole[path], changes)
    (specimen.checkpoint / "config.json").write_bytes(content)

    damaged(path, content, *use_run(specimen), forge=True)


@examples(150, 10_000)
@given(data=st.data())
def test_state_is_read_or_refused(specimen, damaged, data):
    path = specimen.checkpoint / "state.json"

    damaged(path, data.draw(both(specimen.whole[path])), lambda: newest_checkpoint(path.parents[1]))


@examples(40, 1_500)
@given(data=st.data())
def test_a_run_with_a_damaged_state_goes_on_or_is_refused(specimen, damaged, data):
    path = specimen.checkpoint / "state.json"

    damaged(path, data.draw(both(specimen.whole[path])), use_run(specimen, steps=3)[1])


@examples(150, 14_000)
@given(data=st.data())
def test_metrics_are_read_or_refused(specimen, damaged, data):
    path = specimen.run / "metrics.jsonl"
    lines = specimen.whole[path].splitlines(keepends=True)
    chosen = data.draw(st.integers(0, len(lines) - 1))
    lines[chosen] = data.draw(both(lines[chosen])) + data.draw(st.sampled_from([b"\n", b"", b"\r\n"]))

    damaged(path, b"".join(lines), lambda: list(read_metrics(path)), *read_run(specimen))


@examples(150, 10_000)
@given(data=st.data())
def test_a_tokenizer_is_read_or_refused(specimen, damaged, data):
    path = specimen.run / "tokenizer" / "tokenizer.json"
    content = data.draw(both(specimen.whole[path]))
    fingerprint = json.loads(specimen.whole[specimen.run / "config.json"])["tokenizer"]["fingerprint"]

    def alone():
        tokenizer = tokenizers.load(path.parent)
        tokenizer.decode(tokenizer.encode("the \x00 \u2581 \ud800"))

    refusals = damaged(path, content, alone, lambda: tokenizers.load(path.parent, fingerprint))

    assert content == specimen.whole[path] or any("not the tokenizer that belongs here" in one for one in refusals)


@examples(50, 4_000)
@given(kind=st.sampled_from(["word", "unigram", "bpe", "byte"]), content=st.data())
def test_a_tokenizer_of_another_kind_is_read_or_refused(subword_specimen, attempt, tmp_path, kind, content):
    described = subword_specimen.run / "tokenizer" / "tokenizer.json"
    text = subword_specimen.whole[described].replace(b'"bpe"', json.dumps(kind).encode())
    if kind in {"word", "byte"}:
        words = {"words": ["a", " "]} if kind == "word" else {}
        text = json.dumps({"format_version": 1, "kind": kind, **words}).encode()
    folder = tmp_path / "tokenizer"
    shutil.copytree(described.parent, folder, dirs_exist_ok=True)
    (folder / "tokenizer.json").write_bytes(content.draw(both(text)))
    if kind in {"word", "byte"}:
        (folder / "sentencepiece.model").unlink()

    attempt(lambda: tokenizers.load(folder).encode("a b"))


@examples(100, 3_000)
@given(edits=EDITS)
def test_a_damaged_sentencepiece_model_is_never_parsed(subword_specimen, attempt, monkeypatch, edits):
    path = subword_specimen.run / "tokenizer" / "sentencepiece.model"
    content = edited(subword_specimen.whole[path], edits)
    fingerprint = json.loads(subword_specimen.whole[subword_specimen.run / "config.json"])["tokenizer"]["fingerprint"]
    path.write_bytes(content)
    if content == subword_specimen.whole[path]:
        return
    monkeypatch.setattr("seqgen.tokenizers.subword.SentencePieceProcessor", None)  # calling it would be a TypeError

    refusals = attempt(
        lambda: tokenizers.load(path.parent), lambda: tokenizers.load(path.parent, fingerprint),
        *use_run(subword_specimen),
    )  # fmt: skip

    assert ["damaged" in refusals[0], *("belongs here" in one for one in refusals[1:])] == [True] * 4


# --- safetensors


TENSORS = ["model.safetensors", "weights.safetensors", "best.safetensors", "optimizer.safetensors", "state.safetensors"]


def place_of(specimen, name):
    return (specimen.run if name == "model.safetensors" else specimen.checkpoint) / name


def with_header(content, change):
    """A safetensors file with another header, whose length is right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def damaged_tensors(content):
    """A strategy: a safetensors file damaged in its length field, its header or anywhere."""
    return st.one_of(
        EDITS.map(lambda edits: edited(content, edits)),
        EDITS.map(lambda edits: with_header(content, lambda header: edited(header, edits))),
        CHANGES.map(lambda changes: with_header(content, lambda header: restructured(header, changes))),
        st.integers(0, 2**64 - 1).map(lambda length: struct.pack("<Q", length) + content[8:]),
    )


@examples(100, 3_000)
@pytest.mark.parametrize("name", TENSORS)
@given(data=st.data())
def test_tensors_are_counted_and_loaded_or_refused(specimen, damaged, name, data):
    path = place_of(specimen, name)
    content = data.draw(damaged_tensors(specimen.whole[path]))
    config = RunDirectory(specimen.run).read_config()
    model = models.build(config.model, config.tokenizer.vocab_size)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    load = partial(load_weights, model, path, config.identity)
    refusals = damaged(path, content, lambda: count_parameters(path), load)

    if refusals and "not as this run wrote it" in refusals[-1]:
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@examples(30, 500)
@pytest.mark.parametrize("name", TENSORS)
@given(data=st.data())
def test_a_run_with_forged_tensors_is_used_or_refused(specimen, damaged, name, data):
    path = place_of(specimen, name)

    damaged(path, data.draw(damaged_tensors(specimen.whole[path])), *use_run(specimen, steps=3), forge=True)


@pytest.mark.parametrize("name", [name for name in TENSORS if name != "best.safetensors"])
def test_every_bit_of_the_numbers_counts(specimen, damaged, name):
    path = place_of(specimen, name)
    content = specimen.whole[path]
    (length,) = struct.unpack("<Q", content[:8])
    for at in range(8 + length, len(content), 97):
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        use = use_run(specimen)[0 if name == "model.safetensors" else 1]
        (refusal,) = damaged(path, flipped, use, forge=True)
        assert f"{name} is not as this run wrote it" in refusal


@examples(40, 1_500)
@given(content=st.binary(min_size=0, max_size=200), place=PLACES)
def test_a_random_state_with_a_right_checksum_is_used_or_refused(specimen, damaged, content, place):
    path = specimen.checkpoint / "state.safetensors"
    tensors = safetensors.torch.load(specimen.whole[path])
    state = tensors["random.cpu"]
    at = place * len(state) >> 16
    part = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(state) - at]
    state[at : at + len(part)] = part

    identity = RunDirectory(specimen.run).read_config().identity
    damaged(path, to_bytes(tensors, identity), use_run(specimen, steps=2)[1], forge=True)


# --- what no mutation comes upon


def set_field(content, field, value):
    """JSON with the dotted `field` set."""
    parsed = json.loads(content)
    *parents, name = field.split(".")
    inner = parsed
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    return json.dumps(parsed).encode()


@pytest.mark.parametrize("environment", [{}, {"cuda": "12.4"}, {"threads": 10**400}], ids=["none", "more", "huge"])
def test_an_environment_with_other_fields_is_said_to_be_another(specimen, environment):
    path = specimen.run / "config.json"
    path.write_bytes(set_field(specimen.whole[path], "environment", environment))

    training = seqgen.train(out=specimen.run, resume=True)
    training.close()

    assert [notice.split(" is ")[0] for notice in training.notices] == list(environment)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((f"training.{name}", 10**400) for name in ("batch_size", "bptt", "warmup_steps", "max_steps", "patience")),
        *((f"training.{name}", 10**400) for name in ("save_every", "max_time", "max_epochs", "lr", "seed")),
        *((f"training.{name}", 1e308) for name in ("lr", "weight_decay", "clip_grad_norm", "save_every")),
        *(("training.device", name) for name in ("", "meta", "cpu:-1", "cpu\0", "cuda:99", "cpu:" + "9" * 30)),
        *(("data.encoding", name) for name in ("", "\0", "undefined", "zip", "rot13", "utf-7", "idna", "x" * 10_000)),
        *(("data.text", name) for name in ("", "\0", ".", "/dev/zero", "corpus:", "corpus:../x", "x" * 10_000)),
        ("data.valid_share", 1e-300),
        ("text.characters", 10**400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_forged_settings_are_used_or_refused(specimen, damaged, field, value):
    path = specimen.run / "config.json"
    content = set_field(specimen.whole[path], field, value)
    (specimen.checkpoint / "config.json").write_bytes(content)

    damaged(path, content, *use_run(specimen, steps=2), forge=True)


def test_a_step_beyond_what_an_integer_holds_is_gone_on_from(specimen, damaged):
    state = specimen.checkpoint / "state.json"
    beyond = specimen.checkpoint.with_name("step-999999999999999998")
    path = specimen.run / "config.json"
    specimen.checkpoint.rename(beyond)
    (beyond / "state.json").write_bytes(set_field(specimen.whole[state], "progress.step", 10**18 - 2))

    content = set_field(specimen.whole[path], "training.max_steps", 10**18)
    assert damaged(path, content, use_run(specimen, steps=2)[1]) == []


def test_an_enormous_model_is_refused_before_memory_is_taken(specimen, damaged):
    path = specimen.run / "config.json"
    checkpoint = specimen.checkpoint
    for cell, more in (("lstm", {}), ("transformer", {"heads": 256, "block_size": 1 << 20})):
        model = {"cell": cell, "hidden_size": 65_536, "layers": 256, **more}
        content = set_field(specimen.whole[path], "model", model)
        (checkpoint / "config.json").write_bytes(content)

        refusals = damaged(path, content, *use_run(specimen), forge=True)

        assert ["another model's than config.json" in refusals[0], "parameters, which take" in refusals[1]] == [
            True
        ] * 2


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("shape", [[1 << 40], [1 << 62, 1 << 62], [0, 1 << 63], [2**64]], ids=str)
def test_a_header_that_claims_terabytes_is_refused(specimen, damaged, name, shape):
    path = place_of(specimen, name)
    end = 4 * shape[0]

    def claim(header):
        parsed = json.loads(header)
        first = next(tensor for tensor in parsed if tensor != "__metadata__")
        return json.dumps({first: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()

    content = with_header(specimen.whole[path], claim)
    (refusal,) = damaged(path, content, lambda: count_parameters(path))

    assert "not a whole safetensors file" in refusal


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "model.safetensors", "tokenizer/tokenizer.json",
             "tokenizer/sentencepiece.model", "state.json"],
)  # fmt: skip
def test_a_file_of_gigabytes_is_refused_and_not_read(specimen, attempt, name):
    path = specimen.checkpoint / name if name == "state.json" else specimen.run / name
    with path.open("ab") as file:
        file.truncate(4 << 30)

    attempt(*read_run(specimen), *use_run(specimen))

    specimen.heal()


def test_a_forged_config_of_a_checkpoint_is_not_read_beyond_its_cap(specimen, attempt):
    path = specimen.checkpoint / "config.json"
    with path.open("ab") as file:
        file.truncate(64 << 20)
    specimen.sign()

    (refusal,) = attempt(use_run(specimen)[1])

    assert "too large for what it is" in refusal


@pytest.mark.parametrize("line", [b"\n", b'{"event": "x", "step": 1}\n'], ids=["empty lines", "events"])
def test_metrics_of_many_lines_take_no_memory(specimen, attempt, line):
    path = specimen.run / "metrics.jsonl"
    path.write_bytes(line * 200_000)
    tracemalloc.start()
    try:
        attempt(*read_run(specimen))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
        specimen.heal()


def as_fifo(path):
    os.mkfifo(path)


def as_device(path):
    path.symlink_to("/dev/zero")


def as_loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [as_fifo, as_device, as_loop, Path.mkdir])
def test_what_is_no_plain_file_is_refused_or_passed_over(specimen, attempt, make):
    for path in [*specimen.files(), specimen.run / ".lock"]:
        path.unlink(missing_ok=True)
        make(path)
        attempt(*read_run(specimen), *use_run(specimen))
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        specimen.heal()


@pytest.mark.parametrize(
    "content", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"\xff\xfe" + b"\0" * 99, b"\xef\xbb\xbf{}"]
)
def test_json_that_is_deeply_nested_or_encoded_otherwise_is_refused(specimen, damaged, content):
    for path in specimen.files(".json"):
        if "checkpoints" not in path.parts:
            assert damaged(path, content, *read_run(specimen), *use_run(specimen))


# --- prompts and texts


PROMPTS = st.text(st.characters(exclude_categories=()), max_size=80)
"""Any code points, lone surrogates among them."""


@examples(100, 3_000)
@given(prompt=PROMPTS, stop=st.lists(PROMPTS, max_size=2))
def test_any_prompt_is_gone_on_from(specimen, subword_specimen, attempt, prompt, stop):
    for run in loaded(specimen), loaded(subword_specimen):
        written = []
        refusals = attempt(
            lambda run=run, written=written: written.append(run.generate(prompt, max_new_tokens=4, stop=stop)),
            lambda run=run, written=written: written.extend(run.samples(prompt, num_samples=2, max_new_tokens=4)),
        )
        assert refusals == []
        assert all(text.encode() or text == "" for text in written)


@functools.cache
def loaded(specimen):
    return seqgen.load(specimen.run)


ENCODINGS = [
    "utf-8",
    "utf-16",
    "utf-7",
    "utf-32",
    "latin-1",
    "cp949",
    "ascii",
    "utf-8-sig",
    "shift_jis",
    "idna",
    "punycode",
]
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.tuples(st.text(max_size=100), st.sampled_from(ENCODINGS[:8])).map(
        lambda pair: pair[0].encode(pair[1], "ignore")
    ),
)


@examples(150, 18_000)
@given(content=CONTENTS, encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_are_a_text_or_refused(attempt, tmp_path, content, encoding):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)

    attempt(lambda: read_text(path, encoding))


@examples(40, 1_000)
@pytest.mark.parametrize("kind", tokenizers.KINDS)
@given(content=CONTENTS, encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_are_learnt_from_or_refused(attempt, tmp_path, kind, content, encoding):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    out = tmp_path / "run"
    settings = {"cell": "gru", "hidden_size": 2, "max_steps": 1, "precision": "fp32", "valid_split": "none"}

    def learn():
        run = seqgen.train(path, out=out, tokenizer=kind, encoding=encoding, **settings).run()
        text = read_text(path, encoding)
        assert run.tokenizer.unknown_id is not None or run.tokenizer.decode(
            run.tokenizer.encode(text)
        ) == without_surrogates(text)
        run.evaluate(path, encoding=encoding)

    attempt(learn)
    shutil.rmtree(out, ignore_errors=True)


# --- nothing is executed


class Canary:
    """What unpickles this has executed something: a file appears."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


WELL_KNOWN = [
    "pytorch_model.bin", "model.pt", "optimizer.pt", "training_args.bin", ".metadata", "data.pkl", "model.bin",
    "model.safetensors.index.json", "tokenizer/tokenizer.pkl", "tokenizer/vocab.pkl",
    "checkpoints/latest", "checkpoints/step-000009/state.json", "checkpoints/step-000009/data.pkl",
]  # fmt: skip


@pytest.fixture(params=["pickle", "torch"])
def canary(request, tmp_path):
    """A pickle, plain or as `torch.save` packs it, and the file that appears when it is loaded."""
    flown = tmp_path / "flown"
    path = tmp_path / "canary"
    if request.param == "pickle":
        path.write_bytes(pickle.dumps(Canary(flown)))
    else:
        torch.save(Canary(flown), path)
    return path.read_bytes(), flown


def test_the_canary_flies_when_it_is_loaded(canary, tmp_path):
    content, flown = canary
    (tmp_path / "content").write_bytes(content)

    for load in (lambda: pickle.loads(content), lambda: torch.load(tmp_path / "content", weights_only=False)):
        with contextlib.suppress(pickle.UnpicklingError, RuntimeError):  # whichever of them it is written for
            load()

    assert flown.exists()


def test_a_pickle_under_any_name_of_a_run_is_never_loaded(specimen, attempt, canary, monkeypatch):
    content, flown = canary
    monkeypatch.chdir(specimen.root.parent)
    here = specimen.run.relative_to(specimen.root.parent)
    commands = [["runs"], ["info", here], ["sample", "--run", here, "--max-new-tokens", 3], ["eval", "--run", here],
                ["tokenizer", "encode", "the", "--run", here]]  # fmt: skip

    def drive(*paths, forge=False):
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        if forge:
            specimen.sign()
        attempt(
            *read_run(specimen),
            lambda: seqgen.load(specimen.run).withheld(),
            lambda: tokenizers.load(specimen.run / "tokenizer"),
            use_run(specimen, steps=1)[1],
        )
        for path in paths:  # a resume may have put back what was there
            path.write_bytes(content)
        for command in commands:
            code = CliRunner().invoke(app, [str(word) for word in command]).exit_code
            assert code in {0, 1, 2}, (paths, command)
        assert not flown.exists(), paths
        specimen.heal()

    for path in specimen.files():
        drive(path)
    for path in specimen.checkpoint.glob("*.*s*"):
        drive(path, forge=path.name != "state.json")
    drive(*(specimen.run / name for name in WELL_KNOWN))


@pytest.mark.parametrize("field", ["auto_map", "__class__", "model.auto_map", "model.__reduce__", "training.__class__",
                                   "tokenizer.tokenizer_class", "data.!!python/object/apply"])  # fmt: skip
def test_a_config_that_names_code_is_refused_by_the_name(specimen, damaged, field):
    path = specimen.run / "config.json"
    content = set_field(specimen.whole[path], field, {"AutoModel": "os.system"})

    refusals = damaged(path, content, *read_run(specimen), *use_run(specimen))

    assert len(refusals) == 4
    assert all(f"{field.rpartition('.')[2]}: there is no such setting" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.cell", "os.system"),
        ("tokenizer.kind", "pickle"),
        ("tokenizer.kind", "seqgen.tokenizers.char:CharTokenizer"),
        ("training.schedule", "!!python/object/apply:os.system [true]"),
    ],
)
def test_a_config_that_names_code_where_a_choice_stands_is_refused(specimen, damaged, field, value):
    path = specimen.run / "config.json"

    refusals = damaged(path, set_field(specimen.whole[path], field, value), *use_run(specimen))

    assert [field.split(".")[0] in refusal for refusal in refusals] == [True, True]

"""Texts of the running Python, generated texts, and bundled texts."""

from __future__ import annotations

import re
import sys

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.catalog import readers
from seqgen.sources.catalog.readers import (
    BundledText,
    PythonDict,
    PythonHeaders,
    PythonLibrary,
    Synthetic,
    SyntheticPairs,
)


@pytest.fixture
def modules(monkeypatch, tmp_path):
    """A folder on the module path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def library(monkeypatch, tmp_path):
    """A reader of a library in the test's folder that leaves out tests."""
    monkeypatch.setattr(readers.sysconfig, "get_path", lambda name: str(tmp_path))
    return PythonLibrary.of(kind="python-library", exclude=["tests", "built.py"])


@pytest.fixture
def headers(monkeypatch, tmp_path):
    """A reader of headers in the test's folder."""
    monkeypatch.setattr(readers.sysconfig, "get_path", {"include": str(tmp_path)}.get)
    return PythonHeaders.of(kind="python-headers", folders=[".", "cpython"])


def read_dict(module: str) -> str:
    return "".join(PythonDict.of(kind="python-dict", module=module).chunks("proverbs", None))


def test_python_dict_reads_the_strings_without_running_the_module(modules):
    source = 'raise SystemExit("run")\n'  # must be parsed, never run
    source += 'proverbs = {"b": "Still waters" " run deep.", "a": "No news", "n": 3}\n'
    (modules / "proverbs_of_a_test.py").write_text(source, "utf-8")

    assert read_dict("proverbs_of_a_test") == "Still waters run deep.\nNo news"


def test_python_dict_refuses_a_module_without_a_dict(modules):
    (modules / "proverbs_of_a_test.py").write_text("proverbs = []\n", "utf-8")

    with pytest.raises(TextError, match="does not assign a dict"):
        read_dict("proverbs_of_a_test")


@pytest.mark.parametrize("module", ["sys", "no_such_module", "no_such_package.topics"])
def test_python_dict_names_a_missing_module(module):
    with pytest.raises(TextError, match=f"corpus:proverbs: this Python has no source of {module}; train on a file"):
        read_dict(module)


def test_python_library_joins_the_files_sorted_by_path(library, tmp_path):
    for name, code in {"b.py": "b = 1\n", "a/z.py": "z = 1\n", "a/b/c.py": "c = 1\n", "tests/t.py": "t = 1\n",
                       "built.py": "u = 1\n", "a.txt": "no code", "empty.py": ""}.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, "utf-8")
    (tmp_path / "a/old.py").write_bytes("# coding: latin-1\ns = 'Käse'\n".encode("latin-1"))

    text = "".join(library.chunks("pystdlib", None))

    assert text == "c = 1\n\n# coding: latin-1\ns = 'Käse'\n\nz = 1\n\nb = 1\n"


def test_python_library_without_source_is_refused(library):
    with pytest.raises(TextError, match="corpus:pystdlib: this Python has no source of its library"):
        "".join(library.chunks("pystdlib", None))


def test_python_library_names_a_file_that_cannot_be_decoded(library, tmp_path):
    (tmp_path / "a.py").write_bytes(b"# coding: no-such-encoding\n")

    with pytest.raises(TextError, match=r"corpus:pystdlib cannot be read from .*no-such-encoding"):
        "".join(library.chunks("pystdlib", None))


def test_python_headers_joins_the_files_of_its_folders_sorted_by_path(headers, tmp_path):
    for name, code in {"longobject.h": "long\r\n", "Python.h": "// é\n", "cpython/code.h": "code\n", "README": "no",
                       "internal/a.h": "internal\n", "numpy/b.h": "another package\n"}.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(code.encode())

    assert "".join(headers.chunks("cheaders", None)) == "// é\ncode\nlong\n"


@pytest.mark.parametrize("name", ["pyconfig.h", "cpython/code.h"])
def test_python_headers_that_are_not_installed_name_the_package(headers, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("", "utf-8")  # older packages of Python without headers have pyconfig.h

    with pytest.raises(TextError, match=r"corpus:cheaders: .*python3-dev") as refusal:
        "".join(headers.chunks("cheaders", None))
    assert str(tmp_path) in str(refusal.value)


def test_python_headers_names_a_file_that_cannot_be_decoded(headers, tmp_path):
    (tmp_path / "Python.h").write_bytes(b"\xff")

    with pytest.raises(TextError, match=re.escape(str(tmp_path / "Python.h"))):
        "".join(headers.chunks("cheaders", None))


def test_parts_of_a_synthetic_text_differ():
    reader = Synthetic.of(kind="synthetic", source="copy", characters=10_000, seed=0)

    train, valid, test = ("".join(reader.chunks("copy", part)) for part in reader.parts)

    assert reader.parts == ("train", "valid", "test")
    assert 10_000 <= len(train) < 10_100
    assert 1_000 <= len(valid) < 1_100
    assert not set(valid.split()) & set(test.split())
    assert "".join(reader.chunks("copy", "valid")) == valid
    another = Synthetic.of(kind="synthetic", source="copy", characters=10_000, seed=1)
    assert "".join(another.chunks("copy", "valid")) != valid
    assert reader.entropy == pytest.approx(4 / 3)


REVERSAL = {"kind": "synthetic-pairs", "source": "reversal", "seed": 0}


def test_synthetic_pairs_are_read_in_chunks_of_lines():
    split = [
        {"name": "train", "pairs": 10**12, "lengths": [1, 30]},
        {"name": "test", "pairs": 2_500, "lengths": [4, 4]},
    ]
    reader = SyntheticPairs.of(**REVERSAL, split=split)

    first = next(reader.chunks("reversal", "train"))
    chunks = list(reader.chunks("reversal", "test"))

    assert reader.parts == ("train", "test")
    assert first.count("\n") == 1_000
    assert "".join(chunks).count("\n") == 1_000 + 1_000 + 500
    assert re.fullmatch("([a-z]{4}\t[a-z]{4}\n){2500}", "".join(chunks))


@pytest.mark.parametrize(
    ("source", "lengths", "words"),
    [
        ("reversal", None, "train of reversal needs lengths, in letters"),
        ("dates-iso", [1, 2], "train of dates-iso cannot have lengths"),
        ("reversal", [0, 5], "[0, 5]"),
        ("reversal", [5, 4], "[5, 4]"),
    ],
)
def test_synthetic_pairs_refuse_lengths_that_do_not_fit(source, lengths, words):
    split = [{"name": "train", "pairs": 10, "lengths": lengths}]

    with pytest.raises(ConfigError, match=re.escape(words)):
        SyntheticPairs.of(kind="synthetic-pairs", source=source, seed=0, split=split)


def test_a_bundled_text_is_read_from_the_package():
    assert "ferry" in "".join(BundledText.of(kind="bundled", file="english-prose.txt").chunks("english-prose", None))


@pytest.mark.parametrize("file", ["../../secret.txt", "/etc/passwd", "corpus.toml"])
def test_a_bundled_text_is_not_a_path(file):
    with pytest.raises(ConfigError, match="file: "):
        BundledText.of(kind="bundled", file=file)


def test_python_library_does_not_run_its_modules():
    assert "this" not in sys.modules  # importing it would print a poem
    "".join(PythonLibrary.of(kind="python-library", exclude=["test", "site-packages"]).chunks("pystdlib", None))
    assert "this" not in sys.modules

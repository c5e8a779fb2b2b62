"""Read the texts of the catalog: one class per kind, whose fields are the `[reader]` table of a spec.

Each reader has `parts`, the names of its customary parts (most have none), and `chunks(corpus, part)`. Reading never
uses the network and never runs code that it reads.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import os
import sysconfig
import tokenize
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from seqgen.config import Config
from seqgen.errors import TextError
from seqgen.sources.catalog import synthetic, synthetic_pairs
from seqgen.sources.catalog.downloads import Download
from seqgen.sources.decoding import read_text


class PythonDict(Config):
    """The strings of the dict that a Python module assigns, in order, read from its source."""

    kind: Literal["python-dict"]
    module: str

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Return the text.

        Raises:
            TextError: this Python has no source of the module, or the module assigns no dict.
        """
        del part
        try:
            spec = importlib.util.find_spec(self.module)
        except ModuleNotFoundError:  # some distributions leave pydoc_data out
            spec = None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise TextError(f"corpus:{corpus}: this Python has no source of {self.module}; train on a file")
        for node in ast.walk(ast.parse(read_text(spec.origin))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                entries = [ast.literal_eval(value) for value in node.value.values]
                yield "\n".join(entry for entry in entries if isinstance(entry, str))
                return
        raise TextError(f"{spec.origin} does not assign a dict, so corpus:{corpus} cannot be read from it")


class PythonLibrary(Config):
    """Every .py file of the standard library of the running Python, sorted by path."""

    kind: Literal["python-library"]
    exclude: tuple[str, ...] = Field(strict=False)
    """Names of folders and files to leave out, at any depth."""

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Return the text.

        Raises:
            TextError: this Python has no source of its library, or a file cannot be read.
        """
        del part
        library = Path(sysconfig.get_path("stdlib"))
        files: list[Path] = []
        for folder, folders, names in os.walk(library):
            folders[:] = [name for name in folders if name not in self.exclude]
            files += [Path(folder, name) for name in names if name.endswith(".py") and name not in self.exclude]
        if not files:
            raise TextError(f"corpus:{corpus}: this Python has no source of its library; train on a file")
        try:
            yield "\n".join(filter(None, map(_read_code, sorted(files, key=lambda file: file.as_posix()))))
        except (OSError, SyntaxError, UnicodeError) as error:
            raise TextError(f"corpus:{corpus} cannot be read from {library}: {error}") from error


def _read_code(path: Path) -> str:
    """Return the text of a Python file, in the encoding that it declares."""
    with tokenize.open(path) as file:
        return file.read()


class PythonHeaders(Config):
    """The C headers of the running Python, sorted by path."""

    kind: Literal["python-headers"]
    folders: tuple[str, ...] = Field(strict=False)
    """The folders to read, without those inside them."""

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Return the text.

        Raises:
            TextError: the headers are not installed, or a file cannot be read.
        """
        del part
        include = Path(sysconfig.get_path("include"))
        if not (include / "Python.h").is_file():
            raise TextError(
                f"corpus:{corpus}: the C headers of this Python are not installed in {include}; install them (Debian "
                "and Ubuntu: apt install python3-dev, Fedora: dnf install python3-devel), or train on a file"
            )
        files = [file for folder in self.folders for file in (include / folder).glob("*.h")]
        for file in sorted(files, key=lambda file: file.as_posix()):
            yield read_text(file).replace("\r\n", "\n")


class BundledText(Config):
    """A text that was written for this project, in a file next to its spec."""

    kind: Literal["bundled"]
    file: str = Field(pattern=r"^[a-z-]+\.txt$")

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Return the text."""
        del corpus, part
        yield resources.files("seqgen.corpora").joinpath(self.file).read_bytes().decode("utf-8")


class Synthetic(Config):
    """A text generated from a seed, another seed per part; `valid` and `test` are a tenth as long as `train`."""

    kind: Literal["synthetic"]
    source: synthetic.SourceName
    characters: int = Field(gt=0)
    seed: int

    @property
    def parts(self) -> tuple[str, ...]:
        return ("train", "valid", "test")

    @property
    def code(self) -> tuple[str, ...]:
        """The files that generate the text."""
        return __file__, synthetic.__file__

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Generate the text of a part."""
        del corpus
        length = self.characters if part == "train" else self.characters // 10
        yield synthetic.generate(self.source, length, f"{self.seed} {part}")

    @property
    def entropy(self) -> float:
        """The true entropy in bits per character, which is bits per byte; no model can need less."""
        return synthetic.SOURCES[self.source].entropy()


class PairsPart(Config):
    """A part of generated pairs."""

    name: str
    pairs: int = Field(gt=0)
    lengths: tuple[int, int] | None = Field(default=None, strict=False)
    """The shortest and the longest length of a source, where it has one."""

    @model_validator(mode="after")
    def _check_lengths(self) -> PairsPart:
        if self.lengths is not None and not 1 <= self.lengths[0] <= self.lengths[1]:
            raise ValueError(f"lengths: must be the shortest, at least 1, and the longest, not {list(self.lengths)}")
        return self


class SyntheticPairs(Config):
    """Lines of a source, a tab and its target, generated from a seed."""

    kind: Literal["synthetic-pairs"]
    source: synthetic_pairs.PairSourceName
    seed: int
    split: tuple[PairsPart, ...] = Field(strict=False, min_length=1)

    @model_validator(mode="after")
    def _check_split(self) -> SyntheticPairs:
        length = synthetic_pairs.PAIR_SOURCES[self.source].length
        for part in self.split:
            if (length is None) != (part.lengths is None):
                wanted = "cannot have lengths" if length is None else f"needs lengths, in {length}"
                raise ValueError(f"split: the part {part.name} of {self.source} {wanted}")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.split)

    @property
    def code(self) -> tuple[str, ...]:
        """The files that generate the text."""
        return __file__, synthetic_pairs.__file__, synthetic.__file__

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Generate the text of a part in chunks of whole lines."""
        del corpus
        chosen = next(one for one in self.split if one.name == part)
        pairs = synthetic_pairs.generate_pairs(self.source, chosen.name, chosen.pairs, self.seed, chosen.lengths)
        while lines := "".join(f"{pair.source}\t{pair.target}\n" for pair in itertools.islice(pairs, 1_000)):
            yield lines


Reader = Annotated[
    PythonDict | PythonLibrary | PythonHeaders | BundledText | Synthetic | SyntheticPairs | Download,
    Field(discriminator="kind"),
]

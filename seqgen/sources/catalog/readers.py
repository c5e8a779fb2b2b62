"""How the catalogue's texts are read: one class a kind of source, its fields the spec's `[reader]` table.

Each has `parts`, the names of the parts that it is customarily split into (none for most), and `chunks(corpus, part)`.
Nothing here reaches the network, and no code of a source is ever run.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sysconfig
import tokenize
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seqgen.config import Config
from seqgen.errors import TextError
from seqgen.sources.catalog import synthetic
from seqgen.sources.catalog.published import Fetched
from seqgen.sources.text import read_text


class PythonDict(Config):
    """The strings of the one dict that a Python module assigns, in their order, from the module's source."""

    kind: Literal["python-dict"]
    module: str

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """The text; there are no parts to choose from."""
        del part
        try:
            spec = importlib.util.find_spec(self.module)
        except ModuleNotFoundError:  # not even the package: some distributions leave pydoc_data out
            spec = None
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise TextError(f"corpus:{corpus}: this Python carries no source of {self.module}; train on a file")
        for node in ast.walk(ast.parse(read_text(spec.origin))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                entries = [ast.literal_eval(value) for value in node.value.values]
                yield "\n".join(entry for entry in entries if isinstance(entry, str))
                return
        raise TextError(f"{spec.origin} does not assign a dict, so corpus:{corpus} cannot be read from it")


class PythonLibrary(Config):
    """Every .py file of the running Python's own library but `without`, in the order of their paths."""

    kind: Literal["python-library"]
    without: tuple[str, ...] = Field(strict=False)
    """Names of folders and files that are left out, wherever they stand."""

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """The text; there are no parts to choose from."""
        del part
        library = Path(sysconfig.get_path("stdlib"))
        files: list[Path] = []
        for folder, folders, names in os.walk(library):
            folders[:] = [name for name in folders if name not in self.without]
            files += [Path(folder, name) for name in names if name.endswith(".py") and name not in self.without]
        if not files:
            raise TextError(f"corpus:{corpus}: this Python carries no source of its library; train on a file")
        try:
            yield "\n".join(filter(None, map(_read_code, sorted(files, key=lambda file: file.as_posix()))))
        except (OSError, SyntaxError, UnicodeError) as error:
            raise TextError(f"corpus:{corpus} cannot be read from {library}: {error}") from error


def _read_code(path: Path) -> str:
    """A Python file's text, in the encoding that it declares."""
    with tokenize.open(path) as file:
        return file.read()


class OwnText(Config):
    """A text that was written for this project and stands beside its spec."""

    kind: Literal["own-text"]
    file: str = Field(pattern=r"^[a-z-]+\.txt$")

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """The text; there are no parts to choose from."""
        del corpus, part
        yield resources.files("seqgen.corpora").joinpath(self.file).read_bytes().decode("utf-8")


class Synthetic(Config):
    """A text made by seed, each part by one of its own; `valid` and `test` are a tenth as long as `train`."""

    kind: Literal["synthetic"]
    source: synthetic.SourceName
    characters: int = Field(gt=0)
    seed: int

    @property
    def parts(self) -> tuple[str, ...]:
        return ("train", "valid", "test")

    def chunks(self, corpus: str, part: str | None) -> Iterator[str]:
        """Make a part's text."""
        del corpus
        length = self.characters if part == "train" else self.characters // 10
        yield synthetic.generate(self.source, length, f"{self.seed} {part}")

    @property
    def entropy(self) -> float:
        """Bits per character, which are bits per byte, that no model can do without."""
        return synthetic.SOURCES[self.source].entropy()


Reader = Annotated[PythonDict | PythonLibrary | OwnText | Synthetic | Fetched, Field(discriminator="kind")]

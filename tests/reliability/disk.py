"""A model of a disk that loses power: what has surely been written, and what may have been."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Content: TypeAlias = "bytes | dict[str, Node]"


@dataclass
class Node:
    """Versions of a file's bytes or a directory's names: at the last fsync, then after each operation since."""

    versions: list[Content]


class Disk:
    """What is on the disk and what may be, separately for each file and directory.

    A file has the content of its last fsync (nothing before the first), or of any write since. A directory has the
    names of its last fsync, or of any change since: a rename between two may be in one and not in the other. What
    existed at the start is on the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = _read(root)

    def find(self, path: Path) -> Node:
        """Return the current node of this name."""
        node = self.top
        for name in path.relative_to(self.root).parts:
            entries = node.versions[-1]
            assert isinstance(entries, dict)
            node = entries[name]
        return node

    def name(self, path: Path, node: Node | None) -> None:
        """Give a node a name; None removes the name."""
        folder = self.find(path.parent)
        entries = folder.versions[-1]
        assert isinstance(entries, dict)
        others = {name: other for name, other in entries.items() if name != path.name}
        folder.versions.append(others if node is None else {**others, path.name: node})

    def lose(self, survivors: str | int) -> None:
        """Reduce the world to what a power loss leaves.

        Args:
            survivors: `none`: only what was fsynced; `names`: every name, but only fsynced content, as a journal of
                metadata leaves it; a number: each file and directory has a random version since its last fsync, drawn
                with this seed.
        """
        draw = random.Random(survivors)

        def choose(node: Node) -> Content:
            if survivors == "none" or (survivors == "names" and isinstance(node.versions[0], bytes)):
                return node.versions[0]
            return node.versions[-1] if survivors == "names" else draw.choice(node.versions)

        shutil.rmtree(self.root)
        _write(self.top, self.root, choose)

    def copy_to(self, folder: Path) -> None:
        """Replace `folder` by a copy of the current world."""
        shutil.rmtree(folder, ignore_errors=True)
        _write(self.top, folder, lambda node: node.versions[-1])

    def is_on(self, root: Path) -> bool:
        """Return whether the world is what the operations say."""
        return _plain(self.top) == _plain(_read(root))


def _read(path: Path) -> Node:
    return Node([{entry.name: _read(entry) for entry in path.iterdir()} if path.is_dir() else path.read_bytes()])


def _write(node: Node, path: Path, choose: Callable[[Node], Content]) -> None:
    content = choose(node)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    path.mkdir()
    for name, child in content.items():
        _write(child, path / name, choose)


def _plain(node: Node) -> Any:
    content = node.versions[-1]
    return content if isinstance(content, bytes) else {name: _plain(child) for name, child in content.items()}

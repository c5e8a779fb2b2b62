"""Weights on disk: safetensors files, loaded only into a model with the same names, shapes and dtypes.

The header has a SHA-256 over names, shapes, dtypes and numbers, so a flipped bit is an error and not a slightly worse
model; and over the identity of the run, so the weights of another run are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from seqgen.errors import RunError
from seqgen.models.base import LanguageModel
from seqgen.utils.files import open_regular_file

_DTYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint8: "U8",
}
_CHECKSUM = "sha256"


def load_weights(model: LanguageModel, path: Path, run: str) -> None:
    """Load the weights of the run with this identity from the file at `path` into the model.

    Raises:
        RunError: the file is missing, damaged, or belongs to another model.
    """
    with _open(path) as file:
        model.allocate(_shapes(file))
    load_tensors(path, model.stored_tensors(), run=run)


def check_weights(model: LanguageModel, path: Path) -> None:
    """Compare the header of the file at `path` with a model, which may be a skeleton, before any memory is taken.

    Raises:
        RunError: the file is missing, damaged, or belongs to another model.
    """
    with _open(path) as file:
        model.allocate(_shapes(file))
        _check(path, file, set(file.keys()), model.stored_tensors())


def checksum_of(path: Path) -> str:
    """Return the checksum that the file at `path` says to have, which loading it verifies.

    Raises:
        RunError: the file is missing or damaged.
    """
    with _open(path) as file:
        return str((file.metadata() or {}).get(_CHECKSUM))


def to_bytes(tensors: dict[str, Tensor], run: str) -> bytes:
    """Serialize tensors from any device as a safetensors file of the run with this identity."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry only: safetensors writes several in any order, and the same weights should make the same bytes.
    content: bytes = safetensors.torch.save(on_cpu, metadata={_CHECKSUM: hash_tensors(on_cpu, run)})
    return content


def load_tensors(path: Path, into: dict[str, Tensor], *, run: str, optional: str | None = None) -> None:
    """Copy a safetensors file into tensors of the same names, shapes and dtypes.

    Names that begin with `optional` may be on one side only, and are skipped then.

    Raises:
        RunError: the file is missing, damaged or does not match; nothing has been copied then.
    """
    with _open(path) as file:
        names = set(file.keys())
        unmatched = {name for name in names ^ into.keys() if optional is not None and name.startswith(optional)}
        into = {name: tensor for name, tensor in into.items() if name not in unmatched}
        _check(path, file, names - unmatched, into)
        for name in names & unmatched:
            _check_dtype(path, file, name, set(_DTYPES.values()))
        tensors = {name: file.get_tensor(name) for name in names}
        checksum = (file.metadata() or {}).get(_CHECKSUM)
        if checksum is None:
            raise RunError(f"{path} has no checksum, so this version of seqgen did not write it; train again")
        if checksum != hash_tensors(tensors, run):
            raise RunError(
                f"{path} is not as this run wrote it: it is damaged or from another run, or config.json was changed; "
                "restore both from the newest checkpoint"
            )
    for name in into:
        into[name].data.copy_(tensors[name])


def hash_tensors(tensors: Mapping[str, Tensor], run: str = "") -> str:
    """Return the SHA-256 of tensors on the CPU, their names, dtypes and shapes, and the identity of a run."""
    digest = hashlib.sha256(f"{run}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {_DTYPES[tensor.dtype]} {list(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a safetensors file whose size matches its header."""
    try:
        open_regular_file(path).close()
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: this run has no weights yet, or was copied only in part") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise RunError(f"{path} is not a whole safetensors file ({error}); restore it from a copy") from error


def _shapes(file: Any) -> dict[str, list[int]]:
    return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no dict)


def _check(path: Path, file: Any, names: set[str], expected: dict[str, Tensor]) -> None:
    if names != expected.keys():
        difference = ", ".join(sorted(names ^ expected.keys())[:4])
        raise RunError(f"{path} does not match the model in config.json: they differ in {difference}")
    for name, tensor in expected.items():
        shape = file.get_slice(name).get_shape()
        if list(shape) != list(tensor.shape):
            raise RunError(f"{path}: {name} has shape {list(shape)}, but config.json describes {list(tensor.shape)}")
        _check_dtype(path, file, name, {_DTYPES[tensor.dtype]})


def _check_dtype(path: Path, file: Any, name: str, expected: set[str]) -> None:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in expected:
        raise RunError(f"{path}: {name} has dtype {dtype}, expected {' or '.join(sorted(expected))}")

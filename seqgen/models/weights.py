"""Weights on disk: safetensors, read only into a model whose names, shapes and dtypes they fit.

The header carries a SHA-256 over names, shapes, dtypes and numbers, so that a flipped bit is an error and not a model
that is a little worse; and over the identity of the run, so that another's weights are not taken for its own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from seqgen.errors import RunError
from seqgen.models.base import LanguageModel
from seqgen.utils.files import open_plain

_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
_CHECKSUM = "sha256"


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """The weights by name, each once: a tied head is left out, as safetensors wants it."""
    tied = {"head.weight"} if model.get_submodule("head").weight is model.get_submodule("embedding").weight else set()
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}


def load_weights(model: LanguageModel, path: Path, run: str) -> None:
    """Fill the model with the weights in the file at `path`, which are of the run with this identity.

    Raises:
        RunError: the file is missing, broken, or another model's.
    """
    load_tensors(path, weights_of(model), run=run)


def check_weights(model: LanguageModel, path: Path) -> None:
    """Hold the header of the file at `path` against a model, which may be a skeleton, before any memory is taken.

    Raises:
        RunError: the file is missing, broken, or another model's.
    """
    with _open(path) as file:
        _check(path, file, set(file.keys()), weights_of(model))


def to_bytes(tensors: dict[str, Tensor], run: str) -> bytes:
    """Tensors from any device as the content of a safetensors file of the run with this identity."""
    here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry: safetensors writes several in any order, and the same weights should be the same bytes.
    content: bytes = safetensors.torch.save(here, metadata={_CHECKSUM: _checksum(here, run)})
    return content


def load_tensors(path: Path, into: dict[str, Tensor], *, run: str, optional: str | None = None) -> None:
    """Copy a safetensors file into tensors of the very same names, shapes and dtypes.

    Names that begin with `optional` may be on one side alone, and are passed over then.

    Raises:
        RunError: the file is missing, broken or holds something else; nothing has been copied then.
    """
    with _open(path) as file:
        there = set(file.keys())
        lone = {name for name in there ^ into.keys() if optional is not None and name.startswith(optional)}
        into = {name: tensor for name, tensor in into.items() if name not in lone}
        _check(path, file, there - lone, into)
        for name in there & lone:
            _check_dtype(path, file, name, set(_DTYPES.values()))
        tensors = {name: file.get_tensor(name) for name in there}
        checksum = (file.metadata() or {}).get(_CHECKSUM)
        if checksum is None:
            raise RunError(f"{path} has no checksum: something else than this version of seqgen wrote it; train anew")
        if checksum != _checksum(tensors, run):
            raise RunError(
                f"{path} is not as this run wrote it: it was damaged, or is another run's, or config.json was changed; "
                "restore both from the newest checkpoint"
            )
    for name in into:
        into[name].data.copy_(tensors[name])


def _checksum(tensors: dict[str, Tensor], run: str) -> str:
    digest = hashlib.sha256(f"{run}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {_DTYPES[tensor.dtype]} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A safetensors file, whose size has been held against its header."""
    try:
        open_plain(path).close()
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: this run has no weights yet, or not all of it was copied") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise RunError(f"{path} is not a whole safetensors file ({error}); restore it from a copy") from error


def _check(path: Path, file: Any, names: set[str], expected: dict[str, Tensor]) -> None:
    if names != expected.keys():
        difference = ", ".join(sorted(names ^ expected.keys())[:4])
        raise RunError(f"{path} is another model's than config.json describes: they differ in {difference}")
    for name, tensor in expected.items():
        shape = file.get_slice(name).get_shape()
        if list(shape) != list(tensor.shape):
            raise RunError(f"{path}: {name} is of shape {list(shape)}, config.json asks for {list(tensor.shape)}")
        _check_dtype(path, file, name, {_DTYPES[tensor.dtype]})


def _check_dtype(path: Path, file: Any, name: str, expected: set[str]) -> None:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in expected:
        raise RunError(f"{path}: {name} is {dtype}, expected {' or '.join(sorted(expected))}")

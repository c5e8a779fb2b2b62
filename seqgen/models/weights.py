"""Weights on disk: safetensors, read only into a model whose names, shapes and dtypes they fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from seqgen.errors import RunError
from seqgen.files import write_atomically
from seqgen.models.language_model import LanguageModel

_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """The weights by name, each once: a tied head is left out, as safetensors wants it."""
    tied = {"head.weight"} if model.get_submodule("head").weight is model.get_submodule("embedding").weight else set()
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}


def save_weights(model: LanguageModel, path: Path) -> None:
    """Replace the file at `path` by the model's weights, atomically."""
    write_atomically(path, to_bytes(weights_of(model)))


def load_weights(model: LanguageModel, path: Path) -> None:
    """Fill the model with the weights in the file at `path`.

    Raises:
        RunError: the file is missing, broken, or another model's.
    """
    load_tensors(path, weights_of(model))


def check_weights(model: LanguageModel, path: Path) -> None:
    """Hold the header of the file at `path` against a model, which may be a skeleton, before any memory is taken.

    Raises:
        RunError: the file is missing, broken, or another model's.
    """
    with _open(path) as file:
        _check(path, file, set(file.keys()), weights_of(model))


def to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """Tensors from any device as the content of a safetensors file."""
    content: bytes = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    )
    return content


def load_tensors(path: Path, into: dict[str, Tensor], optional: str | None = None) -> None:
    """Copy a safetensors file into tensors of the very same names, shapes and dtypes.

    Names that begin with `optional` may be on one side alone, and are passed over then.

    Raises:
        RunError: the file is missing, broken or holds something else; nothing has been copied then.
    """
    with _open(path) as file:
        names = set(file.keys())
        if optional is not None:
            lone = {name for name in names ^ into.keys() if name.startswith(optional)}
            names, into = names - lone, {name: tensor for name, tensor in into.items() if name not in lone}
        _check(path, file, names, into)
        tensors = {name: file.get_tensor(name) for name in into}
    for name, tensor in tensors.items():
        into[name].data.copy_(tensor)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """A safetensors file, whose size has been held against its header."""
    try:
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
        shape, dtype = file.get_slice(name).get_shape(), file.get_slice(name).get_dtype()
        if list(shape) != list(tensor.shape):
            raise RunError(f"{path}: {name} is of shape {list(shape)}, config.json asks for {list(tensor.shape)}")
        if dtype != _DTYPES[tensor.dtype]:
            raise RunError(f"{path}: {name} is {dtype}, expected {_DTYPES[tensor.dtype]}")

"""The machine: which device, which precision, whose random state."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Literal, TypeVar

import torch

from seqgen.errors import ConfigError

Precision = Literal["fp32", "bf16"]
StepperPrecision = Literal["fp32", "bf16", "int8"]
Item = TypeVar("Item")


def select_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first CUDA card, else the CPU.

    Raises:
        ConfigError: there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type in {"cpu", "cuda"}:  # what seqgen is written for: others lack fp64 or fused operations
            torch.zeros(1, device=device)
            return device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} cannot be used on this machine; try --device auto or cpu") from error
    raise ConfigError(f"device: seqgen runs on cpu and cuda, not on {name!r}; try --device auto")


def select_precision(name: str, device: torch.device) -> Precision:
    """fp32 or bf16 as asked for; `auto` is bf16 where the device multiplies it natively."""
    if name == "auto":
        return "bf16" if _multiplies_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Elsewhere bf16 is emulated, and slower than fp32.
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def total_memory(device: torch.device) -> int | None:
    """Bytes of memory that the device has in all; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_freed_memory() -> None:
    """Let the process keep the memory that it frees, for what it allocates next; glibc only, elsewhere nothing.

    By default glibc gives blocks of some MiB back to the system at once. A training step frees what the next one
    takes anew, and then every page of it faults and is cleared: for wide layers a third of the step.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: nothing outside the heap
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: and the heap does not shrink


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside, and as many as before outside; None changes nothing."""
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def iterate_with_threads(number: int | None, iterator: Iterator[Item]) -> Iterator[Item]:
    """Yield what `iterator` does, each item made with this many threads; None changes nothing."""
    while True:
        with torch_threads(number):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@contextlib.contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Matrix products in bf16 where `precision` says so, else in fp32, whatever the caller's own autocast says."""
    torch.clear_autocast_cache()  # inside the caller's it may hold weights of steps ago
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


def product_dtype(x: torch.Tensor) -> torch.dtype:
    """That of products with `x`: the autocast's where one is on, which leaves fp64 alone, else its own."""
    device = x.device.type
    if x.dtype is torch.float64 or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


@contextlib.contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """No gradients and no dropout inside; the mode from before outside."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


class RandomState:
    """torch's random state, kept apart: current inside `with`, put away outside, where no other draw changes it."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with self._restored():
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every other device too
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            self._own = self._read()

    def __enter__(self) -> None:
        self._outer = self._read()
        self._write(self._own)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._own = self._read()
        self._write(self._outer)

    @contextlib.contextmanager
    def _restored(self) -> Iterator[None]:
        outer = self._read()
        try:
            yield
        finally:
            self._write(outer)

    def _read(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _write(self, states: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self._device)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The states as uint8 tensors, by the kind of device."""
        return dict(self._own)

    def load_state_dict(self, states: dict[str, torch.Tensor]) -> None:
        """Go on from what `state_dict` gave; torch raises a RuntimeError for what is none."""
        with self._restored():
            self._write(states)
        self._own = dict(states)


def describe_environment(device: torch.device, precision: Precision) -> dict[str, str | int]:
    """Describe what a figure depends on besides config and plan: versions, device, precision."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
    }

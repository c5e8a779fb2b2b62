"""The machine: device, precision, memory, threads, random state."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar

import torch

from seqgen.errors import ConfigError

Precision = Literal["fp32", "bf16"]
StepperPrecision = Literal["fp32", "bf16", "int8"]
Item = TypeVar("Item")


def select_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the first CUDA device, else the CPU.

    Raises:
        ConfigError: this machine has no such device, or seqgen does not support it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type in {"cpu", "cuda"}:  # other devices lack fp64 or fused operations
            torch.zeros(1, device=device)
            return device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device: {name!r} cannot be used on this machine; try --device auto or cpu") from error
    raise ConfigError(f"device: seqgen runs on cpu and cuda, not on {name!r}; try --device auto")


def select_precision(name: str, device: torch.device) -> Precision:
    """Return fp32 or bf16 as named; `auto` is bf16 where the device multiplies it natively."""
    if name == "auto":
        return "bf16" if multiplies_bf16(device) else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 natively; other processors emulate it, more slowly than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch before 2.11 cannot tell.
    get_capabilities: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def total_memory(device: torch.device) -> int | None:
    """Return the bytes of memory that the device has in total; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_freed_memory() -> None:
    """Keep freed memory in the process for the next allocations. Does nothing except with glibc.

    By default glibc returns blocks of some MiB to the system at once. A training step frees what the next step
    allocates again, and then every page faults and is cleared: for wide layers a third of the step.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: allocate nothing outside the heap
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of CPU threads inside the context; None leaves it unchanged."""
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def iterate_with_threads(number: int | None, iterator: Iterator[Item]) -> Generator[Item, None, Any]:
    """Yield the items of `iterator`, each computed with this many threads; None leaves the number unchanged.

    The value that a generator returns is returned.
    """
    while True:
        with torch_threads(number):
            try:
                item = next(iterator)
            except StopIteration as end:
                return end.value
        yield item


@contextlib.contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute matrix products in `precision`, whatever autocast the caller has on."""
    torch.clear_autocast_cache()  # the caller's autocast may hold weights of earlier steps
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        yield


def product_dtype(x: torch.Tensor) -> torch.dtype:
    """Return the dtype of matrix products with `x`: the autocast's where one is on, except for fp64."""
    device = x.device.type
    if x.dtype is torch.float64 or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


@contextlib.contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Switch off gradients and dropout inside the context, and restore the mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


class RandomState:
    """A random state of torch that is current inside `with` and isolated from all draws outside it."""

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
        """Return the states as uint8 tensors by device type."""
        return dict(self._own)

    def load_state_dict(self, states: dict[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned; torch raises a RuntimeError for an invalid state."""
        with self._restored():
            self._write(states)
        self._own = dict(states)


def describe_environment(device: torch.device, precision: Precision) -> dict[str, str | int]:
    """Describe what results depend on besides config and plan: versions, device, precision."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
    }

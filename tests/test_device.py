from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from seqgen import device
from seqgen.device import (
    RandomState,
    autocast,
    describe_environment,
    evaluation_mode,
    select_device,
    select_precision,
)
from seqgen.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_select_device_auto_is_cuda_where_available(monkeypatch, available, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)

    assert select_device("auto").type == kind


def test_select_device_by_name():
    assert select_device("cpu") == CPU


@pytest.mark.parametrize("name", ["", "gpu", "cpu:-1", "cuda:99", "cuda:99999999999999", "cpu cuda"])
def test_select_device_refuses_unusable_devices(name):
    with pytest.raises(
        ConfigError, match=f"^device: '{name}' cannot be used on this machine; try --device auto or cpu"
    ):
        select_device(name)


@pytest.mark.parametrize("name", ["hpu", "meta", "mps", "xpu"])
def test_select_device_refuses_unsupported_devices(name):
    with pytest.raises(ConfigError, match=f"^device: seqgen runs on cpu and cuda, not on '{name}'; try --device auto"):
        select_device(name)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
        ({"avx2": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_select_precision_auto_is_bf16_where_the_cpu_multiplies_it(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    assert select_precision("auto", CPU) == precision


def test_select_precision_auto_is_fp32_where_torch_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")

    assert select_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("native", [True, False])
def test_select_precision_auto_is_bf16_on_cuda_with_native_bf16(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or native)

    assert select_precision("auto", torch.device("cuda")) == ("bf16" if native else "fp32")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_select_precision_by_name(name):
    assert select_precision(name, CPU) == name


def test_select_precision_auto_is_fp32_on_other_devices():
    assert select_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_sets_the_precision_of_products(precision, dtype):
    with autocast(CPU, precision):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16), autocast(CPU, precision):  # overrides the caller's
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype
    assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_mode_switches_off_gradients_and_dropout(training):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train(training)

    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()

    assert all(module.training is training for module in model.modules())
    assert torch.is_grad_enabled()


def test_evaluation_mode_is_restored_after_an_error():
    model = nn.Dropout(0.5).train()

    with pytest.raises(ZeroDivisionError), evaluation_mode(model):
        1 / 0  # noqa: B018

    assert model.training
    assert torch.is_grad_enabled()


def draws(random: RandomState, count: int) -> list[float]:
    with random:
        return torch.rand(count).tolist()


def test_random_state_continues_where_it_was():
    parts, whole = RandomState(3, CPU), RandomState(3, CPU)

    assert draws(parts, 2) + draws(parts, 3) == draws(whole, 5)
    assert draws(RandomState(4, CPU), 5) != draws(RandomState(3, CPU), 5)


def test_random_state_is_not_changed_by_outer_draws():
    disturbed, alone = RandomState(3, CPU), RandomState(3, CPU)

    first = draws(disturbed, 2)
    torch.manual_seed(99)
    torch.rand(7)

    assert first + draws(disturbed, 2) == draws(alone, 2) + draws(alone, 2)


def test_random_state_does_not_change_outer_draws():
    torch.manual_seed(5)
    expected = torch.rand(4).tolist()

    torch.manual_seed(5)
    random = RandomState(3, CPU)
    outside = torch.rand(2).tolist()
    draws(random, 9)
    with contextlib.suppress(ZeroDivisionError), random:
        torch.rand(3)
        1 / 0  # noqa: B018

    assert outside + torch.rand(2).tolist() == expected


def test_random_state_keeps_draws_before_an_error():
    failing, whole = RandomState(3, CPU), RandomState(3, CPU)

    with contextlib.suppress(ZeroDivisionError), failing:
        torch.rand(2)
        1 / 0  # noqa: B018

    assert draws(failing, 2) == draws(whole, 4)[2:]


def test_random_state_continues_from_its_state_dict():
    random = RandomState(3, CPU)
    draws(random, 5)
    saved = random.state_dict()
    expected = draws(random, 5)

    other = RandomState(0, CPU)
    other.load_state_dict(saved)

    assert {tensor.dtype for tensor in saved.values()} == {torch.uint8}
    assert draws(other, 5) == expected
    other.load_state_dict(saved)  # neither drawing nor loading changed it
    assert draws(other, 5) == expected


def test_describe_environment_is_plain_data():
    environment = describe_environment(CPU, "bf16")

    assert environment["device"] == "cpu"
    assert environment["precision"] == "bf16"
    assert environment["torch"] == torch.__version__
    assert all(isinstance(value, str | int) for value in environment.values())


def test_random_state_reseeds_no_other_device(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)

    draws(RandomState(3, CPU), 2)

    assert seeded == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has mallopt")
def test_keep_freed_memory_never_maps_and_never_trims(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: library)

    device.keep_freed_memory()

    assert calls == [(-4, 0), (-1, -1)]  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux only")
def test_total_memory_of_the_cpu_is_the_systems():
    kibibytes = int(Path("/proc/meminfo").read_text("ascii").split()[1])

    assert device.total_memory(CPU) == pytest.approx(1024 * kibibytes, rel=0.1)


FAULTS = """
import resource, sys, torch
from seqgen.device import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def work():
    return [torch.zeros(2**24).sum() for _ in range(2)]
for _ in range(8):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has mallopt")
def test_keep_freed_memory_avoids_page_faults():
    """Two tensors of 64 MiB after others of that size cause a page fault per page, or almost none."""
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, check=True).stdout)
        for mode in ("given-back", "kept")
    }

    assert faults["kept"] < 0.1 * faults["given-back"]

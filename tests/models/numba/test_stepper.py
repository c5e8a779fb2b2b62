"""The compiled steppers against the plain ones, for every family.

Each dtype and layout that numba compiles anew takes seconds: by default each form runs once, all pairs with `-m slow`.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from seqgen import models
from seqgen.errors import ConfigError
from seqgen.models.config import GruConfig, LstmConfig, RnnConfig, TransformerConfig
from seqgen.models.registry import FAMILIES
from seqgen.models.skeleton import skeleton

pytest.importorskip("numba")

from seqgen.models.numba import kernels
from seqgen.models.numba import products as compiled_products
from seqgen.models.recurrent.model import CELLS

pytestmark = pytest.mark.xdist_group("numba")  # one worker compiles for all

VOCAB_SIZE = 11
CONFIGS = {
    "rnn": RnnConfig(hidden_size=13, layers=2, embedding_size=7),
    "relu": RnnConfig(hidden_size=13, layers=2, activation="relu"),
    "sigmoid": RnnConfig(hidden_size=13, layers=2, activation="sigmoid"),
    "lstm": LstmConfig(hidden_size=16, layers=3),
    "gru": GruConfig(hidden_size=15, layers=2),
    "gru, reset before": GruConfig(hidden_size=14, layers=2, gru_reset="before"),
    "tied": LstmConfig(hidden_size=12, embedding_size=12, layers=1, tie_weights=True),
    "transformer": TransformerConfig(hidden_size=18, layers=2, heads=3, block_size=8),
    "sinusoidal": TransformerConfig(hidden_size=10, layers=2, heads=1, block_size=40, positions="sinusoidal"),
}
PROMPT, STEPS = 6, 14
TOLERANCE = {"fp32": 1e-4, "bf16": 0.03, "int8": 0.2}
ROUNDED_TOLERANCE = {"fp32": 1e-4, "bf16": 0.2, "int8": 0.3}
"""Where oneDNN multiplies, whose inputs are rounded to bf16."""

DEFAULT = [
    ("rnn", "fp32", 1, False),
    ("lstm", "fp32", 5, False),
    ("gru", "fp32", 1, False),
    ("gru, reset before", "fp32", 5, True),
    ("tied", "fp32", 1, False),
    ("transformer", "fp32", 5, False),
    ("sinusoidal", "fp32", 5, True),
]
PAIRS = [
    pytest.param(*pair, marks=[] if pair in DEFAULT else pytest.mark.slow, id="-".join(map(str, pair)))
    for pair in itertools.product(CONFIGS, TOLERANCE, (1, 5), (False, True))
    if pair[2:] != (1, True)  # one row is never multiplied by oneDNN
]


def compiled_stepper(model, precision="fp32"):
    return model.stepper(precision, "numba")


def build(name):
    """Build a model whose weights are large enough for differences to show; the states of a relu would explode."""
    torch.manual_seed(0)
    model = models.build(CONFIGS[name], VOCAB_SIZE).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 if name == "relu" else 2)
    return model


def test_configs_cover_every_kernel():
    forms = {config.form for config in CONFIGS.values() if config.cell != "transformer"}

    assert forms == {form for form, cell in CELLS.items() if cell.kernel is not None}


@pytest.fixture(params=["lstm", "transformer"])
def model(request):
    return build(request.param)


@torch.no_grad()
def after_prompt(model, rows):
    """Return the state after a prompt with two documents in the first row, and a ring that will wrap."""
    torch.manual_seed(1)
    tokens = torch.randint(1, VOCAB_SIZE, (rows, PROMPT))
    tokens[:, 0] = 0
    tokens[0, 3] = 0
    return model(tokens, model.initial_state(rows, PROMPT + STEPS), tokens == 0)[1]


@pytest.mark.parametrize(("name", "precision", "rows", "large"), PAIRS)
def test_compiled_stepper_agrees_with_the_plain_stepper(name, precision, rows, large, monkeypatch):
    model, tolerance = build(name), TOLERANCE[precision]
    if large:  # oneDNN multiplies batches by large weights
        monkeypatch.setattr(compiled_products, "SMALL", 0)
        tolerance = ROUNDED_TOLERANCE[precision]
    plain, compiled = model.stepper(precision), compiled_stepper(model, precision)
    index = torch.arange(rows)
    state, same = plain.select(after_prompt(model, rows), index), compiled.select(after_prompt(model, rows), index)

    for step in range(STEPS):
        if step == STEPS // 2:  # the ring has wrapped; reorder the rows
            index = torch.tensor([rows - 1, *range(rows - 1)])
            state, same = plain.select(state, index), compiled.select(same, index)
        token = torch.randint(1, VOCAB_SIZE, (rows,))
        starts = None
        if step == STEPS - 3:  # a document starts in the last row
            starts = torch.arange(rows) == rows - 1
            token[-1] = 0
        expected, state = plain.step(token, state, starts)
        logits, same = compiled.step(token, same, starts)
        assert (logits.dtype, logits.shape) == (torch.float32, (rows, VOCAB_SIZE))
        torch.testing.assert_close(logits, expected, rtol=0, atol=tolerance * float(expected.std()))

    for member, expected in zip(same.tensors().values(), state.tensors().values(), strict=True):
        torch.testing.assert_close(member, expected, rtol=tolerance, atol=max(tolerance, 1e-5), check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_compiled_select_keeps_keys_and_values_in_bf16_unless_fp32(precision):
    model = models.build(CONFIGS["transformer"], VOCAB_SIZE).eval()
    state = after_prompt(model, 2)

    selected = compiled_stepper(model, precision).select(state, torch.tensor([1, 0, 1]))

    for cache, whole in zip(selected.keys + selected.values, state.keys + state.values, strict=True):
        torch.testing.assert_close(cache, whole[[1, 0, 1]].bfloat16(), rtol=0, atol=0)
    selected = compiled_stepper(model, "fp32").select(state, torch.tensor([1]))
    assert {cache.dtype for cache in selected.keys + selected.values} == {torch.float32}


def test_compiled_stepper_is_a_snapshot(model):
    compiled = compiled_stepper(model)
    token = torch.tensor([3])
    before, _ = compiled.step(token, after_prompt(model, 1))

    state = after_prompt(model, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    after, _ = compiled.step(token, state)

    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_compiled_stepper_treats_rows_separately(model):
    compiled = compiled_stepper(model)
    selected = after_prompt(model, 3).select(torch.tensor([2, 0]))

    logits, _ = compiled.step(torch.tensor([4, 5]), selected)

    for row, (source, token) in enumerate([(2, 4), (0, 5)]):
        alone, _ = compiled.step(torch.tensor([token]), after_prompt(model, 3).select(torch.tensor([source])))
        torch.testing.assert_close(logits[row : row + 1], alone, rtol=1e-5, atol=1e-5)


def test_compiled_stepper_passes_nan_on(model):
    with torch.no_grad():
        model.embedding.weight[3] = torch.nan

    logits, _ = compiled_stepper(model).step(torch.tensor([3]), model.initial_state(1, 4))

    assert logits.isnan().any()


@pytest.mark.parametrize(("raised", "said"), [
    (ModuleNotFoundError("No module named 'numba'"), "pip install numba"),
    (ImportError("Numba needs NumPy 1.0 or less"), "Numba needs NumPy 1.0 or less"),
    (RuntimeError("cannot cache function"), "cannot cache function; .* NUMBA_CACHE_DIR"),
])  # fmt: skip
def test_compiled_stepper_says_why_numba_cannot_be_used(monkeypatch, raised, said):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "seqgen.models.numba.kernels":
                raise raised

    monkeypatch.delitem(sys.modules, "seqgen.models.numba.kernels")
    monkeypatch.delattr("seqgen.models.numba.kernels")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])

    with pytest.raises(ConfigError, match=said):
        compiled_stepper(models.build(CONFIGS["rnn"], VOCAB_SIZE))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_compiled_stepper_reports_a_full_disk(tmp_path):
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from seqgen import models
from seqgen.models.numba import kernels
from seqgen.models.config import RnnConfig
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
models.build(RnnConfig(hidden_size=8), 11).stepper(engine="numba")
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    ended = subprocess.run([sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True)

    assert "ConfigError: engine: numba cannot write its cache: [Errno 27]" in ended.stderr


def test_compiled_stepper_uses_torchs_threads_and_restores_numbas(model):
    before, threads = kernels.get_num_threads(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        compiled = compiled_stepper(model)
    finally:
        torch.set_num_threads(threads)
    seen = []
    inner = compiled._step
    compiled._step = lambda *arguments: seen.append(kernels.get_num_threads()) or inner(*arguments)

    compiled.step(torch.tensor([3]), model.initial_state(1, 4))

    assert seen == [1]
    assert kernels.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("NUMBA_NUM_THREADS", "0"), ("NUMBA_THREADING_LAYER", "none such")])
def test_compiled_stepper_reports_bad_numba_settings(name, value):
    code = """
from seqgen import models
from seqgen.models.config import RnnConfig
models.build(RnnConfig(hidden_size=8), 11).stepper(engine="numba")
"""
    environment = {**os.environ, name: value}

    ended = subprocess.run([sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True)

    assert "ConfigError: engine: numba cannot be used here: " in ended.stderr


@pytest.mark.slow
def test_compiled_stepper_keeps_torchs_number_of_threads():
    code = """
import torch
from seqgen import models
from seqgen.models.config import RnnConfig
torch.set_num_threads(1)
models.build(RnnConfig(hidden_size=8), 11).stepper(engine="numba")
assert torch.get_num_threads() == 1
"""

    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_NUM_THREADS": "2"})


def test_compiled_stepper_may_be_called_by_several_threads(model):
    compiled = compiled_stepper(model)
    expected, _ = compiled.step(torch.tensor([3]), after_prompt(model, 1))
    states = [after_prompt(model, 1) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda state: compiled.step(torch.tensor([3]), state)[0], states))

    for result in results:
        torch.testing.assert_close(result, expected)


def test_compiled_stepper_takes_a_state_with_gradients(model):
    tokens = torch.tensor([[0, 3, 4, 5]])
    _, state = model(tokens[:, :3], model.initial_state(1, 5), tokens[:, :3] == 0)

    logits, _ = compiled_stepper(model).step(torch.tensor([5]), state)

    with torch.no_grad():
        expected, _ = model(tokens, model.initial_state(1, 5), tokens == 0)
    torch.testing.assert_close(logits, expected[:, -1], rtol=1e-3, atol=1e-3)


def test_compiled_stepper_refuses_other_devices():
    with pytest.raises(ConfigError, match="engine: numba compiles for a CPU"):
        compiled_stepper(skeleton(CONFIGS["rnn"], VOCAB_SIZE))


def test_compiled_stepper_refuses_a_cell_without_a_kernel_by_name(monkeypatch):
    monkeypatch.setitem(FAMILIES, "gru", FAMILIES["gru"]._replace(compiled=None))

    with pytest.raises(ConfigError, match=r"engine: numba .* gru; .*--engine torch"):
        compiled_stepper(models.build(CONFIGS["gru"], VOCAB_SIZE))

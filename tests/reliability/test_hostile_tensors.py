"""Any tensors in a run work or raise a SeqgenError, in bounded time and memory."""

from __future__ import annotations

import json
import struct
from functools import partial

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgen import models
from seqgen.models.weights import load_weights, to_bytes
from seqgen.runs.directory import RunDirectory
from seqgen.runs.summary import count_parameters

from .damage import (
    CHANGES,
    EDITS,
    PLACES,
    edited,
    examples,
    restructured,
    use_run,
)

TENSORS = ["model.safetensors", "weights.safetensors", "best.safetensors", "optimizer.safetensors", "state.safetensors"]


def place_of(specimen, name):
    return (specimen.run if name == "model.safetensors" else specimen.checkpoint) / name


def with_header(content, change):
    """Return a safetensors file with a changed header and its correct length."""
    (length,) = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def damaged_tensors(content):
    """Return a strategy for a safetensors file damaged in its length field, its header or anywhere."""
    return st.one_of(
        EDITS.map(lambda edits: edited(content, edits)),
        EDITS.map(lambda edits: with_header(content, lambda header: edited(header, edits))),
        CHANGES.map(lambda changes: with_header(content, lambda header: restructured(header, changes))),
        st.integers(0, 2**64 - 1).map(lambda length: struct.pack("<Q", length) + content[8:]),
    )


@examples(20, 3_000)
@pytest.mark.parametrize("name", TENSORS)
@given(data=st.data())
def test_damaged_tensors_are_loaded_or_refused(specimen, damaged, name, data):
    path = place_of(specimen, name)
    content = data.draw(damaged_tensors(specimen.whole[path]))
    config = RunDirectory(specimen.run).read_config()
    model = models.build(config.model, config.tokenizer.vocab_size)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    load = partial(load_weights, model, path, config.identity)
    damaged(path, content, lambda: count_parameters(path))

    if damaged(path, content, load):
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@examples(8, 500)
@pytest.mark.parametrize("name", TENSORS)
@given(data=st.data())
def test_run_with_forged_tensors_works_or_is_refused(specimen, damaged, name, data):
    path = place_of(specimen, name)

    damaged(path, data.draw(damaged_tensors(specimen.whole[path])), *use_run(specimen, steps=3), forge=True)


@pytest.mark.parametrize("name", [name for name in TENSORS if name != "best.safetensors"])
def test_any_flipped_bit_in_tensors_is_refused(specimen, damaged, name):
    path = place_of(specimen, name)
    content = specimen.whole[path]
    (length,) = struct.unpack("<Q", content[:8])
    for at in range(8 + length, len(content), 997):
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        use = use_run(specimen)[0 if name == "model.safetensors" else 1]
        (refusal,) = damaged(path, flipped, use, forge=True)
        assert name in refusal


@examples(12, 1_500)
@given(content=st.binary(min_size=0, max_size=200), place=PLACES)
def test_forged_random_state_works_or_is_refused(specimen, damaged, content, place):
    path = specimen.checkpoint / "state.safetensors"
    tensors = safetensors.torch.load(specimen.whole[path])
    state = tensors["random.cpu"]
    at = place * len(state) >> 16
    part = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(state) - at]
    state[at : at + len(part)] = part

    identity = RunDirectory(specimen.run).read_config().identity
    damaged(path, to_bytes(tensors, identity), use_run(specimen, steps=2)[1], forge=True)


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 62, 1 << 62], [0, 1 << 63], [2**64]], ids=str)
def test_header_that_claims_terabytes_is_refused(specimen, damaged, shape):
    path = place_of(specimen, "model.safetensors")
    end = 4 * shape[0]

    def claim(header):
        parsed = json.loads(header)
        first = next(tensor for tensor in parsed if tensor != "__metadata__")
        return json.dumps({first: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()

    content = with_header(specimen.whole[path], claim)
    (refusal,) = damaged(path, content, lambda: count_parameters(path))

    assert "model.safetensors" in refusal

"""The state that a model carries, as a container of tensors; `test_base.py` has its laws for every family."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seqgen.models.state import State


@dataclass(frozen=True)
class Caches(State):
    keys: tuple[Tensor, ...]
    position: Tensor


def caches(rows: int, ring: int) -> Caches:
    return Caches((torch.full((rows, 1, ring, 2), float(ring)), torch.ones(rows, 1, ring, 2)), torch.arange(rows))


def test_tensors_are_named_by_field_and_layer():
    state = caches(3, 4)

    assert list(state.tensors()) == ["keys.0", "keys.1", "position"]
    assert state.tensors()["keys.1"] is state.keys[1]
    assert state.batch_size == 3


def test_select_copies_rows_in_the_order_of_the_index():
    state = caches(3, 4)

    selected = state.select(torch.tensor([2, 0, 0]))

    assert selected.position.tolist() == [2, 0, 0]
    assert selected.keys[0].shape == (3, 1, 4, 2)
    selected.position[0] = 9
    assert state.position.tolist() == [0, 1, 2]


def test_concat_pads_caches_to_the_longest():
    both = State.concat([caches(1, 2), caches(2, 5)])

    assert isinstance(both, Caches)
    assert both.position.tolist() == [0, 0, 1]
    assert both.keys[0].shape == (3, 1, 5, 2)
    assert both.keys[0][0, 0, :, 0].tolist() == [2.0, 2.0, 0.0, 0.0, 0.0]


def test_concat_refuses_different_dtypes():
    narrow = caches(1, 2).map(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)

    with pytest.raises(ValueError, match="dtypes"):
        State.concat([caches(1, 2), narrow])

"""What a model remembers between calls: tensors by name, batch first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Member: TypeAlias = "Tensor | State | tuple[Tensor, ...] | tuple[State, ...]"
"""A field of a state; a tuple has an item for each layer, or for each member of a mixture."""


@dataclass(frozen=True)
class State:
    """The base of each family's state: a frozen dataclass of tensors, of states, and of tuples of them.

    A stepper, and a forward without gradients, may reuse the memory of the state that they receive: to read from a
    state twice, `select` from it first.
    """

    @property
    def members(self) -> dict[str, Member]:
        """The fields by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return a state with `function` applied to each tensor."""
        return type(self)(**{name: _map(member, function) for name, member in self.members.items()})

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name: `hidden`, `keys.0` for a layer's, or `states.1.hidden` for a member's."""
        named: dict[str, Tensor] = {}
        for name, member in self.members.items():
            named |= _flatten(name, member)
        return named

    @property
    def batch_size(self) -> int:
        """The number of rows."""
        return len(next(iter(self.tensors().values())))

    def select(self, index: Tensor) -> Self:
        """Copy rows: row i of the result is row `index[i]`, int64 [N], on any device."""
        return self.map(lambda tensor: tensor.index_select(0, index.to(tensor.device)))

    def detach(self) -> Self:
        """Return the state without its history: where truncated backpropagation through time cuts."""
        return self.map(Tensor.detach)

    @classmethod
    def concat(cls, states: Sequence[Self]) -> Self:
        """Put the rows of several states into one; caches of different lengths are padded to the longest.

        Only a cache that has never wrapped can be padded: one shorter than the reach of attention, which is never
        filled beyond its capacity.
        """
        columns = [[state.members[name] for state in states] for name in states[0].members]
        return type(states[0])(*map(_concat, columns))


def _map(member: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(member, tuple):
        return tuple(_map(one, function) for one in member)
    return member.map(function) if isinstance(member, State) else function(member)


def _flatten(name: str, member: Member) -> dict[str, Tensor]:
    if isinstance(member, Tensor):
        return {name: member}
    inner: Any = enumerate(member) if isinstance(member, tuple) else member.members.items()
    return {key: tensor for part, one in inner for key, tensor in _flatten(f"{name}.{part}", one).items()}


def _concat(column: Sequence[Any]) -> Any:
    if isinstance(column[0], tuple):
        return tuple(map(_concat, zip(*column, strict=True)))
    return State.concat(column) if isinstance(column[0], State) else _concat_tensors(column)


def _concat_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along the rows; the third dimension of caches [B, heads, ring, D] is padded with zeros."""
    if len({tensor.dtype for tensor in tensors}) > 1:
        raise ValueError("states of different dtypes cannot be concatenated; select each for the same stepper first")
    if tensors[0].dim() == 4:
        longest = max(tensor.shape[2] for tensor in tensors)
        tensors = [F.pad(tensor, (0, 0, 0, longest - tensor.shape[2])) for tensor in tensors]
    return torch.cat(list(tensors))

"""Models on the meta device: all shapes and no numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from seqgen import models
from seqgen.models.base import LanguageModel
from seqgen.models.config import FamilyConfig


def skeleton(config: FamilyConfig, vocab_size: int) -> LanguageModel:
    """Build a model on the meta device: it takes no memory."""
    with torch.device("meta"), _NoNormal():
        return models.build(config, vocab_size)


class _NoNormal(TorchFunctionMode):
    """Draw no normal numbers: on the meta device torch would import torch._dynamo for it, which takes a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is nn.init.normal_:
            return kwargs["tensor"]
        return func(*args, **(kwargs or {}))

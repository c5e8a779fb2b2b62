"""A lower bound of the memory that training takes, derived from the model before any of it is taken.

It is counted on a skeleton (a model on the meta device), so a new family supplies nothing. Being a lower bound, it
refuses nothing that would have fitted; a step may take five times as much.
"""

from __future__ import annotations

from torch import nn

from seqgen.device import Precision
from seqgen.models.base import LanguageModel

_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2}


def activation_bytes(model: LanguageModel, tokens: int, precision: Precision) -> int:
    """Return the bytes in use, at least, when the backward pass of a batch of `tokens` tokens begins.

    Counted are the outputs of the layers with weight matrices (for recurrent layers, their gates) and the gradient of
    the logits.
    """
    per_token = model.vocab_size + sum(map(_output_size, model.modules()))
    return tokens * _BYTES[precision] * per_token


def _output_size(module: nn.Module) -> int:
    """Return how many numbers a module's own matrices, [out, in] each, make of a token."""
    if isinstance(module, nn.Embedding):
        return 0
    return max((weight.shape[0] for weight in module.parameters(recurse=False) if weight.dim() == 2), default=0)

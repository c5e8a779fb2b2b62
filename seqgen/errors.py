"""Every error that seqgen raises on purpose.

    SeqgenError
    ├── ConfigError         a setting is impossible, unknown or of the wrong type
    ├── TextError           a text is missing, empty, undecodable or too short
    ├── TokenizerError      a tokenizer cannot be built, read or trusted
    ├── RunError            a run directory is missing, incomplete, in the way or not what its config says
    ├── TrainingError       training cannot continue (the loss is NaN or infinite)
    └── SaveError           something could not be written

Each message is one clear sentence or two: what was wrong, where, and what to do. Anything else that escapes the library
is a bug.
"""

from __future__ import annotations


class SeqgenError(Exception):
    """The root of the tree: an expected failure, with a message for the user."""


class ConfigError(SeqgenError):
    """A setting is impossible, unknown or of the wrong type; the message names it."""


class TextError(SeqgenError):
    """A text is missing, empty, undecodable or too short; the message names the file and the place."""


class TokenizerError(SeqgenError):
    """A tokenizer cannot be built or read, or is not the one that the weights were trained with."""


class RunError(SeqgenError):
    """A run directory is missing, incomplete, already there, or not what its config says."""


class TrainingError(SeqgenError):
    """Training cannot continue; the message names the step."""


class SaveError(SeqgenError):
    """Something could not be written; what stood there before is untouched."""
